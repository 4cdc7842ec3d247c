"""The doctor finds what no intent tells of, names a remedy, and puts right what can be."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from storage_kit import (
    HOURLY,
    JANUARY,
    answered,
    begin,
    candles,
    closes,
    hour,
    hours,
    store,
)

from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.errors import StorageError
from lake.storage.doctor import Finding, examine
from lake.storage.lake import Storage

FEBRUARY = Partition(HOURLY, 2024, 2)


@pytest.fixture
def held(storage: Storage) -> Storage:
    """January and February of an hourly series, whole and covered."""
    lease = begin(storage)
    store(storage, lease, candles(range(744)), answered(0, 744))
    store(storage, lease, candles(range(744, 1440)), answered(744, 1440), partition=FEBRUARY)
    storage.jobs.finish(lease, JobState.COMPLETED)
    return storage


@pytest.fixture
def path(held: Storage) -> Path:
    return held.parquet / JANUARY.path


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def is_as_before_but_january(storage: Storage) -> bool:
    """January is to be fetched again; the rest is untouched and the lake is sound."""
    return (
        [info.partition for info in storage.catalog.partitions(HOURLY)] == [FEBRUARY]
        and [each.range for each in storage.catalog.coverage(HOURLY)] == [hours(744, 1440)]
        and storage.read_partition(JANUARY) is None
        and examine(storage, deep=True) == []
    )


def test_a_sound_lake_has_no_findings(held: Storage) -> None:
    assert examine(held) == []
    assert examine(held, deep=True, repair=True) == []


def test_a_missing_file_is_found_and_its_range_marked_as_missing(held: Storage, path: Path) -> None:
    path.unlink()

    found = only(examine(held))
    only(examine(held, repair=True))

    assert (found.severity, found.path) == ("error", f"parquet/{JANUARY.path}")
    assert found.what.startswith("missing")
    assert is_as_before_but_january(held)
    [note] = held.catalog.notes(HOURLY)
    assert (note.ts, note.kind) == (hour(0), "file_lost")


def test_a_file_cut_short_goes_to_quarantine_with_its_bytes(held: Storage, path: Path) -> None:
    content = path.read_bytes()[:-100]
    path.write_bytes(content)

    found = only(examine(held, repair=True))

    assert found.repaired
    assert found.what.startswith("unreadable")
    [moved] = [each for each in held.quarantine.rglob("*") if each.is_file()]
    assert moved.name == "data.parquet.damaged-1"
    assert moved.read_bytes() == content
    assert is_as_before_but_january(held)


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_never_read_as_data(held: Storage, path: Path, seed: int) -> None:
    """Without checksums 192 of 250 flips were read as silently wrong rows (facts, 3.2)."""
    rng = random.Random(seed)
    content = bytearray(path.read_bytes())
    sound = held.read_partition(JANUARY)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)

    try:
        read = held.read_partition(JANUARY)
    except StorageError:
        pass
    else:
        # The flip hit what no row depends on: padding, a statistic, a line of the footer.
        assert read == sound
    found = only(examine(held, deep=True, repair=True))

    assert found.repaired
    assert is_as_before_but_january(held)


def test_a_file_put_back_from_a_backup_is_believed_for_what_it_holds(
    held: Storage, path: Path, tmp_path: Path
) -> None:
    """Its rows are sound, but it is older: what it does not cover must be asked for again."""
    shutil.copyfile(path, tmp_path / "backup")
    lease = begin(held)
    feed = candles({0: 5.0, 743: 5.0})
    store(held, lease, feed)
    held.jobs.finish(lease, JobState.COMPLETED)
    shutil.copyfile(tmp_path / "backup", path)

    found = only(examine(held))
    only(examine(held, repair=True))

    assert "older than the catalog" in found.what
    assert closes(held.read_partition(JANUARY))[0] == 100.0
    assert [info.generation for info in held.catalog.partitions(HOURLY)] == [1, 1]
    assert examine(held, deep=True) == []


def test_a_file_that_the_catalog_lacks_is_taken_in(held: Storage) -> None:
    """For example after the catalog came back from a backup."""
    with held.database.writing() as transaction:
        transaction.run("delete from partitions where path = ?", (JANUARY.path,))
        transaction.run("delete from coverage")

    found = only(examine(held, repair=True))

    assert "the catalog lacks it" in found.what
    assert [info.rows for info in held.catalog.partitions(HOURLY)] == [744, 696]
    assert [each.range for each in held.catalog.coverage(HOURLY)] == [hours(0, 744)]
    assert examine(held, deep=True) == []


def test_a_file_ahead_of_the_catalog_is_recorded(held: Storage) -> None:
    with held.database.writing() as transaction:
        transaction.run("update partitions set generation = 0, rows = 1")

    found = examine(held, repair=True)

    assert ["ahead of the catalog" in each.what for each in found] == [True, True]
    assert [info.rows for info in held.catalog.partitions(HOURLY)] == [744, 696]
    assert examine(held, deep=True) == []


def spoil(path: Path) -> None:
    """Flip a bit in the pages: the footer stays whole, and says that all is well."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def test_a_damaged_file_that_the_catalog_lacks_goes_to_quarantine(
    held: Storage, path: Path
) -> None:
    """One such file must not keep the doctor from the rest of the lake."""
    with held.database.writing() as transaction:
        transaction.run("delete from partitions")
        transaction.run("delete from coverage")
    spoil(path)

    found = examine(held, repair=True)

    assert ["damaged" in each.what for each in found] == [True, False]
    assert [info.partition for info in held.catalog.partitions(HOURLY)] == [FEBRUARY]
    assert len(list((held.root / "quarantine").rglob("*.damaged-1"))) == 1
    assert examine(held, deep=True) == []


def test_a_damaged_file_ahead_of_the_catalog_goes_to_quarantine(held: Storage, path: Path) -> None:
    with held.database.writing() as transaction:
        transaction.run("update partitions set generation = 0 where path = ?", (JANUARY.path,))
    spoil(path)

    only(examine(held, repair=True))

    assert is_as_before_but_january(held)


def test_files_of_others_leave_the_tree(held: Storage, path: Path, tmp_path: Path) -> None:
    """Any glob over the tree would read them as ours."""
    plain = held.parquet / "ohlcv" / "mine.parquet"
    pq.write_table(candles([0]), plain)
    with Storage.open(tmp_path / "other", create=True) as other:
        store(other, begin(other), candles(range(1440, 1450)), partition=Partition(HOURLY, 2024, 3))
        theirs = other.parquet / Partition(HOURLY, 2024, 3).path
        target = held.parquet / Partition(HOURLY, 2024, 3).path
        target.parent.mkdir()
        shutil.copyfile(theirs, target)

    found = examine(held, repair=True)

    assert [each.what.startswith("not a file of this lake") for each in found] == [True, True]
    assert sorted(held.parquet.rglob("*.parquet")) == [path, held.parquet / FEBRUARY.path]
    assert len([each for each in held.quarantine.rglob("*") if each.is_file()]) == 2
    assert examine(held, deep=True) == []


def test_temporary_files_of_nobody_are_removed(held: Storage, path: Path) -> None:
    """Those of a living writer are announced, and stay."""
    stray = path.with_name(".data.abc.tmp")
    stray.write_bytes(b"x")

    found = only(examine(held))
    assert stray.exists()
    only(examine(held, repair=True))

    assert (found.severity, stray.exists()) == ("warning", False)


def test_a_job_whose_worker_is_gone_is_named(held: Storage) -> None:
    begin(held, ttl_s=0)

    found = only(examine(held))

    assert found.severity == "warning"
    assert "the worker of job" in found.what


def test_rows_that_the_catalog_counts_wrongly_are_counted_again(held: Storage) -> None:
    with held.database.writing() as transaction:
        transaction.run(
            "update partitions set gap_runs = '[[0, 1]]' where path = ?", (JANUARY.path,)
        )

    shallow = examine(held)
    found = only(examine(held, deep=True, repair=True))

    assert shallow == []
    assert "gap runs" in found.what
    assert [info.gap_runs for info in held.catalog.partitions(HOURLY)] == [(), ()]
    assert examine(held, deep=True) == []


def test_a_damaged_file_is_fetched_again_by_the_next_backfill(held: Storage, path: Path) -> None:
    """What the repair promises: the range is missing, and storing it again works."""
    path.write_bytes(b"PAR1 nonsense PAR1")
    examine(held, repair=True)
    lease = begin(held)

    result = store(held, lease, candles(range(744)), answered(0, 744))

    assert (result.rows_added, result.generation) == (744, 1)
    held.jobs.finish(lease, JobState.COMPLETED)
    assert examine(held, deep=True) == []
