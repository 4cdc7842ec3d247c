"""Benchmark: what committing, reading and listing candles costs, and how large they are at rest.

Run it with::

    python -m tests.benchmarks.bench_storage [--rounds 12] [--archives FOLDER]

With ``--archives`` (Binance's 1m day archives) it also writes those real candles with several
writer settings; the lake's own stand first. Medians over the rounds, warm cache.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.domain.times import epoch_us, to_us
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.settings import encodings

TAG = SourceTag("ccxt", 20)
MINUTE_US = 60_000_000


def synthetic(window: TimeRange, seed: int) -> pa.Table:
    """Candles on a price and a lot grid, every minute of *window*."""
    draw = np.random.default_rng(seed)
    count = int(window.duration / timedelta(minutes=1))
    close = np.round(60_000 + np.cumsum(draw.normal(0, 5, count)), 2)
    open_ = np.concatenate(([60_000.0], close[:-1]))
    volume = np.round(draw.exponential(20, count), 5)
    taken = np.round(volume * draw.uniform(0.3, 0.7, count), 5)
    return _table(
        to_us(window.start) + np.arange(count) * MINUTE_US,
        open_,
        np.maximum(open_, close) + 1,
        np.minimum(open_, close) - 1,
        close,
        volume,
        np.round(volume * close, 7),
        draw.integers(1, 3_000, count),
        taken,
        np.round(taken * close, 7),
    )


def recorded(archives: Iterable[Path]) -> pa.Table:
    """The candles of real day archives."""
    rows: list[list[str]] = []
    for archive in sorted(archives):
        with zipfile.ZipFile(archive) as opened:
            text = opened.read(opened.namelist()[0]).decode()
        rows += [row for row in csv.reader(io.StringIO(text)) if row and row[0].isdigit()]
    columns = list(zip(*rows, strict=True))
    numbers = [np.array(columns[place], float) for place in (1, 2, 3, 4, 5, 7, 8, 9, 10)]
    return _table(np.array([epoch_us(int(each)) for each in columns[0]]), *numbers)


def _table(*columns: Any) -> pa.Table:
    arrays = [
        pa.array(column).cast(field.type)
        for column, field in zip(columns, OHLCV.schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def median_ms(rounds: int, act: Callable[[int], object]) -> float:
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        act(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def commits(folder: Path, rounds: int) -> None:
    series = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.MINUTE_1)
    with Storage.open(folder / "data", create=True) as storage:
        storage.catalog.ensure_series(series, "venue")
        job = storage.jobs.create(series, TimeRange(datetime(2020, 1, 1), datetime(2025, 1, 1)))
        lease = storage.jobs.claim(job.job_id, "bench", ttl_s=3600)
        januaries = [Partition(series, 2000 + number, 1) for number in range(rounds)]
        months = [synthetic(each.range, number) for number, each in enumerate(januaries)]

        def store(number: int, rows: pa.Table) -> None:
            partition = januaries[number]
            claims = (Claim(partition.range, Basis.ANSWER, "second answer"),)
            storage.commit(
                PartitionCommit(partition=partition, rows=rows, tag=TAG, claims=claims), lease
            )

        whole = median_ms(rounds, lambda number: store(number, months[number]))
        again = median_ms(rounds, lambda number: store(number, months[number]))
        corrected = [
            month.slice(1000, 10).set_column(4, OHLCV.schema.field("close"), pa.array([1.0] * 10))
            for month in months
        ]
        tail = median_ms(rounds, lambda number: store(number, corrected[number]))
        read = median_ms(rounds, lambda number: storage.read_partition(januaries[number]))
        size = storage.catalog.partitions(series)[0].bytes / months[0].num_rows
        print(f"commit of a month of 1m (44,640 rows)      {whole:8.1f} ms")
        print(f"the same rows again (nothing to write)     {again:8.1f} ms")
        print(f"ten corrected rows into a month            {tail:8.1f} ms")
        print(f"read a month, digest and pages verified    {read:8.1f} ms")
        print(f"synthetic candles at rest                  {size:8.1f} bytes a row")
        ledger = median_ms(
            1000,
            lambda number: storage.rates.take("bench", window=number // 100, want=1, ceiling=50),
        )
        print(f"weight taken from the shared ledger        {ledger:8.3f} ms")


def settings(rows: pa.Table, folder: Path) -> None:
    """Real candles with the lake's settings and with those that others use."""
    ours: dict[str, Any] = {
        "use_dictionary": False,
        "column_encoding": encodings(OHLCV),
        "compression": "zstd",
    }
    split = {
        name: "BYTE_STREAM_SPLIT" if kind == "PLAIN" else kind
        for name, kind in encodings(OHLCV).items()
    }
    tried: dict[str, dict[str, Any]] = {
        "lake: PLAIN, DELTA, zstd 3": ours | {"compression_level": 3},
        "PLAIN, DELTA, zstd 1": ours | {"compression_level": 1},
        "PLAIN, DELTA, zstd 9": ours | {"compression_level": 9},
        "PLAIN, DELTA, lz4": ours | {"compression": "lz4"},
        "BYTE_STREAM_SPLIT, zstd 3": ours | {"column_encoding": split, "compression_level": 3},
        "dictionary, zstd 3": {"compression": "zstd", "compression_level": 3},
        "pyarrow's default": {},
    }
    print(f"\n{rows.num_rows} real candles          bytes a row   write ms   read ms")
    for name, options in tried.items():
        path = folder / "real.parquet"
        write = median_ms(5, partial(_write, rows, path, options))
        read = median_ms(9, partial(_read, path))
        size = path.stat().st_size / rows.num_rows
        print(f"{name:28} {size:8.1f}     {write:8.1f}  {read:8.1f}")


def _write(rows: pa.Table, path: Path, options: dict[str, Any], _: int) -> None:
    pq.write_table(rows, path, write_page_checksum=True, **options)


def _read(path: Path, _: int) -> None:
    pq.read_table(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--archives", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commits(Path(folder), options.rounds)
        if options.archives is not None:
            settings(recorded(options.archives.glob("*-1m-*.zip")), Path(folder))


if __name__ == "__main__":
    main()
