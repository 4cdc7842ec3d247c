"""A process that takes old files out and is killed on the way: see test_retention.py.

Usage: python retention_worker.py ROOT expire|drop.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from storage_kit import HOURLY

from lake.storage.lake import Storage
from lake.storage.retention import drop, expire


def main() -> None:
    with Storage.open(Path(sys.argv[1])) as storage:
        if sys.argv[2] == "drop":
            drop(storage, HOURLY)
        else:
            expire(storage, HOURLY, datetime(2024, 3, 10))


if __name__ == "__main__":
    main()
