"""What the storage tests share: a series, rows whose values can be told apart, a clock."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import Lease
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV, TRADES, RowSpec
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us, to_us
from lake.storage.lake import CommitResult, PartitionCommit, Storage
from lake.storage.writing import Sizes

HOURLY = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)
START = datetime(2024, 1, 1)
HOUR = timedelta(hours=1)
JANUARY = Partition(HOURLY, 2024, 1)
VENUE = SourceTag("ccxt", 20)
ARCHIVE = SourceTag("archive", 30)
IMPORT = SourceTag("csv", 5)


Row = dict[str, Any]
SLICED = Sizes(whole_bytes=0, group_rows=7, group_bytes=1 << 20)
"""Every commit is merged slice by slice, and files have many row groups."""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def hour(number: int) -> datetime:
    """The *number*-th hour of 2024."""
    return START + number * HOUR


def hours(first: int, end: int) -> TimeRange:
    return TimeRange(hour(first), hour(end))


def candles(closes: Mapping[int, float] | Iterable[int], *, close: float = 100.0) -> pa.Table:
    """Hourly candles: hour of 2024 to its closing price. The order of the mapping is kept."""
    told = closes if isinstance(closes, Mapping) else dict.fromkeys(closes, close)
    prices = list(told.values())
    count = len(prices)
    columns = {
        "ts": pa.array([to_us(hour(number)) for number in told], pa.int64()).cast(
            pa.timestamp("us")
        ),
        "open": prices,
        "high": [price + 1 for price in prices],
        "low": [price - 1 for price in prices],
        "close": prices,
        "volume": [1.0] * count,
        "quote_volume": prices,
        "trade_count": [7] * count,
        "taker_buy_volume": [0.5] * count,
        "taker_buy_quote_volume": [0.25] * count,
    }
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value, field.type)
        for value, field in zip(columns.values(), OHLCV.schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def closes(rows: pa.Table | None) -> dict[int, float]:
    """The inverse of :func:`candles`."""
    if rows is None:
        return {}
    moments = rows["ts"].cast(pa.int64()).to_pylist()
    return {
        (from_us(moment) - START) // HOUR: close
        for moment, close in zip(moments, rows["close"].to_pylist(), strict=True)
    }


def answered(first: int, end: int, basis: Basis = Basis.ANSWER) -> Claim:
    return Claim(hours(first, end), basis, "second answer")


def begin(
    storage: Storage, series: Series = HOURLY, *, owner: str = "test", ttl_s: float = 30
) -> Lease:
    """A job for 2024 of *series*, claimed."""
    storage.catalog.ensure_series(series, "venue")
    job = storage.jobs.create(series, TimeRange(START, datetime(2025, 1, 1)))
    return storage.jobs.claim(job.job_id, owner, ttl_s=ttl_s)


def store(
    storage: Storage,
    lease: Lease,
    rows: pa.Table | Iterable[pa.Table],
    *claims: Claim,
    partition: Partition = JANUARY,
    tag: SourceTag = VENUE,
    replace: TimeRange | None = None,
) -> CommitResult:
    """Commit *rows* to one partition."""
    return storage.commit(
        PartitionCommit(partition=partition, rows=rows, tag=tag, claims=claims, replace=replace),
        lease,
    )


def temporaries(storage_root: Path) -> list[Path]:
    return sorted((storage_root / "parquet").rglob("*.tmp"))


def random_rows(
    rng: random.Random, spec: RowSpec, count: int, *, spread: int = 40, strays: float = 0.0
) -> list[Row]:
    """Rows with nulls, ties and repeated keys, in any order.

    Args:
        rng: Decides.
        spec: What they are.
        count: How many.
        spread: Over how many hours.
        strays: How often a trade is told with another time than its key's.
    """
    rows = []
    for _ in range(count):
        row: Row = {}
        for field in spec.schema:
            if field.nullable and rng.random() < 0.2:
                row[field.name] = None
            elif pa.types.is_timestamp(field.type):
                row[field.name] = START + rng.randrange(spread) * HOUR
            elif pa.types.is_list(field.type):
                row[field.name] = [float(rng.randrange(3)) for _ in range(rng.randrange(3))]
            elif pa.types.is_string(field.type):
                row[field.name] = rng.choice(("buy", "sell"))
            elif pa.types.is_integer(field.type):
                row[field.name] = rng.randrange(30)
            else:
                row[field.name] = float(rng.randrange(2))
        if spec is TRADES:
            # One of the two names a trade, and a trade has one time.
            row["trade_id"], row["trade_ref"] = rng.choice(
                ((rng.randrange(30), None), (None, f"r{rng.randrange(9)}"))
            )
            named = row["trade_id"] if row["trade_ref"] is None else len(row["trade_ref"])
            late = rng.randrange(1, 9) if rng.random() < strays else 0
            row["ts"] = START + timedelta(seconds=named + late)
        rows.append(row)
    return rows


MINUTELY = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.MINUTE_1)


def minutes(count: int, *, close: float = 100.0) -> tuple[Series, Partition, pa.Table]:
    """*count* candles of a minute from the start of 2024, with their series and partition."""
    rows = candles(range(count), close=close)
    times = pa.array(
        [to_us(START) + number * 60_000_000 for number in range(count)], pa.int64()
    ).cast(pa.timestamp("us"))
    return MINUTELY, Partition(MINUTELY, 2024, 1), rows.set_column(0, OHLCV.schema.field(0), times)
