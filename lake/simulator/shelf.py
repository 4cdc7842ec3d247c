"""A lake as a venue's stock of candles: by API and native symbol, as text ready to send.

Rows become text a chunk at a time and stay in bounded caches, so that a page is a slice of
bytes. Does not know HTTP, limits or faults.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series
from lake.domain.partitions import Partition
from lake.domain.times import to_us, utc
from lake.errors import InvalidRequest, StorageError
from lake.simulator.book import Book, Chunk, Listing
from lake.simulator.instruments import market
from lake.simulator.rows import Sheet, sheet
from lake.storage.lake import Storage

# 8,192 candles are 1.4 MB of text: small enough that clients walking through 50 instruments
# at once find their places in the cache, large enough that a row costs little to make.
_CHUNK_ROWS = 8_192
TEXT_CACHE_BYTES = 96 << 20
TABLE_CACHE_BYTES = 24 << 20
_APIS = {
    InstrumentKind.SPOT: "spot",
    InstrumentKind.LINEAR: "usdm",
    InstrumentKind.INVERSE: "coinm",
}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+")

Value = TypeVar("Value")


class Shelf:
    """The candles of a lake by API and native symbol.

    The lake is read as it is; :meth:`refresh` looks again.

    Attributes:
        listings: By API (``spot, usdm, coinm``) and native symbol.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._texts: _Cache[Sheet] = _Cache(TEXT_CACHE_BYTES, lambda text: text.size_bytes)
        self._tables: _Cache[pa.Table] = _Cache(TABLE_CACHE_BYTES, lambda table: table.nbytes)
        self.listings: dict[str, dict[str, Listing]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the lake's catalog again and forget the pages made of it."""
        self._texts.clear()
        self._tables.clear()
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
            chunks = self._chunks(series)
            if not chunks:
                # Nothing is held: better no such symbol than one that never traded.
                continue
            listing = listings[api].setdefault(instrument.native_id, Listing(instrument))
            if listing.instrument.id == instrument.id:
                assert series.timeframe is not None
                listing.books[series.timeframe] = self._book(listing, series, chunks)
        self.listings = listings

    def _book(self, listing: Listing, series: Series, chunks: list[Chunk]) -> Book:
        assert series.grid is not None
        closes_ms = self._closes_ms(series)
        return Book(listing, series.grid, chunks=chunks, closes_ms=closes_ms, text_of=self._text)

    def _chunks(self, series: Series) -> list[Chunk]:
        assert series.timeframe is not None
        span_ms = _CHUNK_ROWS * series.timeframe.nominal_us // 1_000
        chunks: list[Chunk] = []
        for info in self._storage.catalog.partitions(series):
            if info.min_ts is None or info.max_ts is None:
                continue
            first_ms, last_ms = to_us(info.min_ts) // 1_000, to_us(info.max_ts) // 1_000
            chunks += [
                Chunk(info.partition, start, min(last_ms, start + span_ms - 1))
                for start in range(first_ms, last_ms + 1, span_ms)
            ]
        return sorted(chunks, key=lambda each: each.first_ms)

    def _text(self, book: Book, chunk: Chunk) -> Sheet:
        """The chunk's rows as text, from the cache where they are."""

        def make() -> Sheet:
            table = self._tables.get(chunk.partition.path, lambda: self._table(chunk.partition))
            ts_ms = table["ts"].cast(pa.int64()).to_numpy() // 1_000
            first, last = np.searchsorted(ts_ms, [chunk.first_ms, chunk.last_ms + 1])
            rows = table.slice(int(first), int(last - first))
            return sheet(rows, book.grid, book.wire, closes_ms=book.closes_ms)

        return self._texts.get((chunk.partition.path, chunk.first_ms), make)

    def _table(self, partition: Partition) -> pa.Table:
        table = self._storage.read_partition(partition)
        if table is None:
            raise StorageError(
                f"{partition.path} was taken out of the lake while it is served. "
                "Start the server again, or POST /_box/refresh."
            )
        return table

    def _closes_ms(self, series: Series) -> dict[int, int]:
        """Candles that closed early, as the lake's notes say, with that moment."""
        closes = {}
        for note in self._storage.catalog.notes(series):
            if note.kind == "early_close" and (moment := _ISO.search(note.text)):
                closed = to_us(utc(datetime.fromisoformat(moment[0])))
                closes[to_us(note.ts) // 1_000] = closed // 1_000
        return closes


class _Cache(Generic[Value]):
    """The values used last, as many as fit; always the newest one."""

    def __init__(self, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if (known := self._values.get(key)) is not None:
            self._values.move_to_end(key)
            return known
        made = make()
        self._values[key] = made
        self._bytes += self._size_of(made)
        while self._bytes > self._limit_bytes and len(self._values) > 1:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= self._size_of(dropped)
        return made

    def clear(self) -> None:
        self._values.clear()
        self._bytes = 0


def _guess(series: Series) -> Instrument | None:
    """An instrument that the catalog does not describe, by its code."""
    try:
        found = market(str(series.instrument_id)).instrument
    except InvalidRequest:
        return None
    return found if found.venue == series.venue else None
