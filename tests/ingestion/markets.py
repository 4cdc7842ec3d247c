"""Synthetic markets for the tests of this folder, and how two lakes are compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Backfill, Report, Request
from lake.simulator.market import generate
from lake.storage.lake import Storage

BINANCE = Venue("BINANCE")
START, END = datetime(2024, 1, 30), datetime(2024, 2, 4)
LISTED = datetime(2024, 2, 1, 6)
OUTAGE = TimeRange(datetime(2024, 2, 2, 10), datetime(2024, 2, 2, 23, 30))
INSTRUMENTS = ("BTC/USDT", "ETH/USDT")
TIMEFRAMES = (TimeFrame.MINUTE_1, TimeFrame.HOUR_1)


def make_market(root: Path, *, seed: int = 7) -> Path:
    """A lake of two instruments over five days: one listed late, one outage of 13.5 hours."""
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=seed,
            start=START,
            end=END,
            instruments=INSTRUMENTS,
            timeframes=TIMEFRAMES,
            listings={"ETH/USDT": LISTED},
            outages=[OUTAGE],
            rate=0.02,
        )
    return root


def series(code: str, timeframe: TimeFrame, venue: Venue = BINANCE) -> Series:
    return Series(DataType.OHLCV, InstrumentId(code, venue), timeframe)


def rows_of(storage: Storage, of: Series, window: TimeRange | None = None) -> pa.Table:
    """All stored rows of a series, ascending; only those in *window*, where given."""
    parts = [
        table
        for info in storage.catalog.partitions(of)
        if (table := storage.read_partition(info.partition)) is not None
    ]
    table = pa.concat_tables(parts) if parts else OHLCV.schema.empty_table()
    if window is None:
        return table
    inside = [window.start <= ts < window.end for ts in table["ts"].to_pylist()]
    return table.filter(pa.array(inside, pa.bool_()))


def request(
    *,
    instruments: Sequence[str] = INSTRUMENTS,
    timeframes: Sequence[TimeFrame] = TIMEFRAMES,
    start: datetime = START,
    end: datetime | None = END,
    refetch: bool = False,
) -> Request:
    return Request(
        BINANCE, tuple(instruments), tuple(timeframes), start=start, end=end, refetch=refetch
    )


async def run(storage: Storage, url: str, wanted: Request, **options: object) -> Report:
    """Plans and runs one backfill against the box."""
    async with Backfill(storage, base_url=url, min_free=0, **options) as backfill:  # type: ignore[arg-type]
        return await backfill.run(await backfill.plan(wanted))


def assert_equal(truth: Path, copy: Storage, of: Series, window: TimeRange | None = None) -> int:
    """Every row and column of *of* is the same in both lakes; how many rows there are."""
    with Storage.open(truth, read_only=True) as storage:
        expected = rows_of(storage, of, window)
    got = rows_of(copy, of, window)
    assert got.num_rows == expected.num_rows
    assert got.cast(expected.schema).equals(expected)
    return expected.num_rows
