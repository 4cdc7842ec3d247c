"""A process that commits pages and is killed on the way: see test_hot.py.

Usage: python hot_writer.py ORDER, JSON with ``root``, ``log``, ``pages`` (``[first, count,
close]`` each) and ``refresh``. Each acknowledged commit is a dot in the log.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from storage_kit import HOURLY, VENUE, begin, candles, hour

from lake.domain.partitions import Partition
from lake.storage.lake import PartitionCommit, Storage


def main() -> None:
    order = json.loads(sys.argv[1])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Storage.open(Path(order["root"])) as storage:
        lease = begin(storage)
        for first, count, close in order["pages"]:
            storage.commit(
                PartitionCommit(
                    partition=Partition.of(HOURLY, hour(first)),
                    rows=candles(range(first, first + count), close=close),
                    tag=VENUE,
                ),
                lease,
            )
            os.write(log, b".")
            if order["refresh"]:
                storage.hot.refresh(HOURLY)


if __name__ == "__main__":
    main()
