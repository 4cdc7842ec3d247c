"""Benchmark: `lake import` of a year of 1m candle archives, from zip to committed partition.

Run it with::

    python -m tests.benchmarks.bench_import [--months 12] [--rounds 3]

It makes the archives first (not measured), with prices and amounts that have as many places as
Binance's own. Rows per second are per core: rows over CPU seconds of the process, and over wall
seconds beside it. In the same run the bare work is measured, in a process of its own: inflate with
Python's zipfile, parse the columns, write Parquet with the lake's settings; no check, no catalog.
Loading the modules is not counted, in neither. The goal of issue 5 is 600,000 rows/s; it measured
700,000 for the bare work.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lake.domain.identifiers import Venue
from lake.domain.schemas import OHLCV
from lake.ingestion.imports import import_files
from lake.storage.lake import Storage
from lake.storage.settings import writer_options
from tests.benchmarks.side_by_side import compare, measured

STEP_MS = 60_000
_COLUMNS = (
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)


def write_month(folder: Path, start: datetime, seed: int) -> int:
    """One month's archive as Binance publishes it; its number of rows."""
    following = (start + timedelta(days=32)).replace(day=1)
    first = int((start - datetime(1970, 1, 1)).total_seconds() * 1000)
    count = int((following - start).total_seconds() * 1000) // STEP_MS
    draw = np.random.default_rng(seed)
    close = np.round(np.maximum(1_000, 42_000 + np.cumsum(draw.normal(0, 8, count))), 2)
    open_ = np.concatenate(([42_000.0], close[:-1]))
    high = np.maximum(open_, close) + np.round(np.abs(draw.normal(0, 5, count)), 2)
    low = np.minimum(open_, close) - np.round(np.abs(draw.normal(0, 5, count)), 2)
    volume = np.round(draw.exponential(30, count), 5) + 0.00001
    taker = np.round(volume * draw.random(count), 5)
    trades = draw.integers(50, 5_000, count)
    out = io.StringIO()
    for row in range(count):
        ts = first + row * STEP_MS
        out.write(
            f"{ts},{open_[row]:.2f}000000,{high[row]:.2f}000000,{low[row]:.2f}000000,"
            f"{close[row]:.2f}000000,{volume[row]:.5f}000,{ts + STEP_MS - 1},"
            f"{volume[row] * close[row]:.7f}0,{trades[row]},{taker[row]:.5f}000,"
            f"{taker[row] * close[row]:.7f}0,0\n"
        )
    name = f"BTCUSDT-1m-{start:%Y-%m}"
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", out.getvalue())
    return count


def imported(folder: Path, lake: Path) -> int:
    """Import *folder* into a new lake in this process; how many candles that were."""
    with Storage.open(lake, create=True) as storage:
        report = import_files(storage, [folder], venue=Venue("BINANCE"))
    assert report.exit_code == 0, report
    return report.rows_added


def bare(folder: Path, target: Path) -> int:
    """Inflate, parse and write the same rows, and nothing else."""
    kinds = dict.fromkeys(_COLUMNS, pa.float64()) | {"ts": pa.int64(), "trade_count": pa.int64()}
    target.mkdir()
    count = 0
    for archive in sorted(folder.iterdir()):
        with zipfile.ZipFile(archive) as packed, packed.open(packed.infolist()[0]) as stream:
            table = pa_csv.open_csv(
                stream,
                pa_csv.ReadOptions(use_threads=False, block_size=1 << 20, column_names=_COLUMNS),
                pa_csv.ParseOptions(),
                pa_csv.ConvertOptions(column_types=kinds, include_columns=OHLCV.schema.names),
            ).read_all()
        times = pc.multiply(table["ts"], 1000).cast(pa.timestamp("us"))
        rows = table.set_column(0, "ts", times).cast(OHLCV.schema).combine_chunks()
        options = writer_options(OHLCV, rows, is_all=True, is_finished=True)
        with pq.ParquetWriter(target / archive.stem, OHLCV.schema, **options) as writer:
            writer.write_table(rows)
        count += rows.num_rows
    return count


WORKS = {"bare": bare, "import": imported}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, source, target = options.measure
        print(measured(WORKS[name], Path(source), Path(target)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "archives"
        folder.mkdir()
        start, rows = datetime(2024, 1, 1), 0
        for month in range(options.months):
            rows += write_month(folder, start, month)
            start = (start + timedelta(days=32)).replace(day=1)
        packed = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{rows:,} candles in {options.months} archives, {packed / 2**20:.1f} MiB")
        compare("tests.benchmarks.bench_import", WORKS, folder, Path(place), options.rounds)


if __name__ == "__main__":
    main()
