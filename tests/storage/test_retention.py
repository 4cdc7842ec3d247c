"""Retention: what expired goes as a whole, stays away, and is known to have been there."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from storage_kit import HOURLY, JANUARY, answered, begin, candles, closes, hour, hours, store

from lake.domain.gaps import GapReason
from lake.domain.partitions import Partition
from lake.errors import InvalidRequest, ReadOnlyLake, SeriesNotFound
from lake.ingestion.planning import Known, outline
from lake.storage.doctor import examine
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from lake.storage.points import RETENTION_POINTS
from lake.storage.removals import unlink_removed
from lake.storage.retention import drop, dropping, expire, expiring

MARCH_10 = datetime(2024, 3, 10)
MONTHS = [Partition(HOURLY, 2024, month) for month in (1, 2, 3)]


def fill(storage: Storage) -> None:
    """Ten hours at the end of each of three months, all of the time between answered."""
    lease = begin(storage)
    for month in MONTHS:
        last = (month.range.end - hour(0)) // (hour(1) - hour(0))
        first = (month.range.start - hour(0)) // (hour(1) - hour(0))
        rows = candles({number: float(number) for number in range(last - 10, last)})
        store(storage, lease, rows, answered(first, last), partition=month)
    storage.catalog.note_wanted(HOURLY, hours(0, 2_184))


def on_disk(root: Path) -> list[str]:
    return [
        path.relative_to(root / "parquet").as_posix()
        for path in sorted((root / "parquet").rglob("*.parquet"))
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Storage.open(tmp_path / "data", create=True) as storage:
        fill(storage)
    return tmp_path / "data"


def test_whole_files_go_and_the_one_that_holds_the_border_stays(root: Path) -> None:
    with Storage.open(root) as storage:
        told = expiring(storage, HOURLY, MARCH_10)
        assert on_disk(root) == [month.path for month in MONTHS]

        gone = expire(storage, HOURLY, MARCH_10)

        assert gone == told
        assert (gone.files, gone.rows) == (2, 20)
        assert gone.first == datetime(2024, 1, 31, 14)
        assert gone.last == datetime(2024, 2, 29, 23)
        assert on_disk(root) == [MONTHS[2].path]
        assert [each.partition for each in storage.catalog.partitions(HOURLY)] == [MONTHS[2]]
        assert [each.range.start for each in storage.catalog.coverage(HOURLY)] == [
            datetime(2024, 3, 1)
        ]
        assert examine(storage, deep=True) == []


def test_what_expired_is_neither_a_hole_nor_planned_again(root: Path) -> None:
    """A nightly backfill of everything since January must not fetch it back."""
    with Storage.open(root) as storage:
        expire(storage, HOURLY, MARCH_10)
        info = storage.catalog.series_info(HOURLY)
        assert info is not None
        known = Known(coverage=storage.catalog.coverage(HOURLY), retained_from=info.retained_from)

        left, excluded = outline(HOURLY, hours(0, 2_184), known)
        reasons = {gap.range.end: gap.reason for gap in find_gaps(storage, [HOURLY])}

    assert left == []
    assert [each.reason for each in excluded] == [GapReason.EXPIRED]
    assert reasons[datetime(2024, 3, 1)] is GapReason.EXPIRED


def test_what_is_retained_never_begins_earlier_again(root: Path) -> None:
    with Storage.open(root) as storage:
        expire(storage, HOURLY, MARCH_10)
        expire(storage, HOURLY, datetime(2024, 1, 15))

        info = storage.catalog.series_info(HOURLY)

    assert info is not None
    assert info.retained_from == datetime(2024, 3, 1)


def test_a_series_that_is_dropped_was_never_there(root: Path) -> None:
    with Storage.open(root) as storage:
        for job in storage.jobs.list():
            storage.jobs.request_cancel(job.job_id)
        with pytest.raises(InvalidRequest, match="lake jobs cancel"):
            drop(storage, HOURLY)
        with storage.database.writing() as transaction:
            transaction.run("update ingestion_jobs set status = 'completed'")

        told, gone = dropping(storage, HOURLY), drop(storage, HOURLY)

        assert told == gone
        assert gone.rows == 30
        assert storage.catalog.series() == []
        assert storage.jobs.list() == []
        assert storage.hot.newest(HOURLY, 1) is None
        assert on_disk(root) == []
        with pytest.raises(SeriesNotFound):
            drop(storage, HOURLY)
        fill(storage)
        assert storage.hot.newest(HOURLY, 1) is not None


def test_a_removed_file_is_not_taken_in_by_the_next_writer(root: Path) -> None:
    """It finds a file ahead of the catalog, as after a crash; but this one is to go."""
    with Storage.open(root) as storage:
        content = (root / "parquet" / JANUARY.path).read_bytes()
        expire(storage, HOURLY, MARCH_10)
        # As if the process had been killed before it came to unlink the file.
        (root / "parquet" / JANUARY.path).write_bytes(content)
        with storage.database.writing() as transaction:
            transaction.run(
                "insert into removals values (?, '', 0, 0, 'expired', 0)",
                (f"parquet/{JANUARY.path}",),
            )
        with storage.database.writing() as transaction:
            transaction.run("update ingestion_jobs set status = 'completed'")
        lease = storage.jobs.claim(storage.jobs.create(HOURLY, hours(0, 9)).job_id, "again")

        store(storage, lease, candles({0: 1.0}))

        assert closes(storage.read_partition(JANUARY)) == {0: 1.0}
        assert unlink_removed(storage) == 0
        assert examine(storage, deep=True) == []


def test_a_file_written_anew_where_one_was_removed_stays(root: Path) -> None:
    with Storage.open(root) as storage:
        with storage.database.writing() as transaction:
            transaction.run(
                "insert into removals values (?, '', 0, 0, 'expired', 0)",
                (f"parquet/{JANUARY.path}",),
            )

        assert unlink_removed(storage) == 1

        assert on_disk(root) == [month.path for month in MONTHS]


def test_nothing_is_taken_out_of_a_lake_that_is_only_read(root: Path) -> None:
    with Storage.open(root, read_only=True) as storage:
        assert expiring(storage, HOURLY, MARCH_10).files == 2
        for act in (lambda: expire(storage, HOURLY, MARCH_10), lambda: drop(storage, HOURLY)):
            with pytest.raises(ReadOnlyLake):
                act()


@pytest.mark.parametrize("what", ["expire", "drop"])
@pytest.mark.parametrize(
    ("point", "count"), [*((point, 1) for point in RETENTION_POINTS), (RETENTION_POINTS[-1], 2)]
)
def test_killed_at_any_step_it_happened_or_it_did_not(
    root: Path, point: str, count: int, what: str
) -> None:
    """And what was taken out is not there again after the next start."""
    with Storage.open(root) as storage, storage.database.writing() as transaction:
        transaction.run("update ingestion_jobs set status = 'completed'")
    worker = Path(__file__).with_name("retention_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(root), what],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LAKE_TEST_KILL_AT": f"{point}:{count}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    stays = [] if what == "drop" else [MONTHS[2].path]
    happened = point in ("retention.committed", "retention.unlinked")

    with Storage.open(root) as storage:
        held = [each.partition.path for each in storage.catalog.all_partitions()]

        assert held == (stays if happened else [month.path for month in MONTHS])
        assert on_disk(root) == held
        assert storage.database.read("select * from removals") == []
        assert examine(storage, deep=True) == []
        if not happened:
            rows = storage.read_partition(JANUARY)
            assert rows is not None
            assert rows.num_rows == 10


def test_an_expired_range_is_told_when_it_is_asked_for(root: Path) -> None:
    from lake import GapWarning, Lake

    with Storage.open(root) as storage:
        expire(storage, HOURLY, MARCH_10)

    with Lake(root) as lake, pytest.warns(GapWarning, match="1,440 expired"):
        frame = lake.ohlcv("BTCUSDT.BINANCE", "1h", start="2024-01-01", end="2024-03-01")

    assert frame.height == 0
