"""Old rows: few are lines of the catalog, many are one file, and none is ever lost or invented."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from storage_kit import ARCHIVE, MINUTELY, SLICED, VENUE, begin, minutes, store

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.schemas import TRADES
from lake.domain.times import to_us
from lake.errors import LakeError
from lake.storage.doctor import examine
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.points import POINTS, REVISION_POINTS, SLICED_POINTS, install
from lake.storage.revisions import MOST_LINES, read_revisions
from lake.storage.writing import DEFAULT_SIZES, Sizes

HERE = Path(__file__).parent
DAY = datetime(2024, 3, 1)
TAPE = Series(DataType.TRADES, InstrumentId("BTCUSDT", Venue("BINANCE")))
TAPE_DAY = Partition.of(TAPE, DAY)
# Slices of 500 rows, so that a few thousand have many.
SMALL = Sizes(SLICED.whole_bytes, 500, SLICED.group_bytes)


def trades(count: int, *, shift_us: int = 0) -> pa.Table:
    """Trades a tenth of a second apart; *shift_us* is what a finer clock adds to each."""
    start = to_us(DAY)
    columns = {
        "ts": pa.array([start + n * 100_000 + shift_us for n in range(count)]).cast(
            pa.timestamp("us")
        ),
        "trade_id": pa.array(range(count), pa.int64()),
        "price": [100.0 + n % 7 for n in range(count)],
        "quantity": [1.0] * count,
        "side": ["buy"] * count,
    }
    return pa.Table.from_arrays(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in TRADES.schema
        ],
        schema=TRADES.schema,
    )


def old_rows(storage: Storage, series: Series) -> list[dict[str, object]]:
    """All old rows that are held of *series*, from lines and files, by time."""
    rows = [row for each in storage.catalog.revision_files(series) for row in _in(storage, each)]
    for line in storage.catalog.revisions(series):
        rows.append(line.old_row | {"ts": line.ts})
    return sorted(rows, key=lambda row: str(row["ts"]))


def _in(storage: Storage, each: object) -> list[dict[str, object]]:
    tables = list(read_revisions(storage, each))  # type: ignore[arg-type]
    return [row for table in tables for row in table.to_pylist()]


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in (root / "revisions").rglob("*") if path.is_file())


@pytest.mark.parametrize("count", [MOST_LINES, MOST_LINES + 1])
def test_few_old_rows_are_lines_and_many_are_a_file(storage: Storage, count: int) -> None:
    series, partition, before = minutes(count)
    lease = begin(storage, series)
    store(storage, lease, before, partition=partition)

    store(storage, lease, minutes(count, close=200.0)[2], partition=partition, tag=ARCHIVE)

    assert old_rows(storage, series) == before.to_pylist()
    lines, files = storage.catalog.revisions(series), storage.catalog.revision_files(series)
    if count == MOST_LINES:
        assert (len(lines), files) == (count, [])
        return
    [file] = files
    assert (lines, file.rows, file.generation, file.partition) == ([], count, 1, partition)
    assert (file.why, file.job_id) == ("merged from archive", lease.job_id)
    assert (file.min_ts, file.max_ts) == (datetime(2024, 1, 1), datetime(2024, 1, 2, 9, 20))
    assert [path.relative_to(storage.root).as_posix() for path in files_of(storage.root)] == [
        file.path
    ]


def test_a_day_of_trades_in_a_finer_time_keeps_the_coarse_one(tmp_path: Path) -> None:
    """The archive of a day replaces what REST gave: every trade has another time, in slices."""
    with Storage.open(tmp_path, create=True, sizes=SMALL) as storage:
        storage.catalog.ensure_series(TAPE, "venue", variant="aggregate/venue")
        job = storage.jobs.create(TAPE, TAPE_DAY.range)
        lease = storage.jobs.claim(job.job_id, "test")
        before = trades(7_000)
        store(storage, lease, before, partition=TAPE_DAY)

        result = store(storage, lease, trades(7_000, shift_us=417), partition=TAPE_DAY, tag=ARCHIVE)

        assert (result.rows_changed, result.rows_total) == (7_000, 7_000)
        assert old_rows(storage, TAPE) == before.to_pylist()
        assert len(storage.catalog.revisions(TAPE)) <= MOST_LINES
        assert examine(storage, deep=True) == []


@pytest.mark.parametrize("seed", range(6))
def test_old_rows_are_what_changed_and_nothing_else(tmp_path: Path, seed: int) -> None:
    """Any part of a partition, replaced or merged, whole or in slices."""
    rng = random.Random(seed)
    with Storage.open(tmp_path, create=True, sizes=rng.choice([SMALL, DEFAULT_SIZES])) as storage:
        series, partition, before = minutes(9_000)
        lease = begin(storage, series)
        store(storage, lease, before, partition=partition)
        picked = sorted(rng.sample(range(9_000), rng.randrange(1, 9_000)))
        other = minutes(9_000, close=200.0)[2].take(pa.array(picked))

        store(storage, lease, other, partition=partition, tag=ARCHIVE)

        assert old_rows(storage, series) == before.take(pa.array(picked)).to_pylist()
        assert examine(storage, deep=True) == []


@pytest.mark.parametrize("point", [*REVISION_POINTS, "temporary.written", "publish.checked"])
@pytest.mark.parametrize("sizes", [SMALL, DEFAULT_SIZES], ids=["slices", "whole"])
def test_a_commit_that_fails_leaves_no_file(tmp_path: Path, point: str, sizes: Sizes) -> None:
    """Nothing was changed, so there are no old rows."""

    def fail(name: str) -> None:
        if name == point:
            raise OSError(28, "No space left on device")

    with Storage.open(tmp_path, create=True, sizes=sizes) as storage:
        series, partition, before = minutes(4_000)
        lease = begin(storage, series)
        store(storage, lease, before, partition=partition)
        change = PartitionCommit(
            partition=partition, rows=minutes(4_000, close=200.0)[2], tag=ARCHIVE
        )
        install(fail)
        try:
            with pytest.raises((OSError, LakeError)):
                storage.commit(change, lease)
        finally:
            install(None)

        assert files_of(tmp_path) == []
        assert storage.database.read("select count(*) from revision_files") == [(0,)]
        assert storage.database.read("select count(*) from intents") == [(0,)]
        storage.commit(change, lease)
        assert len(old_rows(storage, series)) == 4_000


@pytest.mark.parametrize("mode", ["sliced", "whole"])
def test_a_writer_killed_at_its_old_rows_loses_and_invents_none(tmp_path: Path, mode: str) -> None:
    """After start-up there are new rows with their old ones, or old rows alone."""
    kill_at(tmp_path, mode, ["revision.created", "revision.told", "publish.renamed"])


@pytest.mark.torture
@pytest.mark.parametrize("mode", ["sliced", "whole"])
def test_a_writer_killed_anywhere_loses_and_invents_no_old_row(tmp_path: Path, mode: str) -> None:
    kill_at(tmp_path, mode, [*POINTS[:-3], *REVISION_POINTS, *SLICED_POINTS * (mode == "sliced")])


def kill_at(folder: Path, mode: str, points: Sequence[str]) -> None:
    _, partition, before = minutes(2 * 1440)
    for point in points:
        root = folder / point
        with Storage.open(root, create=True) as storage:
            store(storage, begin(storage, MINUTELY), before, partition=partition, tag=VENUE)
        done = subprocess.run(
            [sys.executable, str(HERE / "revising_worker.py"), str(root), mode],
            env=os.environ | {"LAKE_TEST_KILL_AT": point, "PYTHONPATH": f"{HERE.parents[1]}"},
            check=False,
        )
        assert done.returncode == -9, point

        with Storage.open(root) as storage:
            held = storage.read_partition(partition)
            assert held is not None
            old = old_rows(storage, MINUTELY)
            if held["close"][0].as_py() == 200.0:
                assert old == before.to_pylist(), point
            else:
                assert held.equals(before), point
                assert (old, files_of(root)) == ([], []), point
            assert storage.database.read("select count(*) from intents") == [(0,)]
            errors = [each for each in examine(storage, deep=True) if each.severity == "error"]
            assert errors == [], point


def test_a_catalog_made_again_finds_the_old_rows(tmp_path: Path) -> None:
    """They are history, which nothing else tells."""
    with Storage.open(tmp_path, create=True) as storage:
        series, partition, before = minutes(3_000)
        lease = begin(storage, series)
        store(storage, lease, before, partition=partition)
        store(storage, lease, minutes(3_000, close=200.0)[2], partition=partition, tag=ARCHIVE)
    for each in tmp_path.glob("catalog.sqlite*"):
        each.unlink()

    with Storage.open(tmp_path) as storage:
        [file] = storage.catalog.revision_files(series)

        assert (file.rows, file.generation) == (3_000, 1)
        assert old_rows(storage, series) == before.to_pylist()


def test_the_doctor_names_old_rows_that_are_damaged_or_gone(storage: Storage) -> None:
    series, partition, before = minutes(3_000)
    lease = begin(storage, series)
    store(storage, lease, before, partition=partition)
    store(storage, lease, minutes(3_000, close=200.0)[2], partition=partition, tag=ARCHIVE)
    [path] = files_of(storage.root)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    shallow, deep = examine(storage), examine(storage, deep=True)
    path.unlink()
    gone = examine(storage)

    assert shallow == []
    assert ["altered" in each.what for each in deep] == [True]
    assert ["missing" in each.what for each in gone] == [True]


def test_a_merge_again_keeps_the_old_rows_once(storage: Storage) -> None:
    """Another writer was quicker: the rows that its version held are the old ones."""
    series, partition, before = minutes(3_000)
    lease, other = begin(storage, series), begin(storage, series)
    store(storage, lease, before, partition=partition)
    between = minutes(3_000, close=150.0)[2]
    beaten = False

    def beat(name: str) -> None:
        nonlocal beaten
        if name == "revision.told" and not beaten:
            beaten = True
            install(None)
            store_beside(storage, other, between, partition)
            install(beat)

    install(beat)
    try:
        store(storage, lease, minutes(3_000, close=200.0)[2], partition=partition, tag=ARCHIVE)
    finally:
        install(None)

    files = storage.catalog.revision_files(series)
    assert beaten
    assert [each.generation for each in files] == [1, 2]
    assert [row["close"] for row in _in(storage, files[1])] == [150.0] * 3_000
    assert len(files_of(storage.root)) == 2


def store_beside(storage: Storage, lease: object, rows: pa.Table, partition: Partition) -> None:
    """A commit of another process, as far as the files are concerned."""
    with Storage.open(storage.root, clock=lambda: storage.clock() + timedelta(0)) as second:
        store(second, lease, rows, partition=partition, tag=ARCHIVE)  # type: ignore[arg-type]
