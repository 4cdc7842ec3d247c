"""How long the gap list of 52 million candles takes: trusted from the catalog, and from the rows.

50 instruments, two years of 1m, about 0.1 % of the candles missing in a few thousand runs.

    python -m tests.benchmarks.bench_gaps [--instruments 50] [--rounds 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.sql_files import sql_file
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse import Warehouse
from tests.benchmarks.bench_sql import candles
from tests.benchmarks.market import FOLDER

SPAN = TimeRange(datetime(2023, 1, 1), datetime(2025, 1, 1))
MINUTE = timedelta(minutes=1)
TRUTH = "truth.npy"


def series(number: int) -> Series:
    code = InstrumentId.from_str(f"COIN{number:02d}USDT.BINANCE")
    return Series(DataType.OHLCV, code, TimeFrame.MINUTE_1)


def make_lake(root: Path, instruments: int) -> None:
    """The lake, and beside it the gaps that were cut out of it: number, start and end in us."""
    random = np.random.default_rng(7)
    total = SPAN.duration // MINUTE
    truth: list[tuple[int, int, int]] = []
    with Storage.open(root, create=True) as storage:
        for number in range(instruments):
            keep = np.ones(total, dtype=bool)
            while keep.sum() > total * 0.999:
                at = int(random.integers(1, total - 200))
                keep[at : at + int(random.geometric(1 / 8))] = False
            absent = np.flatnonzero(np.diff(np.r_[0, ~keep, 0].astype(np.int8)))
            truth += [(number, int(a), int(b)) for a, b in absent.reshape(-1, 2)]
            store(storage, series(number), candles(SPAN.start, total, seed=number), keep)
    np.save(root / TRUTH, np.array(truth))


def store(storage: Storage, one: Series, rows: pa.Table, keep: np.ndarray) -> None:
    storage.catalog.ensure_series(one, "venue")
    job = storage.jobs.create(one, SPAN)
    lease = storage.jobs.claim(job.job_id, "bench")
    assert lease is not None
    for partition, window in split(one, SPAN):
        first = (window.start - SPAN.start) // MINUTE
        last = (window.end - SPAN.start) // MINUTE
        kept = rows.slice(first, last - first).filter(pa.array(keep[first:last]))
        change = PartitionCommit(
            partition=partition,
            rows=kept,
            tag=SourceTag("bench", 50),
            claims=(Claim(window, Basis.ANSWER, "bench"),),
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


def told(root: Path) -> list[tuple[int, int, int]]:
    """The gaps as the rows have them, in the truth's own terms."""
    with Warehouse(root, checks=True) as warehouse:
        rows = warehouse.query(
            "select instrument, gap_start, gap_end from gaps where reason = 'venue_has_none'"
        ).rows()
    return sorted(
        (int(name[4:6]), (start - SPAN.start) // MINUTE, (end - SPAN.start) // MINUTE)
        for name, start, end in rows
    )


def measure(root: Path, rounds: int) -> None:
    truth = sorted(tuple(each) for each in np.load(root / TRUTH).tolist())
    print(f"{len(truth):,} gaps; equal to the truth: {told(root) == truth}")
    checks = {name: sql_file("checks", name).text for name in ("candle_gaps", "gap_runs")}
    ways = {
        "bare scan": "select max(epoch_us(ts)) from checked_ohlcv",
        "lag()": (
            "select count(*) from (select ts - lag(ts) over (partition by instrument order by ts) "
            "as step from checked_ohlcv) where step > interval 1 minute"
        ),
        **checks,
    }
    with Warehouse(root, checks=True) as warehouse:
        warehouse.connection.execute("set memory_limit = '1500MiB'")
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, text in ways.items():
                start = time.perf_counter()
                warehouse.arrow(text)
                taken[name].append(time.perf_counter() - start)
    for name, seconds in taken.items():
        print(f"{name}: median {statistics.median(seconds):.3f} s, least {min(seconds):.3f} s")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    root = FOLDER / f"gaps-{given.instruments}"
    if not root.exists():
        make_lake(root, given.instruments)
    measure(root, given.rounds)


if __name__ == "__main__":
    main()
