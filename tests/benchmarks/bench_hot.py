"""Look-ups of the newest rows with millions of hot rows, and what the event loop notices of load.

Run: ``make bench ARGS=hot`` or ``python -m tests.benchmarks.bench_hot [--series 5000]``. A lake
of so many series with 1,000 hot rows each is made once under ``build/bench``; its Parquet files
are one file under many names. Percentiles are of single calls, shuffled over all series.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.hot import HOT
from lake.storage.hot_rows import hot_table
from lake.storage.lake import PartitionCommit, Storage
from lake.store import HistoricalDataStore
from tests.benchmarks.bench_read import candles
from tests.benchmarks.market import FOLDER

KEPT = 1_000
DAY = datetime(2024, 1, 1)


def named(number: int) -> Series:
    return Series(
        DataType.OHLCV, InstrumentId.from_str(f"C{number:04}USDT.BINANCE"), TimeFrame.MINUTE_1
    )


def crowd(count: int) -> Path:
    """A lake of *count* series, each with its newest rows in hot.sqlite."""
    root = FOLDER / f"hot-{count}"
    if root.exists():
        return root
    making = root.with_name(f"{root.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    span = TimeRange(DAY, DAY + timedelta(minutes=2_000))
    with Storage.open(making, create=True) as storage:
        first = named(0)
        rows = candles(first, span, 1)
        storage.catalog.ensure_series(first, "venue")
        lease = storage.jobs.claim(storage.jobs.create(first, span).job_id, "bench")
        partition = Partition.of(first, DAY)
        storage.commit(
            PartitionCommit(partition=partition, rows=rows, tag=SourceTag("bench", 50)), lease
        )
        storage.jobs.finish(lease, JobState.COMPLETED)
        [known] = storage.database.read("select * from partitions")
        table = hot_table(DataType.OHLCV)
        newest = rows.slice(rows.num_rows - KEPT)
        assert storage.hot.refresh(first)
        database = storage.hot._opened()
        assert database is not None
        with storage.database.writing() as catalog, database.writing() as hot:
            for number in range(1, count):
                series = named(number)
                other = Partition.of(series, DAY)
                path = making / "parquet" / other.path
                path.parent.mkdir(parents=True)
                os.link(making / "parquet" / partition.path, path)
                key = (series.instrument_id.symbol,)
                catalog.run(
                    "insert into series (series_id, data_type, venue, instrument, timeframe, "
                    "origin, created_at) values (?, 'ohlcv', 'BINANCE', ?, '1m', 'venue', 0)",
                    (1_000 + number, *key),
                )
                marks = ", ".join("?" * len(known))
                row = (other.path, 1_000 + number, *known[2:])
                catalog.run(f"insert into partitions values ({marks})", row)
                generation, sha256 = known[10], known[8]
                hot.run(
                    "insert into hot_series (series_id, data_type, venue, instrument, timeframe, "
                    "rows, is_whole, range_start, files) "
                    "values (?, 'ohlcv', 'BINANCE', ?, '1m', ?, 0, ?, ?)",
                    (
                        1_000 + number,
                        *key,
                        KEPT,
                        to_us(other.range.start),
                        f"{other.path}:{generation}:{sha256}",
                    ),
                )
                hot.run_many(table.insert, table.encoded(1_000 + number, newest, 0))
        assert storage.hot.is_current(named(count - 1))
    making.rename(root)
    return root


def told(title: str, taken: list[float]) -> None:
    taken.sort()
    shown = ", ".join(
        f"p{share:g} {taken[min(len(taken) - 1, int(len(taken) * share / 100))] * 1e3:.3f} ms"
        for share in (50, 99, 99.9)
    )
    print(f"{title:58} {shown}, longest {taken[-1] * 1e3:.2f} ms", flush=True)


def latest(storage: Storage, count: int, calls: int) -> None:
    """The newest candle, below the async layer."""
    rng = random.Random(1)
    taken, used = [], []
    for _ in range(calls):
        series = named(rng.randrange(count))
        started, began = time.perf_counter(), time.thread_time()
        rows = storage.hot.newest(series, 1)
        used.append(time.thread_time() - began)
        taken.append(time.perf_counter() - started)
        assert rows is not None
    told("latest candle, below the async layer", taken)
    # On a machine that others use, too, this is what a calm one would take.
    told("latest candle, processor time", used)


async def lookups(store: HistoricalDataStore, count: int, calls: int) -> list[float]:
    rng = random.Random(2)
    taken = []
    for _ in range(calls):
        instrument_id = named(rng.randrange(count)).instrument_id
        started = time.perf_counter()
        frame = await store.get_ohlcv_data(instrument_id, timeframe=TimeFrame.MINUTE_1, limit=100)
        taken.append(time.perf_counter() - started)
        assert frame.height == 100
    return taken


async def waits(seconds: float, load: Callable[[], Awaitable[None]]) -> list[float]:
    """How late the event loop comes to a task that wants to run every millisecond."""
    late: list[float] = []
    task = asyncio.ensure_future(load())
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - started - 0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return late


async def under_load(store: HistoricalDataStore, count: int, seconds: float) -> None:
    """Look-ups, ranges from the files, quality metrics and commits all at once."""
    series = named(0)

    async def nothing() -> None:
        await asyncio.sleep(seconds)

    async def look() -> None:
        while True:
            await lookups(store, count, 50)

    async def read() -> None:
        while True:
            await asyncio.gather(*(store.read_range(named(each)) for each in range(20)))

    async def measure() -> None:
        while True:
            await store.get_data_quality_metrics(series.instrument_id, timeframe="1m")

    async def commit() -> None:
        storage = store.storage
        other = Series(series.data_type, InstrumentId.from_str("NEWUSDT.BINANCE"), series.timeframe)
        span = TimeRange(DAY, DAY + timedelta(days=30))
        rows = candles(other, span, 3)
        await asyncio.to_thread(storage.catalog.ensure_series, other, "venue")
        job = await asyncio.to_thread(storage.jobs.create, other, span)
        lease = await asyncio.to_thread(storage.jobs.claim, job.job_id, "bench", ttl_s=600)
        first = 0
        while first < rows.num_rows:
            change = PartitionCommit(
                partition=Partition.of(other, DAY),
                rows=rows.slice(first, 500),
                tag=SourceTag("bench", 50),
            )
            await asyncio.to_thread(storage.commit, change, lease)
            first += 500

    async def everything() -> None:
        await asyncio.gather(look(), look(), read(), measure(), commit())

    told("event loop, idle", await waits(seconds / 3, nothing))
    told("event loop, look-ups only", await waits(seconds, look))
    told("event loop, all of it", await waits(seconds, everything))


async def asking(root: Path, count: int, calls: int, seconds: float) -> None:
    async with HistoricalDataStore(root) as store:
        # An engine that has been running: every series was asked for once.
        for number in range(count):
            assert store.storage.hot.newest(named(number), 100)
        await lookups(store, count, 100)
        latest(store.storage, count, calls)
        told("get_ohlcv_data(limit=100), end to end", await lookups(store, count, calls))
        await under_load(store, count, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=5_000)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    root = crowd(options.series)
    # The load commits into the lake, so it gets a copy.
    copy = root.with_name(f"{root.name}.copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    # Warm: what is not in the page cache costs a read of the disk, whoever asks.
    (copy / HOT).read_bytes()
    print(f"{options.series:,} series, {options.series * KEPT:,} hot rows")
    asyncio.run(asking(copy, options.series, options.calls, options.seconds))
    shutil.rmtree(copy)


if __name__ == "__main__":
    main()
