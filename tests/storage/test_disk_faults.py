"""Full disks, failing writes, failing fsyncs: a clear error, and what was acknowledged is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from storage_kit import HOURLY, JANUARY, answered, begin, candles, closes, store, temporaries

from lake.errors import ReadOnlyLake, StorageError
from lake.storage.disk import as_storage_error
from lake.storage.lake import Storage

_HERE = Path(__file__).parent


def outcomes(folder: Path, kind: str, numbers: Iterable[int]) -> dict[str, str]:
    """The error that each fault gave; the lake is checked against the model along the way."""
    done = subprocess.run(
        [sys.executable, str(_HERE / "faults.py"), str(folder), kind, *map(str, numbers)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, str] = json.loads(done.stdout)
    return said


def test_every_failing_fsync_is_an_error(tmp_path: Path) -> None:
    """Of a file, of a folder, while the lake is made and while rows are published."""
    said = outcomes(tmp_path, "fsync", [1, 2, 5, 9, 14, 15, 16, 17, 30])

    for error in said.values():
        assert error.startswith("StorageError: The disk failed while")
        assert "start the same command again" in error


def test_a_failing_write_of_sqlite_is_an_error_or_does_no_harm(tmp_path: Path) -> None:
    """Some failures of a checkpoint SQLite makes good by itself; none may be half a commit."""
    said = outcomes(tmp_path, "sqlite", [1, 20, *range(80, 90), 150, 151])

    failed = [error for error in said.values() if error]
    assert len(failed) >= 10
    assert all("catalog.sqlite" in error for error in failed)


def test_a_disk_that_is_full_is_an_error(tmp_path: Path) -> None:
    """Wherever the space ends: in the marker, in SQLite, in a Parquet file."""
    said = outcomes(tmp_path, "size", [100, 4_000, 50_000, 300_000, 900_000])

    assert all(error.startswith("StorageError") for error in said.values())
    assert said["100"].startswith("StorageError: No space left while creating a lake")


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["fsync", "sqlite", "size"])
def test_faults_at_every_place_lose_nothing(tmp_path: Path, kind: str) -> None:
    numbers = {
        "fsync": range(1, 90),
        "sqlite": range(1, 200),
        "size": range(5_000, 1_500_000, 25_000),
    }[kind]

    said = outcomes(tmp_path, kind, numbers)

    assert sum(bool(error) for error in said.values()) > 40


def test_a_full_disk_is_told_from_a_failing_one_and_from_a_closed_one() -> None:
    """Each has another remedy: free space, check the disk, ask for the right."""
    full = as_storage_error(OSError(28, "No space left on device"), "writing x")
    quota = as_storage_error(OSError(122, "Disk quota exceeded"), "writing x")
    closed = as_storage_error(PermissionError(13, "Permission denied"), "writing x")
    broken = as_storage_error(OSError(5, "Input/output error"), "writing x")

    assert "Free some space" in str(full)
    assert "Free some space" in str(quota)
    assert isinstance(closed, ReadOnlyLake)
    assert "Check the disk" in str(broken)


def test_a_failed_fsync_of_the_rows_is_never_tried_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may have dropped the pages, and a second fsync would say that all is well."""
    lease = begin(storage)
    store(storage, lease, candles([0]))
    fsync, calls = os.fsync, []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="disk failed"):
        store(storage, lease, candles([1]), answered(1, 2))
    monkeypatch.setattr(os, "fsync", fsync)

    assert len(calls) == 1
    assert temporaries(storage.root) == []
    assert storage.database.read("select * from intents") == []
    assert closes(storage.read_partition(JANUARY)) == {0: 100.0}
    assert storage.catalog.coverage(HOURLY) == []
    assert store(storage, lease, candles([1])).generation == 2


def test_a_failed_fsync_of_the_folder_is_made_good_by_the_next_commit(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its name already: it is ahead of the catalog, and brought into step."""
    lease = begin(storage)
    store(storage, lease, candles({0: 1.0}))
    fsync, calls = os.fsync, 0

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="publishing"):
        store(storage, lease, candles({0: 2.0, 1: 2.0}), answered(0, 2))
    before = [info.generation for info in storage.catalog.partitions(HOURLY)]
    again = store(storage, lease, candles({0: 2.0, 1: 2.0}), answered(0, 2))

    assert before == [1]
    assert (again.rows_added, again.rows_changed, again.generation) == (0, 0, 2)
    assert storage.jobs.get(lease.job_id).rows == 3
    assert [each.old_row["close"] for each in storage.catalog.revisions(HOURLY)] == [1.0]
    assert storage.database.read("select * from intents") == []
