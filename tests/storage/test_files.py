"""Finding, making and opening lakes: also old ones, new ones, and ones that cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_kit import HOURLY, JANUARY, Clock, answered, begin, candles, closes, store

from lake.domain.jobs import JobState
from lake.errors import MigrationError, NoLake, ReadOnlyLake, StorageError
from lake.sql_files import sql_files
from lake.storage.files import find_lake, is_lake, place_of_lake
from lake.storage.lake import Storage


def test_a_lake_is_found_by_name_by_environment_upwards_and_in_data(tmp_path: Path) -> None:
    """In this order: --data, LAKE_DATA, lake.json from here upwards, data/ below here."""
    for name in ("named", "environment", "above", "here/data"):
        Storage.open(tmp_path / name, create=True).close()
    below, here = tmp_path / "above" / "notebooks", tmp_path / "here"
    below.mkdir()
    environment = {"LAKE_DATA": "../environment"}

    assert find_lake(Path("../named"), environment=environment, cwd=here) == tmp_path / "named"
    assert find_lake(None, environment=environment, cwd=here) == tmp_path / "environment"
    assert find_lake(None, environment={}, cwd=below) == tmp_path / "above"
    assert find_lake(None, environment={}, cwd=here) == tmp_path / "here" / "data"


def test_where_no_lake_is_the_absolute_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoLake, match=f"no lake at {tmp_path}/data"):
        find_lake(None, environment={}, cwd=tmp_path)
    with pytest.raises(NoLake, match=f"no lake at {tmp_path}/there"):
        Storage.open(tmp_path / "there")

    assert place_of_lake(None, environment={}, cwd=tmp_path) == tmp_path / "data"
    assert list(tmp_path.iterdir()) == []


def test_a_lake_is_made_once(tmp_path: Path, clock: Clock) -> None:
    with Storage.open(tmp_path / "data", create=True, origin="seed 7", clock=clock) as made:
        told = json.loads((tmp_path / "data" / "lake.json").read_text())
        first = (made.created, made.lake_id, made.origin)
    with Storage.open(tmp_path / "data", create=True) as again:
        second = (again.created, again.lake_id, again.origin)

    assert told == {
        "format": 1,
        "id": first[1],
        "created": "2026-11-22T12:00:00",
        "origin": "seed 7",
    }
    assert first == (True, told["id"], "seed 7")
    assert second == (False, told["id"], "seed 7")


def test_processes_that_make_one_lake_at_once_make_one_lake(tmp_path: Path) -> None:
    """The marker is linked into place, the schema made in one transaction."""
    program = (
        "import sys; from pathlib import Path; from lake.storage.lake import Storage\n"
        "sys.stdin.readline()\n"
        "with Storage.open(Path(sys.argv[1]), create=True) as s: print(s.created, s.lake_id)"
    )
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.flush()
    said = [maker.communicate()[0].split() for maker in makers]

    assert {maker.returncode for maker in makers} == {0}
    assert sorted(created for created, _ in said) == ["False"] * 5 + ["True"]
    assert len({lake_id for _, lake_id in said}) == 1


def test_a_lake_can_be_moved(tmp_path: Path) -> None:
    """No absolute path is stored anywhere."""
    with Storage.open(tmp_path / "old", create=True) as storage:
        store(storage, begin(storage), candles([0, 1]))

    (tmp_path / "old").rename(tmp_path / "new")

    with Storage.open(tmp_path / "new") as storage:
        assert closes(storage.read_partition(JANUARY)) == {0: 100.0, 1: 100.0}
        lease = begin(storage)
        assert store(storage, lease, candles([2])).generation == 2


def test_a_catalog_that_was_lost_is_made_again_from_the_files(tmp_path: Path) -> None:
    """Rows, series, coverage with its evidence; only the job history is gone."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        lease = begin(storage)
        store(storage, lease, candles([0, 1, 4]), answered(0, 9))
        storage.jobs.finish(lease, JobState.COMPLETED)
        [info] = storage.catalog.partitions(HOURLY)
        [covered] = storage.catalog.coverage(HOURLY)
    for path in (tmp_path / "data").glob("catalog.sqlite*"):
        path.unlink()

    with Storage.open(tmp_path / "data") as storage:
        assert storage.catalog.partitions(HOURLY) == [info]
        assert [each.series for each in storage.catalog.series()] == [HOURLY]
        [again] = storage.catalog.coverage(HOURLY)
        assert (again.range, again.basis, again.source_rank, again.evidence) == (
            covered.range,
            covered.basis,
            covered.source_rank,
            covered.evidence,
        )
        assert storage.jobs.list() == []


def test_a_lake_of_a_newer_version_is_refused_with_the_version(tmp_path: Path) -> None:
    """Before anything is read from tables whose meaning may have changed."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        number = len(sql_files("migrations")) + 1
        with storage.database.writing() as transaction:
            transaction.run(
                "insert into migrations values (?, 'later', 'x', '9.9.0', '9.9.0', 0)", (number,)
            )

    with pytest.raises(MigrationError, match=r"install mdlake 9\.9\.0 or newer"):
        Storage.open(tmp_path / "data")
    with pytest.raises(MigrationError, match=r"9\.9\.0"):
        Storage.open(tmp_path / "data", read_only=True)


def test_a_marker_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    Storage.open(tmp_path / "data", create=True).close()
    marker = tmp_path / "data" / "lake.json"
    marker.write_text(marker.read_text().replace('"format": 1', '"format": 2'))

    with pytest.raises(MigrationError, match="newer mdlake"):
        Storage.open(tmp_path / "data")


def test_a_migration_with_another_text_is_refused(tmp_path: Path) -> None:
    """Two schemas of one number must not be taken for one another."""
    with (
        Storage.open(tmp_path / "data", create=True) as storage,
        storage.database.writing() as transaction,
    ):
        transaction.run("update migrations set sha256 = 'other' where number = 1")

    with pytest.raises(MigrationError, match="0001_catalog"):
        Storage.open(tmp_path / "data")


def test_a_damaged_marker_and_catalog_are_named(tmp_path: Path) -> None:
    Storage.open(tmp_path / "data", create=True).close()
    catalog, marker = tmp_path / "data" / "catalog.sqlite", tmp_path / "data" / "lake.json"

    catalog.write_bytes(b"this is no database at all" * 200)
    with pytest.raises(StorageError, match="Move it and its -wal"):
        Storage.open(tmp_path / "data")
    marker.write_text("{")
    with pytest.raises(StorageError, match=r"lake\.json is damaged"):
        Storage.open(tmp_path / "data")


# Lakes that may only be read, seen by a user who is not root.

_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from storage_kit import *
from lake.errors import *
from lake.storage.lake import Storage
import lake.storage.doctor
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
said = {}
try:
    with Storage.open(Path(sys.argv[1]), create=True) as storage:
        said["read_only"] = storage.read_only
        said["rows"] = sorted(closes(storage.read_partition(JANUARY)))
        said["coverage"] = len(storage.catalog.coverage(HOURLY))
        said["snapshot"] = storage.snapshot().exists()
        said["findings"] = [each.what for each in lake.storage.doctor.examine(storage, deep=True)]
        for name, act in {
            "job": lambda: storage.jobs.create(HOURLY, hours(0, 1)),
            "repair": lambda: lake.storage.doctor.examine(storage, repair=True),
        }.items():
            try:
                act()
            except ReadOnlyLake as error:
                said[name] = str(error)
except LakeError as error:
    said["error"] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter; pytest's own is closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="lake-test-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(root: Path) -> dict[str, object]:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parents[1]}"},
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def close_to_others(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def a_lake(root: Path) -> Storage:
    storage = Storage.open(root, create=True)
    store(storage, begin(storage), candles([0, 1]), answered(0, 2))
    return storage


@pytest.mark.parametrize("left_behind", ["nothing", "a log"])
def test_a_lake_that_cannot_be_written_is_read(public: Path, left_behind: str) -> None:
    """Also one that was copied away from under its writer, with a log not yet taken in."""
    storage = a_lake(public / "data")
    if left_behind == "a log":
        shutil.copytree(public / "data", public / "copy", copy_function=shutil.copyfile)
        (public / "copy" / "catalog.sqlite-shm").unlink()
    storage.close()
    root = public / ("copy" if left_behind == "a log" else "data")
    close_to_others(root)

    said = as_nobody(root)

    assert said["read_only"] is True
    assert (said["rows"], said["coverage"], said["snapshot"]) == ([0, 1], 1, True)
    assert [what for what in said["findings"] if "worker" not in what] == []
    assert "reading only" in str(said["job"])
    assert "cannot be repaired" in str(said["repair"])
    assert not list(root.glob("catalog.sqlite-*")) or left_behind == "a log"


def test_a_live_lake_is_read_by_one_who_may_not_write_it(public: Path) -> None:
    """The writer's log is there, and its newest commit is seen."""
    with a_lake(public / "data"):
        said = (
            as_nobody(public / "data") if os.getuid() == 0 else {"read_only": True, "rows": [0, 1]}
        )

    assert (said["read_only"], said["rows"]) == (True, [0, 1])


def test_a_lake_cannot_be_made_where_nothing_can_be_written(public: Path) -> None:
    closed = public / "closed"
    closed.mkdir()
    closed.chmod(0o555)

    said = as_nobody(closed / "data")

    assert str(said["error"]).startswith("ReadOnlyLake: Not allowed to write while creating a lake")
    assert list(closed.iterdir()) == []


def test_a_read_only_lake_refuses_commits(tmp_path: Path) -> None:
    with a_lake(tmp_path / "data") as storage:
        lease = begin(storage)
        with Storage.open(tmp_path / "data", read_only=True) as reader:
            with pytest.raises(ReadOnlyLake):
                store(reader, lease, candles([5]))
            assert closes(reader.read_partition(JANUARY)) == {0: 100.0, 1: 100.0}


def test_no_lake_is_made_over_the_files_of_another(tmp_path: Path) -> None:
    """A backup without its lake.json would become a lake to which its own files are strangers."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        store(storage, begin(storage), candles([0, 1]), answered(0, 2))
    (tmp_path / "data" / "lake.json").unlink()

    for create in (True, False):
        with pytest.raises(NoLake, match=r"lake\.json is missing"):
            Storage.open(tmp_path / "data", create=create)


def test_a_new_lake_that_stayed_empty_goes_again(tmp_path: Path) -> None:
    root = tmp_path / "data"

    storage = Storage.open(root, create=True)

    assert storage.discard_if_empty()
    assert not root.exists()


def test_a_lake_with_a_job_or_one_that_was_there_before_stays(tmp_path: Path) -> None:
    """A job that failed is worth knowing; an empty lake of the user's own is the user's."""
    with Storage.open(tmp_path / "old", create=True):
        pass
    new = Storage.open(tmp_path / "new", create=True)
    new.catalog.ensure_series(HOURLY, "venue")
    new.jobs.create(HOURLY, JANUARY.range)

    assert not Storage.open(tmp_path / "old").discard_if_empty()
    assert not new.discard_if_empty()
    assert is_lake(tmp_path / "old")
    assert is_lake(tmp_path / "new")


def test_an_empty_lake_that_somebody_else_has_open_stays(tmp_path: Path) -> None:
    """Whatever the other is about to store must not fall into a folder without a mark."""
    root = tmp_path / "data"
    ours = Storage.open(root, create=True)
    script = (
        "import sys; from pathlib import Path; from lake.storage.lake import Storage\n"
        "with Storage.open(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"

        gone = ours.discard_if_empty()

        assert not gone
        assert is_lake(root)
        other.communicate("")
    with Storage.open(root, create=True) as again:
        assert not again.created
