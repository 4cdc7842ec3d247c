"""How long SQL takes to find one instrument-month in a lake of many partition files.

The lake is cheap: one month of 1m candles is stored by the real storage, its file is hard-linked
under other names, and the catalog gets a row for each link. Compared with polars reading that one
file by its path, in the same process.

    python -m tests.benchmarks.bench_sql [FILES]
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse import Warehouse

FILES = 100_000
MONTHS = 60  # of each instrument
ROUNDS = 40
BTC = Series(DataType.OHLCV, InstrumentId.from_str("BTCUSDT.BINANCE"), TimeFrame.MINUTE_1)
COLUMNS = ", ".join(OHLCV.schema.names)


def candles(start: datetime, count: int, seed: int = 1) -> pa.Table:
    """A random walk with the digits of real prices; a constant would compress to nothing."""
    random = np.random.default_rng(seed)
    close = np.round(40_000 + np.cumsum(random.normal(0, 10, count)), 2)
    opened = np.round(close + random.normal(0, 5, count), 2)
    volume = np.round(random.exponential(10, count), 5)
    columns = {
        "ts": np.datetime64(start, "us") + np.arange(count) * np.timedelta64(60, "s"),
        "open": opened,
        "high": np.maximum(opened, close) + 1,
        "low": np.minimum(opened, close) - 1,
        "close": close,
        "volume": volume,
        "quote_volume": np.round(volume * close, 6),
        "trade_count": random.poisson(300, count),
        "taker_buy_volume": np.round(volume / 2, 5),
        "taker_buy_quote_volume": np.round(volume / 2 * close, 6),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in OHLCV.schema]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def make_lake(root: Path, files: int) -> Path:
    """A lake of *files* partitions at *root*; the path of the month that is asked for."""
    partition = Partition.of(BTC, datetime(2024, 1, 1))
    window = partition.range
    with Storage.open(root, create=True) as storage:
        storage.catalog.ensure_series(BTC, "venue")
        job = storage.jobs.create(BTC, window)
        lease = storage.jobs.claim(job.job_id, "bench")
        count = (window.end - window.start) // timedelta(minutes=1)
        change = PartitionCommit(
            partition=partition,
            rows=candles(window.start, count),
            tag=SourceTag("bench", 50),
            claims=(Claim(window, Basis.ANSWER, "bench"),),
        )
        storage.commit(change, lease)
        storage.jobs.finish(lease, JobState.COMPLETED)
    stored = root / "parquet" / partition.path
    link_many(root, stored, files - 1)
    return stored


def link_many(root: Path, stored: Path, count: int) -> None:
    """*count* more partitions of other instruments, all of them that one file."""
    catalog = sqlite3.connect(root / "catalog.sqlite")
    partition = catalog.execute("select * from partitions").fetchone()
    names = [row[1] for row in catalog.execute("pragma table_info(partitions)")]
    with catalog:
        for number in range(count):
            instrument, month = divmod(number, MONTHS)
            code = f"X{instrument:05}USDT"
            series = Series(
                DataType.OHLCV, InstrumentId.from_str(f"{code}.BINANCE"), TimeFrame.MINUTE_1
            )
            if month == 0:
                catalog.execute(
                    "insert into series (series_id, data_type, venue, instrument, timeframe, "
                    "origin, created_at) values (?, 'ohlcv', 'BINANCE', ?, '1m', 'venue', 0)",
                    (instrument + 1_000, code),
                )
            path = Partition(series, 2019 + month // 12, month % 12 + 1).path
            row = {**dict(zip(names, partition, strict=True)), "path": path}
            row["series_id"] = instrument + 1_000
            marks = ", ".join("?" * len(names))
            catalog.execute(f"insert into partitions values ({marks})", list(row.values()))
            target = root / "parquet" / path
            target.parent.mkdir(parents=True)
            try:
                os.link(stored, target)
            except OSError:  # a file has only so many names (ext4: 65,000)
                target.write_bytes(stored.read_bytes())
                stored = target
    catalog.close()


@dataclass(frozen=True)
class Times:
    """Milliseconds; on a machine that others use too, the fastest says most."""

    fastest: float
    median: float


def timed(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, Times]:
    """Every way in turn, so that what else the machine does is shared by all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, act in ways.items():
            started = time.perf_counter()
            act()
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: Times(min(each), statistics.median(each)) for name, each in times.items()}


def measure(files: int) -> dict[str, Times]:
    """What each way of reading the month takes, and opening the lake, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        stored = make_lake(root, files)
        opened = timed({"opening the lake": lambda: Warehouse(root).close()}, 3)
        sql = (
            f"select {COLUMNS} from ohlcv('BTCUSDT.BINANCE', '1m', "
            "since := '2024-01-01', until := '2024-02-01')"
        )
        direct = f"select * from read_parquet('{stored}', hive_partitioning = false)"
        everything = (
            f"select close from read_parquet('{root}/parquet/ohlcv/**/*.parquet', "
            "hive_partitioning = true) where instrument = 'BTCUSDT' and year = 2024 and month = 1"
        )
        with Warehouse(root) as warehouse:
            read = warehouse.connection.execute
            ways: dict[str, Callable[[], object]] = {
                "polars, path given": lambda: pl.read_parquet(stored, hive_partitioning=False),
                "duckdb, path given": lambda: read(direct).pl(),
                "macro": lambda: read(sql).pl(),
                "macro, by Warehouse": lambda: warehouse.query(sql),
            }
            assert all(act().height == 44_640 for act in ways.values())  # type: ignore[attr-defined]
            return {
                **opened,
                **timed(ways),
                "a glob of everything": timed({"glob": lambda: read(everything).pl()}, 2)["glob"],
            }


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    print(f"one instrument-month of 1m out of {files:,} files, ms: fastest, median, against polars")
    result = measure(files)
    base = result["polars, path given"].fastest
    for name, each in result.items():
        print(f"  {name:<22} {each.fastest:9.2f} {each.median:9.2f} {each.fastest / base:9.2f}")


if __name__ == "__main__":
    main()
