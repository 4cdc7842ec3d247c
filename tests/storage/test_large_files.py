"""Files that are merged slice by slice give exactly what small ones do, and take no more memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_kit import (
    ARCHIVE,
    HOURLY,
    IMPORT,
    JANUARY,
    SLICED,
    START,
    VENUE,
    Clock,
    Row,
    answered,
    begin,
    candles,
    hours,
    random_rows,
    store,
    temporaries,
)

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import FUNDING_RATES, OHLCV, ORDERBOOK, TRADES, RowSpec
from lake.errors import InvalidRequest, SchemaMismatch, StorageError
from lake.storage import points
from lake.storage.doctor import examine
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.scan import OrderScan, keys_are_unique
from lake.storage.slices import slices

_HERE = Path(__file__).parent
TRADED = Series(DataType.TRADES, InstrumentId("BTCUSDT", Venue("BINANCE")))
FIRST_DAY = Partition(TRADED, 2024, 1, 1)


class Tables:
    """Rows that are streamed, as often as anyone asks."""

    def __init__(self, rows: pa.Table, size: int) -> None:
        self.rows, self.size = rows, size

    def __iter__(self) -> Iterator[pa.Table]:
        return (
            self.rows.slice(first, self.size) for first in range(0, self.rows.num_rows, self.size)
        )


@pytest.fixture
def sliced(tmp_path: Path, clock: Clock) -> Iterator[Storage]:
    with Storage.open(tmp_path / "sliced", create=True, clock=clock, sizes=SLICED) as opened:
        yield opened


def trades(*rows: tuple[int | str, float, float]) -> pa.Table:
    """Trades as (id or reference, second of the day, price)."""
    told: list[Row] = [
        {
            "ts": START + timedelta(seconds=second),
            "trade_id": name if isinstance(name, int) else None,
            "trade_ref": name if isinstance(name, str) else None,
            "price": price,
            "quantity": 1.0,
        }
        for name, second, price in rows
    ]
    return pa.Table.from_pylist(told, TRADES.schema)


def prices(rows: pa.Table | None) -> list[tuple[Any, float, float]]:
    """The inverse of :func:`trades`, in the order of the file."""
    assert rows is not None
    return [
        (
            row["trade_ref"] if row["trade_id"] is None else row["trade_id"],
            (row["ts"] - START).total_seconds(),
            row["price"],
        )
        for row in rows.to_pylist()
    ]


def row_groups(storage: Storage, partition: Partition) -> int:
    count: int = pq.read_metadata(storage.parquet / partition.path).num_row_groups
    return count


# Against the path of small files.


@pytest.mark.parametrize("seed", range(30))
def test_slices_hold_every_row_once_and_never_part_a_moment(seed: int) -> None:
    rng = random.Random(seed)

    def source(count: int) -> tuple[list[float], list[pa.Table]]:
        moments = sorted(float(rng.randrange(60)) for _ in range(count))
        table = trades(*((number, moment, 1.0) for number, moment in enumerate(moments)))
        cuts = sorted(rng.randrange(count + 1) for _ in range(rng.randrange(6)))
        edges = zip([0, *cuts], [*cuts, count], strict=True)
        return moments, [table.slice(first, end - first) for first, end in edges]

    (ours, stored), (theirs, new) = source(rng.randrange(80)), source(rng.randrange(80))
    seen = [
        tuple([second for _, second, _ in prices(rows)] for rows in both)
        for both in slices(iter(stored), iter(new), TRADES)
    ]

    assert [each for one, _ in seen for each in one] == ours
    assert [each for _, other in seen for each in other] == theirs
    for before, after in pairwise(seen):
        assert max(before[0] + before[1]) < min(after[0] + after[1])


@pytest.mark.parametrize(
    "spec", [OHLCV, TRADES, ORDERBOOK, FUNDING_RATES], ids=lambda spec: spec.data_type.value
)
@pytest.mark.parametrize("seed", range(8))
def test_merging_slice_by_slice_equals_merging_whole(
    storage: Storage, sliced: Storage, spec: RowSpec, seed: int
) -> None:
    """Rows, counts, revisions, notes and gaps: with ranks, losses, replaced ranges, and trades
    that come again with another time."""
    rng = random.Random(seed)
    series = (
        HOURLY if spec is OHLCV else Series(spec.data_type, InstrumentId("BTCUSDT", HOURLY.venue))
    )
    partition = Partition.of(series, START)
    leases = [begin(each, series) for each in (storage, sliced)]

    for _ in range(7):
        rows = random_rows(rng, spec, rng.choice((1, 25, 60)), spread=24, strays=0.2)
        window = None
        if rng.random() < 0.3:
            first = rng.randrange(20)
            window = hours(first, first + 4)
            rows = [row for row in rows if row["ts"] in window]
        change = PartitionCommit(
            partition=partition,
            rows=pa.Table.from_pylist(rows, spec.schema),
            tag=rng.choice((VENUE, ARCHIVE, IMPORT)),
            claims=(answered(first := rng.randrange(12), first + 6),),
            replace=window,
        )
        whole, by_slices = (
            each.commit(change, lease)
            for each, lease in zip((storage, sliced), leases, strict=True)
        )

        assert figures(by_slices) == figures(whole)
        assert sliced.read_partition(partition) == storage.read_partition(partition)
    for lake in (storage, sliced):
        assert examine(lake, deep=True) == []
    assert revised(sliced, series) == revised(storage, series)
    assert sliced.catalog.notes(series) == storage.catalog.notes(series)
    one, other = (lake.catalog.partitions(series)[0] for lake in (storage, sliced))
    assert (one.gap_runs, one.min_ts, one.max_ts) == (other.gap_runs, other.min_ts, other.max_ts)
    assert [each.range for each in storage.catalog.coverage(series)] == [
        each.range for each in sliced.catalog.coverage(series)
    ]


def figures(result: Any) -> tuple[int, ...]:
    """All that a commit says but the size, which depends on the row groups."""
    return (
        result.rows_added,
        result.rows_changed,
        result.rows_removed,
        result.rows_total,
        result.generation,
    )


def revised(storage: Storage, series: Series) -> list[tuple[Any, ...]]:
    found = storage.catalog.revisions(series)
    return sorted((each.ts, each.key, each.generation, str(each.old_row)) for each in found)


def test_a_large_file_has_many_row_groups(sliced: Storage) -> None:
    lease = begin(sliced)

    store(sliced, lease, candles(range(100)), answered(0, 100))
    result = store(sliced, lease, candles(range(50, 130), close=2.0), answered(50, 130))

    assert row_groups(sliced, JANUARY) == 19
    assert (result.rows_added, result.rows_changed, result.rows_total) == (30, 50, 130)
    assert [table.num_rows for table in sliced.read_tables(JANUARY)] == [7] * 18 + [4]
    assert len(sliced.catalog.revisions(HOURLY)) == 50
    sliced.jobs.finish(lease, JobState.COMPLETED)
    assert examine(sliced, deep=True) == []


def test_the_same_rows_again_leave_a_large_file_alone(sliced: Storage) -> None:
    """Its claims are laid all the same, and nothing of the attempt stays behind."""
    lease = begin(sliced)
    store(sliced, lease, candles(range(100)))

    again = store(sliced, lease, candles(range(100)), answered(0, 100))

    assert (again.rows_added, again.rows_total, again.generation) == (0, 100, 1)
    assert [each.range for each in sliced.catalog.coverage(HOURLY)] == [hours(0, 100)]
    assert temporaries(sliced.root) == []
    assert sliced.database.read("select * from intents") == []


def test_row_groups_of_deep_books_have_fewer_rows(storage: Storage) -> None:
    """A thousand levels are 32 kB a row: by rows alone, a group would be gigabytes."""
    series = Series(DataType.ORDERBOOK, TRADED.instrument_id)
    levels = [float(each) for each in range(1000)]
    rows = [
        {"ts": START + timedelta(seconds=each), "sequence": each}
        | dict.fromkeys(("bid_prices", "bid_quantities", "ask_prices", "ask_quantities"), levels)
        for each in range(2100)
    ]
    partition = Partition(series, 2024, 1, 1)

    store(
        storage,
        begin(storage, series),
        pa.Table.from_pylist(rows, ORDERBOOK.schema),
        partition=partition,
    )

    assert row_groups(storage, partition) == 3
    metadata = pq.read_metadata(storage.parquet / partition.path)
    assert "RLE_DICTIONARY" in metadata.row_group(0).column(6).encodings


# Trades: keys without a time.


def test_a_trade_that_comes_again_with_another_time_is_one_trade(sliced: Storage) -> None:
    """Binance's archives say microseconds since 2025 where its API says milliseconds."""
    lease = begin(sliced, TRADED)
    told = [(each, float(each // 3), 1.0) for each in range(60)]
    store(sliced, lease, trades(*told), partition=FIRST_DAY)
    finer = [(each, second + 2.5, price) for each, second, price in told]

    result = store(sliced, lease, trades(*finer), partition=FIRST_DAY, tag=ARCHIVE)

    assert (result.rows_added, result.rows_changed, result.rows_total) == (0, 60, 60)
    assert prices(sliced.read_partition(FIRST_DAY)) == finer
    assert len(sliced.catalog.revisions(TRADED)) == 60
    sliced.jobs.finish(lease, JobState.COMPLETED)
    assert examine(sliced, deep=True) == []


def test_trades_by_reference_are_told_apart_from_those_by_id(sliced: Storage) -> None:
    lease = begin(sliced, TRADED)
    store(sliced, lease, trades(*((each, each, 1.0) for each in range(30))), partition=FIRST_DAY)

    store(
        sliced,
        lease,
        trades(*((f"{each:02}", each, 2.0) for each in range(30))),
        partition=FIRST_DAY,
    )
    again = store(sliced, lease, trades(("07", 9.0, 3.0), (8, 8.0, 1.0)), partition=FIRST_DAY)

    assert (again.rows_added, again.rows_changed, again.rows_total) == (0, 1, 60)
    held = prices(sliced.read_partition(FIRST_DAY))
    assert ("07", 9.0, 3.0) in held
    assert ("07", 7.0, 2.0) not in held


@pytest.mark.parametrize("lake", ["storage", "sliced"])
def test_trades_without_any_name_are_refused(lake: str, request: pytest.FixtureRequest) -> None:
    """Null equals null: they would all be one trade."""
    storage: Storage = request.getfixturevalue(lake)
    nameless = trades((1, 1.0, 1.0)).to_pylist()
    nameless[0]["trade_id"] = None

    with pytest.raises(SchemaMismatch, match=r"1 of 1 rows .* none of trade_id, trade_ref"):
        store(
            storage,
            begin(storage, TRADED),
            pa.Table.from_pylist(nameless, TRADES.schema),
            partition=FIRST_DAY,
        )


# Rows that are streamed.


@pytest.mark.parametrize("seed", range(6))
def test_streamed_rows_equal_a_table(storage: Storage, sliced: Storage, seed: int) -> None:
    rng = random.Random(seed)
    leases = [begin(each, TRADED) for each in (storage, sliced)]
    for _ in range(4):
        picked = sorted(rng.sample(range(200), 60))
        rows = trades(*((each, float(each // 4), rng.choice((1.0, 2.0))) for each in picked))
        window = rng.choice((None, FIRST_DAY.range))

        whole = store(storage, leases[0], rows, partition=FIRST_DAY, replace=window)
        streamed = store(
            sliced,
            leases[1],
            Tables(rows, rng.randrange(1, 20)),
            partition=FIRST_DAY,
            replace=window,
        )

        assert figures(streamed) == figures(whole)
        assert sliced.read_partition(FIRST_DAY) == storage.read_partition(FIRST_DAY)


def test_streamed_references_need_no_order(sliced: Storage) -> None:
    """Ids that do not rise with the time are looked at a second time, and are fine."""
    rows = trades(*((f"ref-{each * 37 % 101}", each, 1.0) for each in range(101)))

    result = store(sliced, begin(sliced, TRADED), Tables(rows, 10), partition=FIRST_DAY)

    assert result.rows_added == 101


@pytest.mark.parametrize("name", [3, "3"], ids=["id", "reference"])
def test_a_streamed_trade_under_two_times_is_refused(sliced: Storage, name: int | str) -> None:
    """In a table it would be settled by key; a stream may be larger than memory."""
    lease = begin(sliced, TRADED)
    store(sliced, lease, trades((1, 1.0, 1.0)), partition=FIRST_DAY)
    twice = trades(*((each, float(each), 1.0) for each in range(100, 130)), (name, 200.0, 1.0))
    twice = pa.concat_tables([trades((name, 3.0, 1.0)), twice])

    with pytest.raises(SchemaMismatch, match="under two times"):
        store(sliced, lease, Tables(twice, 9), answered(0, 5), partition=FIRST_DAY)

    assert prices(sliced.read_partition(FIRST_DAY)) == [(1, 1.0, 1.0)]
    assert sliced.catalog.coverage(TRADED) == []
    assert temporaries(sliced.root) == []
    assert sliced.database.read("select * from intents") == []


def test_streamed_rows_that_do_not_ascend_are_refused(sliced: Storage) -> None:
    rows = trades((1, 5.0, 1.0), (2, 4.0, 1.0))

    for size in (1, 2):
        with pytest.raises(SchemaMismatch, match="not ascending"):
            store(sliced, begin(sliced, TRADED), Tables(rows, size), partition=FIRST_DAY)


def test_rows_that_can_be_read_only_once_are_refused(sliced: Storage) -> None:
    """Another writer may be quicker, and then they are merged again."""
    with pytest.raises(InvalidRequest, match="only once"):
        store(sliced, begin(sliced), iter([candles([1])]))


# Crashes, damage, rebuilding.


def test_a_long_merge_keeps_its_lease(tmp_path: Path) -> None:
    """Taken for dead, its temporary file would be swept away in the midst of it."""

    class Passing(Clock):
        def __call__(self) -> datetime:
            self.advance(2)
            return self.now

    told: list[str] = []
    with Storage.open(tmp_path / "data", create=True, clock=Passing(), sizes=SLICED) as storage:
        lease = begin(storage)
        points.install(told.append)
        try:
            store(storage, lease, candles(range(100)))
        finally:
            points.install(None)

    assert told.count("slice.told") >= 4


def test_two_lakes_of_one_file_agree_after_the_catalog_is_lost(
    sliced: Storage, clock: Clock
) -> None:
    """Rows, digest and variant come from the file, read piece by piece."""
    sliced.catalog.ensure_series(TRADED, "venue", variant="aggregate/venue")
    job = sliced.jobs.create(TRADED, TimeRange(START, START + timedelta(days=1)))
    lease = sliced.jobs.claim(job.job_id, "test")
    store(sliced, lease, trades(*((each, each, 1.0) for each in range(50))), partition=FIRST_DAY)
    before = sliced.catalog.partitions(TRADED)
    root = sliced.root
    sliced.close()
    for path in root.glob("catalog.sqlite*"):
        path.unlink()

    with Storage.open(root, clock=clock) as again:
        assert again.catalog.partitions(TRADED) == before
        info = again.catalog.series_info(TRADED)
        assert info is not None
        assert info.variant == "aggregate/venue"
        assert examine(again, deep=True) == []


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_never_merged_into_a_new_large_file(sliced: Storage, seed: int) -> None:
    rng = random.Random(seed)
    lease = begin(sliced)
    store(sliced, lease, candles(range(300)))
    path = sliced.parquet / JANUARY.path
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)

    with pytest.raises(StorageError):
        store(sliced, lease, candles(range(200, 400), close=3.0))
    with pytest.raises(StorageError):
        next(iter(sliced.read_tables(JANUARY)))

    assert path.read_bytes() == bytes(content)
    assert temporaries(sliced.root) == []
    sliced.jobs.finish(lease, JobState.COMPLETED)
    [found] = examine(sliced, deep=True, repair=True)
    assert found.repaired
    assert examine(sliced, deep=True) == []


def test_keys_that_come_twice_are_found_however_far_apart() -> None:
    """What the doctor looks for; texts may share a mark by chance, keys may not."""
    sound = [trades(("b", 1.0, 1.0)), trades(("a", 2.0, 1.0), (7, 3.0, 1.0))]
    double = [*sound, trades(("b", 4.0, 1.0))]
    seen = OrderScan(TRADES)
    for table in double:
        seen.feed(table)

    assert (seen.is_sorted, seen.is_unique) == (True, None)
    assert keys_are_unique(lambda: iter(sound), 3, TRADES)
    assert not keys_are_unique(lambda: iter(double), 4, TRADES)


# Memory.


def day_of_trades(folder: Path, rows: int, chunk: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(_HERE / "large_day.py"), str(folder), str(rows), str(chunk)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_large_day_takes_little_memory(tmp_path: Path) -> None:
    """The day decoded is 170 MB, and merging it whole took three times that."""
    said = day_of_trades(tmp_path, 2_400_000, 400_000)

    assert said["rows"] == 2_400_000
    assert said["grown_mb"] < 250


@pytest.mark.torture
def test_a_day_of_fifteen_million_trades_takes_little_memory(tmp_path: Path) -> None:
    said = day_of_trades(tmp_path, 15_000_000, 2_000_000)

    assert said["rows"] == 15_000_000
    assert said["grown_mb"] < 400
