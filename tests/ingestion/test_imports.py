"""`import_files`: what goes into the lake, what does not, and what is said about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import (
    HEADER,
    NOW,
    REAL_DATA,
    csv_of,
    line,
    lines,
    needs_real_data,
    zip_of,
)

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.ingestion.events import JobEnded, JobStarted, Stored
from lake.ingestion.import_ledger import Ledger
from lake.ingestion.import_paths import Found, find
from lake.ingestion.import_run import ImportRun
from lake.ingestion.imports import (
    FileOutcome,
    FileState,
    ImportEvent,
    ImportReport,
    import_files,
)
from lake.sources.archive import Hints
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage

MARCH = datetime(2024, 3, 1)
DAY = timedelta(days=1)
SPOT = Venue("BINANCE")
MINUTES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", SPOT), TimeFrame.MINUTE_1)
HOURS = Series(DataType.OHLCV, InstrumentId("BTCUSDT", SPOT), TimeFrame.HOUR_1)
FILE = Partition(MINUTES, 2024, 3)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def day(folder: Path, number: int, *, count: int = 1440, price: float = 100.0) -> Path:
    """The archive of the *number*-th day of March 2024."""
    start = MARCH + (number - 1) * DAY
    name = f"BTCUSDT-1m-{start:%Y-%m-%d}"
    return zip_of(folder / f"{name}.zip", lines(start, count, price=price))


def bring(storage: Storage, *paths: Path, **options: object) -> ImportReport:
    return import_files(storage, paths, venue=SPOT, now=NOW, **options)  # type: ignore[arg-type]


def states(report: ImportReport) -> dict[str, FileState]:
    return {file.path.name: file.state for file in report.files}


def test_a_month_of_days_is_one_commit(storage: Storage, tmp_path: Path) -> None:
    """Thirty rewrites of one file would be thirty times the work."""
    for number in range(1, 11):
        day(tmp_path / "in", number)
    seen: list[ImportEvent] = []

    report = bring(storage, tmp_path / "in", on_event=seen.append)

    assert (report.rows_added, report.rows_changed, report.exit_code) == (14_400, 0, 0)
    [info] = storage.catalog.partitions(MINUTES)
    assert (info.rows, info.generation, info.missing) == (14_400, 1, 0)
    [coverage] = storage.catalog.coverage(MINUTES)
    assert coverage.range == TimeRange(MARCH, MARCH + 10 * DAY)
    assert (coverage.basis, coverage.source, coverage.evidence) == (
        Basis.ARCHIVE,
        "archive",
        "zip CRC",
    )
    assert [type(event) for event in seen if not isinstance(event, FileOutcome)] == [
        JobStarted,
        Stored,
        JobEnded,
    ]
    assert sum(isinstance(event, FileOutcome) for event in seen) == 10


def test_the_job_says_what_was_imported(storage: Storage, tmp_path: Path) -> None:
    bring(storage, day(tmp_path, 1), day(tmp_path, 3))

    [job] = storage.jobs.list()
    assert (job.kind, job.status, job.rows, job.progress) == (
        "import",
        JobState.COMPLETED,
        2_880,
        1.0,
    )
    assert job.range == TimeRange(MARCH, MARCH + 3 * DAY)


def test_importing_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    """No row, no generation, no job."""
    paths = [day(tmp_path, 1), day(tmp_path, 2)]
    bring(storage, *paths)
    before = storage.catalog.partitions(MINUTES), storage.catalog.coverage(MINUTES)

    report = bring(storage, *paths)

    assert set(states(report).values()) == {FileState.UNCHANGED}
    assert (report.rows_added, report.rows_changed, report.jobs) == (0, 0, ())
    assert (storage.catalog.partitions(MINUTES), storage.catalog.coverage(MINUTES)) == before
    assert len(storage.jobs.list()) == 1


def test_what_is_new_beside_what_is_held_goes_in(storage: Storage, tmp_path: Path) -> None:
    bring(storage, day(tmp_path, 1))

    report = bring(storage, day(tmp_path, 1), day(tmp_path, 2))

    assert states(report) == {
        "BTCUSDT-1m-2024-03-01.zip": FileState.UNCHANGED,
        "BTCUSDT-1m-2024-03-02.zip": FileState.STORED,
    }
    assert report.rows_added == 1440


def test_a_refused_file_does_not_keep_the_others_out(storage: Storage, tmp_path: Path) -> None:
    good = day(tmp_path / "in", 1)
    bad = tmp_path / "in" / "BTCUSDT-1m-2024-03-02.zip"
    bad.write_bytes(b"<html>404</html>")
    cut = day(tmp_path / "in", 3)
    cut.write_bytes(cut.read_bytes()[:5_000])

    report = bring(storage, tmp_path / "in")

    assert states(report) == {
        good.name: FileState.STORED,
        bad.name: FileState.REFUSED,
        cut.name: FileState.REFUSED,
    }
    reasons = {file.path.name: file.reason for file in report.files}
    assert "a web page or error message" in reasons[bad.name]
    assert "cut short" in reasons[cut.name]
    assert report.exit_code == 4
    [coverage] = storage.catalog.coverage(MINUTES)
    assert coverage.range == TimeRange(MARCH, MARCH + DAY)


def test_when_every_file_is_refused_nothing_is_stored(storage: Storage, tmp_path: Path) -> None:
    bad = tmp_path / "BTCUSDT-1m-2024-03-02.zip"
    bad.write_bytes(b"")

    report = bring(storage, bad)

    assert report.exit_code == 1
    assert storage.catalog.series() == []
    assert storage.jobs.list() == []


def test_a_damaged_file_stores_nothing_of_itself(storage: Storage, tmp_path: Path) -> None:
    """The first half of it could be read; it must not be found in the lake."""
    path = csv_of(tmp_path / "BTCUSDT-1m-2024-03-01.csv", lines(MARCH, 1440)[:-30])

    report = bring(storage, path)

    assert report.files[0].state is FileState.REFUSED
    assert storage.read_partition(FILE) is None


@pytest.mark.parametrize("month", ["month=03", "month=04"])
def test_a_file_that_vanishes_ends_nothing_but_itself(
    storage: Storage, tmp_path: Path, month: str
) -> None:
    """April's is taken away before it is read, or when its rows are stored and it is noted."""
    march, april, may = (day(tmp_path / "in", number) for number in (1, 32, 62))

    def take_away(event: ImportEvent) -> None:
        if isinstance(event, Stored) and month in event.partition_path:
            april.unlink()

    report = bring(storage, march, april, may, on_event=take_away)

    assert states(report) == {
        march.name: FileState.STORED,
        april.name: FileState.REFUSED,
        may.name: FileState.STORED,
    }
    [reason] = [file.reason for file in report.files if file.state is FileState.REFUSED]
    assert "vanished" in reason
    assert [job.status for job in storage.jobs.list()] == [JobState.COMPLETED]


def test_unknown_files_in_a_folder_are_skipped_and_named_ones_refused(
    storage: Storage, tmp_path: Path
) -> None:
    """A folder holds all kinds of things; who names a file means it."""
    day(tmp_path / "in", 1)
    other = csv_of(tmp_path / "in" / "notes.csv", "a,b\n1,2\n")
    csv_of(tmp_path / "in" / "README.md", "about")

    from_folder = bring(storage, tmp_path / "in")
    by_name = bring(storage, other)

    assert states(from_folder) == {
        "BTCUSDT-1m-2024-03-01.zip": FileState.STORED,
        "notes.csv": FileState.SKIPPED,
    }
    assert from_folder.exit_code == 0
    assert states(by_name) == {"notes.csv": FileState.REFUSED}


def test_a_folder_of_nothing_but_unknown_files_is_a_failure(
    storage: Storage, tmp_path: Path
) -> None:
    """Nothing stored must not look like success."""
    csv_of(tmp_path / "in" / "notes.csv", "a,b\n1,2\n")

    report = bring(storage, tmp_path / "in")

    assert (states(report), report.exit_code) == ({"notes.csv": FileState.REFUSED}, 1)


def test_days_go_in_before_the_month_that_repeats_them(storage: Storage, tmp_path: Path) -> None:
    """The month was published later; importing both again finds nothing to do."""
    february = datetime(2024, 2, 1)
    month = zip_of(
        tmp_path / "BTCUSDT-1h-2024-02.zip", lines(february, 29 * 24, step=timedelta(hours=1))
    )
    early = zip_of(
        tmp_path / "BTCUSDT-1h-2024-02-01.zip",
        lines(february, 24, step=timedelta(hours=1), price=50.0),
    )

    report = bring(storage, month, early)
    again = bring(storage, early, month)

    assert report.rows_added == 29 * 24
    rows = storage.read_partition(Partition(HOURS, 2024, 2))
    assert rows is not None
    assert rows["open"][0].as_py() == 100.0
    assert again.rows_changed == 0


def test_a_revised_archive_replaces_what_it_gave_before(storage: Storage, tmp_path: Path) -> None:
    """Binance uploads corrected files (binance-public-data issue 436); the old rows are kept."""
    bring(storage, day(tmp_path / "old", 1))

    report = bring(storage, day(tmp_path / "new", 1, price=200.0))

    assert (report.rows_added, report.rows_changed) == (0, 1440)
    assert len(storage.catalog.revisions(MINUTES)) == 1440


def test_a_revised_archive_that_is_cut_takes_nothing_away_after_its_end(
    storage: Storage, tmp_path: Path
) -> None:
    """A month that was downloaded twice before it was over says nothing of its last days."""

    def month(folder: str, days: int) -> Path:
        text = lines(MARCH, days * 1440)
        return zip_of(tmp_path / folder / "BTCUSDT-1m-2024-03.zip", text)

    bring(storage, month("first", 10))
    for number in range(10, 31):
        bring(storage, day(tmp_path / "days", number + 1))
    report = bring(storage, month("second", 20))

    assert report.files[0].state is not FileState.REFUSED
    assert storage.catalog.partitions(MINUTES)[0].rows == 31 * 1440
    assert storage.catalog.revisions(MINUTES) == []
    assert [gap for gap in find_gaps(storage) if gap.range.start.month == 3] == []


def test_an_older_copy_of_a_day_takes_nothing_away(storage: Storage, tmp_path: Path) -> None:
    bring(storage, day(tmp_path / "whole", 1))
    cut_off = zip_of(tmp_path / "cut" / "BTCUSDT-1m-2024-03-01.zip", lines(MARCH, 600, price=7.0))

    report = bring(storage, cut_off)

    assert storage.catalog.partitions(MINUTES)[0].rows == 1440
    # Its last candle may have been running: it stands for nothing.
    assert report.rows_changed == 599


def test_days_of_daily_candles_share_the_years_file(storage: Storage, tmp_path: Path) -> None:
    for number in range(5):
        start = datetime(2024, 2, 27) + number * DAY
        zip_of(tmp_path / "in" / f"BTCUSDT-1d-{start:%Y-%m-%d}.zip", line(start, step=DAY))

    report = bring(storage, tmp_path / "in")

    series = Series(DataType.OHLCV, InstrumentId("BTCUSDT", SPOT), TimeFrame.DAY_1)
    assert report.rows_added == 5
    assert [info.partition for info in storage.catalog.partitions(series)] == [
        Partition(series, 2024, 0)
    ]


def test_a_file_without_a_promise_may_span_months(storage: Storage, tmp_path: Path) -> None:
    """Its rows go to the months that they belong to; its holes mean nothing."""
    start = datetime(2024, 2, 28, 12)
    path = csv_of(tmp_path / "mine.csv", lines(start, 3_000))

    report = bring(storage, path, instrument="BTC/USDT", timeframe=TimeFrame.MINUTE_1)

    assert report.rows_added == 3_000
    assert [info.rows for info in storage.catalog.partitions(MINUTES)] == [2_160, 840]
    assert {each.basis for each in storage.catalog.coverage(MINUTES)} == {Basis.ROWS_ONLY}


def test_bad_rows_go_to_quarantine(storage: Storage, tmp_path: Path) -> None:
    text = lines(MARCH, 1440, without=[7]) + line(MARCH + timedelta(minutes=7), price=-5.0)

    report = bring(storage, zip_of(tmp_path / "BTCUSDT-1m-2024-03-01.zip", text))

    assert report.files[0].rejected == 1
    [rejected] = storage.catalog.rejected(MINUTES)
    assert rejected.ts == MARCH + timedelta(minutes=7)
    assert rejected.raw.startswith("1709251620000,-5.0")


def test_a_series_of_another_origin_is_not_joined(storage: Storage, tmp_path: Path) -> None:
    """Synthetic rows and the vendor's must never stand in one series."""
    storage.catalog.ensure_series(MINUTES, "simulator")

    report = bring(storage, day(tmp_path, 1))

    assert report.files[0].state is FileState.REFUSED
    assert "simulator" in report.files[0].reason


def test_what_is_ambiguous_is_refused_with_what_to_say(storage: Storage, tmp_path: Path) -> None:
    report = import_files(storage, [day(tmp_path, 1)], now=NOW)

    assert "Say --venue BINANCE or --venue BINANCEUSDM" in report.files[0].reason


def test_the_header_of_futures_names_the_instrument(storage: Storage, tmp_path: Path) -> None:
    path = zip_of(tmp_path / "BTCUSDT-1m-2024-03-01.zip", HEADER + lines(MARCH, 1440))

    import_files(storage, [path], now=NOW)

    [info] = storage.catalog.series()
    assert str(info.series.instrument_id) == "BTCUSDT-PERP.BINANCEUSDM"
    stored = storage.catalog.instrument(info.series.instrument_id)
    assert stored is not None
    assert (stored.symbol, stored.native_id) == ("BTC/USDT:USDT", "BTCUSDT")


def test_paths_that_are_not_there_are_refused_before_anything_is_read(
    storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        bring(storage, day(tmp_path, 1), tmp_path / "nowhere.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="There is no archive"):
        bring(storage, tmp_path / "empty")

    assert storage.catalog.series() == []


def test_a_cancelled_import_keeps_what_it_stored(storage: Storage, tmp_path: Path) -> None:
    """Cancel takes effect between partitions."""
    paths = [day(tmp_path, 1)]
    april = datetime(2024, 4, 1)
    paths.append(zip_of(tmp_path / "BTCUSDT-1m-2024-04-01.zip", lines(april, 1440)))

    def cancel(event: ImportEvent) -> None:
        if isinstance(event, Stored):
            [job] = storage.jobs.list()
            storage.jobs.request_cancel(job.job_id)

    report = bring(storage, *paths, on_event=cancel)

    assert report.exit_code == 130
    [job] = storage.jobs.list()
    assert job.status is JobState.CANCELLED
    assert [info.partition.month for info in storage.catalog.partitions(MINUTES)] == [3]


@needs_real_data
def test_the_recorded_archives_come_in_as_their_readme_says(storage: Storage) -> None:
    """Names, units and the outage of 2023-03-24, without any network."""
    folders = [
        REAL_DATA / f"binance_vision_{kind}_klines"
        for kind in ("spot_daily", "spot_monthly", "um_monthly")
    ]

    report = import_files(storage, folders, now=NOW)

    assert (report.exit_code, report.count(FileState.STORED)) == (0, 40)
    assert report.rows_added == 16_721 + 2_880 + 82_080
    held = {str(info.series) for info in storage.catalog.series()}
    assert {"BTCUSDT.BINANCE ohlcv 1m", "AVAXUSDT-PERP.BINANCEUSDM ohlcv 1m"} <= held
    [info] = storage.catalog.partitions(MINUTES)
    assert info.gap_runs == (
        TimeRange(datetime(2023, 3, 24, 12, 40), datetime(2023, 3, 24, 14, 0)),
    )
    assert [(note.ts, note.kind) for note in storage.catalog.notes(MINUTES)] == [
        (datetime(2023, 3, 24, 12, 39), "early_close")
    ]
    winter = [i for i in storage.catalog.partitions(HOURS) if i.partition.year >= 2024]
    assert [(i.partition.year, i.partition.month, i.rows, i.missing) for i in winter] == [
        (2024, 11, 720, 0),
        (2024, 12, 744, 0),
        (2025, 1, 744, 0),
        (2025, 2, 672, 0),
    ]


def test_a_hostile_file_does_not_keep_the_others_of_its_folder_out(
    storage: Storage, tmp_path: Path
) -> None:
    """Not text, and a month without an end: two refusals, and the good file is in."""
    folder = tmp_path / "spot"
    good = csv_of(folder / "BTCUSDT-1m-2024-03-02.csv", lines(datetime(2024, 3, 2), 1_440))
    bad = csv_of(folder / "BTCUSDT-1m-2024-03-01.csv", "")
    bad.write_bytes(lines(datetime(2024, 3, 1), 20).encode().replace(b"7,", b"\xff,", 1))
    csv_of(folder / "BTCUSDT-1m-9999-12.csv", lines(datetime(2024, 3, 1), 20))

    report = import_files(storage, [folder], now=NOW)

    assert report.exit_code == 4
    assert report.count(FileState.REFUSED) == 2
    assert [each.path for each in report.files if each.state is FileState.STORED] == [good]


def test_folders_are_searched_for_names_whose_ends_differ(tmp_path: Path) -> None:
    """An older recorder of cryptofeed numbers its files; a .part is nobody's."""
    names = ["OKX.ws.3.12", "OKX.http.0.0", "a.CSV", "b.zip", ".hidden.zip", "c.zip.part", "d.ws"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")

    found = find([tmp_path])

    assert [each.path.name for each in found] == ["OKX.http.0.0", "OKX.ws.3.12", "a.CSV", "b.zip"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_told_and_the_rest_goes_in(storage: Storage, tmp_path: Path) -> None:
    day(tmp_path / "in", 1)
    closed, hidden = day(tmp_path / "in", 2), day(tmp_path / "in" / "below", 3).parent
    closed.chmod(0)
    hidden.chmod(0)
    try:
        report = bring(storage, tmp_path / "in")
    finally:
        hidden.chmod(0o700)

    assert report.rows_added == 1440
    assert report.exit_code == 4
    refused = {each.path.name for each in report.files if each.state is FileState.REFUSED}
    assert refused == {closed.name, "below"}


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="only Linux has such a file")
def test_a_file_that_the_disk_does_not_give_is_told_and_the_rest_goes_in(
    storage: Storage, tmp_path: Path
) -> None:
    """An error of input and output, as a broken disk gives."""
    whole, odd = day(tmp_path, 1), tmp_path / "BTCUSDT-1m-2024-03-02.zip"
    odd.symlink_to("/proc/self/mem")
    run = ImportRun(
        storage,
        Hints(venue=SPOT),
        lambda event: None,
        NOW,
        tmp_path / "scratch",
        Ledger(storage, {}, NOW),
    )

    report = run.all([Found(whole, is_named=True), Found(odd, is_named=True)])

    assert [each.state for each in report.files] == [FileState.STORED, FileState.REFUSED]
    assert f"{odd} cannot be read: Input/output error" in report.files[1].reason


@pytest.mark.parametrize("place", [0, 700])
def test_a_time_that_is_no_number_is_a_bad_row_and_no_header(
    storage: Storage, tmp_path: Path, place: int
) -> None:
    rows = lines(MARCH, 1440).splitlines(keepends=True)
    rows[place] = "NaN" + rows[place][rows[place].index(",") :]

    report = bring(storage, zip_of(tmp_path / "BTCUSDT-1m-2024-03-01.zip", "".join(rows)))

    assert (report.rows_added, report.files[0].rejected) == (1439, 1)


def test_quotes_do_not_make_a_header(storage: Storage, tmp_path: Path) -> None:
    """Spot or futures: neither quotes nor name say which."""
    quoted = "\n".join(
        ",".join(f'"{field}"' for field in text.split(","))
        for text in lines(MARCH, 1440).splitlines()
    )

    report = import_files(
        storage, [zip_of(tmp_path / "BTCUSDT-1m-2024-03-01.zip", quoted)], now=NOW
    )

    assert "Say --venue BINANCE or --venue BINANCEUSDM" in report.files[0].reason


def test_candles_in_a_file_that_is_named_trades_are_refused(
    storage: Storage, tmp_path: Path
) -> None:
    path = zip_of(
        tmp_path / "BTCUSDT-trades-2024-03-01.zip",
        lines(MARCH, 1440),
        member="BTCUSDT-1m-2024-03-01.csv",
    )

    report = bring(storage, path)

    assert report.files[0].state is FileState.REFUSED
    assert storage.catalog.partitions(MINUTES) == []
