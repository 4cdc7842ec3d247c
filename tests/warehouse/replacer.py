"""Rewrites the files of a series over and over, as backfills and repairs would: a process.

Usage: python replacer.py ROOT REPLACEMENTS_PER_SECOND. Each commit makes all candles of one
month close at one price, another than before; a reader that sees two prices in a month has
mixed two states. It prints a line once the first round is stored, and runs until it is ended.
"""

from __future__ import annotations

import itertools
import sys
import time
from datetime import datetime
from pathlib import Path

from lake.domain.partitions import Partition
from lake.storage.lake import PartitionCommit, Storage
from tests.warehouse.lake_kit import TAG, candles, series

MONTHS = (1, 2, 3)
ROWS = 600
WHAT = series("BTCUSDT.BINANCE", "1h")


def main(root: Path, rate: float) -> None:
    grid = WHAT.grid
    assert grid is not None
    with Storage.open(root, create=True) as storage:
        storage.catalog.ensure_series(WHAT, "venue")
        whole = Partition(WHAT, 2024, MONTHS[0]).range
        job = storage.jobs.create(WHAT, whole)
        lease = storage.jobs.claim(job.job_id, "replacer", ttl_s=600)
        for price in itertools.count(1):
            for month in MONTHS:
                started = time.monotonic()
                partition = Partition(WHAT, 2024, month)
                start = datetime(2024, month, 1)
                opens = [grid.advance(start, number) for number in range(ROWS)]
                change = PartitionCommit(
                    partition=partition,
                    rows=candles(opens, close=float(price)),
                    tag=TAG,
                    replace=partition.range,
                )
                storage.commit(change, lease)
                if price > 1:
                    time.sleep(max(0.0, 1 / rate - (time.monotonic() - started)))
            if price == 1:
                print("ready", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
