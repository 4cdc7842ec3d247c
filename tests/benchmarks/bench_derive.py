"""Benchmark: candles out of ten million stored trades, in one pass and bounded memory.

Run: ``python -m tests.benchmarks.bench_derive`` (half a minute).
"""

from __future__ import annotations

import resource
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.ingestion.derive import trades_to_ohlcv
from lake.storage.lake import PartitionCommit, Storage
from tests.benchmarks.bench_settings import START_US, trades

ROWS = 10_000_000
SERIES = Series(DataType.TRADES, InstrumentId("BTCUSDT", Venue("BINANCE")))
FRAMES = {
    "1m": [TimeFrame.MINUTE_1],
    "1s, 1m, 1h, 1d": [TimeFrame(name) for name in ("1s", "1m", "1h", "1d")],
}


def fill(storage: Storage) -> None:
    """A day of *ROWS* trades, all of it covered."""
    made = trades(ROWS, ids=True)
    moments = np.sort(np.random.default_rng(1).integers(0, 86_400_000, ROWS)) * 1000 + START_US
    made = made.set_column(0, made.schema.field(0), pa.array(moments).cast(pa.timestamp("us")))
    partition = Partition.of(SERIES, datetime(2024, 1, 1))
    storage.catalog.ensure_series(SERIES, "venue", variant="aggregate/venue")
    job = storage.jobs.create(SERIES, partition.range)
    change = PartitionCommit(
        partition=partition,
        rows=[made.slice(first, 131_072) for first in range(0, ROWS, 131_072)],
        tag=SourceTag("bench", 50),
        claims=(Claim(partition.range, Basis.ANSWER),),
    )
    storage.commit(change, storage.jobs.claim(job.job_id, "bench", ttl_s=600))


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage.open(Path(folder) / "lake", create=True) as storage,
    ):
        fill(storage)
        for name, frames in FRAMES.items():
            began, cpu = time.monotonic(), time.process_time()
            made = trades_to_ohlcv(storage, SERIES, frames)
            took, cpu = time.monotonic() - began, time.process_time() - cpu
            print(
                f"{name:16} {sum(each.made for each in made):7,} candles of {ROWS:,} trades: "
                f"{ROWS / took / 1e6:.1f} million trades/s ({ROWS / cpu / 1e6:.1f} per core)"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MB, most of it the trades as they were made up")


if __name__ == "__main__":
    main()
