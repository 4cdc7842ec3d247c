"""Importing trades and funding: what commits, what is refused, what a revised file replaces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from archive_kit import NOW, checksum_of, zip_of
from trade_kit import aggregate, aggregates

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import StorageError
from lake.ingestion.imports import FileState, ImportReport, import_files
from lake.simulator.market import generate
from lake.sources.archive.binance_trades import BinanceTrades
from lake.storage.lake import Storage

DAY = datetime(2024, 3, 1)
BTC = InstrumentId.from_str("BTCUSDT.BINANCE")
TRADES = Series(DataType.TRADES, BTC)
FILE = Partition.of(TRADES, DAY)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def day(folder: Path, text: str, kind: str = "aggTrades", date: str = "2024-03-01") -> Path:
    return zip_of(folder / f"BTCUSDT-{kind}-{date}.zip", text)


def bring(storage: Storage, *paths: Path) -> ImportReport:
    return import_files(storage, paths, now=NOW)


def stored(storage: Storage) -> pa.Table:
    rows = storage.read_partition(FILE)
    assert rows is not None
    return rows


def test_a_day_is_stored_and_covered(storage: Storage, tmp_path: Path) -> None:
    path = day(tmp_path, aggregates(DAY, range(1, 101)))
    checksum_of(path)

    report = bring(storage, path)

    assert (report.exit_code, report.rows_added) == (0, 100)
    assert stored(storage)["trade_id"].to_pylist() == list(range(1, 101))
    [coverage] = storage.catalog.coverage(TRADES)
    assert coverage.range == TimeRange(DAY, DAY + timedelta(days=1))
    assert (coverage.basis, coverage.evidence) == (Basis.ARCHIVE, "zip CRC, sha256")
    info = storage.catalog.series_info(TRADES)
    assert info is not None
    assert info.variant == "aggregate/venue"


def test_the_same_file_is_not_read_again(storage: Storage, tmp_path: Path) -> None:
    path = day(tmp_path, aggregates(DAY, range(1, 101)))
    bring(storage, path)

    report = bring(storage, path)

    [outcome] = report.files
    assert (outcome.state, outcome.reason) == (FileState.UNCHANGED, "taken in before")
    assert storage.catalog.partitions(TRADES)[0].generation == 1


def test_a_revised_file_replaces_its_range(storage: Storage, tmp_path: Path) -> None:
    """The vendor took a trade away and corrected another: what was is kept in revisions."""
    bring(storage, day(tmp_path, aggregates(DAY, range(1, 6))))
    revised = aggregates(DAY, [1, 2]) + aggregate(3, DAY + timedelta(seconds=3), price="77")

    report = bring(storage, day(tmp_path, revised + aggregates(DAY, [5])))

    assert report.files[0].state is FileState.STORED
    assert stored(storage)["trade_id"].to_pylist() == [1, 2, 3, 5]
    assert stored(storage)["price"].to_pylist() == [100.5, 100.5, 77.0, 100.5]
    old = storage.catalog.revisions(TRADES)
    assert sorted(each.old_row["trade_id"] for each in old) == [3, 4]


def test_single_fills_do_not_join_aggregates(storage: Storage, tmp_path: Path) -> None:
    """They would count every trade a second time."""
    bring(storage, day(tmp_path, aggregates(DAY, range(1, 6))))
    singles = "7,100.5,0.25,25.125,1709251200005,true,true\n"

    report = bring(storage, day(tmp_path, singles, "trades"))

    [outcome] = report.files
    assert outcome.state is FileState.REFUSED
    assert "is held as" in outcome.reason
    assert "Use another lake for them (--data)" in outcome.reason
    assert stored(storage).num_rows == 5


def test_nothing_of_a_damaged_file_is_stored(storage: Storage, tmp_path: Path) -> None:
    path = day(tmp_path, aggregates(DAY, range(1, 5_000)))
    path.write_bytes(path.read_bytes()[:-900])

    report = bring(storage, path)

    assert report.files[0].state is FileState.REFUSED
    assert storage.catalog.partitions(TRADES) == []


def test_an_empty_file_is_remembered(storage: Storage, tmp_path: Path) -> None:
    """It claims nothing, so nothing that it gave can be missing again: it is not read twice."""
    path = zip_of(tmp_path / "BTCUSDT-aggTrades-2024-03-01.zip", "")

    first, again = bring(storage, path), bring(storage, path)

    assert [(each.state, each.rows) for each in first.files] == [(FileState.UNCHANGED, 0)]
    assert again.files[0].reason == "taken in before"
    assert storage.catalog.coverage(TRADES) == []


def test_nothing_is_written_where_the_disk_would_be_full(storage: Storage, tmp_path: Path) -> None:
    """What must stay free is looked at before a file is read, not only where it is downloaded."""
    path = day(tmp_path, aggregates(DAY, [1, 2]))

    with pytest.raises(StorageError, match="to stay free \\(min_free\\)"):
        import_files(storage, [path], now=NOW, min_free=1 << 60)

    assert storage.catalog.partitions(TRADES) == []
    assert bring(storage, path).rows_added == 2


def test_bad_lines_are_in_quarantine(storage: Storage, tmp_path: Path) -> None:
    bad = aggregate(3, DAY, price="0")

    report = bring(storage, day(tmp_path, aggregates(DAY, [1, 2]) + bad))

    assert report.files[0].rejected == 1
    [kept] = storage.catalog.rejected(TRADES)
    assert kept.raw + "\n" == bad


def test_microseconds_meet_the_milliseconds_of_the_api(storage: Storage, tmp_path: Path) -> None:
    """One trade has one row, though its time differs, and the file is spooled table by table."""
    little_memory = BinanceTrades(memory_rows=100, table_rows=7)
    new_day = datetime(2025, 3, 1)
    step = timedelta(microseconds=333)
    coarse = aggregates(new_day, range(1, 60_001), every=step)
    fine = "".join(
        line.replace(f",{ms // 1000},", f",{ms},")
        for number, line in enumerate(coarse.splitlines(keepends=True), start=1)
        for ms in [int(line.split(",")[5]) * 1000 + number * 333 % 1000]
    )
    folder = tmp_path / "api"
    bring(storage, day(folder, coarse, date="2025-03-01").rename(tmp_path / "x.zip"))

    path = day(tmp_path, fine, date="2025-03-01")
    report = import_files(storage, [path], formats=[little_memory], now=NOW)

    assert report.exit_code == 0
    rows = storage.read_partition(Partition.of(TRADES, new_day))
    assert rows is not None
    assert rows["trade_id"].to_pylist() == list(range(1, 60_001))
    assert rows["ts"][0].as_py() == new_day + step


@pytest.mark.parametrize("is_month", [False, True])
def test_a_lake_written_as_archives_comes_back_equal(tmp_path: Path, is_month: bool) -> None:
    """Generated trades, as Binance would publish them, imported into a second lake."""
    with Storage.open(tmp_path / "made", create=True, origin="synthetic") as made:
        generate(
            made,
            seed=5,
            instruments=["BTC/USDT"],
            start=DAY,
            end=DAY + timedelta(days=3),
            rate=0.02,
            timeframes=[TimeFrame.DAY_1],
            store_trades=True,
        )
        partitions = [each.partition for each in made.catalog.partitions(TRADES)]
        tables = [made.read_partition(each) for each in partitions]
    whole = pa.concat_tables([each for each in tables if each is not None])
    text = [
        f"{row['trade_id']},{row['price']!r},{row['quantity']!r},{row['first_trade_id']},"
        f"{row['last_trade_id']},{int((row['ts'] - datetime(1970, 1, 1)).total_seconds() * 1e6)},"
        f"{row['side'] == 'sell'},True\n"
        for row in whole.to_pylist()
    ]
    if is_month:
        zip_of(tmp_path / "in" / "BTCUSDT-aggTrades-2024-03.zip", "".join(text))
    else:
        first = 0
        for partition, table in zip(partitions, tables, strict=True):
            assert table is not None
            name = f"BTCUSDT-aggTrades-{partition.range.start:%Y-%m-%d}.zip"
            zip_of(tmp_path / "in" / name, "".join(text[first : first + table.num_rows]))
            first += table.num_rows

    with Storage.open(tmp_path / "data", create=True) as storage:
        report = bring(storage, tmp_path / "in")
        back = [storage.read_partition(each) for each in partitions]

    assert (report.exit_code, report.rows_added) == (0, whole.num_rows)
    assert whole.num_rows > 3_000
    assert back == tables


def test_a_year_of_funding_is_one_commit(storage: Storage, tmp_path: Path) -> None:
    """Twelve months share a partition."""
    series = Series(DataType.FUNDING_RATES, InstrumentId.from_str("BTCUSDT-PERP.BINANCEUSDM"))
    for month in range(1, 13):
        ms = (datetime(2023, month, 1) - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
        zip_of(
            tmp_path / "in" / f"BTCUSDT-fundingRate-2023-{month:02}.zip",
            "calc_time,funding_interval_hours,last_funding_rate\n"
            + "".join(f"{ms + n * 28_800_000 + 2},8,0.0001\n" for n in range(84)),
        )

    report = bring(storage, tmp_path / "in")

    assert (report.exit_code, report.rows_added) == (0, 12 * 84)
    [info] = storage.catalog.partitions(series)
    assert (info.rows, info.generation) == (12 * 84, 1)
    [coverage] = storage.catalog.coverage(series)
    assert coverage.range == TimeRange(datetime(2023, 1, 1), datetime(2024, 1, 1))
