"""Commits one day of trades in chunks and says what that took.

Benchmark; run: ``python tests/storage/large_day.py FOLDER [ROWS] [CHUNK]`` (15 and 2 million).
The last line is JSON: rows, rows per second, and how much the process grew at most (the rows
handed over included), while committing, checking (``doctor --deep``) and reading.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import Lease
from lake.domain.partitions import Partition
from lake.domain.rows import SourceTag
from lake.domain.schemas import TRADES
from lake.storage.doctor import examine
from lake.storage.lake import PartitionCommit, Storage

DAY = datetime(2024, 1, 1)
PIECE = 100_000
DAY_US = 1_704_067_200_000_000
SERIES = Series(DataType.TRADES, InstrumentId("BTCUSDT", Venue("BINANCE")))


def aggregates(first: int, count: int, total: int) -> pa.Table:
    """Trades like Binance's: bursts share a millisecond, prices and lots lie on a grid."""
    draw = np.random.default_rng(first)
    ids = np.arange(first, first + count)
    bursts = np.maximum.accumulate(np.where(draw.random(count) < 0.45, 0, ids))
    moments = DAY_US + np.maximum(bursts, first) * (86_400_000 // total or 1) * 1000
    moments = np.minimum(moments, DAY_US + 86_399_999_000)
    steps = np.where(draw.random(count) < 0.3, draw.normal(0, 1, count), 0)
    small = draw.choice([0.001, 0.002, 0.005, 0.01, 0.1], count)
    lots = np.where(draw.random(count) < 0.3, small, draw.exponential(0.05, count) + 0.001)
    fills = 2_000_000_000 + 2 * ids + draw.integers(0, 2, count)
    columns = [
        pa.array(moments).cast(pa.timestamp("us")),
        pa.array(900_000_000 + ids),
        pa.nulls(count, pa.string()),
        pa.array(np.round(60_000 + np.cumsum(steps), 1)),
        pa.array(np.round(lots, 3)),
        pa.array(np.where(np.repeat(draw.random(count // 3 + 1) < 0.5, 3)[:count], "buy", "sell")),
        pa.array(fills),
        pa.array(fills + 1),
        pa.nulls(count, pa.timestamp("us")),
    ]
    return pa.Table.from_arrays(columns, schema=TRADES.schema)


class Streamed:
    """The whole day again, never at once."""

    def __init__(self, total: int, chunk: int) -> None:
        self.total, self.chunk = total, chunk

    def __iter__(self) -> Iterator[pa.Table]:
        for first in range(0, self.total, self.chunk):
            end = min(first + self.chunk, self.total)
            # Made in small pieces: what making them takes is not what is measured.
            yield pa.concat_tables(
                aggregates(each, min(PIECE, end - each), self.total)
                for each in range(first, end, PIECE)
            )


class Watch:
    """How much memory the process takes at most, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            self.peak = max(self.peak, resident())

    def end(self) -> float:
        self._stop.set()
        self._thread.join()
        return self.peak


def resident() -> float:
    """Megabytes of this process in memory."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


def main() -> None:
    folder = Path(sys.argv[1])
    total, chunk = (int(float(each)) for each in (*sys.argv[2:], 15e6, 2e6)[:2])
    partition = Partition.of(SERIES, DAY)
    with Storage.open(folder / "data", create=True) as storage:
        storage.catalog.ensure_series(SERIES, "venue", variant="aggregate/venue")
        job = storage.jobs.create(SERIES, partition.range)
        lease = storage.jobs.claim(job.job_id, "bench", ttl_s=3600)
        before = resident()
        watch = Watch()
        committing = 0.0
        for rows in Streamed(total, chunk):
            began = time.perf_counter()
            change = PartitionCommit(partition=partition, rows=rows, tag=SourceTag("ccxt", 20))
            result = storage.commit(change, lease)
            committing += time.perf_counter() - began
            del rows, change  # before the next are made
            print(f"{result.rows_total:>12,} rows after {committing:6.1f} s", flush=True)
        assert result.rows_total == total
        timed("replaced by a stream of the same rows", lambda: again(storage, lease, total))
        timed("doctor --deep", lambda: sound(storage))
        timed("read in row groups", lambda: read(storage, partition))
        grown = watch.end() - before
        [info] = storage.catalog.partitions(SERIES)
    print(
        json.dumps(
            {
                "rows": info.rows,
                "rows_per_s": round(total / committing),
                "bytes_per_row": round(info.bytes / info.rows, 2),
                "grown_mb": round(grown),
            }
        )
    )


def timed(what: str, act: Callable[[], None]) -> None:
    began = time.perf_counter()
    act()
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


def again(storage: Storage, lease: Lease, total: int) -> None:
    partition = Partition.of(SERIES, DAY)
    change = PartitionCommit(
        partition=partition,
        rows=Streamed(total, PIECE),
        tag=SourceTag("archive", 30),
        replace=partition.range,
    )
    result = storage.commit(change, lease)
    assert (result.rows_changed, result.rows_removed, result.rows_total) == (0, 0, total)


def sound(storage: Storage) -> None:
    assert examine(storage, deep=True) == []


def read(storage: Storage, partition: Partition) -> None:
    first = DAY - timedelta(days=1)
    for rows in storage.read_tables(partition):
        opens = rows["ts"][0].as_py()
        assert first <= opens
        first = opens


if __name__ == "__main__":
    main()
