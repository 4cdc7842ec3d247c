"""A lake on a disk without any room left can still be looked at: also to see what may go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MAKE = """
import sys
from pathlib import Path
from storage_kit import answered, begin, candles, store
from lake.storage.lake import Storage
with Storage.open(Path(sys.argv[1]), create=True) as storage:
    store(storage, begin(storage), candles(range(50)), answered(0, 50))
"""
# A file system of its own, full to the last byte, in a name space that ends with the shell.
SHELL = """
set -e
mount -t tmpfs -o size=2m tmpfs "$1"
"$PYTHON" -c "$MAKE" "$1/data"
cat /dev/zero > "$1/fill" 2> /dev/null || true
for name in status jobs gaps; do
    "$PYTHON" -m lake $name --data "$1/data" --json
    echo
done
"$PYTHON" -m lake sql "select count(*) as n from ohlcv_1h" --data "$1/data" --format json
echo
"$PYTHON" -m lake jobs cancel "$JOB" --data "$1/data" 2>&1 || true
"""


def _can_mount() -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_mount(), reason="a small disk cannot be made here (unshare -m)")
def test_a_full_disk_can_be_read(tmp_path: Path) -> None:
    """SQLite cannot make its -shm file there; nobody is writing, and a copy is as good."""
    paths = [REPOSITORY, REPOSITORY / "tests" / "storage"]
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", SHELL, "sh", str(tmp_path / "disk")],
        env=os.environ
        | {
            "PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "MAKE": MAKE,
            "JOB": "any",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *answers, refusal = [line for line in done.stdout.split("\n") if line]

    text = "".join(answers)
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    status, jobs, gaps, counted = found
    assert [row["rows"] for row in status] == [50]
    assert [row["rows"] for row in jobs] == [50]
    assert (gaps, counted) == ([], [{"n": 50}])
    assert "no space is left" in refusal
