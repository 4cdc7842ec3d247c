"""A lake as a venue's stock of market data: by API and native symbol, as text ready to send.

Rows become text a chunk at a time and stay in bounded caches, so that a page is a slice of
bytes. Does not know HTTP, limits or faults.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series
from lake.domain.partitions import Partition
from lake.domain.times import to_us, utc
from lake.errors import InvalidRequest, StorageError
from lake.simulator.book import Book, Chunk, Listing
from lake.simulator.cache import Cache
from lake.simulator.funding_log import FundingLog
from lake.simulator.instruments import market
from lake.simulator.row_groups import Groups, groups_of
from lake.simulator.rows import Sheet, sheet
from lake.simulator.snapshots import Snapshots
from lake.simulator.trade_log import Caches, TradeLog
from lake.storage.lake import Storage
from lake.storage.records import PartitionInfo

# 8,192 candles are 1.4 MB of text: small enough that clients walking through 50 instruments
# at once find their places in the cache, large enough that a row costs little to make.
_CHUNK_ROWS = 8_192
TEXT_CACHE_BYTES = 96 << 20
TABLE_CACHE_BYTES = 24 << 20
# Six row groups of trades: what eight clients at different places would need is more, but
# then a group is decoded again, which costs 10 ms.
COLUMN_CACHE_BYTES = 48 << 20
_APIS = {
    InstrumentKind.SPOT: "spot",
    InstrumentKind.LINEAR: "usdm",
    InstrumentKind.INVERSE: "coinm",
}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+")


class Shelf:
    """What a lake holds by API and native symbol.

    The lake is read as it is; :meth:`refresh` looks again.

    Attributes:
        storage: The lake.
        listings: By API (``spot, usdm, coinm``) and native symbol.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._texts: Cache[Sheet] = Cache(TEXT_CACHE_BYTES, lambda text: text.size_bytes)
        self._tables: Cache[pa.Table] = Cache(TABLE_CACHE_BYTES, lambda table: table.nbytes)
        self._trades = Caches(
            Cache(TEXT_CACHE_BYTES, lambda text: text.size_bytes),
            Cache(COLUMN_CACHE_BYTES, lambda rows: rows.size_bytes),
        )
        self._batches: Cache[pa.RecordBatch] = Cache(TABLE_CACHE_BYTES, lambda batch: batch.nbytes)
        self.listings: dict[str, dict[str, Listing]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the lake's catalog again and forget the pages made of it."""
        self._texts.clear()
        self._tables.clear()
        self._trades.texts.clear()
        self._trades.columns.clear()
        self._batches.clear()
        catalog = self.storage.catalog
        listings: dict[str, dict[str, Listing]] = {api: {} for api in _APIS.values()}
        found = [info.series for info in catalog.series()]
        # Where two venues have the same symbol, Binance's own comes first and stays.
        found.sort(key=lambda each: (not each.venue.name.startswith("BINANCE"), str(each)))
        for series in found:
            instrument = catalog.instrument(series.instrument_id) or _guess(series)
            api = _APIS.get(instrument.kind) if instrument else None
            if instrument is None or api is None:
                continue
            partitions = [info for info in catalog.partitions(series) if info.min_ts]
            if not partitions:
                # Nothing is held: better no such symbol than one that never traded.
                continue
            listing = listings[api].setdefault(instrument.native_id, Listing(instrument))
            if listing.instrument.id == instrument.id:
                self._put(listing, series, partitions)
        self.listings = listings

    def _put(self, listing: Listing, series: Series, partitions: list[PartitionInfo]) -> None:
        instrument, kind = listing.instrument, series.data_type
        if kind is DataType.OHLCV:
            assert series.timeframe is not None
            listing.books[series.timeframe] = self._book(listing, series, partitions)
            return
        listing.other_first_ms.append(
            min(to_us(each.min_ts) // 1_000 for each in partitions if each.min_ts)
        )
        if kind is DataType.TRADES:
            log = TradeLog(instrument, partial(self._groups, series, "trade_id"), self._trades)
            listing.trades = log
        elif kind is DataType.ORDERBOOK:
            find = partial(self._groups, series, "sequence")
            listing.snapshots = Snapshots(instrument, find, self._batches)
        else:
            load = partial(self._all_rows, series)
            linear = instrument.kind is InstrumentKind.LINEAR
            listing.funding = FundingLog(instrument.native_id, load, says_mark=linear)

    def _groups(self, series: Series, id_column: str) -> Groups:
        return groups_of(self.storage, series, id_column=id_column)

    def _all_rows(self, series: Series) -> pa.Table:
        """Every row of a series that is small: hourly funding is 8,760 rows a year."""
        infos = self.storage.catalog.partitions(series)
        tables = [self._table(info.partition) for info in infos if info.rows]
        return pa.concat_tables(tables).sort_by("ts")

    def _book(self, listing: Listing, series: Series, partitions: list[PartitionInfo]) -> Book:
        assert series.grid is not None
        closes_ms = self._closes_ms(series)
        chunks = self._chunks(series, partitions)
        return Book(listing, series.grid, chunks=chunks, closes_ms=closes_ms, text_of=self._text)

    def _chunks(self, series: Series, partitions: list[PartitionInfo]) -> list[Chunk]:
        assert series.timeframe is not None
        span_ms = _CHUNK_ROWS * series.timeframe.nominal_us // 1_000
        chunks: list[Chunk] = []
        for info in partitions:
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
        table = self.storage.read_partition(partition)
        if table is None:
            raise StorageError(
                f"{partition.path} was taken out of the lake while it is served. "
                "Start the server again, or POST /_box/refresh."
            )
        return table

    def _closes_ms(self, series: Series) -> dict[int, int]:
        """Candles that closed early, as the lake's notes say, with that moment."""
        closes = {}
        for note in self.storage.catalog.notes(series):
            if note.kind == "early_close" and (moment := _ISO.search(note.text)):
                closed = to_us(utc(datetime.fromisoformat(moment[0])))
                closes[to_us(note.ts) // 1_000] = closed // 1_000
        return closes


def _guess(series: Series) -> Instrument | None:
    """An instrument that the catalog does not describe, by its code."""
    try:
        found = market(str(series.instrument_id)).instrument
    except InvalidRequest:
        return None
    return found if found.venue == series.venue else None
