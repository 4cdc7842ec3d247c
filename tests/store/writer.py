"""A process that commits candle after candle as a live feed would: see test_together.py.

Usage: python writer.py ROOT SECONDS. It prints ``ready`` once the first rows are stored, and at the
end how many commits were acknowledged. Candle *n* of each series closes at *n*, in one commit for
each series in turn.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.coverage import Basis, Claim
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.storage.lake import PartitionCommit, Storage
from tests.warehouse.lake_kit import TAG, candles, series

START = datetime(2024, 1, 31, 22)
SERIES = [series("BTCUSDT.BINANCE", "1m"), series("ETHUSDT.BINANCE", "1m")]
STEP = timedelta(minutes=1)


def main(root: Path, seconds: float) -> None:
    with Storage.open(root, create=True) as storage:
        leases = {}
        for each in SERIES:
            storage.catalog.ensure_series(each, "venue")
            job = storage.jobs.create(each, TimeRange(START, START + timedelta(days=9)))
            leases[each] = storage.jobs.claim(job.job_id, "writer", ttl_s=600)
        number, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            number += 1
            opened = START + (number - 1) * STEP
            for each in SERIES:
                storage.commit(
                    PartitionCommit(
                        partition=Partition.of(each, opened),
                        rows=candles([opened], close=float(number)),
                        tag=TAG,
                        claims=(Claim(TimeRange(opened, opened + STEP), Basis.ANSWER, "feed"),),
                    ),
                    leases[each],
                )
            if number == 1:
                print("ready", flush=True)
        for lease in leases.values():
            storage.jobs.finish(lease, JobState.COMPLETED)
    print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
