"""Backfills of which the exchange never hears: its archive tells the time, names and rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.ingestion import Backfill, Report, Request
from lake.ingestion.recording import Recording
from lake.simulator.market import generate
from lake.sources.archive.binance_names import instrument_of
from lake.sources.archive.binance_tree import Choice
from lake.storage.doctor import examine
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import series

START, END = datetime(2023, 12, 20), datetime(2024, 1, 21)
NOW = "2024-02-13T12:00:00"
BITCOIN = series("BTCUSDT", TimeFrame.MINUTE_1)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=13,
            start=START,
            end=END,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.02,
            store_trades=True,
        )
    return root


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "copy", create=True) as storage:
        yield storage


@pytest.fixture
def box(market: Path) -> Iterator[BoxThread]:
    with BoxThread(market, clock_start=NOW, clock_rate=0, limits=False) as exchange:
        yield exchange


def request() -> Request:
    return Request(Venue("BINANCE"), ("BTC/USDT",), (TimeFrame.MINUTE_1,), start=START, end=END)


def named(symbol: str) -> Instrument:
    return instrument_of(symbol.replace("/", ""), Venue("BINANCE"), symbol)


def asked_of_the_exchange(box: BoxThread) -> int:
    return len(box.requests("api/"))


async def _run(storage: Storage, url: str, asked: Request) -> Report:
    async with Backfill(storage, archive_url=url, choice=Choice.ARCHIVE, min_free=0) as backfill:
        return await backfill.run(await backfill.plan(asked))


def run(storage: Storage, box: BoxThread, **wanted: object) -> Report:
    asked = replace(request(), **wanted)  # type: ignore[arg-type]
    return asyncio.run(_run(storage, f"{box.url}/archive", asked))


@pytest.mark.parametrize("name", ["BTC/USDT", "btcusdt", "BTCUSDT.BINANCE"])
def test_rows_come_without_a_word_to_the_exchange(
    market: Path, copy: Storage, box: BoxThread, name: str
) -> None:
    report = run(copy, box, instruments=(name,))

    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    assert markets.assert_equal(market, copy, BITCOIN) == report.rows > 40_000
    assert asked_of_the_exchange(box) == 0
    found = copy.catalog.instrument(BITCOIN.instrument_id)
    assert found is not None
    assert (found.symbol, found.base, found.quote) == ("BTC/USDT", "BTC", "USDT")
    # December's file promises all of December; nobody says when it was listed.
    assert [(gap.reason, gap.range) for gap in find_gaps(copy)] == [
        (GapReason.VENUE_HAS_NONE, TimeRange(datetime(2023, 12, 1), START))
    ]
    assert examine(copy, deep=True, repair=False) == []


def test_trades_too(market: Path, copy: Storage, box: BoxThread) -> None:
    report = run(copy, box, data_type=DataType.TRADES, timeframes=())

    trades = Series(DataType.TRADES, BITCOIN.instrument_id)
    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    assert markets.assert_equal(market, copy, trades) == report.rows
    assert asked_of_the_exchange(box) == 0


def test_the_exchange_goes_on_where_the_archive_ends(
    market: Path, copy: Storage, box: BoxThread
) -> None:
    run(copy, box, end=datetime(2024, 1, 1))
    named = copy.catalog.instrument(BITCOIN.instrument_id)
    report = asyncio.run(markets.run(copy, box.url, request(), choice=Choice.REST))
    listed = copy.catalog.instrument(BITCOIN.instrument_id)

    assert [job.state for job in report.jobs] == [JobState.COMPLETED]
    markets.assert_equal(market, copy, BITCOIN)
    # The exchange's own list says more of an instrument than the name of a file.
    assert named is not None
    assert listed is not None
    assert named.tick_size is None
    assert listed.tick_size is not None


def test_a_name_of_which_there_is_no_file_fails_and_says_so(copy: Storage, box: BoxThread) -> None:
    report = run(copy, box, instruments=("BTC/EUR",))

    [job] = report.jobs
    assert job.state is JobState.FAILED
    assert "BTCEUR" in (job.error or "")
    assert "no file" in (job.error or "")
    assert report.exit_code == 1
    assert asked_of_the_exchange(box) == 0


def test_days_that_were_asked_for_and_are_not_out_yet_are_told(market: Path, copy: Storage) -> None:
    """At noon of the day after, the archive has no file of the 20th."""
    with BoxThread(market, clock_start="2024-01-20T12:00:00", clock_rate=0, limits=False) as box:
        run(copy, box, start=datetime(2024, 1, 15), end=datetime(2024, 1, 20))

    missing = TimeRange(datetime(2024, 1, 19), datetime(2024, 1, 20))
    assert [gap.range for gap in find_gaps(copy)] == [missing]


def test_a_list_of_long_ago_knows_no_new_instruments(
    market: Path, copy: Storage, box: BoxThread
) -> None:
    """It says what a pattern means, and a name that it lacks is still looked for."""
    ether = named("ETH/USDT")
    long_ago, just_now = datetime(2023, 1, 1), datetime.now(UTC).replace(tzinfo=None)
    copy.catalog.upsert_instruments([ether], fetched_at=long_ago)

    report = run(copy, box, instruments=("BTC/USDT",))
    [missing] = run(copy, box, instruments=("*USDT",), end=datetime(2024, 1, 1)).jobs

    assert report.rows > 40_000
    assert missing.series.instrument_id == ether.id
    copy.catalog.upsert_instruments([ether], fetched_at=just_now)
    with pytest.raises(InvalidRequest, match="has no instrument 'SOL/USDT'"):
        run(copy, box, instruments=("SOL/USDT",))


def test_what_has_no_file_before_the_first_is_no_failure_of_later_runs(
    copy: Storage, box: BoxThread
) -> None:
    """404 is a fact; cron need not hear of it every night."""
    early = datetime(2023, 11, 1)
    first = run(copy, box, start=early)
    again = run(copy, box, start=early)

    assert [job.state for job in (*first.jobs, *again.jobs)] == [JobState.COMPLETED] * 2
    assert again.rows == 0
    gap = find_gaps(copy)[0]
    assert gap.range == TimeRange(early, datetime(2023, 12, 1))
    assert (gap.reason, gap.evidence) == (GapReason.FAILED, "the archive has no such file")


def test_what_one_copy_of_the_tree_lacks_is_asked_of_another(
    market: Path, copy: Storage, box: BoxThread
) -> None:
    """An address without its last part has no file at all, which says nothing of the right one."""
    wrong = asyncio.run(_run(copy, box.url, request()))
    right = run(copy, box)

    assert [job.state for job in (*wrong.jobs, *right.jobs)] == [
        JobState.FAILED,
        JobState.COMPLETED,
    ]
    assert markets.assert_equal(market, copy, BITCOIN) == right.rows > 40_000


def test_who_wants_everything_again_asks_for_absent_files_too(
    copy: Storage, box: BoxThread
) -> None:
    early = datetime(2023, 11, 1)
    run(copy, box, start=early)
    asked = len(box.requests("1m-2023-11"))
    run(copy, box, start=early)
    again = len(box.requests("1m-2023-11"))
    run(copy, box, start=early, refetch=True)

    assert asked == again > 0
    assert len(box.requests("1m-2023-11")) == 2 * asked


def test_what_no_archive_has_is_refused_before_anything_is_asked(
    copy: Storage, box: BoxThread
) -> None:
    with pytest.raises(InvalidRequest, match="none that can be downloaded has KRAKEN"):
        run(copy, box, venue=Venue("KRAKEN"))
    for pattern in ("*USDT", "BTC?SDT", "[B]TCUSDT"):
        with pytest.raises(InvalidRequest, match="Name the instruments"):
            run(copy, box, instruments=(pattern,))
    with pytest.raises(InvalidRequest, match="quote asset"):
        run(copy, box, instruments=("NONSENSE",))
    with pytest.raises(InvalidRequest, match="lies in the future: at BINANCE it is 2024-02-13"):
        run(copy, box, start=datetime(2025, 1, 1), end=datetime(2025, 2, 1))

    assert asked_of_the_exchange(box) == 0


def test_books_are_not_in_archives(copy: Storage, box: BoxThread) -> None:
    async def record() -> None:
        async with Backfill(
            copy, archive_url=f"{box.url}/archive", choice=Choice.ARCHIVE, min_free=0
        ) as backfill:
            wanted = Recording(Venue("BINANCE"), ("BTC/USDT",), timedelta(seconds=10), None, 20)
            await backfill.plan_recording(wanted)

    with pytest.raises(InvalidRequest, match="Leave --source out"):
        asyncio.run(record())


def test_an_archive_out_of_reach_is_named(copy: Storage, box: BoxThread) -> None:
    url = box.url
    box.stop()

    with pytest.raises(SourceError, match="cannot be reached"):
        asyncio.run(_run(copy, f"{url}/archive", request()))
