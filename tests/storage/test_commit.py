"""One commit at a time: what it stores, what it says, what it refuses."""

from __future__ import annotations

import json
import random
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_kit import (
    ARCHIVE,
    HOURLY,
    IMPORT,
    JANUARY,
    START,
    VENUE,
    Clock,
    answered,
    begin,
    candles,
    closes,
    hour,
    hours,
    store,
)

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.rows import Note, Rejected
from lake.domain.schemas import OHLCV, ROW_SPECS
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SchemaMismatch, SeriesNotFound, StorageError
from lake.storage.lake import PartitionCommit, Storage

_PATH = "ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1h/year=2024/month=01/data.parquet"


def test_a_commit_says_what_it_did(storage: Storage) -> None:
    lease = begin(storage)

    first = store(storage, lease, candles({0: 1.0, 1: 2.0}), answered(0, 2))
    second = store(storage, lease, candles({1: 3.0, 2: 4.0}), answered(1, 3))

    assert (first.rows_added, first.rows_changed, first.rows_total) == (2, 0, 2)
    assert (second.rows_added, second.rows_changed, second.rows_total) == (1, 1, 3)
    assert (first.generation, second.generation) == (1, 2)
    assert second.bytes == (storage.parquet / _PATH).stat().st_size
    assert closes(storage.read_partition(JANUARY)) == {0: 1.0, 1: 3.0, 2: 4.0}


def test_the_catalog_knows_the_file(storage: Storage, clock: Clock) -> None:
    lease = begin(storage)

    store(storage, lease, candles([0, 1, 4, 6]), answered(0, 7))

    [info] = storage.catalog.partitions(HOURLY)
    assert info.partition == JANUARY
    assert (info.rows, info.min_ts, info.max_ts) == (4, hour(0), hour(6))
    assert info.gap_runs == (hours(2, 4), hours(5, 6))
    assert info.missing == 3
    assert (info.generation, info.schema_version, info.job_id) == (1, 1, lease.job_id)
    assert info.written_at == clock.now


def test_a_commit_advances_its_job(storage: Storage, clock: Clock) -> None:
    """Progress, rows of all attempts, and the lease, which a busy worker need not renew."""
    lease = begin(storage, ttl_s=30)
    clock.advance(20)

    storage.commit(
        PartitionCommit(partition=JANUARY, rows=candles([0, 1]), tag=VENUE, progress=0.25), lease
    )

    job = storage.jobs.get(lease.job_id)
    assert (job.progress, job.rows) == (0.25, 2)
    assert job.lease_until is not None
    assert (job.lease_until - clock.now).total_seconds() == 30


def test_coverage_is_laid_with_its_evidence(storage: Storage, clock: Clock) -> None:
    lease = begin(storage)

    store(storage, lease, candles([0]), answered(0, 3))
    store(storage, lease, candles([3]), answered(3, 5))

    [covered] = storage.catalog.coverage(HOURLY)
    assert covered.range == hours(0, 5)
    assert (covered.basis, covered.source, covered.source_rank) == (Basis.ANSWER, "ccxt", 20)
    assert (covered.job_id, covered.confirmed_at) == (lease.job_id, clock.now)
    assert covered.evidence == "second answer"


def test_claims_without_rows_make_no_file(storage: Storage) -> None:
    """A range before the listing: answered, and there was nothing."""
    lease = begin(storage)

    result = store(storage, lease, candles([]), answered(0, 700))

    assert (result.rows_total, result.bytes, result.generation) == (0, 0, 0)
    assert [each.range for each in storage.catalog.coverage(HOURLY)] == [hours(0, 700)]
    assert storage.read_partition(JANUARY) is None
    assert list(storage.parquet.rglob("*.parquet")) == []


def test_claims_without_rows_leave_the_file_alone(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles([0, 1]))

    result = store(storage, lease, candles([]), answered(0, 5))

    assert (result.rows_added, result.rows_total, result.generation) == (0, 2, 1)
    assert result.bytes == (storage.parquet / _PATH).stat().st_size


def test_the_same_commit_again_changes_nothing(storage: Storage) -> None:
    """Whatever a retry brings a second time is the same fact: rows, notes, refused rows."""
    lease = begin(storage)
    change = PartitionCommit(
        partition=JANUARY,
        rows=candles([0, 1]),
        tag=VENUE,
        claims=(answered(0, 2),),
        rejected=(Rejected(hour(5), "high < low", "[5]"), Rejected(None, "no time", "[]")),
        notes=(Note(hour(1), "early_close", "closed at 01:30"),),
    )

    storage.commit(change, lease)
    again = storage.commit(change, lease)

    assert (again.rows_added, again.rows_changed, again.generation) == (0, 0, 1)
    assert storage.catalog.notes(HOURLY) == [Note(hour(1), "early_close", "closed at 01:30")]
    assert storage.catalog.rejected(HOURLY) == [
        Rejected(None, "no time", "[]"),
        Rejected(hour(5), "high < low", "[5]"),
    ]
    assert storage.jobs.get(lease.job_id).rows == 2


def test_a_changed_row_is_kept_as_it_was(storage: Storage, clock: Clock) -> None:
    lease = begin(storage)
    store(storage, lease, candles({0: 1.0, 1: 2.0}))

    store(storage, lease, candles({1: 5.0}))

    [revision] = storage.catalog.revisions(HOURLY)
    assert (revision.ts, revision.generation, revision.why) == (hour(1), 1, "merged from ccxt")
    assert revision.old_row["close"] == 2.0
    assert revision.old_row["ts"] == 1704070800000000
    assert revision.at == clock.now


def test_a_replaced_range_is_exactly_the_given_rows(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles(range(6), close=1.0), answered(0, 6))

    result = store(
        storage, lease, candles({2: 9.0}), answered(2, 5), tag=ARCHIVE, replace=hours(2, 5)
    )

    assert closes(storage.read_partition(JANUARY)) == {0: 1.0, 1: 1.0, 2: 9.0, 5: 1.0}
    assert (result.rows_changed, result.rows_removed, result.rows_total) == (1, 2, 4)
    revised = storage.catalog.revisions(HOURLY)
    assert [(each.ts, each.why) for each in revised] == [
        (hour(2), "replaced from archive"),
        (hour(3), "replaced from archive"),
        (hour(4), "replaced from archive"),
    ]


def test_a_file_may_become_empty_and_full_again(storage: Storage) -> None:
    """It stays as an empty file, so its generation is never given out twice."""
    lease = begin(storage)
    store(storage, lease, candles([0, 1]))

    emptied = store(storage, lease, candles([]), replace=hours(0, 24))
    refilled = store(storage, lease, candles([3]))

    assert (emptied.rows_removed, emptied.rows_total, emptied.generation) == (2, 0, 2)
    assert (refilled.rows_total, refilled.generation) == (1, 3)


def test_ranks_come_from_the_coverage(storage: Storage) -> None:
    """An archive outranks the venue's answer here, an import of a CSV does not."""
    lease = begin(storage)
    store(storage, lease, candles({0: 1.0, 1: 1.0}), answered(0, 1))

    store(storage, lease, candles({0: 2.0, 1: 2.0}), tag=IMPORT)
    store(storage, lease, candles({0: 3.0}), answered(0, 1, Basis.ARCHIVE), tag=ARCHIVE)

    assert closes(storage.read_partition(JANUARY)) == {0: 3.0, 1: 2.0}
    [note] = storage.catalog.notes(HOURLY)
    assert (note.ts, note.kind) == (hour(0), "differs")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (candles([744]), "do not belong"),
        (candles([0]).drop_columns("volume"), "have the columns"),
        (candles([0]).set_column(1, "open", pa.nulls(1, pa.float64())), "lack open"),
    ],
    ids=["February", "column lacking", "null price"],
)
def test_rows_that_do_not_fit_are_refused_whole(
    storage: Storage, rows: pa.Table, message: str
) -> None:
    lease = begin(storage)

    with pytest.raises(SchemaMismatch, match=message):
        store(storage, lease, rows, answered(0, 1))

    assert storage.catalog.coverage(HOURLY) == []


def test_a_series_must_be_made_known_first(storage: Storage) -> None:
    """Its origin is what keeps synthetic and real rows apart."""
    lease = begin(storage)
    other = Series(DataType.OHLCV, InstrumentId("ETHUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)

    with pytest.raises(SeriesNotFound, match="lake backfill BINANCE ETHUSDT"):
        store(storage, lease, candles([0]), partition=Partition(other, 2024, 1))


def test_a_range_of_another_file_cannot_be_replaced(storage: Storage) -> None:
    lease = begin(storage)

    with pytest.raises(InvalidRequest, match="outside"):
        store(storage, lease, candles([]), replace=hours(800, 900))


def test_damaged_rows_are_never_merged_into_a_new_file(storage: Storage) -> None:
    """A merge would give them a new, valid digest, and no check could find them again."""
    lease = begin(storage)
    store(storage, lease, candles(range(500)))
    path = storage.parquet / _PATH
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)

    with pytest.raises(StorageError, match="lake doctor --repair"):
        store(storage, lease, candles([600]))

    assert path.read_bytes() == bytes(content)


def test_a_missing_file_is_an_error_and_not_an_empty_answer(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles([0]))
    (storage.parquet / _PATH).unlink()

    with pytest.raises(StorageError, match="missing"):
        storage.read_partition(JANUARY)
    with pytest.raises(StorageError, match="missing"):
        store(storage, lease, candles([1]))


# The file itself.


@pytest.fixture
def path(storage: Storage) -> Path:
    store(storage, begin(storage), candles(range(700)), answered(0, 700))
    return storage.parquet / _PATH


def test_other_readers_see_plain_columns(path: Path) -> None:
    """Prices as doubles and times without a zone, for DuckDB, polars and anyone."""
    with duckdb.connect() as connection:
        told = connection.execute("describe from read_parquet($1)", [str(path)]).fetchall()
        total = connection.execute(
            "select sum(close) from read_parquet($1)", [str(path)]
        ).fetchone()
    frame = pl.read_parquet(path, hive_partitioning=False)

    kinds = {name: kind for name, kind, *_ in told}
    assert (kinds["ts"], kinds["close"], kinds["trade_count"]) == ("TIMESTAMP", "DOUBLE", "BIGINT")
    assert total == (70000.0,)
    assert frame.schema["ts"] == pl.Datetime("us")
    assert frame.columns == OHLCV.schema.names
    assert frame["ts"][0] == datetime(2024, 1, 1)


def test_the_writer_settings_are_the_measured_ones(path: Path) -> None:
    """facts/performance.md, section 2a: PLAIN doubles, DELTA_BINARY_PACKED integers, zstd."""
    metadata = pq.read_metadata(path)
    columns = {
        metadata.row_group(0).column(number).path_in_schema: metadata.row_group(0).column(number)
        for number in range(metadata.num_columns)
    }

    assert metadata.num_row_groups == 1
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert "DELTA_BINARY_PACKED" in columns["ts"].encodings
    assert "DELTA_BINARY_PACKED" in columns["trade_count"].encodings
    assert set(columns["close"].encodings) <= {"PLAIN", "RLE"}
    assert [field.metadata[b"PARQUET:field_id"] for field in pq.read_schema(path)] == [
        str(number).encode() for number in range(1, 11)
    ]


def test_every_page_has_a_checksum(storage: Storage) -> None:
    """For readers that ask: with a digest alone only we would notice a flipped bit."""
    rng = random.Random(1)
    prices = {number: rng.uniform(1, 2) for number in range(744)}
    store(storage, begin(storage), candles(prices))
    whole = (storage.parquet / _PATH).read_bytes()
    sound = pq.read_table(pa.BufferReader(whole))
    caught = flips = 0
    for place in range(4, len(whole) // 2, 61):
        content = bytearray(whole)
        content[place] ^= 1
        flips += 1
        try:
            rows = pq.read_table(pa.BufferReader(bytes(content)), page_checksum_verification=True)
        except OSError as error:
            caught += "CRC" in str(error)
        else:
            # It hit a statistic in the header of a page.
            assert rows == sound

    assert caught > flips / 2


def test_the_footer_says_all_that_the_catalog_needs(path: Path, storage: Storage) -> None:
    footer = json.loads(pq.read_metadata(path).metadata[b"lake"])

    assert footer["lake_id"] == storage.lake_id
    assert footer["series"] == {
        "data_type": "ohlcv",
        "venue": "BINANCE",
        "instrument": "BTCUSDT",
        "timeframe": "1h",
    }
    assert (footer["generation"], footer["rows"], footer["schema_version"]) == (1, 700, 1)
    assert (footer["min_ts"], footer["max_ts"]) == (1704067200000000, 1706583600000000)
    assert footer["source"] == {"name": "ccxt", "rank": 20, "origin": "venue"}
    [[start, end, basis, *_]] = footer["coverage"]
    assert (start, end, basis) == (1704067200000000, 1706587200000000, "answer")


@pytest.mark.parametrize(
    ("data_type", "row"),
    [
        (
            DataType.TRADES,
            {"trade_id": 7, "price": 1.0, "quantity": 2.0, "side": "buy"},
        ),
        (
            DataType.ORDERBOOK,
            {
                "sequence": 3,
                "best_bid": 1.0,
                "bid_prices": [1.0, 0.5],
                "bid_quantities": [2.0, 3.0],
                "ask_prices": [],
                "ask_quantities": [],
            },
        ),
        (DataType.FUNDING_RATES, {"funding_rate": 0.0001, "interval_hours": 8.0}),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_every_data_type_is_stored_as_it_was_given(
    storage: Storage, data_type: DataType, row: dict[str, object]
) -> None:
    series = Series(data_type, InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM")))
    lease = begin(storage, series)
    rows = pa.Table.from_pylist([{"ts": START, **row}], ROW_SPECS[data_type].schema)
    partition = Partition.of(series, START)

    store(storage, lease, rows, partition=partition)

    assert storage.read_partition(partition) == rows
    assert storage.catalog.partitions(series)[0].gap_runs == ()
