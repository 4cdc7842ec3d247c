"""A writer that replaces two days of minutes: ``python revising_worker.py ROOT SLICED``.

``LAKE_TEST_KILL_AT`` kills it at a named point.
"""

from __future__ import annotations

import sys
from pathlib import Path

from storage_kit import ARCHIVE, SLICED, minutes

from lake.domain.jobs import JobState
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.writing import DEFAULT_SIZES, Sizes

SIZES = Sizes(SLICED.whole_bytes, 500, SLICED.group_bytes)


def main() -> None:
    sizes = SIZES if sys.argv[2] == "sliced" else DEFAULT_SIZES
    series, partition, rows = minutes(2 * 1440, close=200.0)
    with Storage.open(Path(sys.argv[1]), sizes=sizes) as storage:
        job = storage.jobs.create(series, partition.range)
        lease = storage.jobs.claim(job.job_id, "worker", ttl_s=0.001)
        storage.commit(PartitionCommit(partition=partition, rows=rows, tag=ARCHIVE), lease)
        storage.jobs.finish(lease, JobState.COMPLETED)


if __name__ == "__main__":
    main()
