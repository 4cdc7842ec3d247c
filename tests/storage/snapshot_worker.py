"""A process that makes or drops a snapshot and is killed on the way: see test_frozen.py.

Usage: python snapshot_worker.py ROOT create|drop.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lake.storage.frozen import create_snapshot, drop_snapshot
from lake.storage.lake import Storage


def main() -> None:
    act = {"create": create_snapshot, "drop": drop_snapshot}[sys.argv[2]]
    with Storage.open(Path(sys.argv[1])) as storage:
        act(storage, "june")


if __name__ == "__main__":
    main()
