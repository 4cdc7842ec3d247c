"""Reads of series against the fastest readers that know the paths already.

Run: ``make bench ARGS=read`` or ``python -m tests.benchmarks.bench_read [--files 100000]``.
Two lakes are made once under ``build/bench``: two years of 1m candles of one instrument among
100,000 partition files, and daily closes of 400 instruments over four years. Contenders run in
turns, shuffled, in one process, warm; the ratios of the rounds are what to quote, because the
machine is shared.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake import Lake
from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse import contents
from tests.benchmarks.market import FOLDER

BTC = "BTCUSDT.BINANCE"
MINUTE = Series(DataType.OHLCV, InstrumentId.from_str(BTC), TimeFrame.MINUTE_1)
YEARS = TimeRange(datetime(2022, 1, 1), datetime(2024, 1, 1))
MONTH = Partition(MINUTE, 2023, 5)
DAYS = TimeRange(datetime(2020, 1, 1), datetime(2024, 1, 1))
TAG = SourceTag("bench", 50)
COLUMNS = ["ts", "open", "high", "low", "close", "volume", "quote_volume", "trade_count"]


def candles(series: Series, window: TimeRange, seed: int) -> pa.Table:
    """A random walk on a tick grid with the digits that a venue gives."""
    grid = series.grid
    assert grid is not None
    step = grid.timeframe.step_us
    assert step is not None
    rng = np.random.default_rng(seed)
    opens = np.arange(to_us(window.start), to_us(window.end), step)
    count = len(opens)
    close = np.round(40_000 + np.cumsum(rng.normal(0, 5, count)), 2)
    first = np.concatenate([[40_000.0], close[:-1]])
    spread = np.round(rng.gamma(2, 5, count), 2)
    volume = np.round(rng.gamma(2, 5, count), 5)
    taken = np.round(volume * 0.4, 5)
    values = {
        "ts": pa.array(opens).cast(pa.timestamp("us")),
        "open": first,
        "high": np.round(np.maximum(first, close) + spread, 2),
        "low": np.round(np.minimum(first, close) - spread, 2),
        "close": close,
        "volume": volume,
        "quote_volume": np.round(volume * close, 5),
        "trade_count": rng.integers(1, 4_000, count),
        "taker_buy_volume": taken,
        "taker_buy_quote_volume": np.round(taken * close, 5),
    }
    arrays = [pa.array(values[field.name], field.type) for field in OHLCV.schema]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def put(storage: Storage, series: Series, window: TimeRange, seed: int) -> None:
    storage.catalog.ensure_series(series, "venue")
    lease = storage.jobs.claim(storage.jobs.create(series, window).job_id, "bench", ttl_s=3_600)
    rows = candles(series, window, seed)
    offset = 0
    grid = series.grid
    assert grid is not None
    for partition, piece in split(series, window):
        count = grid.count(piece)
        storage.commit(
            PartitionCommit(
                partition=partition,
                rows=rows.slice(offset, count),
                tag=TAG,
                claims=(Claim(piece, Basis.ANSWER, "bench"),),
            ),
            lease,
        )
        offset += count
    storage.jobs.finish(lease, JobState.COMPLETED)


def crowded(files: int) -> Path:
    """Two years of 1m of one instrument, and as many other files as make *files*.

    The others are names of one small file: nobody reads them, but they are listed and held.
    """
    root = FOLDER / f"read-{files}"
    if root.exists():
        return root
    making = root.with_name(f"{root.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    with Storage.open(making, create=True) as storage:
        put(storage, MINUTE, YEARS, 1)
        known = storage.database.read("select * from partitions order by path limit 1", ())[0]
        small = making / "small"
        small.write_bytes(b"not read")
        months = [(each.year, each.month) for each, _ in split(MINUTE, YEARS)]
        with storage.database.writing() as transaction:
            rows, made = [], len(months)
            number = 0
            while made < files:
                number += 1
                code = f"X{number:05}USDT"
                transaction.run(
                    "insert into series (series_id, data_type, venue, instrument, timeframe, "
                    "origin, created_at) values (?, 'ohlcv', 'BINANCE', ?, '1m', 'venue', 0)",
                    (1_000 + number, code),
                )
                other = Series(
                    DataType.OHLCV, InstrumentId.from_str(f"{code}.BINANCE"), TimeFrame.MINUTE_1
                )
                for year, month in months[: files - made]:
                    partition = Partition(other, year, month)
                    path = making / "parquet" / partition.path
                    path.parent.mkdir(parents=True)
                    if made % 10_000 == 0:
                        # A file has at most 65,000 names on ext4.
                        small = making / f"small-{made}"
                        small.write_bytes(b"not read")
                    os.link(small, path)
                    span = partition.range
                    rows.append(
                        (
                            partition.path,
                            1_000 + number,
                            to_us(span.start),
                            to_us(span.end),
                            *known[4:],
                        )
                    )
                    made += 1
            marks = ", ".join("?" * len(known))
            transaction.run_many(f"insert into partitions values ({marks})", rows)
    making.rename(root)
    return root


def universe(count: int) -> Path:
    """Daily candles of *count* instruments over four years: a file a year each."""
    root = FOLDER / f"daily-{count}"
    if root.exists():
        return root
    making = root.with_name(f"{root.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    with Storage.open(making, create=True) as storage:
        for number in range(count):
            name = InstrumentId.from_str(f"C{number:03}USDT.BINANCE")
            put(storage, Series(DataType.OHLCV, name, TimeFrame.DAY_1), DAYS, number)
    making.rename(root)
    return root


Contenders = dict[str, Callable[[], pl.DataFrame]]


def compare(title: str, contenders: Contenders, baseline: str, rounds: int) -> None:
    """Run all in turn, check that they answer alike, print medians and ratios."""
    answers = {name: ask() for name, ask in contenders.items()}
    expected = answers[baseline]
    for name, answer in answers.items():
        assert answer.select(sorted(answer.columns)).equals(
            expected.select(sorted(expected.columns))
        ), name
    times: dict[str, list[float]] = {name: [] for name in contenders}
    turns = list(contenders.items())
    shuffle = random.Random(1).shuffle
    for _ in range(rounds):
        # What one leaves in caches and allocators the next one finds: each follows each.
        shuffle(turns)
        for name, ask in turns:
            started = time.perf_counter()
            ask()
            times[name].append(time.perf_counter() - started)
    print(f"\n{title}: {expected.height:,} rows x {expected.width}")
    for name, taken in times.items():
        ratio = statistics.median(
            one / other for one, other in zip(taken, times[baseline], strict=True)
        )
        print(f"  {name:34} {statistics.median(taken) * 1e3:8.2f} ms  {ratio:5.2f} x {baseline}")


def frame(table: pa.Table) -> pl.DataFrame:
    made = pl.from_arrow(table, rechunk=False)
    assert isinstance(made, pl.DataFrame)
    return made


def one_month(lake: Lake, rounds: int) -> None:
    path = lake.path / "parquet" / MONTH.path
    start, end = MONTH.range.start, MONTH.range.end

    def first_time() -> pl.DataFrame:
        # What a process pays for each version of a file, once: its digest is compared.
        contents._verified.clear()
        return lake.ohlcv(BTC, "1m", start=start, end=end)

    compare(
        "one instrument-month",
        {
            "polars, path known": lambda: pl.read_parquet(path, hive_partitioning=False),
            "pyarrow, path known": lambda: frame(pq.ParquetFile(path).read()),
            "Lake.ohlcv": lambda: lake.ohlcv(BTC, "1m", start=start, end=end),
            "Lake.ohlcv, first time": first_time,
            "Lake.scan_ohlcv": lambda: (
                lake.scan_ohlcv(BTC, "1m")
                .filter(pl.col("ts") >= start, pl.col("ts") < end)
                .collect()
            ),
        },
        "polars, path known",
        rounds,
    )


def two_years(lake: Lake, rounds: int) -> None:
    paths = [lake.path / "parquet" / each.path for each, _ in split(MINUTE, YEARS)]
    names = list(map(str, paths))
    pool = ThreadPoolExecutor(os.cpu_count())
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")

    def by_duckdb() -> pl.DataFrame:
        shown = ", ".join(OHLCV.schema.names)
        return connection.execute(
            f"select {shown} from read_parquet($1, hive_partitioning = false)", [names]
        ).pl()

    def first_time() -> pl.DataFrame:
        contents._verified.clear()
        return lake.ohlcv(BTC, "1m")

    compare(
        "two years of 1m",
        {
            "polars, paths known": lambda: pl.read_parquet(names, hive_partitioning=False),
            "polars streaming": lambda: pl.scan_parquet(names, hive_partitioning=False).collect(
                engine="streaming"
            ),
            "pyarrow, a thread a file": lambda: frame(
                pa.concat_tables(pool.map(lambda path: pq.ParquetFile(path).read(), paths))
            ),
            "pyarrow.parquet.read_table": lambda: frame(pq.read_table(names, partitioning=None)),
            "duckdb": by_duckdb,
            "Lake.ohlcv": lambda: lake.ohlcv(BTC, "1m"),
            "Lake.ohlcv, first time": first_time,
        },
        "polars, paths known",
        rounds,
    )


def closes(lake: Lake, rounds: int) -> None:
    def panel() -> pl.DataFrame:
        return lake.ohlcv("*", "1d", columns=["close"], wide=True)

    compare("daily closes of 400 instruments, wide", {"Lake.ohlcv": panel}, "Lake.ohlcv", rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--instruments", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    warnings.simplefilter("error")
    with Lake(crowded(options.files)) as lake:
        one_month(lake, 2 * options.rounds)
        two_years(lake, options.rounds)
    with Lake(universe(options.instruments)) as lake:
        closes(lake, options.rounds)


if __name__ == "__main__":
    main()
