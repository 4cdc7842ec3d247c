"""The walk over trades without dense ids: by time, from answer to answer that overlap.

``paging`` says what is believed and why. Memory is bounded whatever the window: what is held
is the run that is being read and one page.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.ranges import TimeRange
from lake.domain.rows import Page, Rejected
from lake.domain.schemas import TRADES
from lake.domain.times import SECOND_US, from_us, iso, to_us
from lake.domain.variants import derive_refs
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.held import LAG_US, PAGE_ROWS, PAGE_S, Held
from lake.sources.paging import Answer, Kind, Known, Question, Rows, floor_us, judged
from lake.sources.trade_answers import MOST_ANSWERS, AskTrades
from lake.sources.trade_checks import validate_sparse_trades

# The first step is so wide, whatever the market; later ones follow the density of its rows.
_FIRST_STEP_US = 600 * SECOND_US
_GROWTH = 4
# Rows wanted in one step: of a span that must fit a page, and of a run that is read downwards.
_SPAN_PAGES = 1.5
_RUN_PAGES, _RUN_ROWS = 40, 20_000
# A run that is read downwards is held; more than this is given up and read in halves.
_MOST_HELD = 150_000
# So many answers that cannot be tied to a run: it began with a false one.
_MOST_UNTIED = 8
# So often the same short answer, although more is known: pages are as long.
_SAME_CUTS = 3
_SHIFTS = 5
# No venue's pages are shorter.
_LEAST_PAGE = 10


class SpanAsker:
    """Sends requests for one walk and counts them."""

    def __init__(
        self,
        ask: AskTrades,
        *,
        paging: Paging,
        cursor_us: int,
        retry: Retry,
        now: Callable[[], Awaitable[datetime]],
        whole_seconds: bool = False,
    ) -> None:
        """
        Args:
            ask: Sends one request.
            paging: How the venue hands out a span: SPAN, BACK or FORWARD.
            cursor_us: The grain of its bounds of time.
            retry: How failed requests are repeated.
            now: The venue's time, at least.
            whole_seconds: Whether its times are no finer than seconds.
        """
        self.paging = paging
        self.cursor_us = cursor_us
        self._ask = ask
        self._retry = retry
        self._now = now
        self._whole_seconds = whole_seconds
        self.requests = 0

    async def answer(self, cursor: Cursor, full_at: int) -> Answer:
        """The answer for *cursor*; one of *full_at* rows counts as full.

        Raises:
            SourceError: None of the attempts gave one that can be read.
        """

        async def once() -> Answer:
            self.requests += 1
            decoded = await self._ask(cursor)
            table, rejected = validate_sparse_trades(
                decoded, now=await self._now(), whole_seconds=self._whole_seconds
            )
            rows = Rows.of(table)
            count = len(rows) + len(rejected)
            if count > cursor.limit:
                raise SourceError(
                    f"The answer has {count} trades, but {cursor.limit} were asked for.",
                    retryable=True,
                )
            self._require_as_asked(rows, cursor)
            return Answer(rows, rejected, count >= full_at, decoded.following)

        return await self._retry.run(once)

    def _require_as_asked(self, rows: Rows, cursor: Cursor) -> None:
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        if not len(rows) or cursor.token is not None:
            return
        # One slot beyond the bounds is how venues differ in what their bounds include.
        early = rows.ts[0] < cursor.start_us - self.cursor_us and self.paging is not Paging.BACK
        late = rows.ts[-1] >= cursor.end_us + self.cursor_us and self.paging is not Paging.FORWARD
        if early or late:
            raise SourceError(
                f"Trades from {iso(from_us(cursor.start_us))} to {iso(from_us(cursor.end_us))} "
                f"were asked for, but the answer has others (from {iso(from_us(int(rows.ts[0])))} "
                f"to {iso(from_us(int(rows.ts[-1])))}). The venue ignores times, or the answer is "
                "another's; nothing is claimed.",
                retryable=True,
            )


@dataclass(slots=True)
class _Step:
    """One step under way: what is asked, and what was read above it."""

    question: Question
    upper: Rows
    rejected: list[Rejected] = field(default_factory=list)
    following: str | None = None


@dataclass(slots=True)
class _Votes:
    """What the answers to one question say."""

    counts: Counter[Hashable] = field(default_factory=Counter)
    seen: set[Hashable] = field(default_factory=set)
    lacking: Counter[Hashable] = field(default_factory=Counter)
    shift: int = 0
    useless: set[int] = field(default_factory=set)
    untied: int = 0
    asked: int = 0

    def turn(self, *, was_short: bool) -> None:
        """The next answer's bounds are others, once an answer was short."""
        if was_short or self.shift:
            following = [(self.shift + each) % _SHIFTS for each in range(1, _SHIFTS)]
            self.shift = next((each for each in following if each not in self.useless), 0)


class SpanWalk:
    """The walk over one window. Used once."""

    def __init__(
        self,
        asker: SpanAsker,
        window: TimeRange,
        *,
        page_size: int,
        now: datetime,
        settled: datetime,
        longest: timedelta | None = None,
        page_rows: int = PAGE_ROWS,
        most_held: int = _MOST_HELD,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            asker: Sends requests.
            window: What is wanted.
            page_size: Most trades asked for in one request.
            now: The venue's time, at least.
            settled: Up to where trades are final.
            longest: The longest span that one request may name.
            page_rows: A page is delivered when it has so many.
            most_held: Rows of one run, at most.
            monotonic: Says how long a page has been waiting.
        """
        self._asker = asker
        self._paging = asker.paging
        self._grain = asker.cursor_us
        self._page_size = page_size
        # Some venues' pages are smaller than they say.
        self._full_at, self._largest = page_size, 0
        self._ended: tuple[int, int, int] | None = None
        self._start_us = to_us(window.start)
        self._end_us = to_us(min(window.end, settled))
        self._believed_us = to_us(now) - LAG_US
        self._page_rows = page_rows
        self._most_held = most_held
        self._monotonic = monotonic
        self._requests = 0
        self._longest_us = None if longest is None else int(longest / timedelta(microseconds=1))
        self._goal = -floor_us(-self._end_us, self._grain)
        self._cap = max(self._goal, floor_us(to_us(settled), self._grain))
        self._sure = floor_us(self._start_us, self._grain)
        self._bottom: Known | None = None
        self._width = _FIRST_STEP_US

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Ascending, touching pages over the window, up to where trades are final.

        Raises:
            SourceError: Something could not be had; what was delivered before is true.
        """
        if self._end_us <= self._start_us:
            return
        held, began = Held(self._start_us), self._monotonic()
        while self._sure < self._goal:
            rows, rejected = await self._step()
            held.add(_with_refs(rows.table))
            held.rejected += rejected
            is_due = held.count >= self._page_rows or self._monotonic() - began > PAGE_S
            cut_us = min(held.last_us + 1, self._sure)
            if is_due and held.start_us < cut_us < self._end_us:
                yield held.page(cut_us, cut_us, requests=self._spent())
                began = self._monotonic()
        shown_us = min(self._end_us, max(held.start_us, held.last_us + 1))
        if self._shown_past_end:
            shown_us = self._end_us
        yield held.page(
            self._end_us,
            shown_us,
            max(shown_us, self._believed_us),
            requests=self._spent(),
        )

    _shown_past_end = False

    def _spent(self) -> int:
        requests, self._requests = self._asker.requests - self._requests, self._asker.requests
        return requests

    # One step: from ``sure`` to a later moment that is sure.

    async def _step(self) -> tuple[Rows, list[Rejected]]:
        """The rows from ``sure`` to where it is afterwards, whole; and odd ones among them."""
        tries = alone = 0
        step = self._begin(self._width)
        while True:
            found = await self._believed(step)
            if found is None:
                # The run began with a false answer: nothing above ``sure`` is known after all.
                tries += 1
                if tries >= MOST_ANSWERS // _MOST_UNTIED:
                    raise self._contradiction(step.question)
                step = self._begin(self._width)
                continue
            kind, answer = found
            self._doubt_short(kind, answer, step.question)
            step.rejected += [each for each in answer.rejected if each not in step.rejected]
            if kind is Kind.CROWDED:
                step = self._crowded(step, answer)
                continue
            if kind is Kind.SINKS:
                top = step.question.top
                step = self._sink(step, answer)
                if top is None or not self._has_closed(step):
                    continue
                run, sure = step.upper, top.end_us
            else:
                run, sure = self._run(kind, step, answer)
            sure = max(sure, floor_us(int(run.ts[-1]), self._grain) if len(run) else 0)
            if sure > self._sure:
                return self._advance(run, sure, step.question), step.rejected
            # All that was read lies in the slot that begins there.
            alone += 1
            if alone > 1:
                raise self._too_crowded(self._sure)
            step = self._begin(self._grain, alone=True)

    def _has_closed(self, step: _Step) -> bool:
        """Whether a run that was read on by token has reached what is known."""
        question, oldest = step.question, floor_us(int(step.upper.ts[0]), self._grain)
        if question.bottom is None:
            return oldest < self._sure
        return oldest < question.bottom.start_us and question.bottom.is_in(step.upper)

    def _begin(self, width: int, *, alone: bool = False) -> _Step:
        """The question about what comes after ``sure``; *alone* about its slot only."""
        grain, bottom = self._grain, None if alone else self._bottom
        wide = max(grain, floor_us(width, grain))
        if self._paging is Paging.FORWARD and self._longest_us is None:
            high = self._cap
        else:
            high = min(self._sure + wide, self._cap)
        if bottom is not None and self._longest_us is not None:
            if high - bottom.start_us > self._longest_us:
                high = max(self._sure + grain, bottom.start_us + floor_us(self._longest_us, grain))
            if high - bottom.start_us > self._longest_us:
                bottom, high = None, min(self._sure + wide, self._cap)
        low = self._sure if bottom is None else bottom.start_us
        if self._paging is Paging.BACK:
            # Below the bottom too, so that the last answer of a run is full.
            low = max(0, low - wide)
            if self._longest_us is not None:
                low = max(low, high - floor_us(self._longest_us, grain))
        question = Question(low, high, self._sure, bottom, None, None, grain)
        return _Step(question, Rows.of(TRADES.schema.empty_table()))

    def _sink(self, step: _Step, answer: Answer) -> _Step:
        """The run goes on downwards from what *answer* shows."""
        old, grain = step.question, self._grain
        if old.token is None:
            end = None if old.top is None else old.top.end_us
            low = answer.rows.between(None, end if end is not None else old.high)
            upper = step.upper.between(end, None).after(low)
        else:
            upper = _sorted(step.upper.after(answer.rows))
        if len(upper) > self._most_held:
            width = (old.high if old.top is None else int(upper.ts[-1])) - self._sure
            return self._halved(width)
        at = floor_us(int(upper.ts[0]), grain)
        top = Known.of(upper, at, grain, is_whole=False)
        token = None
        if old.token is not None and old.top is not None and at == old.top.start_us:
            if answer.following is None or not answer.is_full:
                raise self._too_crowded(at)
            token = answer.following
        question = Question(old.low, at + grain, self._sure, old.bottom, top, token, grain)
        return _Step(question, upper, step.rejected)

    def _crowded(self, step: _Step, answer: Answer) -> _Step:
        """One slot fills a page: on by the venue's token, or not at all."""
        old, grain = step.question, self._grain
        if self._paging is Paging.SPAN and old.high > self._sure + grain and old.top is None:
            return self._begin(grain, alone=True)
        if answer.following is None:
            raise self._too_crowded(floor_us(int(answer.rows.ts[-1]), grain))
        if self._paging is Paging.FORWARD:
            upper = _sorted(step.upper.after(answer.rows)) if old.token else answer.rows
            top = None
        else:
            end = old.high if old.top is None else old.top.end_us
            upper = step.upper.between(end, None).after(answer.rows.between(None, end))
            top = Known.of(upper, floor_us(int(upper.ts[0]), grain), grain, is_whole=False)
        question = Question(old.low, old.high, self._sure, old.bottom, top, answer.following, grain)
        return _Step(question, upper, step.rejected)

    def _halved(self, width: int) -> _Step:
        self._width = max(self._grain, floor_us(width // 2, self._grain))
        if width <= self._grain:
            raise self._too_crowded(self._sure)
        return self._begin(self._width)

    def _run(self, kind: Kind, step: _Step, answer: Answer) -> tuple[Rows, int]:
        """The rows that a settled *step* ties together, and up to where there are no others."""
        question, grain = step.question, self._grain
        if kind is Kind.CLOSES:
            assert question.top is not None
            below = answer.rows.between(None, question.top.end_us)
            upper = step.upper.between(question.top.end_us, None)
            return upper.after(below), question.top.end_us
        if kind is Kind.SILENT:
            run = answer.rows.between(None, question.high)
            if len(run.between(self._sure, self._sure + grain)):
                # That slot is whole now; what follows it is asked by itself.
                return run, self._sure + grain
            return run, question.high
        if question.token is not None:
            return _sorted(step.upper.after(answer.rows)), 0
        return answer.rows, 0

    def _advance(self, run: Rows, sure: int, question: Question) -> Rows:
        """Move ``sure`` on; the rows of *run* from where it was."""
        begun, self._sure = self._sure, sure
        if len(run) and run.ts[-1] >= self._end_us:
            self._shown_past_end = True
        rows = run.between(begun, sure)
        self._learn_bottom(run)
        self._learn_width(len(rows), sure - begun, question)
        return rows

    def _learn_bottom(self, run: Rows) -> None:
        """Remember the rows that the next step's answers must hold."""
        grain = self._grain
        if self._paging is Paging.FORWARD:
            if len(run):
                at = floor_us(int(run.ts[-1]), grain)
                self._bottom = Known.of(run, at, grain, is_whole=at < self._sure)
            return
        whole = run.between(None, self._sure)
        if not len(whole):
            return
        at = floor_us(int(whole.ts[-1]), grain)
        found = Known.of(whole, at, grain, is_whole=True)
        # Where it fills much of a page, no answer would reach past it.
        most = min(self._full_at, max(self._largest, _LEAST_PAGE)) // 2
        self._bottom = found if found.keys.total() <= most else None

    def _learn_width(self, count: int, span_us: int, question: Question) -> None:
        wanted = self._full_at * _SPAN_PAGES
        if self._paging is not Paging.SPAN or question.top is not None:
            wanted = min(self._full_at * _RUN_PAGES, max(_RUN_ROWS, self._full_at * 4))
        fitting = int(span_us * wanted / count) if count else span_us * _GROWTH
        least, most = self._width // _GROWTH, self._width * _GROWTH
        width = max(least, min(most, fitting), self._grain)
        self._width = width if self._longest_us is None else min(width, self._longest_us)

    # What is believed.

    async def _believed(self, step: _Step) -> tuple[Kind, Answer] | None:
        """An answer that may be believed, and what it does; None: the run cannot be tied.

        Raises:
            SourceError: Answers keep contradicting one another.
        """
        question, votes = step.question, _Votes()
        known = step.upper.keys() if question.token is not None else None
        while votes.asked < MOST_ANSWERS:
            answer = await self._asker.answer(self._cursor(question, votes), self._full_at)
            votes.asked += 1
            self._largest = max(self._largest, len(answer.rows) + len(answer.rejected))
            if not answer.is_full and self._is_page_smaller(answer, question, votes):
                continue
            kind, needed = judged(answer, question, self._paging)
            if known is not None and _repeats(answer.rows, known):
                kind = Kind.FAULTY
            if kind is Kind.FAULTY:
                votes.untied += 1
                # Bounds farther out may fill the answer with rows that are of no use.
                votes.useless |= {votes.shift} - {0}
                votes.turn(was_short=False)
                if votes.untied >= _MOST_UNTIED and question.top is not None:
                    return None
                continue
            votes.turn(was_short=not answer.is_full)
            content = self._content(kind, answer, question)
            seen, rows = self._common(answer, question)
            votes.seen |= seen
            votes.counts[kind, content] += 1
            if votes.counts[kind, content] >= needed and not self._lacks(rows, votes, answer):
                return kind, answer
        raise self._contradiction(question)

    def _cursor(self, question: Question, votes: _Votes) -> Cursor:
        """Bounds that differ from those of earlier answers that were short."""
        shift = 0 if question.token is not None else votes.shift * self._grain
        low = max(0, question.low - shift)
        high = question.high + (shift if self._paging is not Paging.FORWARD else 0)
        if self._longest_us is not None and high - low > self._longest_us:
            low, high = question.low, question.high
        return Cursor(self._page_size, start_us=low, end_us=high, token=question.token)

    def _common(self, answer: Answer, question: Question) -> tuple[set[Hashable], Rows]:
        """The rows that every honest answer to *question* has, as far as it reaches."""
        low = question.low if question.bottom is None else question.bottom.start_us
        if self._paging is Paging.BACK and question.bottom is None:
            low = question.sure_us
        rows = answer.rows.between(low, question.high) if question.token is None else answer.rows
        return set(rows.keys()), rows

    def _content(self, kind: Kind, answer: Answer, question: Question) -> Hashable:
        """What answers must have in common to say the same."""
        _, rows = self._common(answer, question)
        if answer.is_full and question.token is None and len(rows):
            # Bounds that differ cut full answers at different rows.
            oldest, newest = (floor_us(int(rows.ts[at]), self._grain) for at in (0, -1))
            if self._paging is Paging.FORWARD:
                rows = rows.between(None, newest)
            elif kind is not Kind.RISES:
                rows = rows.between(oldest + self._grain, None)
        odd = frozenset((each.ts, each.reason, each.raw) for each in answer.rejected)
        return frozenset(rows.keys().items()), odd, answer.is_full

    def _lacks(self, rows: Rows, votes: _Votes, answer: Answer) -> bool:
        """Whether *rows* lack what other answers showed in their span."""
        own = set(rows.keys())
        if not answer.is_full:
            return not votes.seen <= own
        if not len(rows):
            return False
        first, last = int(rows.ts[0]), int(rows.ts[-1])
        between = {each for each in votes.seen if first < each[0] < last}  # type: ignore[index]
        return not between <= own

    def _is_page_smaller(self, answer: Answer, question: Question, votes: _Votes) -> bool:
        """Whether the venue's pages are smaller than the table says; then it is learned.

        The same short answer then keeps lacking what is known to lie in its span.
        """
        rows, count = answer.rows, len(answer.rows) + len(answer.rejected)
        if count < max(2, self._largest) or not len(rows):
            return False
        bottom = question.bottom
        _, common = self._common(answer, question)
        if votes.seen <= set(common.keys()) and (bottom is None or bottom.is_in(rows)):
            return False
        keys = frozenset(rows.keys().items())
        votes.lacking[keys] += 1
        if votes.lacking[keys] < _SAME_CUTS:
            return False
        self._full_at = count
        return True

    def _doubt_short(self, kind: Kind, answer: Answer, question: Question) -> None:
        """Learn from a believed short answer that rows lie where it had ended.

        It was whole as far as it went, so that the venue's pages are as long as it was.
        """
        rows, begun = answer.rows, self._ended
        if begun is not None and len(rows):
            count, at_us, high = begun
            if kind is Kind.SINKS or kind is Kind.CLOSES:
                lies_beyond = question.top is not None and int(rows.ts[0]) < at_us
            else:
                lies_beyond = bool(((rows.ts >= at_us) & (rows.ts < high)).any())
            if lies_beyond and count >= max(2, self._largest):
                self._full_at = count
        self._ended = None
        if answer.is_full or not len(rows) or question.token is not None:
            return
        count = len(rows) + len(answer.rejected)
        if kind is Kind.SINKS:
            self._ended = (count, floor_us(int(rows.ts[0]), self._grain), question.high)
        elif kind is Kind.RISES and self._paging is not Paging.BACK:
            newest = floor_us(int(rows.ts[-1]), self._grain) + self._grain
            self._ended = (count, newest, question.high)

    def _contradiction(self, question: Question) -> SourceError:
        return SourceError(
            f"{MOST_ANSWERS} answers about {iso(from_us(question.sure_us))} to "
            f"{iso(from_us(question.high))} contradict one another. What was stored stays; start "
            "again later.",
            retryable=True,
        )

    def _too_crowded(self, us: int) -> SourceError:
        return SourceError(
            f"At least {self._full_at} trades at {iso(from_us(us))} were found, as many as one "
            "answer has, and the venue gives no way to the others. Nothing from there on is "
            "claimed: import its archive for this time, or ask for a later start.",
            retryable=False,
        )


def _repeats(rows: Rows, known: Counter[Hashable]) -> bool:
    """Whether *rows* have trades with an id that is known already."""
    found = set(rows.keys()) & set(known)
    # Three values: time, number, text. Equal rows without an id may be there twice.
    return any(len(each) == 3 for each in found)  # type: ignore[arg-type]


def _sorted(rows: Rows) -> Rows:
    order = pc.sort_indices(rows.table, [(name, "ascending") for name in TRADES.sort_order])
    return Rows.of(rows.table.take(order))


def _with_refs(rows: pa.Table) -> pa.Table:
    """*rows* (whole groups of one ``ts``) with a derived ``trade_ref`` where they have no id."""
    bare = rows["trade_id"].is_null().to_numpy() & rows["trade_ref"].is_null().to_numpy()
    if not bare.any():
        return rows
    chosen = rows.filter(pa.array(bare))
    refs = derive_refs(
        chosen["ts"].cast(pa.int64()).to_pylist(),
        chosen["price"].to_pylist(),
        chosen["quantity"].to_pylist(),
        chosen["side"].to_pylist(),
    )
    column = np.array(rows["trade_ref"].to_pylist(), dtype=object)
    column[bare] = refs
    at = rows.schema.get_field_index("trade_ref")
    named = rows.set_column(at, rows.schema.field(at), pa.array(column, pa.string()))
    return named.take(pc.sort_indices(named, [(name, "ascending") for name in TRADES.sort_order]))
