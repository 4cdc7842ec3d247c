"""The lake of the worked examples: a few rows of each data type, each value written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
    Venue,
)
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.rows import SourceTag
from lake.domain.schemas import ROW_SPECS
from lake.domain.timeframe import TimeFrame
from lake.storage.lake import PartitionCommit, Storage

DAY = "2024-01-01T"
BTC, ETH = "BTCUSDT.BINANCE", "ETHUSDT.BINANCE"
PERP = "BTCUSDT-PERP.BINANCEUSDM"
CANDLE = ("ts", "open", "high", "low", "close", "volume", "quote_volume")
MINUTES = [
    ("00:00", 100, 101, 99, 100, 1, 100),
    ("00:01", 100, 102, 100, 101, 2, 202),
    ("00:02", 101, 103, 100, 102, 3, 306),
    ("00:03", 102, 104, 101, 103, 4, 412),
    ("00:04", 103, 106, 102, 104, 5, 525),
    ("00:05", 104, 105, 103, 103, 1, 104),
    ("00:06", 103, 107, 103, 106, 1, 105),
    ("00:08", 106, 106, 104, 104, 1, 105),
    ("00:09", 104, 105, 104, 105, 1, 105),
]
# What was told of the last one at first.
FIRST_TOLD = [("00:09", 104, 105, 104, 104, 3, 105)]
HOURS = {
    BTC: [("00", 100), ("01", 110), ("02", 99), ("04", 121), ("05", 133.1)],
    ETH: [("00", 11), ("01", 10), ("02", 100 / 9), ("03", 10), ("04", 11), ("05", 10)],
    PERP: [("00", 101), ("01", 109.45)],
}
TRADE = ("ts", "trade_id", "price", "quantity", "side", "first_trade_id", "last_trade_id")
TRADES = [
    ("00:00:10", 1, 100, 1, "buy", 1, 1),
    ("00:00:20", 2, 110, 1, "sell", 2, 2),
    ("00:00:30", 3, 105, 2, "buy", 3, 4),
    ("00:01:20", 4, 120, 1, "sell", 5, 5),
]
BOOK = ("ts", "sequence", "bid_prices", "bid_quantities", "ask_prices", "ask_quantities")
BOOKS = [
    ("00:00:30", 1, [99, 98], [1, 3], [101, 102], [2, 10]),
    ("00:01:30", 2, [119, 118], [1, 1], [121, 122], [1, 1]),
]
FUNDING = ("ts", "settled_at", "funding_rate", "interval_hours", "mark_price")
RATES = [
    ("00:00", "00:00", 0.0001, 8, 100),
    ("08:00", "08:00", 0.0002, 8, 110),
    ("16:00", "16:00", -0.0001, 8, 106),
]


def make_example_lake(root: Path) -> Path:
    """A new lake at *root* with the rows above, and instruments that came and went."""
    with Storage.open(root, create=True) as storage:
        _instruments(storage)
        _store(storage, DataType.OHLCV, BTC, CANDLE, FIRST_TOLD, "1m")
        _store(storage, DataType.OHLCV, BTC, CANDLE, MINUTES, "1m")
        for name, closes in HOURS.items():
            rows = [(f"{hour}:00", *(4 * [close]), 1, close) for hour, close in closes]
            _store(storage, DataType.OHLCV, name, CANDLE, rows, "1h")
        _store(storage, DataType.TRADES, BTC, TRADE, TRADES)
        best = [(*book, book[2][0], book[3][0], book[4][0], book[5][0]) for book in BOOKS]
        names = (*BOOK, "best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity")
        _store(storage, DataType.ORDERBOOK, BTC, names, best)
        _store(storage, DataType.FUNDING_RATES, PERP, FUNDING, RATES)
    return root


def _instruments(storage: Storage) -> None:
    catalog = storage.catalog
    catalog.upsert_instruments(
        [
            _spot("BTC/USDT", tick=0.1),
            _spot("ETH/USDT"),
            _spot("ETH/BTC"),
            _spot("LUNA/USDT", is_active=False),
            Instrument(
                Venue("BINANCEUSDM"),
                "BTCUSDT-PERP",
                "BTC/USDT:USDT",
                "BTCUSDT",
                InstrumentKind.LINEAR,
                "BTC",
                "USDT",
                settle="USDT",
            ),
        ],
        fetched_at=datetime(2023, 1, 1),
    )
    catalog.upsert_instruments([_spot("BTC/USDT", tick=0.01)], fetched_at=datetime(2023, 9, 1))
    for code, start, end in (
        ("BTCUSDT", datetime(2020, 1, 1), None),
        ("ETHUSDT", datetime(2023, 12, 1), None),
        ("ETHBTC", datetime(2020, 1, 1), None),
        ("LUNAUSDT", datetime(2020, 8, 21), datetime(2022, 5, 13)),
    ):
        catalog.set_listing(InstrumentId(code, Venue("BINANCE")), start, end, "by hand")


def _spot(symbol: str, *, tick: float = 0.01, is_active: bool = True) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(
        Venue("BINANCE"),
        base + quote,
        symbol,
        base + quote,
        InstrumentKind.SPOT,
        base,
        quote,
        tick_size=tick,
        active=is_active,
    )


def _store(
    storage: Storage,
    data_type: DataType,
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    timeframe: str | None = None,
) -> None:
    """Store *rows*, all of one day, as one commit."""
    series = Series(
        data_type, InstrumentId.from_str(name), TimeFrame(timeframe) if timeframe else None
    )
    table = _table(data_type, columns, rows)
    partition = Partition.of(series, datetime(2024, 1, 1))
    storage.catalog.ensure_series(series, "venue")
    job = storage.jobs.create(series, partition.range)
    lease = storage.jobs.claim(job.job_id, "example")
    storage.commit(
        PartitionCommit(
            partition=partition,
            rows=table,
            tag=SourceTag("example", 50),
            claims=(Claim(partition.range, Basis.ANSWER, "example"),),
            progress=1.0,
        ),
        lease,
    )
    storage.jobs.finish(lease, JobState.COMPLETED)


def _table(data_type: DataType, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    schema = ROW_SPECS[data_type].schema
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    arrays = []
    for field in schema:
        given = values.get(field.name, [None] * len(rows))
        if pa.types.is_timestamp(field.type):
            given = [each and datetime.fromisoformat(DAY + each) for each in given]
        arrays.append(pa.array(given, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
