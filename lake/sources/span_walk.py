"""The walk over trades without dense ids: by time, from answer to answer that overlap.

``paging`` says what is believed and why. Memory is bounded whatever the window: what is held
is the run that is being read and one page.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
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
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.held import LAG_US, PAGE_ROWS, PAGE_S, Held
from lake.sources.paging import Answer, Kind, Known, Question, Rows, floor_us
from lake.sources.span_belief import MOST_UNTIED, SpanAsker, SpanBelief, contradiction
from lake.sources.trade_answers import HOLE_ANSWERS, MOST_ANSWERS

# The first step is so wide, whatever the market; later ones follow the density of its rows.
_FIRST_STEP_US = 600 * SECOND_US
_GROWTH = 4
_BEYOND = 16
# Rows wanted in one step: of a span that must fit a page, and of a run that is read downwards.
_SPAN_PAGES = 1.5
_RUN_PAGES, _RUN_ROWS = 40, 20_000
# A run that is read downwards is held; more than this is given up and read in halves.
_MOST_HELD = 150_000
# No venue's pages are shorter.
_LEAST_PAGE = 10


@dataclass(slots=True)
class _Step:
    """One step under way: what is asked, and what was read above it."""

    question: Question
    upper: Rows
    rejected: list[Rejected] = field(default_factory=list)
    following: str | None = None


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
        self._start_us = to_us(window.start)
        self._end_us = to_us(min(window.end, settled))
        self._believed_us = to_us(now) - LAG_US
        self._page_rows = page_rows
        self._most_held = most_held
        self._monotonic = monotonic
        self._requests = 0
        self._longest_us = None if longest is None else int(longest / timedelta(microseconds=1))
        self._belief = SpanBelief(asker, page_size=page_size, longest_us=self._longest_us)
        self._goal = -floor_us(-self._end_us, self._grain)
        self._cap = max(self._goal, floor_us(to_us(settled), self._grain))
        self._sure = floor_us(self._start_us, self._grain)
        self._bottom: Known | None = None
        self._width = _FIRST_STEP_US
        self._is_shown_past_end = False

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
        if self._is_shown_past_end or await self._is_anything_later():
            shown_us = self._end_us
        believed_us = max(shown_us, self._believed_us)
        yield held.page(self._end_us, shown_us, believed_us, requests=self._spent())

    async def _is_anything_later(self) -> bool:
        """Whether trades after the window show that its silent end is not the end of the data."""
        low, high = self._goal, self._cap
        if self._longest_us is not None:
            low = max(low, floor_us(high - self._longest_us, self._grain) + self._grain)
        for _ in range(HOLE_ANSWERS if low < high else 0):
            cursor = Cursor(self._page_size, start_us=low, end_us=high)
            answer = await self._asker.answer(cursor, self._page_size)
            if len(answer.rows) and answer.rows.ts[-1] >= self._end_us:
                return True
        return False

    def _spent(self) -> int:
        requests, self._requests = self._asker.requests - self._requests, self._asker.requests
        return requests

    # One step: from ``sure`` to a later moment that is sure.

    async def _step(self) -> tuple[Rows, list[Rejected]]:
        """The rows from ``sure`` to where it is afterwards, whole; and odd ones among them."""
        tries = alone = 0
        step = self._begin(self._width)
        while True:
            found = await self._belief.believed(step.question, step.upper)
            if found is None:
                # The run began with a false answer: nothing above ``sure`` is known after all.
                tries += 1
                if tries >= MOST_ANSWERS // MOST_UNTIED:
                    raise contradiction(step.question)
                step = self._begin(self._width)
                continue
            kind, answer = found
            step.rejected += [each for each in answer.rejected if each not in step.rejected]
            if kind is Kind.CROWDED:
                step = self._crowded(step, answer)
                continue
            if kind is Kind.SINKS:
                asked = step.question
                step = self._sink(step, answer)
                if not self._has_closed(asked, step, answer):
                    continue
                assert asked.top is not None
                run, sure = step.upper, asked.top.end_us
            else:
                run, sure = self._run(kind, step, answer)
            newest = floor_us(int(run.ts[-1]), self._grain) if len(run) else 0
            if max(sure, newest) > self._sure:
                return self._advance(run, max(sure, newest), step.question), step.rejected
            # Nothing was read above the slot that begins there: the slot alone, or what follows.
            alone += 1
            if alone > MOST_UNTIED:
                raise self._too_crowded(self._sure)
            is_there = newest == self._sure
            step = self._begin(self._grain if is_there else self._width, alone=True)

    def _has_closed(self, asked: Question, step: _Step, answer: Answer) -> bool:
        """Whether a run that was read on by token has reached what is known, or the first trade."""
        if asked.top is None or asked.token is None or not len(step.upper):
            return False
        oldest = floor_us(int(step.upper.ts[0]), self._grain)
        if asked.bottom is None:
            is_first = not answer.is_full and oldest == asked.top.start_us
            return oldest < self._sure or is_first
        return oldest < asked.bottom.start_us and asked.bottom.is_in(step.upper)

    def _begin(self, width: int, *, alone: bool = False) -> _Step:
        """The question about what comes after ``sure``; *alone* about its slot only."""
        grain, bottom = self._grain, None if alone else self._bottom
        wide = max(grain, floor_us(width, grain))
        # A little beyond the end: a trade there proves that none before it is missing.
        beyond = floor_us((self._goal - self._sure) // _BEYOND, grain) + grain
        high = nearest = min(self._sure + wide, self._goal + beyond, self._cap)
        if self._paging is Paging.FORWARD and self._longest_us is None:
            high = self._cap
        if bottom is not None and self._longest_us is not None:
            if high - bottom.start_us > self._longest_us:
                high = max(self._sure + grain, bottom.start_us + floor_us(self._longest_us, grain))
            if high - bottom.start_us > self._longest_us:
                bottom, high = None, nearest
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
            has_ended = old.bottom is None and not answer.is_full
            if answer.following is None and not has_ended:
                raise self._too_crowded(at)
            token = None if has_ended else answer.following
        question = Question(old.low, at + grain, self._sure, old.bottom, top, token, grain)
        return _Step(question, upper, step.rejected)

    def _crowded(self, step: _Step, answer: Answer) -> _Step:
        """One slot fills a page: on by the venue's token, or not at all."""
        old, grain = step.question, self._grain
        if self._paging is Paging.SPAN and old.high > self._sure + grain and old.top is None:
            return self._begin(grain, alone=True)
        if self._paging is Paging.FORWARD and old.bottom is not None and old.bottom.is_whole:
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
        if question.token is not None:
            run = _sorted(step.upper.after(answer.rows))
            return run, self._sure + (grain if kind is Kind.SILENT else 0)
        if kind is Kind.SILENT:
            run = answer.rows.between(self._sure, question.high)
            if len(run.between(self._sure, self._sure + grain)):
                # That slot is whole now; what follows it is asked by itself.
                return run, self._sure + grain
            return run, question.high
        return answer.rows, 0

    def _advance(self, run: Rows, sure: int, question: Question) -> Rows:
        """Move ``sure`` on; the rows of *run* from where it was."""
        begun, self._sure = self._sure, sure
        if len(run) and run.ts[-1] >= self._end_us:
            self._is_shown_past_end = True
        rows = run.between(begun, sure)
        self._learn_bottom(run)
        self._learn_width(len(rows), sure - begun, question)
        return rows

    def _learn_bottom(self, run: Rows) -> None:
        """Remember the rows that the next step's answers must hold."""
        grain = self._grain
        # FORWARD begins in the slot of the newest row, the others in the one before it: there the
        # rows are whole, which also tells rows without ids apart from equal ones.
        is_partial = self._paging is Paging.FORWARD and run.is_numbered()
        told = run if is_partial else run.between(None, self._sure)
        if not len(told):
            return
        at = floor_us(int(told.ts[-1]), grain)
        found = Known.of(told, at, grain, is_whole=at < self._sure)
        # Where it fills much of a page, no answer would reach past it.
        most = min(self._belief.full_at, max(self._belief.largest, _LEAST_PAGE)) // 2
        self._bottom = None if found.is_whole and found.keys.total() > most else found

    def _learn_width(self, count: int, span_us: int, question: Question) -> None:
        page = self._belief.full_at
        wanted = page * _SPAN_PAGES
        if self._paging is not Paging.SPAN or question.top is not None:
            wanted = min(
                self._belief.full_at * _RUN_PAGES, max(_RUN_ROWS, self._belief.full_at * 4)
            )
        fitting = int(span_us * wanted / count) if count else span_us * _GROWTH
        least, most = self._width // _GROWTH, self._width * _GROWTH
        width = max(least, min(most, fitting), self._grain)
        self._width = width if self._longest_us is None else min(width, self._longest_us)

    def _too_crowded(self, us: int) -> SourceError:
        return SourceError(
            f"At least {self._belief.full_at} trades at {iso(from_us(us))} were found, as many as "
            "one answer has, and the venue gives no way to the others. Nothing from there on is "
            "claimed: ask for a later start.",
            retryable=False,
        )


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
