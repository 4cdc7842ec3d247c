"""The walk over a venue's dense trade ids: pages that are whole, explained, or an error.

Requests run ahead, bounded and in order. An answer that is not the unbroken run of ids asked
for is settled by others before anything after it is delivered. Memory is bounded whatever the
window: what is held is the requests ahead and one page.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from lake.domain.coverage import NOTHING_LATER, Basis, Claim
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Note, Page, Rejected
from lake.domain.schemas import TRADES
from lake.domain.times import SECOND_US, from_us, to_us
from lake.errors import SourceError
from lake.sources.cursor import Cursor
from lake.sources.trade_answers import MOST_ANSWERS, Evidence, TradeAnswer, TradeAsker
from lake.sources.trade_border import BorderSearch, TradeMap
from lake.sources.trade_checks import DISORDER_US

# A page is delivered when it has so many rows, or when so long has passed: a cancelled job
# keeps what it has, and a slow venue shows progress.
_PAGE_ROWS = 32_768
_PAGE_S = 3.0
# A venue that lags, or is down, shows what a venue at the end of its data shows. So close to
# its clock the absence of trades is not believed.
_LAG_US = 3_600 * SECOND_US
_LATE = "its id follows those of trades more than a second younger"


@dataclass(slots=True)
class _Held:
    """Rows that are settled and not delivered yet, from *start* on."""

    start_us: int
    tables: list[pa.Table] = field(default_factory=list)
    count: int = 0
    last_us: int = -1
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    is_first: bool = True

    def add(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        ts = rows["ts"].cast(pa.int64()).to_numpy()
        if not self.is_first and ts.min() < self.start_us:
            # Their page is delivered already, and they must not be lost in silence.
            late = ts < self.start_us
            self.rejected += [
                Rejected(row["ts"], _LATE, json.dumps(row, default=str))
                for row in rows.filter(pa.array(late)).to_pylist()
            ]
            rows = rows.filter(pa.array(~late))
        self.tables.append(rows)
        self.count += rows.num_rows
        self.last_us = max(self.last_us, int(ts.max()))

    def cut(self, end_us: int) -> tuple[pa.Table, tuple[Rejected, ...], tuple[Note, ...]]:
        """Take out what lies before *end_us*; rows before the start are not of this window."""
        rows = pa.concat_tables([TRADES.schema.empty_table(), *self.tables]).combine_chunks()
        ts = rows["ts"].cast(pa.int64()).to_numpy()
        if len(ts) and not (ts[1:] >= ts[:-1]).all():
            # Ids ascend; times may lag behind them by a little.
            order = np.argsort(ts, kind="stable")
            rows, ts = rows.take(pa.array(order)), ts[order]
        first, stop = (int(np.searchsorted(ts, us)) for us in (self.start_us, end_us))
        rest = rows.slice(max(first, stop))
        self.tables, self.count = [rest], rest.num_rows
        end = from_us(end_us)
        gone = [each for each in self.rejected if each.ts is None or each.ts < end]
        notes = [each for each in self.notes if each.ts < end]
        self.rejected = [each for each in self.rejected if each not in gone]
        self.notes = [each for each in self.notes if each not in notes]
        if self.is_first:
            # What lies before the window is another window's to say.
            start = from_us(self.start_us)
            gone = [each for each in gone if each.ts is None or each.ts >= start]
            notes = [each for each in notes if each.ts >= start]
        self.start_us, self.is_first = end_us, False
        return rows.slice(first, max(0, stop - first)), tuple(gone), tuple(notes)


class TradeWalk:
    """The walk over one window. Used once."""

    def __init__(
        self,
        asker: TradeAsker,
        window: TimeRange,
        known: TradeMap,
        *,
        page_size: int,
        concurrency: int,
        now: datetime,
        settled: datetime,
        page_rows: int = _PAGE_ROWS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            asker: Sends requests.
            window: What is wanted.
            known: What earlier windows of the series have shown.
            page_size: Most trades asked for in one request.
            concurrency: Requests under way at once.
            now: The venue's time, at least.
            settled: Up to where trades are final.
            page_rows: A page is delivered when it has so many.
            monotonic: Says how long a page has been waiting.
        """
        self._asker = asker
        self._map = known
        self._page_size = page_size
        self._concurrency = concurrency
        self._start_us = to_us(window.start)
        self._end_us = to_us(min(window.end, settled))
        self._believed_us = to_us(now) - _LAG_US
        self._page_rows = page_rows
        self._monotonic = monotonic
        self._requests = 0
        self._ahead: deque[tuple[int, asyncio.Task[TradeAnswer]]] = deque()
        self._width = 1
        self._begun: tuple[int, int] | None = None

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Ascending, touching pages over the window, up to where trades are final.

        Raises:
            SourceError: Something could not be had; what was delivered before is true.
        """
        if self._end_us <= self._start_us:
            return
        search = BorderSearch(self._asker, self._map, page_size=self._page_size)
        # Neighbours in time may be swapped by a little, so both ends reach over.
        first = await search.first_at(self._start_us - DISORDER_US)
        _, self._begun = self._map.around(self._start_us - DISORDER_US)
        held, began = _Held(self._start_us), self._monotonic()
        stop_us = self._end_us + DISORDER_US
        has_ended = first is None
        try:
            while not has_ended and held.last_us < stop_us:
                assert first is not None
                rows, evidence = await self._next(first, stop_us)
                first += self._page_size
                held.add(rows)
                if evidence is not None:
                    has_ended = evidence.has_ended
                    held.rejected += evidence.rejected()
                    held.notes += _absences(evidence, rows)
                is_due = held.count >= self._page_rows or self._monotonic() - began > _PAGE_S
                cut_us = min(held.last_us - DISORDER_US, self._end_us)
                if is_due and self._start_us < cut_us < self._end_us and cut_us > held.start_us:
                    yield self._page(held, cut_us, cut_us)
                    began = self._monotonic()
        finally:
            await self._abandon()
        yield self._last(held, reaches_past=held.last_us >= stop_us)

    def _last(self, held: _Held, *, reaches_past: bool) -> Page:
        self._map.learn_border(held.tables, self._end_us - DISORDER_US)
        if reaches_past:
            return self._page(held, self._end_us, self._end_us)
        # Trades of the last moment seen may have siblings that were not shown yet.
        shown_us = min(self._end_us, held.last_us)
        return self._page(held, self._end_us, shown_us, max(shown_us, self._believed_us))

    def _page(
        self, held: _Held, end_us: int, shown_us: int, believed_us: int | None = None
    ) -> Page:
        """What is held up to *end_us*: shown up to *shown_us*, believed empty from there on."""
        start_us, end = held.start_us, min(end_us, believed_us or end_us)
        rows, rejected, notes = held.cut(end_us)
        spans = [(start_us, min(shown_us, end), ""), (max(start_us, shown_us), end, NOTHING_LATER)]
        claims = tuple(
            Claim(span, Basis.ANSWER, why)
            for first, stop, why in spans
            if (span := range_or_none(from_us(max(0, first)), from_us(max(0, stop))))
        )
        requests, self._requests = self._asker.requests - self._requests, self._asker.requests
        window = TimeRange(from_us(start_us), from_us(end_us))
        return Page(window, rows, claims, rejected, notes, requests)

    async def _next(self, first: int, stop_us: int) -> tuple[pa.Table, Evidence | None]:
        """The rows with ids in ``[first, first + page_size)``."""
        self._launch(first, stop_us)
        _, task = self._ahead.popleft()
        answer = await task
        self._width = min(self._concurrency, self._width * 2)
        if answer.is_whole():
            self._map.learn(answer)
            return answer.checked.rows, None
        evidence = Evidence(first, first + self._page_size, self._map.last_id)
        evidence.learn(answer)
        while (doubt := evidence.doubt()) is not None:
            turn = len(evidence.witnesses)
            if turn >= MOST_ANSWERS:
                raise SourceError(
                    f"{MOST_ANSWERS} answers contradict one another about trade {doubt}. What "
                    "was stored stays; start again later.",
                    retryable=True,
                )
            # One more answer about it, with bounds that no earlier one had.
            cursor = Cursor(self._page_size, from_id=max(0, doubt - turn))
            if not cursor.from_id:
                cursor = Cursor(max(1, self._page_size - turn), from_id=0)
            evidence.learn(await self._asker.answer(cursor))
        rows = evidence.rows()
        for at in (0, rows.num_rows - 1) if rows.num_rows else ():
            self._map.put(rows["trade_id"][at].as_py(), rows["ts"][at].value)
        return rows, evidence

    def _launch(self, first: int, stop_us: int) -> None:
        """Send requests ahead, as far as trades are expected."""
        expected = self._expected_last(first, stop_us)
        following = self._ahead[-1][0] + self._page_size if self._ahead else first
        while len(self._ahead) < self._width and (following <= expected or not self._ahead):
            cursor = Cursor(self._page_size, from_id=following)
            self._ahead.append((following, asyncio.ensure_future(self._asker.answer(cursor))))
            following += self._page_size

    def _expected_last(self, first: int, stop_us: int) -> int:
        """About the last id that is needed: known, or by how dense the trades so far were."""
        before, after = self._map.around(stop_us)
        earlier, later = (before, after) if after is not None else (self._begun, before)
        if earlier is None or later is None or later[1] <= earlier[1]:
            return first if after is None else after[0]
        density = (later[0] - earlier[0]) / (later[1] - earlier[1])
        return earlier[0] + int((stop_us - earlier[1]) * density)

    async def _abandon(self) -> None:
        tasks = [task for _, task in self._ahead]
        self._ahead.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _absences(evidence: Evidence, rows: pa.Table) -> list[Note]:
    """What is to be said of ids that do not exist, at a trade beside them."""
    runs = evidence.absent()
    if not runs or not rows.num_rows:
        return []
    ids, ts = rows["trade_id"].to_numpy(), rows["ts"]
    notes = []
    for first, last in runs:
        at = min(int(np.searchsorted(ids, last)), len(ids) - 1)
        named = f"trade id {first}" if first == last else f"trade ids {first} to {last}"
        notes.append(Note(ts[at].as_py(), "absent_ids", f"the venue has no {named}"))
    return notes
