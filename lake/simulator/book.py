"""Pages of one series' candles as a venue gives them at a moment. Does not read files."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lake.domain.identifiers import Instrument
from lake.domain.partitions import Partition
from lake.domain.timeframe import Grid, TimeFrame
from lake.simulator import running
from lake.simulator.funding_log import FundingLog
from lake.simulator.rows import Sheet, WireFormat
from lake.simulator.snapshots import Snapshots
from lake.simulator.trade_log import TradeLog

_DAY_US = 86_400_000_000
_MINUTE_US = 60_000_000
# What a candle that will still be corrected looks like: this share of its final self.
_UNCORRECTED = 0.9
# Rows that one candle can be made of, and rows that are not final: a month of minutes at most.
_MANY = 50_000


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen at a moment.

    Attributes:
        now_us: Candles that open later do not exist yet; the one that contains it runs.
        corrected_after_us: So long after its close a candle still differs from its final self.
        keeps_oldest: Of a window with more trades than asked for, the oldest ones are given.
    """

    now_us: int
    corrected_after_us: int = 0
    keeps_oldest: bool = False

    @property
    def now_ms(self) -> int:
        return self.now_us // 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a partition that becomes text at once: open times from first to last."""

    partition: Partition
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class Listing:
    """One instrument that the box trades, and what the lake holds of it.

    Attributes:
        books: Its candles by timeframe.
        trades: None where the lake holds none, or none with ids.
        snapshots: Its order books.
        funding: Its settlements.
        other_first_ms: The earliest row of what is no candle.
    """

    instrument: Instrument
    books: dict[TimeFrame, Book] = field(default_factory=dict)
    trades: TradeLog | None = None
    snapshots: Snapshots | None = None
    funding: FundingLog | None = None
    other_first_ms: list[int] = field(default_factory=list)

    @property
    def first_ms(self) -> int:
        """The time of its first row."""
        return min([*(book.first_ms for book in self.books.values()), *self.other_first_ms])

    def price_at(self, view: View) -> str | None:
        """The newest price that can be seen, as text; None before there is one."""
        if self.trades is not None:
            return self.trades.price_at(view.now_ms)
        for timeframe in sorted(self.books, key=lambda each: each.nominal_us):
            rows, count = self.books[timeframe].page(None, None, 1, view)
            if count:
                return str(running.decode(rows)[0][running.CLOSE])
        return None


class Book:
    """The candles of one series.

    Args:
        listing: The instrument; its other books help to make candles in progress.
        grid: The grid of the candles.
        chunks: Where its rows are, ascending, at least one.
        closes_ms: Candles (by open, ms) that closed early, with that moment.
        text_of: Gives the rows of a chunk.
    """

    def __init__(
        self,
        listing: Listing,
        grid: Grid,
        *,
        chunks: Sequence[Chunk],
        closes_ms: dict[int, int],
        text_of: Callable[[Book, Chunk], Sheet],
    ) -> None:
        self.grid = grid
        self.wire = WireFormat.of(listing.instrument)
        self.chunks = chunks
        self.closes_ms = closes_ms
        self._text_of = text_of
        self._listing = listing
        self._firsts = [each.first_ms for each in chunks]
        self._lasts = [each.last_ms for each in chunks]

    @property
    def first_ms(self) -> int:
        return self._firsts[0]

    def page(
        self, start_ms: int | None, end_ms: int | None, limit: int, view: View
    ) -> tuple[bytes, int]:
        """Rows as Binance gives them, each followed by a comma, and their number.

        Args:
            start_ms: First open time, inclusive; None: the newest *limit* rows up to the end.
            end_ms: Last open time, inclusive.
            limit: At most so many.
            view: The moment at which it is asked.
        """
        grid = self.grid
        running_us = grid.floor_us(view.now_us)
        settled_us = min(running_us, grid.floor_us(view.now_us - view.corrected_after_us))
        last_ms = running_us // 1_000 if end_ms is None else min(end_ms, running_us // 1_000)
        # Rows up to this are final; the few after it are made for this moment.
        final_ms = min(last_ms, settled_us // 1_000 - 1)
        if start_ms is not None:
            rows, count = self._forward(start_ms, final_ms, limit)
            if count < limit and last_ms > final_ms:
                young = self._young(max(start_ms, final_ms + 1), last_ms, view)[: limit - count]
                rows += b"".join(young)
                count += len(young)
            return rows, count
        young = self._young(final_ms + 1, last_ms, view)[-limit:] if last_ms > final_ms else []
        rows, count = self._backward(final_ms, limit - len(young))
        return rows + b"".join(young), count + len(young)

    def running_row(self, open_us: int, now_us: int) -> running.Row | None:
        """The candle in progress: what finer candles say, else a part of the stored one."""
        end_us = self.grid.next_us(open_us)
        open_ms, close_ms = open_us // 1_000, end_us // 1_000 - 1
        for finer in self._finer():
            if finer.first_ms > open_ms:
                continue
            part_us = finer.grid.floor_us(now_us)
            parts = running.decode(finer._forward(open_ms, part_us // 1_000 - 1, _MANY)[0])
            young = finer.running_row(part_us, now_us)
            if young is not None:
                parts.append(young)
            if parts:
                return running.aggregate(parts, open_ms=open_ms, close_ms=close_ms)
        stored = running.decode(self._forward(open_ms, open_ms, 1)[0])
        if not stored:
            return None
        if self._listing.trades is not None and end_us - open_us <= _MINUTE_US:
            # A moment in between: what has been traded by now, to the last lot.
            so_far = self._listing.trades.between(open_ms, now_us // 1_000)
            return running.of_trades(so_far, stored[0], close_ms=close_ms, wire=self.wire)
        share = (now_us - open_us) / (end_us - open_us)
        return running.partial(stored[0], share, close_ms=close_ms)

    def _finer(self) -> Iterator[Book]:
        """The same instrument's shorter timeframes that fit into this one, longest first."""
        ours = self.grid.timeframe
        books = self._listing.books
        for timeframe in sorted(books, key=lambda each: -each.nominal_us):
            step = timeframe.step_us
            # Whole days make up every calendar month.
            fits = step is not None and (ours.step_us or _DAY_US) % step == 0
            if fits and timeframe.nominal_us < ours.nominal_us:
                yield books[timeframe]

    def _young(self, start_ms: int, last_ms: int, view: View) -> list[bytes]:
        """Rows that are not final at this moment, in order."""
        running_us = self.grid.floor_us(view.now_us)
        closed, _ = self._forward(start_ms, min(last_ms, running_us // 1_000 - 1), _MANY)
        made = [
            running.encode(running.partial(row, _UNCORRECTED, close_ms=row[running.CLOSE_TIME]))
            for row in running.decode(closed)
        ]
        if start_ms <= running_us // 1_000 <= last_ms:
            row_now = self.running_row(running_us, view.now_us)
            if row_now is not None:
                made.append(running.encode(row_now))
        return made

    def _forward(self, start_ms: int, last_ms: int, limit: int) -> tuple[bytes, int]:
        """Up to *limit* rows from *start_ms* to *last_ms*, both inclusive, the oldest ones."""
        rows, count = b"", 0
        index = bisect_left(self._lasts, start_ms)
        while index < len(self.chunks) and count < limit and self._firsts[index] <= last_ms:
            text = self._text_of(self, self.chunks[index])
            first = int(np.searchsorted(text.ts_ms, start_ms))
            stop = int(np.searchsorted(text.ts_ms, last_ms, side="right"))
            stop = min(stop, first + limit - count)
            if first < stop:
                rows += text.rows(first, stop)
                count += stop - first
            index += 1
        return rows, count

    def _backward(self, last_ms: int, limit: int) -> tuple[bytes, int]:
        """Up to *limit* rows that open at or before *last_ms*, the newest ones, ascending."""
        rows, count = b"", 0
        index = bisect_right(self._firsts, last_ms) - 1
        while index >= 0 and count < limit:
            text = self._text_of(self, self.chunks[index])
            stop = int(np.searchsorted(text.ts_ms, last_ms, side="right"))
            first = max(0, stop - (limit - count))
            rows = text.rows(first, stop) + rows
            count += stop - first
            index -= 1
        return rows, count
