"""Snapshots: one state of the lake, whole or not there, and the same for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from storage_kit import HOURLY, JANUARY, answered, begin, candles, closes, hours, store

from lake import Lake
from lake.domain.partitions import Partition
from lake.errors import InvalidRequest, NoLake, ReadOnlyLake, StorageError
from lake.storage.connection import Access, Database
from lake.storage.doctor import examine
from lake.storage.frozen import (
    DROP_POINTS,
    SNAPSHOT_POINTS,
    create_snapshot,
    drop_snapshot,
    files_now,
    snapshot_names,
    snapshot_root,
)
from lake.storage.lake import Storage
from lake.storage.manifest import differences, problems, read_manifest
from lake.storage.retention import drop
from lake.warehouse import Warehouse
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # the command line, as a fixture

FEBRUARY = Partition(HOURLY, 2024, 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two months of ten candles each."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        lease = begin(storage)
        store(storage, lease, candles(range(10)), answered(0, 10))
        store(storage, lease, candles(range(800, 810)), answered(744, 810), partition=FEBRUARY)
    return tmp_path / "data"


def finish_jobs(storage: Storage) -> None:
    with storage.database.writing() as transaction:
        transaction.run("update ingestion_jobs set status = 'completed'")


def change_january(storage: Storage) -> None:
    finish_jobs(storage)
    job = storage.jobs.create(HOURLY, hours(0, 20))
    lease = storage.jobs.claim(job.job_id, "later")
    store(storage, lease, candles(range(20), close=7.0), answered(0, 20), replace=hours(0, 20))


def test_a_snapshot_stays_as_it_was_while_the_lake_moves_on(root: Path) -> None:
    with Storage.open(root) as storage:
        made = create_snapshot(storage, "june")
        change_january(storage)
        finish_jobs(storage)
        drop(storage, HOURLY)

        assert storage.catalog.series() == []
        place = snapshot_root(root, "june")
        assert list(problems(place, made)) == []
        with Storage.open(place) as old:
            assert closes(old.read_partition(JANUARY)) == dict.fromkeys(range(10), 100.0)
            assert examine(old, deep=True) == []


def test_every_reader_reads_it_like_a_lake(root: Path) -> None:
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")
        change_january(storage)
        place = snapshot_root(root, "june")

    with Lake(root, snapshot="june") as lake:
        rows = lake.ohlcv("BTCUSDT.BINANCE", "1h", end="2024-01-02", on_gap="ignore")
        lazy = lake.scan_ohlcv("BTCUSDT.BINANCE", "1h", on_gap="ignore").collect()
        [count] = lake.sql("select count(*) as n from ohlcv_1h")["n"]
    with Warehouse(place) as warehouse:
        [closing] = warehouse.query("select max(close) as c from ohlcv_1h")["c"]

    assert rows["close"].to_list() == [100.0] * 10
    assert lazy.height == count == 20
    assert closing == 100.0


def test_a_snapshot_is_never_written(root: Path) -> None:
    """Its files are shared with the lake, and its promise is that they do not change."""
    with Storage.open(root) as storage:
        made = create_snapshot(storage, "june")
    place = snapshot_root(root, "june")
    before = sorted(path.relative_to(place) for path in place.rglob("*"))

    with Storage.open(place) as old:
        assert old.read_only
        for act in (lambda: drop(old, HOURLY), lambda: create_snapshot(old, "of a snapshot")):
            with pytest.raises(ReadOnlyLake, match=r"reading only"):
                act()

    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before
    assert list(problems(place, made)) == []


def test_its_catalog_has_no_work_under_way(root: Path) -> None:
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")
        assert len(storage.jobs.list()) == 1

    with Storage.open(snapshot_root(root, "june")) as old:
        assert [job.status.value for job in old.jobs.list()] == ["pending"]
        assert [job.lease_owner for job in old.jobs.list()] == [None]


def test_files_are_shared_and_the_catalog_lists_the_snapshot(root: Path) -> None:
    with Storage.open(root) as storage:
        made = create_snapshot(storage, "june")
        [row] = storage.database.read("select name, files, rows, bytes from snapshots")

    here, there = root / "parquet" / JANUARY.path, root / "snapshots/june/parquet" / JANUARY.path
    assert here.stat().st_ino == there.stat().st_ino
    assert row == ("june", 2, 20, sum(each.bytes for each in made.partitions))
    assert read_manifest(root / "snapshots/june") == made


def test_where_links_fail_files_are_copied(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with Storage.open(root) as storage:
        monkeypatch.setattr(os, "link", no_links)
        made = create_snapshot(storage, "june")

    here, there = root / "parquet" / JANUARY.path, root / "snapshots/june/parquet" / JANUARY.path
    assert here.stat().st_ino != there.stat().st_ino
    assert here.read_bytes() == there.read_bytes()
    assert list(problems(root / "snapshots/june", made)) == []


def test_what_was_altered_since_is_found(root: Path) -> None:
    with Storage.open(root) as storage:
        made = create_snapshot(storage, "june")
    place = root / "snapshots/june"
    path = place / "parquet" / JANUARY.path
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.unlink()
    path.write_bytes(content)
    (place / "parquet" / FEBRUARY.path).unlink()
    stranger = path.parent.parent / "month=03/data.parquet"
    stranger.parent.mkdir()
    stranger.write_bytes(b"PAR1")

    found = list(problems(place, made))

    assert found == [
        f"parquet/{JANUARY.path} was altered (its sha256 is another)",
        f"parquet/{FEBRUARY.path} is missing",
        f"parquet/{JANUARY.path.replace('month=01', 'month=03')} was added",
    ]


def test_a_damaged_lake_is_not_frozen(root: Path) -> None:
    """Its digests would vouch for wrong rows; nothing half is left either."""
    path = root / "parquet" / JANUARY.path
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)

    with Storage.open(root) as storage:
        with pytest.raises(StorageError, match="lake doctor"):
            create_snapshot(storage, "june")

        assert storage.database.read("select * from snapshots") == []
    assert list((root / "snapshots").iterdir()) == []


def test_differences_name_what_came_went_and_changed(root: Path) -> None:
    with Storage.open(root) as storage:
        before = create_snapshot(storage, "june").files
        change_january(storage)
        with storage.database.writing() as transaction:
            transaction.run("delete from partitions where path = ?", (FEBRUARY.path,))
        after = files_now(storage)

    there = [(each.path, each.change) for each in differences(before, after)]
    back = [(each.path, each.change) for each in differences(after, before)]
    assert there == [(JANUARY.path, "changed"), (FEBRUARY.path, "removed")]
    assert back == [(JANUARY.path, "changed"), (FEBRUARY.path, "added")]
    assert differences(before, before) == []


@pytest.mark.parametrize("name", ["../up", ".hidden", "", "a/b", "x" * 101])
def test_names_that_lead_elsewhere_are_refused(root: Path, name: str) -> None:
    with Storage.open(root) as storage:
        for act in (create_snapshot, drop_snapshot):
            with pytest.raises(InvalidRequest, match="cannot name a snapshot"):
                act(storage, name)


def test_a_name_is_given_once_whatever_its_case(root: Path) -> None:
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")

        with pytest.raises(InvalidRequest, match="'june' already"):
            create_snapshot(storage, "June")
        with pytest.raises(NoLake, match="It has: june"):
            snapshot_root(root, "July")


def test_a_snapshot_of_an_older_version_opens_and_stays_as_it_is(root: Path, run: Run) -> None:
    """It can never be migrated where it lies, and is to be read for years."""
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")
    place = root / "snapshots/june"
    catalog = Database(place / "catalog.sqlite", Access.WRITE)
    with catalog.writing() as transaction:
        # As before the last migrations.
        transaction.run("delete from migrations where number >= 4")
        made_since = ("removals", "archive_files", "check_counts", "gap_facts", "gap_facts_state")
        for table in made_since:
            transaction.run(f"drop table {table}")
    catalog.copy_to(place / "older")
    catalog.close()
    (place / "older").rename(place / "catalog.sqlite")
    content = (place / "catalog.sqlite").read_bytes()

    with Lake(root, snapshot="june") as lake:
        [count] = lake.sql("select count(*) as n from ohlcv_1h")["n"]
        assert lake.ohlcv("BTCUSDT.BINANCE", "1h", on_gap="ignore").height == count == 20
    for locked in ([], ["--locked"]):
        told = run("sql", "select count(*) from ohlcv_1h", *locked, "--json", "--data", place)
        assert json.loads(told.out) == [{"count_star()": 20}]
    assert json.loads(run("status", "--json", "--data", place).out)[0]["rows"] == 20
    assert (place / "catalog.sqlite").read_bytes() == content


@pytest.mark.parametrize("point", SNAPSHOT_POINTS)
def test_killed_at_any_step_it_is_whole_or_not_there(root: Path, point: str) -> None:
    killed(root, "create", point)

    assert snapshot_names(root) == (["june"] if point == "snapshot.renamed" else [])
    with Storage.open(root) as storage:
        if point != "snapshot.renamed":
            create_snapshot(storage, "june")
        else:
            create_snapshot(storage, "july")
        names = [row[0] for row in storage.database.read("select name from snapshots order by 1")]
        assert names == snapshot_names(root)
        assert examine(storage, deep=True) == []
    manifest = read_manifest(root / "snapshots/june")
    assert list(problems(root / "snapshots/june", manifest)) == []
    assert [each.name for each in (root / "snapshots").glob(".*")] == []


def test_killed_while_it_is_dropped_it_is_gone(root: Path) -> None:
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")

    killed(root, "drop", DROP_POINTS[0])

    assert snapshot_names(root) == []
    with Storage.open(root) as storage:
        create_snapshot(storage, "july")
        assert storage.database.read("select name from snapshots") == [("july",)]
    assert [each.name for each in (root / "snapshots").iterdir()] == ["july"]


def killed(root: Path, act: str, point: str) -> None:
    with Storage.open(root) as storage:
        finish_jobs(storage)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("snapshot_worker.py")), str(root), act],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LAKE_TEST_KILL_AT": f"{point}:1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr


def test_what_a_dead_writer_left_ahead_of_the_catalog_is_taken_in_first(root: Path) -> None:
    with Storage.open(root) as storage:
        change_january(storage)
        with storage.database.writing() as transaction:
            # As if the writer had been killed between its rename and its commit.
            transaction.run(
                "update partitions set generation = generation - 1, sha256 = 'old', rows = 10 "
                "where path = ?",
                (JANUARY.path,),
            )

        made = create_snapshot(storage, "june")

        assert sum(each.rows for each in made.partitions) == 30
    with Storage.open(root / "snapshots/june") as old:
        assert examine(old, deep=True) == []


def test_while_others_write_one_state_is_frozen(root: Path) -> None:
    """Catalog and files must fit, however many commits come in between."""
    stop, errors = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            with Storage.open(root) as storage:
                finish_jobs(storage)
                lease = storage.jobs.claim(storage.jobs.create(HOURLY, hours(0, 900)).job_id, "w")
                number = 0
                while not stop.is_set():
                    number += 1
                    for partition, first in ((JANUARY, 0), (FEBRUARY, 744)):
                        rows = candles(range(first, first + 10), close=float(number))
                        store(storage, lease, rows, partition=partition)
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Storage.open(root) as storage:
            for number in range(8):
                create_snapshot(storage, f"s{number}")
    finally:
        stop.set()
        writer.join()

    assert errors == []
    for name in snapshot_names(root):
        with Storage.open(root / "snapshots" / name) as old:
            assert examine(old, deep=True) == []


def test_a_damaged_manifest_is_said_to_be_one(root: Path) -> None:
    with Storage.open(root) as storage:
        create_snapshot(storage, "june")
    path = root / "snapshots/june/manifest.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "files": [{"path": 1}]}))

    with pytest.raises(StorageError, match=r"manifest\.json is damaged"):
        read_manifest(root / "snapshots/june")
    with Storage.open(root) as storage:
        drop_snapshot(storage, "june")
    assert snapshot_names(root) == []
