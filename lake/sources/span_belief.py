"""Which answers about a span of trades are believed: requests and votes. ``paging`` says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime

from lake.domain.times import from_us, iso
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.paging import Answer, Keys, Kind, Question, Rows, floor_us, judged
from lake.sources.trade_answers import MOST_ANSWERS, AskTrades
from lake.sources.trade_checks import validate_sparse_trades

# So many answers that cannot be tied to a run: it began with a false one.
MOST_UNTIED = 8
# So often the same short answer, although more is known: pages are as long.
_SAME_CUTS = 3
_SHIFTS = 5


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


class SpanBelief:
    """The belief of one walk: what its answers are worth, and how long the venue's pages are."""

    def __init__(self, asker: SpanAsker, *, page_size: int, longest_us: int | None) -> None:
        """
        Args:
            asker: Sends requests.
            page_size: Most trades asked for in one request.
            longest_us: The longest span that one request may name.
        """
        self._asker = asker
        self._paging = asker.paging
        self._grain = asker.cursor_us
        self._page_size = page_size
        self._longest_us = longest_us
        # Some venues' pages are smaller than they say.
        self.full_at, self.largest = page_size, 0
        self._ended: tuple[int, int, int] | None = None

    async def believed(self, question: Question, upper: Rows) -> tuple[Kind, Answer] | None:
        """An answer that may be believed, and what it does; None: the run cannot be tied.

        Args:
            question: What is asked.
            upper: What was read above it; a token must not bring it again.

        Raises:
            SourceError: Answers keep contradicting one another.
        """
        votes = _Votes()
        known = upper.keys() if question.token is not None else None
        while votes.asked < MOST_ANSWERS:
            answer = await self._asker.answer(self._cursor(question, votes), self.full_at)
            votes.asked += 1
            self.largest = max(self.largest, len(answer.rows) + len(answer.rejected))
            if not answer.is_full and self._is_page_smaller(answer, question, votes):
                continue
            kind, needed = judged(answer, question, self._paging)
            if known is not None and _repeats(answer, known):
                kind = Kind.FAULTY
            if kind is Kind.FAULTY:
                votes.untied += 1
                if question.token is None:
                    # It lacks rows, but those that it has are there, since the checks let through
                    # none with another time than its own: no silence may deny them.
                    votes.seen |= self._common(answer, question)[0]
                # Bounds farther out may fill the answer with rows that are of no use.
                votes.useless |= {votes.shift} - {0}
                votes.turn(was_short=False)
                if votes.untied >= MOST_UNTIED and question.top is not None:
                    return None
                continue
            if needed == 1 and not votes.seen:
                self._doubt_short(kind, answer, question)
                return kind, answer
            votes.turn(was_short=not answer.is_full)
            content = self._content(kind, answer, question)
            votes.seen |= self._common(answer, question)[0]
            votes.counts[kind, content] += 1
            if votes.counts[kind, content] >= needed and not self._lacks(answer, question, votes):
                self._doubt_short(kind, answer, question)
                return kind, answer
        raise contradiction(question)

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
        is_run = kind is not Kind.CROWDED and question.token is None
        if answer.is_full and is_run and len(answer.rows):
            # Bounds that differ cut full answers at different rows, in a slot that is read again.
            # A crowded one is not: a token goes on after exactly these rows.
            oldest, newest = (floor_us(int(answer.rows.ts[at]), self._grain) for at in (0, -1))
            if self._paging is Paging.FORWARD:
                rows = rows.between(None, newest)
            elif kind is not Kind.RISES:
                rows = rows.between(oldest + self._grain, None)
        odd = frozenset((each.ts, each.reason, each.raw) for each in answer.rejected)
        return frozenset(rows.keys().items()), odd, answer.is_full

    def _lacks(self, answer: Answer, question: Question, votes: _Votes) -> bool:
        """Whether *answer* lacks what others showed in its span."""
        own, _ = self._common(answer, question)
        if not answer.is_full:
            return not votes.seen <= own
        first, last = int(answer.rows.ts[0]), int(answer.rows.ts[-1])
        if self._paging is Paging.BACK:
            last = question.high
        between = {each for each in votes.seen if first < each[0] < last}  # type: ignore[index]
        return not between <= own

    def _is_page_smaller(self, answer: Answer, question: Question, votes: _Votes) -> bool:
        """Whether the venue's pages are smaller than the table says; then it is learned.

        The same short answer then keeps lacking what is known to lie in its span.
        """
        rows, count = answer.rows, len(answer.rows) + len(answer.rejected)
        if count < max(2, self.largest) or not len(rows):
            return False
        bottom = question.bottom
        _, common = self._common(answer, question)
        if votes.seen <= set(common.keys()) and (bottom is None or bottom.is_in(rows)):
            return False
        keys = frozenset(rows.keys().items())
        votes.lacking[keys] += 1
        if votes.lacking[keys] < _SAME_CUTS:
            return False
        self.full_at = count
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
            if lies_beyond and count >= max(2, self.largest):
                self.full_at = count
        self._ended = None
        if answer.is_full or not len(rows) or question.token is not None:
            return
        count = len(rows) + len(answer.rejected)
        if kind is Kind.SINKS:
            self._ended = (count, floor_us(int(rows.ts[0]), self._grain), question.high)
        elif kind is Kind.RISES and self._paging is not Paging.BACK:
            newest = floor_us(int(rows.ts[-1]), self._grain) + self._grain
            self._ended = (count, newest, question.high)


def contradiction(question: Question) -> SourceError:
    """The error for answers that never agree."""
    return SourceError(
        f"{MOST_ANSWERS} answers about {iso(from_us(question.sure_us))} to "
        f"{iso(from_us(question.high))} contradict one another. What was stored stays; start "
        "again later.",
        retryable=True,
    )


def _repeats(answer: Answer, known: Keys) -> bool:
    """Whether *answer* brings again what is known already: a trade's id, or nothing new at all."""
    found = answer.rows.keys()
    if answer.rows.is_numbered():
        return not found.keys().isdisjoint(known)
    # Without ids equal rows may be there twice, but hardly a full answer of them.
    return answer.is_full and not found - known
