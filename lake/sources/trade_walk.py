"""The walk over a venue's dense trade ids: pages that are whole, explained, or an error.

Requests run ahead, bounded and in order. An answer that is not the unbroken run of ids asked
for is settled by others before anything after it is delivered. Memory is bounded whatever the
window: what is held is the requests ahead and one page.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

import numpy as np
import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Page
from lake.domain.times import to_us
from lake.errors import SourceError
from lake.sources.cursor import Cursor
from lake.sources.held import LAG_US, PAGE_ROWS, PAGE_S, Held
from lake.sources.trade_answers import MOST_ANSWERS, Evidence, TradeAnswer, TradeAsker
from lake.sources.trade_border import BorderSearch, TradeMap
from lake.sources.trade_checks import DISORDER_US


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
        page_rows: int = PAGE_ROWS,
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
        self._believed_us = to_us(now) - LAG_US
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
        held, began = Held(self._start_us), self._monotonic()
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
                is_due = held.count >= self._page_rows or self._monotonic() - began > PAGE_S
                cut_us = min(held.last_us - DISORDER_US, self._end_us)
                if is_due and self._start_us < cut_us < self._end_us and cut_us > held.start_us:
                    yield self._page(held, cut_us, cut_us)
                    began = self._monotonic()
        finally:
            await self._abandon()
        yield self._last(held, reaches_past=held.last_us >= stop_us)

    def _last(self, held: Held, *, reaches_past: bool) -> Page:
        self._map.learn_border(held.tables, self._end_us - DISORDER_US)
        if reaches_past:
            return self._page(held, self._end_us, self._end_us)
        # Trades of the last moment seen may have siblings that were not shown yet.
        shown_us = min(self._end_us, held.last_us)
        return self._page(held, self._end_us, shown_us, max(shown_us, self._believed_us))

    def _page(self, held: Held, end_us: int, shown_us: int, believed_us: int | None = None) -> Page:
        requests, self._requests = self._asker.requests - self._requests, self._asker.requests
        return held.page(end_us, shown_us, believed_us, requests=requests)

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
