"""Lakes for the warehouse's tests, written through the real storage."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
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
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import PartitionCommit, Storage

BINANCE = Venue("BINANCE")
TAG = SourceTag("test", 50)


def series(name: str = "BTCUSDT.BINANCE", timeframe: str = "1h") -> Series:
    return Series(DataType.OHLCV, InstrumentId.from_str(name), TimeFrame(timeframe))


def candles(opens: list[datetime], *, close: float | None = None) -> pa.Table:
    """Candles at *opens*; the n-th closes at n (or all of them at *close*)."""
    count = len(opens)
    closes = np.full(count, close) if close is not None else np.arange(1.0, count + 1)
    columns = {
        "ts": pa.array([to_us(each) for each in opens], pa.int64()).cast(pa.timestamp("us")),
        "open": closes,
        "high": closes + 1,
        "low": closes / 2,
        "close": closes,
        "volume": np.ones(count),
        "quote_volume": closes,
        "trade_count": np.full(count, 3),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in OHLCV.schema
    ]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def write(
    storage: Storage,
    what: Series,
    start: datetime,
    count: int,
    *,
    close: float | None = None,
) -> None:
    """Store *count* candles from *start* on, by partition, as a backfill would."""
    assert what.grid is not None
    opens = [what.grid.advance(start, number) for number in range(count)]
    window = TimeRange(opens[0], what.grid.next(opens[-1]))
    code, venue = what.instrument_id.symbol, what.venue
    if storage.catalog.instrument(what.instrument_id) is None:
        pair = code.removesuffix("-PERP")
        base, quote = pair[:-4], pair[-4:]
        storage.catalog.upsert_instruments(
            [Instrument(venue, code, f"{base}/{quote}", code, InstrumentKind.SPOT, base, quote)]
        )
    storage.catalog.ensure_series(what, "venue")
    job = storage.jobs.create(what, window)
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, piece in split(what, window):
        inside = [each for each in opens if each in piece]
        change = PartitionCommit(
            partition=partition,
            rows=candles(inside, close=close),
            tag=TAG,
            claims=(Claim(piece, Basis.ANSWER, "test"),),
            replace=piece,
            progress=1.0,
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


def make_lake(root: Path) -> Path:
    """A small lake: two spot instruments and a perpetual, 1h and 1d, over a year's end."""
    with Storage.open(root, create=True) as storage:
        for name in ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE", "BTCUSDT-PERP.BINANCEUSDM"):
            write(storage, series(name), datetime(2023, 12, 30), 24 * 40)
        write(storage, series("BTCUSDT.BINANCE", "1d"), datetime(2023, 12, 1), 62)
        write(storage, series("ETHUSDT.BINANCE", "1mo"), datetime(2023, 11, 1), 4)
    return root


def hour(number: int) -> datetime:
    """The *number*-th hour since 2024 began."""
    return datetime(2024, 1, 1) + number * timedelta(hours=1)
