"""Generate, serve, backfill, compare: the whole way through the real ccxt client over HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from lake.domain.gaps import GapReason
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Backfill
from lake.ingestion.events import Event, PageFetched
from lake.quality import explained_gaps
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import END, LISTED, OUTAGE, START, TIMEFRAMES, series

LATER = "2024-02-05T00:00:00"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return markets.make_market(tmp_path_factory.mktemp("market") / "lake")


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "copy", create=True) as storage:
        yield storage


def box(market: Path, **options: object) -> BoxThread:
    return BoxThread(market, clock_start=LATER, clock_rate=0, limits=False, **options)


def test_a_backfill_ends_equal_to_the_truth_and_then_has_nothing_to_do(
    market: Path, copy: Storage
) -> None:
    """Row for row, column for column; the gaps are those that the market has, with reasons."""
    with box(market) as exchange:
        report = asyncio.run(markets.run(copy, exchange.url, markets.request()))
        asked = len(exchange.requests())
        again = asyncio.run(markets.run(copy, exchange.url, markets.request()))

        assert [job.state for job in report.jobs] == [JobState.COMPLETED] * 4
        assert (again.jobs, again.rows) == ((), 0)
        assert len(exchange.requests()) == asked
    for code in ("BTCUSDT", "ETHUSDT"):
        for timeframe in TIMEFRAMES:
            assert markets.assert_equal(market, copy, series(code, timeframe))
    minutes = {
        (gap.series.instrument_id.symbol, gap.reason): (gap.range, gap.missing_count)
        for gap in explained_gaps(copy)
        if gap.series.timeframe is TimeFrame.MINUTE_1
    }
    assert minutes == {
        ("BTCUSDT", GapReason.VENUE_OUTAGE): (OUTAGE, 810),
        ("ETHUSDT", GapReason.VENUE_OUTAGE): (OUTAGE, 810),
        ("ETHUSDT", GapReason.BEFORE_LISTING): (TimeRange(START, LISTED), 3240),
    }


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[] if seed < 6 else [pytest.mark.torture]) for seed in range(20)],
)
def test_faulty_answers_never_leave_a_silent_hole(market: Path, copy: Storage, seed: int) -> None:
    """40 % of all answers are faults: equal to the truth, or failed loudly and then completed."""
    wanted = markets.request(timeframes=(TimeFrame.MINUTE_1,))
    with box(market, faults=0.4, seed=seed) as exchange:
        exchange.control("faults", rate=0.4, seed=seed, retry_after_s=0, slow_s=0.01)
        report = asyncio.run(markets.run(copy, exchange.url, wanted))
        if report.failed:
            exchange.control("faults", rate=0)
            report = asyncio.run(markets.run(copy, exchange.url, wanted))

    assert not report.failed
    for code in ("BTCUSDT", "ETHUSDT"):
        markets.assert_equal(market, copy, series(code, TimeFrame.MINUTE_1))
    assert {gap.reason for gap in explained_gaps(copy)} == {
        GapReason.VENUE_OUTAGE,
        GapReason.BEFORE_LISTING,
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_backfill_to_now_ends_equal_while_candles_close(
    market: Path, copy: Storage, seed: int
) -> None:
    """Late corrections and a lagging server: nothing is covered too early or asked twice."""
    draw = random.Random(seed)
    bitcoin = series("BTCUSDT", TimeFrame.MINUTE_1)
    start, now = datetime(2024, 2, 3), datetime(2024, 2, 3, 1)
    wanted = markets.request(
        instruments=("BTC/USDT",), timeframes=(TimeFrame.MINUTE_1,), start=start, end=None
    )
    with BoxThread(market, clock_start=now.isoformat(), clock_rate=0, limits=False) as exchange:
        exchange.control("corrections", seconds=45)
        exchange.control("lag", seconds=5)
        while now < datetime(2024, 2, 3, 4):
            before = copy.catalog.coverage(bitcoin) if copy.catalog.series_info(bitcoin) else []
            exchange.exchange.requests.clear()

            report = asyncio.run(markets.run(copy, exchange.url, wanted))

            assert not report.failed
            if before:
                settled = before[-1].range.end
                queries = [parse_qs(each["query"]) for each in exchange.requests()]
                asked = [int(each["startTime"][0]) for each in queries if "startTime" in each]
                # One candle before the hole may be asked for again, as its near edge.
                border = settled - timedelta(minutes=2)
                assert min(asked) >= border.timestamp() * 1000 - _OFFSET_MS
            for covered in copy.catalog.coverage(bitcoin):
                assert covered.range.end <= now - timedelta(seconds=45)
            step = timedelta(seconds=draw.randrange(20, 600))
            now += step
            exchange.control("clock", advance_s=step.total_seconds())
        exchange.control("clock", now=datetime(2024, 2, 3, 5).isoformat())
        asyncio.run(markets.run(copy, exchange.url, wanted))
        asyncio.run(markets.run(copy, exchange.url, wanted))

    settled = copy.catalog.coverage(bitcoin)[-1].range.end
    assert settled >= datetime(2024, 2, 3, 4, 50)
    markets.assert_equal(market, copy, bitcoin, TimeRange(start, settled))


# ``timestamp()`` of a naive datetime is read in the machine's zone; this takes that back.
_OFFSET_MS = datetime(2024, 2, 3).timestamp() * 1000 - 1_706_918_400_000


def test_two_backfills_at_once_give_the_exact_union(market: Path, copy: Storage) -> None:
    """Overlapping ranges of one series, in one process: nothing lost, nothing twice."""
    early = markets.request(end=datetime(2024, 2, 3))
    late = markets.request(start=datetime(2024, 1, 31))

    async def both(url: str) -> None:
        await asyncio.gather(markets.run(copy, url, early), markets.run(copy, url, late))

    with box(market) as exchange:
        asyncio.run(both(exchange.url))

    for code in ("BTCUSDT", "ETHUSDT"):
        for timeframe in TIMEFRAMES:
            markets.assert_equal(market, copy, series(code, timeframe))


def test_a_stopped_backfill_continues_where_it_was(market: Path, copy: Storage) -> None:
    """What was stored before the stop is not asked for again."""
    wanted = markets.request(instruments=("BTC/USDT",), timeframes=(TimeFrame.MINUTE_1,))
    bitcoin = series("BTCUSDT", TimeFrame.MINUTE_1)

    async def stopped(url: str) -> None:
        pages = 0

        def listen(event: Event) -> None:
            nonlocal pages
            pages += isinstance(event, PageFetched)
            if pages == 2:
                backfill.stop()

        async with Backfill(
            copy, base_url=url, min_free=0, max_workers=1, on_event=listen
        ) as backfill:
            report = await backfill.run(await backfill.plan(wanted))
        assert report.interrupted
        assert [job.state for job in report.jobs] == [JobState.CANCELLED]

    with box(market) as exchange:
        asyncio.run(stopped(exchange.url))
        covered = sum((each.range.duration for each in copy.catalog.coverage(bitcoin)), timedelta())
        stored = markets.rows_of(copy, bitcoin).num_rows
        assert timedelta() < covered < END - START
        exchange.exchange.requests.clear()

        report = asyncio.run(markets.run(copy, exchange.url, wanted))

        assert report.rows == 5 * 1440 - 810 - stored
    markets.assert_equal(market, copy, bitcoin)


def test_a_refetch_asks_again_and_changes_nothing(market: Path, copy: Storage) -> None:
    """Fetched again, equal rows are neither added nor changed."""
    wanted = markets.request(timeframes=(TimeFrame.HOUR_1,))
    with box(market) as exchange:
        asyncio.run(markets.run(copy, exchange.url, wanted))
        asked = len(exchange.requests())

        report = asyncio.run(
            markets.run(
                copy, exchange.url, markets.request(timeframes=(TimeFrame.HOUR_1,), refetch=True)
            )
        )

        assert len(exchange.requests()) > asked
    assert (report.rows, len(report.jobs)) == (0, 2)
    markets.assert_equal(market, copy, series("BTCUSDT", TimeFrame.HOUR_1))
