"""Lakes for the tests of quality, written through the real storage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, SourceTag
from lake.domain.schemas import OHLCV, TRADES
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import PartitionCommit, Storage

DAY = datetime(2024, 1, 1)
TAG = SourceTag("test", 50)


def minute(number: int) -> datetime:
    return DAY + number * timedelta(minutes=1)


def minutes(start: int, end: int) -> TimeRange:
    return TimeRange(minute(start), minute(end))


def candle_series(name: str = "BTCUSDT.BINANCE", timeframe: str = "1m") -> Series:
    return Series(DataType.OHLCV, InstrumentId.from_str(name), TimeFrame(timeframe))


def trade_series(name: str = "BTCUSDT.BINANCE") -> Series:
    return Series(DataType.TRADES, InstrumentId.from_str(name))


def candles(moments: Sequence[datetime], volumes: Sequence[float] | float = 1.0) -> pa.Table:
    count = len(moments)
    amounts = [volumes] * count if isinstance(volumes, float | int) else list(volumes)
    columns = {
        "ts": pa.array([to_us(each) for each in moments], pa.int64()).cast(pa.timestamp("us")),
        "volume": pa.array(amounts, pa.float64()),
        **{name: pa.array([100.0] * count) for name in ("open", "high", "low", "close")},
    }
    return _table(OHLCV.schema, columns, count)


def trades(moments: Sequence[datetime], ids: Sequence[int]) -> pa.Table:
    count = len(moments)
    columns = {
        "ts": pa.array([to_us(each) for each in moments], pa.int64()).cast(pa.timestamp("us")),
        "trade_id": pa.array(ids, pa.int64()),
        "price": pa.array([100.0] * count),
        "quantity": pa.array([1.0] * count),
        "side": pa.array(["buy"] * count),
    }
    return _table(TRADES.schema, columns, count)


def _table(schema: pa.Schema, columns: dict[str, pa.Array], count: int) -> pa.Table:
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def store(
    storage: Storage,
    series: Series,
    rows: pa.Table,
    claims: Sequence[Claim],
    *,
    notes: Sequence[Note] = (),
    variant: str | None = None,
    kind: str = "backfill",
    tag: SourceTag = TAG,
) -> None:
    """Store *rows* of any number of partitions, as one job."""
    storage.catalog.ensure_series(series, "venue", variant=variant)
    moments = rows["ts"].to_pylist()
    spans = [each.range for each in claims]
    window = TimeRange(
        min([*moments, *(each.start for each in spans)]),
        max([moments[-1] + timedelta(microseconds=1), *(each.end for each in spans)]),
    )
    job = storage.jobs.create(series, window, kind=kind)
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, piece in split(series, window):
        inside = pa.array([each in piece for each in moments])
        change = PartitionCommit(
            partition=partition,
            rows=rows.filter(inside),
            tag=tag,
            claims=tuple(
                Claim(span, each.basis, each.evidence)
                for each in claims
                if (span := each.range.intersection(piece)) is not None
            ),
            notes=tuple(each for each in notes if each.ts in piece),
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


def answered(window: TimeRange) -> Claim:
    return Claim(window, Basis.ANSWER, "test")
