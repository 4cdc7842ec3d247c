"""Benchmark: `lake import` of a year of 1m candle archives, from zip to committed partition.

Run it with::

    python -m tests.benchmarks.bench_import [--months 12] [--rounds 3]

It makes the archives first (not measured). Rows per second are per core: rows over CPU seconds
of the process, and rows over wall seconds beside it. The goal of issue 5 is 600,000 rows/s.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from tests.benchmarks.peak import peak_mb

STEP_MS = 60_000


def write_month(folder: Path, start: datetime, seed: int) -> int:
    """One month's archive as Binance publishes it; its number of rows."""
    following = (start + timedelta(days=32)).replace(day=1)
    first = int((start - datetime(1970, 1, 1)).total_seconds() * 1000)
    count = int((following - start).total_seconds() * 1000) // STEP_MS
    draw = np.random.default_rng(seed)
    steps = draw.normal(0, 8, count)
    close = np.maximum(1_000, 42_000 + np.cumsum(steps))
    open_ = np.concatenate(([42_000.0], close[:-1]))
    high = np.maximum(open_, close) + np.abs(draw.normal(0, 5, count))
    low = np.minimum(open_, close) - np.abs(draw.normal(0, 5, count))
    volume = draw.exponential(30, count)
    taker = volume * draw.random(count)
    trades = draw.integers(50, 5_000, count)
    out = io.StringIO()
    for row in range(count):
        ts = first + row * STEP_MS
        out.write(
            f"{ts},{open_[row]:.8f},{high[row]:.8f},{low[row]:.8f},{close[row]:.8f},"
            f"{volume[row]:.8f},{ts + STEP_MS - 1},{volume[row] * close[row]:.8f},{trades[row]},"
            f"{taker[row]:.8f},{taker[row] * close[row]:.8f},0\n"
        )
    name = f"BTCUSDT-1m-{start:%Y-%m}"
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", out.getvalue())
    return count


def measure(folder: Path, lake: Path) -> dict[str, float]:
    """Import *folder* into a new lake in this process."""
    from lake.domain.identifiers import Venue
    from lake.ingestion.imports import import_files
    from lake.storage.lake import Storage

    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    with Storage.open(lake, create=True) as storage:
        report = import_files(storage, [folder], venue=Venue("BINANCE"))
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert report.exit_code == 0, report
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rows": report.rows_added, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "archives"
        folder.mkdir()
        start, rows = datetime(2024, 1, 1), 0
        for month in range(options.months):
            rows += write_month(folder, start, month)
            start = (start + timedelta(days=32)).replace(day=1)
        packed = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{rows:,} rows in {options.months} archives, {packed / 2**20:.1f} MiB")
        results = []
        for number in range(options.rounds):
            lake = Path(place) / f"lake{number}"
            # A process of its own, so that the peak of memory is the import's.
            command = [sys.executable, "-m", "tests.benchmarks.bench_import", "--measure"]
            answer = subprocess.run(
                [*command, str(folder), str(lake)], check=True, capture_output=True, text=True
            )
            result = json.loads(answer.stdout)
            results.append(result)
            print(
                f"  {result['rows'] / result['cpu_s']:>9,.0f} rows/s per core"
                f"  {result['rows'] / result['wall_s']:>9,.0f} rows/s wall"
                f"  peak {result['peak_mb']:.0f} MB"
            )
    median = statistics.median(each["rows"] / each["cpu_s"] for each in results)
    print(f"median {median:,.0f} rows/s per core (goal: 600,000)")


if __name__ == "__main__":
    main()
