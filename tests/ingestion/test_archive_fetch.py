"""Backfills that take what is old and large from the vendor's archive, the rest from the venue."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.ingestion import Backfill, Report, Request
from lake.simulator.market import generate
from lake.sources.archive.binance_tree import Choice
from lake.storage.archive_files import ArchiveState, KnownFile
from lake.storage.doctor import examine
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.box import BoxServer, BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import series

START, END = datetime(2023, 11, 20), datetime(2024, 2, 12)
NOW = "2024-02-13T12:00:00"
OUTAGE = TimeRange(datetime(2023, 12, 24, 10), datetime(2023, 12, 24, 12, 30))
BITCOIN = series("BTCUSDT", TimeFrame.MINUTE_1)
NOVEMBER, DECEMBER, JANUARY = (
    f"BTCUSDT-1m-{month}.zip" for month in ("2023-11", "2023-12", "2024-01")
)
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            start=START,
            end=END,
            instruments=("BTC/USDT", "ETH/USDT"),
            timeframes=(TimeFrame.MINUTE_1,),
            outages=[OUTAGE],
            rate=0.02,
        )
    return root


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "copy", create=True) as storage:
        yield storage


def box(market: Path, **options: object) -> BoxThread:
    return BoxThread(market, clock_start=NOW, clock_rate=0, limits=False, **options)


def run(storage: Storage, url: str, choice: Choice = Choice.AUTO, **wanted: Any) -> Report:
    asked = markets.request(
        instruments=("BTC/USDT",),
        timeframes=(TimeFrame.MINUTE_1,),
        **{"start": START, "end": END, **wanted},
    )
    return asyncio.run(
        markets.run(storage, url, asked, choice=choice, archive_url=f"{url}/archive")
    )


def files_of(storage: Storage) -> dict[str, ArchiveState]:
    return {name: file.state for name, file in storage.archives.of(BITCOIN).items()}


def candles_asked(exchange: BoxThread) -> int:
    return len(exchange.requests("klines"))


def test_whole_months_come_from_the_archive_and_the_rest_from_the_venue(
    market: Path, copy: Storage
) -> None:
    """One series without a seam: equal to the truth, and both sources in its coverage."""
    with box(market) as exchange:
        report = run(copy, exchange.url)
        again = run(copy, exchange.url)
        klines = [each for each in exchange.requests("api/v3/klines") if each["status"] == 200]

    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    assert again.jobs == ()
    assert markets.assert_equal(market, copy, BITCOIN) == report.rows
    assert files_of(copy) == dict.fromkeys((NOVEMBER, DECEMBER, JANUARY), ArchiveState.STORED)
    covered = {(row.source, row.basis) for row in copy.catalog.coverage(BITCOIN)}
    assert covered == {("archive", Basis.ARCHIVE), ("ccxt", Basis.ANSWER)}
    # Twelve days of February: the venue is asked for nothing that a month's file holds.
    assert len(klines) < 40
    # November's file promises all of November, and the instrument was listed in the midst of it.
    assert [(gap.reason, gap.range) for gap in find_gaps(copy)] == [
        (GapReason.BEFORE_LISTING, TimeRange(datetime(2023, 11, 1), START)),
        (GapReason.VENUE_HAS_NONE, OUTAGE),
    ]
    assert examine(copy, deep=True, repair=False) == []
    assert not (copy.root / ".downloads").exists()


def test_archive_and_rest_of_one_range_are_equal(market: Path, tmp_path: Path) -> None:
    window = {"start": datetime(2023, 12, 1), "end": datetime(2024, 1, 1)}
    with (
        box(market) as exchange,
        Storage.open(tmp_path / "a", create=True) as archived,
        Storage.open(tmp_path / "b", create=True) as asked,
    ):
        run(archived, exchange.url, Choice.ARCHIVE, **window)
        before = candles_asked(exchange)
        run(asked, exchange.url, Choice.REST, **window)

        assert candles_asked(exchange) - before > 40
        one, other = markets.rows_of(archived, BITCOIN), markets.rows_of(asked, BITCOIN)
    assert one.num_rows == 31 * 1440 - 150
    assert one.equals(other)


def test_a_month_that_is_not_there_comes_by_days_and_then_from_the_venue(
    market: Path, copy: Storage
) -> None:
    """404 is a fact: it is kept, and not asked for again by the next run."""
    gone = [JANUARY, "BTCUSDT-1m-2024-01-05.zip"]
    with box(market) as exchange:
        exchange.control("archive", missing=gone)
        run(copy, exchange.url)
        days = [each for each in exchange.requests("archive") if "/daily/" in each["path"]]
        exchange.exchange.requests.clear()
        run(copy, exchange.url)

        assert exchange.requests("archive") == []
    markets.assert_equal(market, copy, BITCOIN)
    known = files_of(copy)
    assert {name for name, state in known.items() if state is ArchiveState.ABSENT} == set(gone)
    assert len({each["path"] for each in days if not each["path"].endswith("CHECKSUM")}) == 31
    # Thirty days of January in one commit, and the day that no file has from the venue.
    [january] = [info for info in copy.catalog.partitions(BITCOIN) if info.partition.month == 1]
    assert january.generation == 2


def test_a_file_that_was_empty_is_not_downloaded_again_and_again(
    market: Path, copy: Storage
) -> None:
    """It answers as little as one that is not there, and is asked for as seldom."""
    copy.catalog.ensure_series(BITCOIN, "base-url")
    empty = KnownFile(
        name=JANUARY,
        state=ArchiveState.STORED,
        checked_at=copy.clock(),
        window=TimeRange(datetime(2024, 1, 1), datetime(2024, 2, 1)),
        promises=True,
    )
    copy.archives.record(BITCOIN, empty)
    with box(market) as exchange:
        run(copy, exchange.url)
        asked = [each["path"] for each in exchange.requests("archive")]

    assert not [path for path in asked if JANUARY in path]
    markets.assert_equal(market, copy, BITCOIN)


@pytest.mark.parametrize("harm", ["corrupted", "missing"])
def test_what_no_file_gives_is_told_where_only_archives_are_wanted(
    market: Path, copy: Storage, harm: str
) -> None:
    with box(market) as exchange:
        names = {DECEMBER} | {f"BTCUSDT-1m-2023-12-{day:02}.zip" for day in range(1, 32)}
        exchange.control("archive", **{harm: sorted(names)})
        report = run(copy, exchange.url, Choice.ARCHIVE, end=datetime(2024, 2, 1))

    [job] = report.jobs
    assert job.state is (JobState.FAILED if harm == "corrupted" else JobState.COMPLETED)
    assert report.exit_code == (1 if harm == "corrupted" else 0)
    december = TimeRange(datetime(2023, 12, 1), datetime(2024, 1, 1))
    [gap] = [each for each in find_gaps(copy) if each.reason is GapReason.FAILED]
    assert (gap.range, gap.reason, gap.missing_count) == (december, GapReason.FAILED, 31 * 1440)
    assert ("differs from its .CHECKSUM" if harm == "corrupted" else "no such file") in gap.evidence
    assert markets.rows_of(copy, BITCOIN, december).num_rows == 0


def test_a_corrupted_file_is_replaced_by_the_venue(market: Path, copy: Storage) -> None:
    with box(market) as exchange:
        exchange.control("archive", corrupted=[DECEMBER])
        report = run(copy, exchange.url)

    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    markets.assert_equal(market, copy, BITCOIN)


def test_days_that_are_not_out_yet_are_left_out_where_only_archives_are_wanted(
    market: Path, copy: Storage
) -> None:
    """The newest day is no gap of this run: nobody asked for it."""
    with box(market) as exchange:
        run(copy, exchange.url, Choice.ARCHIVE, start=datetime(2024, 2, 1), end=None)

    [row] = copy.catalog.coverage(BITCOIN)
    assert row.range == TimeRange(datetime(2024, 2, 1), END)
    assert find_gaps(copy) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_loses_nothing_and_starts_nothing_over(
    market: Path, copy: Storage, seed: int
) -> None:
    """Resets, cut answers, 5xx: a download goes on where it broke off."""
    with box(market) as exchange:
        exchange.control(
            "faults",
            rate=0.4,
            seed=seed,
            kinds=["reset", "short_body", "closed", "http_500", "http_503"],
            path="archive",
            retry_after_s=0,
        )
        report = run(copy, exchange.url, Choice.ARCHIVE, end=datetime(2024, 2, 1))
        parts = [each for each in exchange.requests("archive") if each["status"] == 206]

    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    window = TimeRange(START, datetime(2024, 2, 1))
    markets.assert_equal(market, copy, BITCOIN, window)
    assert parts or seed, "the first seed cuts a file, which is asked for from there on"


def test_a_stand_in_never_mixes_with_the_vendors_own_archive(market: Path, copy: Storage) -> None:
    asked = markets.request(
        instruments=("BTC/USDT",), timeframes=(TimeFrame.MINUTE_1,), start=START, end=END
    )
    with box(market) as exchange:

        async def plan() -> None:
            async with Backfill(copy, base_url=exchange.url, choice=Choice.ARCHIVE) as backfill:
                await backfill.plan(asked)

        with pytest.raises(InvalidRequest, match="--archive-url"):
            asyncio.run(plan())


def test_a_killed_run_downloads_nothing_twice_that_was_complete(
    market: Path, tmp_path: Path
) -> None:
    """Killed while later files come: what was stored is known, what was whole is still there."""
    lake = tmp_path / "lake"
    with BoxServer(market, clock_start=NOW, clock_rate=0, limits=False) as server:
        server.control("faults", rate=1.0, kinds=["slow"], slow_s=0.3, path="archive")
        command = [
            *(sys.executable, "-m", "lake", "backfill", "binance", "BTC/USDT", "ETH/USDT"),
            *("--timeframe", "1m", "--start", "2023-11-20", "--end", "2024-02-01"),
            *("--base-url", server.url, "--archive-url", f"{server.url}/archive"),
            *("--source", "archive", "--data", str(lake)),
        ]
        environment = {**os.environ, "LAKE_MIN_FREE": "0"}
        killed = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=-3, stderr=-3)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(server.requests(".zip")) < 9:
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        served = {
            each["path"]
            for each in server.requests("archive")
            if each["path"].endswith(".zip") and each["status"] in (200, 206)
        }
        kept = {path.name for path in (lake / ".downloads").rglob("*.zip")}
        with Storage.open(lake) as storage:
            kept |= {file.name for _, file in storage.archives.all()}
        server.control("reset")
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True)
        again = {
            each["path"].rpartition("/")[2]
            for each in server.requests("archive")
            if each["path"].endswith(".zip") and each["status"] in (200, 206)
        }

    assert done.returncode == 0, done.stderr.decode()
    assert served, "it was killed before anything came"
    assert kept, "it was killed before anything was whole"
    assert not again & kept
    with Storage.open(lake) as storage:
        window = TimeRange(START, datetime(2024, 2, 1))
        for code in ("BTCUSDT", "ETHUSDT"):
            markets.assert_equal(market, storage, series(code, TimeFrame.MINUTE_1), window)
        assert {job.status for job in storage.jobs.list()} == {JobState.COMPLETED}


def test_two_runs_that_want_the_same_files_both_end_well(market: Path, tmp_path: Path) -> None:
    """Each file comes once, and stays until both have taken it in."""
    asked = markets.request(
        instruments=("BTC/USDT", "ETH/USDT"),
        timeframes=(TimeFrame.MINUTE_1,),
        start=START,
        end=datetime(2024, 2, 1),
    )

    async def twice(url: str, one: Storage, other: Storage) -> list[Report]:
        options = {"choice": Choice.ARCHIVE, "archive_url": f"{url}/archive"}
        return await asyncio.gather(
            markets.run(one, url, asked, **options), markets.run(other, url, asked, **options)
        )

    with (
        box(market) as exchange,
        Storage.open(tmp_path / "lake", create=True) as one,
        Storage.open(tmp_path / "lake") as other,
    ):
        reports = asyncio.run(twice(exchange.url, one, other))
        zips = [each["path"] for each in exchange.requests("archive")]

        assert {job.state for report in reports for job in report.jobs} == {JobState.COMPLETED}
        window = TimeRange(START, datetime(2024, 2, 1))
        markets.assert_equal(market, one, BITCOIN, window)
        assert {job.status for job in one.jobs.list()} == {JobState.COMPLETED}
        assert not (one.root / ".downloads").exists()
    assert len([path for path in zips if path.endswith(JANUARY)]) == 1


def test_a_refetch_reads_the_files_again(market: Path, copy: Storage) -> None:
    window = {"start": datetime(2023, 12, 1), "end": datetime(2024, 1, 1)}
    with box(market) as exchange:
        run(copy, exchange.url, Choice.ARCHIVE, **window)
        exchange.exchange.requests.clear()
        report = run(copy, exchange.url, Choice.ARCHIVE, refetch=True, **window)

        assert len(exchange.requests(DECEMBER)) == 2
    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    ids = {row.job_id for row in copy.catalog.coverage(BITCOIN)}
    assert ids == {report.jobs[0].job_id}


def test_the_rows_told_are_those_that_were_added_or_changed(market: Path, copy: Storage) -> None:
    """A month's file holds all of the month, also where ten days of it were there."""
    december = datetime(2023, 12, 1)
    with box(market) as exchange:
        run(copy, exchange.url, Choice.REST, start=december, end=december + timedelta(days=10))
        report = run(copy, exchange.url, Choice.ARCHIVE, start=december, end=datetime(2024, 1, 1))

    assert [job.rows for job in report.jobs] == [21 * 1440 - 150]
    assert report.rows == 21 * 1440 - 150
    window = TimeRange(december, datetime(2024, 1, 1))
    assert markets.rows_of(copy, BITCOIN, window).num_rows == 31 * 1440 - 150


def test_hours_are_not_worth_a_download(market: Path, copy: Storage) -> None:
    """A month of hours is one request: the archive is left alone unless it is asked for."""
    with Storage.open(market) as storage:
        assert storage.catalog.series_info(BITCOIN) is not None
    with box(market) as exchange:
        run(copy, exchange.url, end=START + timedelta(days=3))

        assert exchange.requests("archive") == []


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of trades and funding, over a month's end."""
    root = tmp_path_factory.mktemp("lively") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=datetime(2024, 1, 30),
            end=datetime(2024, 2, 3),
            instruments=("BTC/USDT", "BTC/USDT:USDT"),
            timeframes=(TimeFrame.HOUR_1,),
            rate=0.2,
            store_trades=True,
            funding=8,
        )
    return root


def fetch(
    storage: Storage, box: BoxThread, venue: str, symbol: str, kind: DataType, choice: Choice
) -> Report:
    wanted = Request(
        Venue(venue), (symbol,), (), datetime(2024, 1, 30), datetime(2024, 2, 3), data_type=kind
    )
    return asyncio.run(
        markets.run(storage, box.url, wanted, choice=choice, archive_url=f"{box.url}/archive")
    )


@pytest.mark.parametrize(
    ("venue", "symbol", "code"),
    [("BINANCE", "BTC/USDT", "BTCUSDT"), ("BINANCEUSDM", "BTC/USDT:USDT", "BTCUSDT-PERP")],
)
def test_trades_of_files_and_of_the_venue_are_one_series(
    lively: Path, copy: Storage, venue: str, symbol: str, code: str
) -> None:
    """Days from files, the newest day from the venue: each trade once, under its own id."""
    what = Series(DataType.TRADES, InstrumentId(code, Venue(venue)))
    with BoxThread(lively, clock_start="2024-02-03T12:00", clock_rate=0, limits=False) as box:
        report = fetch(copy, box, venue, symbol, DataType.TRADES, Choice.AUTO)
        asked = len(box.requests("aggTrades"))
        again = fetch(copy, box, venue, symbol, DataType.TRADES, Choice.AUTO)

        assert again.jobs == ()
        assert len(box.requests("aggTrades")) == asked
    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    with Storage.open(lively, read_only=True) as storage:
        truth = trades_of(storage, what)
    assert trades_of(copy, what).equals(truth)
    assert report.rows == truth.num_rows
    assert {row.source for row in copy.catalog.coverage(what)} == {"archive", "ccxt"}
    info = copy.catalog.series_info(what)
    assert info is not None
    assert info.variant == "aggregate/venue"


def trades_of(storage: Storage, what: Series) -> pa.Table:
    tables = [
        table
        for info in storage.catalog.partitions(what)
        if (table := storage.read_partition(info.partition)) is not None
    ]
    return pa.concat_tables(tables).combine_chunks()


def test_settlements_of_files_are_those_of_the_venue(lively: Path, tmp_path: Path) -> None:
    """Files say the interval of each settlement and no mark price; the rate is the same."""
    what = Series(DataType.FUNDING_RATES, InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM")))
    found = {}
    for choice in (Choice.ARCHIVE, Choice.REST):
        with (
            BoxThread(lively, clock_start="2024-03-20", clock_rate=0, limits=False) as box,
            Storage.open(tmp_path / choice.value, create=True) as storage,
        ):
            fetch(storage, box, "BINANCEUSDM", "BTC/USDT:USDT", DataType.FUNDING_RATES, choice)
            found[choice] = trades_of(storage, what).select(
                ["ts", "funding_rate", "interval_hours"]
            )

    assert found[Choice.ARCHIVE].num_rows == 11
    assert found[Choice.ARCHIVE].slice(1).equals(found[Choice.REST].slice(1))
