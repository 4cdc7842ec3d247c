"""Pages of candles out of any lake, as kline rows ready to send.

Partitions become text once and stay in a bounded cache, so that a page is a slice of bytes.
Does not know HTTP, limits or faults.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series
from lake.domain.partitions import Partition
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import to_us, utc
from lake.errors import InvalidRequest
from lake.simulator import running
from lake.simulator.instruments import market
from lake.simulator.rows import Sheet, WireFormat, sheet
from lake.storage.lake import Storage

# A month of 1m is 7 MB of text; a run over a few instruments stays in the cache.
CACHE_BYTES = 160 << 20
_APIS = {
    InstrumentKind.SPOT: "spot",
    InstrumentKind.LINEAR: "usdm",
    InstrumentKind.INVERSE: "coinm",
}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.+-]+")
_DAY_US = 86_400_000_000
# What a candle that will still be corrected looks like: this share of its final self.
_UNCORRECTED = 0.9


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen at a moment.

    Attributes:
        now_us: Candles that open later do not exist yet; the one that contains it runs.
        corrected_after_us: So long after its close a candle still differs from its final self.
    """

    now_us: int
    corrected_after_us: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    partition: Partition
    first_ms: int
    last_ms: int


@dataclass(slots=True)
class Listing:
    """One instrument that the box trades, and its candles by timeframe."""

    instrument: Instrument
    books: dict[TimeFrame, Book] = field(default_factory=dict)

    @property
    def first_ms(self) -> int:
        return min((book.first_ms for book in self.books.values() if book.held), default=0)


class Shelf:
    """The candles of a lake by API and native symbol.

    The lake is read as it is; :meth:`refresh` looks again.
    """

    def __init__(self, storage: Storage, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._storage = storage
        self._cache: OrderedDict[str, Sheet] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0
        self.listings: dict[str, dict[str, Listing]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the lake's catalog again and forget the pages made of it."""
        self._cache.clear()
        self._cached = 0
        catalog = self._storage.catalog
        listings: dict[str, dict[str, Listing]] = {api: {} for api in _APIS.values()}
        found = [info.series for info in catalog.series()]
        # Where two venues have the same symbol, Binance's own comes first and stays.
        found.sort(key=lambda each: (not each.venue.name.startswith("BINANCE"), str(each)))
        for series in found:
            if series.data_type is not DataType.OHLCV:
                continue
            instrument = catalog.instrument(series.instrument_id) or _guess(series)
            api = _APIS.get(instrument.kind) if instrument else None
            if instrument is None or api is None:
                continue
            listing = listings[api].setdefault(instrument.native_id, Listing(instrument))
            if listing.instrument.id == instrument.id:
                assert series.timeframe is not None
                listing.books[series.timeframe] = Book(self, listing, series)
        self.listings = listings

    def sheet(self, book: Book, partition: Partition) -> Sheet:
        """The partition's rows as text, from the cache where they are."""
        key = partition.path
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        table = self._storage.read_partition(partition)
        if table is None:
            raise InvalidRequest(
                f"{partition.path} is in the catalog but not on disk. Run `lake doctor`."
            )
        made = sheet(table, book.grid, book.wire, closes_ms=book.closes_ms)
        self._cache[key] = made
        self._cached += made.size_bytes
        while self._cached > self._cache_bytes and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached -= dropped.size_bytes
        return made

    def held(self, series: Series) -> list[_Held]:
        return [
            _Held(info.partition, to_us(info.min_ts) // 1_000, to_us(info.max_ts) // 1_000)
            for info in self._storage.catalog.partitions(series)
            if info.min_ts is not None and info.max_ts is not None
        ]

    def closes_ms(self, series: Series) -> dict[int, int]:
        """Candles that closed early, as the lake's notes say, with that moment."""
        closes = {}
        for note in self._storage.catalog.notes(series):
            if note.kind == "early_close" and (moment := _ISO.search(note.text)):
                closed = to_us(utc(datetime.fromisoformat(moment[0])))
                closes[to_us(note.ts) // 1_000] = closed // 1_000
        return closes


class Book:
    """The candles of one series."""

    def __init__(self, shelf: Shelf, listing: Listing, series: Series) -> None:
        grid = series.grid
        assert grid is not None
        self.grid: Grid = grid
        self.wire = WireFormat.of(listing.instrument)
        self.held = sorted(shelf.held(series), key=lambda each: each.first_ms)
        self.closes_ms = shelf.closes_ms(series)
        self._shelf = shelf
        self._listing = listing
        self._firsts = [each.first_ms for each in self.held]
        self._lasts = [each.last_ms for each in self.held]

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
        now_us = view.now_us
        running_us = grid.floor_us(now_us)
        settled_us = running_us
        if view.corrected_after_us:
            settled_us = min(settled_us, grid.floor_us(now_us - view.corrected_after_us))
        last_ms = (running_us // 1_000) if end_ms is None else min(end_ms, running_us // 1_000)
        # Rows before this are final; the few from here on are made for this moment.
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

    def row(self, open_ms: int) -> running.Row | None:
        """The final row that opens at *open_ms*."""
        rows, _ = self._forward(open_ms, open_ms, 1)
        return running.decode(rows)[0] if rows else None

    def running_row(self, open_us: int, now_us: int) -> running.Row | None:
        """The candle in progress: what finer candles say, else a part of the stored one."""
        end_us = self.grid.next_us(open_us)
        close_ms = end_us // 1_000 - 1
        for finer in self._finer():
            if not finer.held or finer.first_ms > open_us // 1_000:
                continue
            part_us = finer.grid.floor_us(now_us)
            rows, _ = finer._forward(open_us // 1_000, part_us // 1_000 - 1, 100_000)
            parts = running.decode(rows)
            young = finer.running_row(part_us, now_us)
            if young is not None:
                parts.append(young)
            if parts:
                return running.aggregate(parts, open_ms=open_us // 1_000, close_ms=close_ms)
        final = self.row(open_us // 1_000)
        if final is None:
            return None
        return running.partial(final, (now_us - open_us) / (end_us - open_us), close_ms=close_ms)

    def _finer(self) -> Iterator[Book]:
        """The same instrument's shorter timeframes that fit into this one, longest first."""
        ours = self.grid.timeframe
        books = self._listing.books
        for timeframe in sorted(books, key=lambda each: -each.nominal_us):
            step = timeframe.step_us
            if step is None or timeframe.nominal_us >= ours.nominal_us:
                continue
            fits = ours.step_us % step == 0 if ours.step_us else _DAY_US % step == 0
            if fits:
                yield books[timeframe]

    def _young(self, start_ms: int, last_ms: int, view: View) -> list[bytes]:
        """Rows that are not final at this moment, in order."""
        running_us = self.grid.floor_us(view.now_us)
        made = []
        closed, _ = self._forward(start_ms, min(last_ms, running_us // 1_000 - 1), 100_000)
        for row in running.decode(closed):
            made.append(running.encode(running.partial(row, _UNCORRECTED, close_ms=row[6])))
        if start_ms <= running_us // 1_000 <= last_ms:
            row_now = self.running_row(running_us, view.now_us)
            if row_now is not None:
                made.append(running.encode(row_now))
        return made

    def _forward(self, start_ms: int, last_ms: int, limit: int) -> tuple[bytes, int]:
        """Up to *limit* rows from *start_ms* to *last_ms*, both inclusive, the oldest ones."""
        rows, count = b"", 0
        index = bisect_left(self._lasts, start_ms)
        while index < len(self.held) and count < limit:
            if self.held[index].first_ms > last_ms:
                break
            text = self._shelf.sheet(self, self.held[index].partition)
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
            text = self._shelf.sheet(self, self.held[index].partition)
            stop = int(np.searchsorted(text.ts_ms, last_ms, side="right"))
            first = max(0, stop - (limit - count))
            rows = text.rows(first, stop) + rows
            count += stop - first
            index -= 1
        return rows, count


def _guess(series: Series) -> Instrument | None:
    """An instrument that the catalog does not describe, by its code."""
    try:
        found = market(str(series.instrument_id)).instrument
    except InvalidRequest:
        return None
    return found if found.venue == series.venue else None
