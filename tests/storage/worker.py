"""A writer in a process of its own: ``python worker.py '{"root": ..., ...}'``.

Says ``ready`` and waits for a line; then commits its pages and says one JSON line after each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from storage_kit import HOURLY, SLICED, START, VENUE, answered, candles, hour

from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.errors import LakeError
from lake.storage import points
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.writing import DEFAULT_SIZES


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def freezer(name: str) -> points.Hook:
    """Stops this process, once, at the point *name*."""
    frozen = False

    def hook(point: str) -> None:
        nonlocal frozen
        if point == name and not frozen:
            frozen = True
            os.kill(os.getpid(), signal.SIGSTOP)

    return hook


def main() -> None:
    order = json.loads(sys.argv[1])
    sizes = SLICED if order.get("sliced") else DEFAULT_SIZES
    with Storage.open(Path(order["root"]), sizes=sizes) as storage:
        storage.catalog.ensure_series(HOURLY, "venue")
        job_id = order.get("job_id")
        if job_id is None:
            job_id = storage.jobs.create(HOURLY, TimeRange(START, hour(8784))).job_id
        lease = storage.jobs.claim(job_id, "worker", ttl_s=order.get("ttl_s", 30))
        print("ready", flush=True)
        sys.stdin.readline()
        if point := order.get("freeze_at"):
            points.install(freezer(point))
        try:
            for page in order["pages"]:
                result = storage.commit(
                    PartitionCommit(
                        partition=Partition.of(HOURLY, hour(page[0])),
                        rows=candles(page, close=order.get("close", 100.0)),
                        tag=VENUE,
                        claims=(answered(page[0], page[-1] + 1),),
                    ),
                    lease,
                )
                say(added=result.rows_added, first=page[0], generation=result.generation)
                if order.get("asks"):
                    ask(storage.snapshot())
            if order.get("finishes", True):
                storage.jobs.finish(lease, JobState.COMPLETED)
        except LakeError as error:
            say(error=type(error).__name__, text=str(error))


def ask(snapshot: Path) -> None:
    """What a query in this process does: DuckDB attaches the private copy."""
    import duckdb
    import duckdb_extension_sqlite_scanner

    folder = Path(duckdb_extension_sqlite_scanner.__file__).parent
    [extension] = folder.rglob("sqlite_scanner.duckdb_extension")
    with duckdb.connect() as connection:
        connection.execute(f"load '{extension}'")
        connection.execute(f"attach '{snapshot}' as catalog (type sqlite, read_only)")
        connection.execute("select count(*) from catalog.partitions").fetchone()


if __name__ == "__main__":
    main()
