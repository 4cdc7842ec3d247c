"""A venue whose answers come from a copy that stands still, while its clock goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.coverage import NOTHING_LATER
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange, union
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Backfill, Request
from lake.ingestion.update import update
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets

START, END = datetime(2024, 1, 1), datetime(2024, 1, 3)
FROZEN, THEN = datetime(2024, 1, 1, 20), datetime(2024, 1, 2, 2)
NOW = datetime(2024, 1, 2, 12)
USDM = Venue("BINANCEUSDM")
PERP = InstrumentId("BTCUSDT-PERP", USDM)
CANDLES = Series(DataType.OHLCV, PERP, TimeFrame.MINUTE_1)
TRADES = Series(DataType.TRADES, PERP)
FUNDING = Series(DataType.FUNDING_RATES, PERP)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=START,
            end=END,
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.MINUTE_1, TimeFrame.HOUR_1),
            rate=0.2,
            store_trades=True,
            funding={START: 1},
        )
    return root


def wanted(series: Series) -> Request:
    frames = (series.timeframe,) if series.timeframe else ()
    return Request(USDM, ("BTC/USDT:USDT",), frames, START, data_type=series.data_type)


def ends(storage: Storage, series: Series) -> list[TimeRange]:
    """Where the lake believes that the venue has nothing because it showed nothing later."""
    found = storage.catalog.coverage(series)
    return union(each.range for each in found if each.evidence == NOTHING_LATER)


async def updated(storage: Storage, url: str) -> int:
    async with Backfill(storage, base_url=url, min_free=0) as backfill:
        report = await update(storage, backfill)
    assert not report.failed
    return len(report.jobs)


@pytest.mark.parametrize("series", [CANDLES, TRADES, FUNDING], ids=["candles", "trades", "funding"])
def test_what_a_frozen_copy_did_not_show_is_asked_again(
    market: Path, tmp_path: Path, series: Series
) -> None:
    """Six hours behind, it looks like the end of data. Rows after it say that it was not."""
    with (
        BoxThread(market, clock_start=THEN.isoformat(), clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        box.control("lag", seconds=(THEN - FROZEN).total_seconds())
        asyncio.run(markets.run(copy, box.url, wanted(series)))
        [end] = ends(copy, series)
        assert FROZEN < end.end < THEN
        box.control("lag", seconds=0)
        box.control("clock", now=NOW.isoformat())

        if series is CANDLES:
            asyncio.run(updated(copy, box.url))
        else:
            asyncio.run(markets.run(copy, box.url, wanted(series)))
            asyncio.run(markets.run(copy, box.url, wanted(series)))

        settled = copy.catalog.coverage(series)[-1].range.end
        assert settled > datetime(2024, 1, 2, 10)
        markets.assert_equal(market, copy, series, TimeRange(START, settled))
        assert ends(copy, series) == []


def test_the_end_of_data_is_not_asked_for_again_without_reason(
    market: Path, tmp_path: Path
) -> None:
    """An instrument that is gone costs an update the tail alone."""
    with (
        BoxThread(market, clock_start="2024-01-03T06:00", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        asyncio.run(markets.run(copy, box.url, wanted(CANDLES)))
        box.control("clock", advance_s=7_200)
        box.exchange.requests.clear()

        asyncio.run(updated(copy, box.url))

        assert ends(copy, CANDLES) == [TimeRange(END, datetime(2024, 1, 3, 7))]
        assert len(box.requests()) <= 6


def test_a_candle_that_a_lagging_copy_takes_for_running_is_not_final(
    market: Path, tmp_path: Path
) -> None:
    """Three minutes behind at the full hour, it shows three minutes too little of the last one."""
    hourly = Series(DataType.OHLCV, PERP, TimeFrame.HOUR_1)
    hour = datetime(2024, 1, 2, 3)
    with (
        BoxThread(market, clock_start="2024-01-02T03:02:30", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        box.control("lag", seconds=180)
        asyncio.run(markets.run(copy, box.url, wanted(hourly)))
        claimed = union(each.range for each in copy.catalog.coverage(hourly))
        box.control("lag", seconds=0)
        asyncio.run(markets.run(copy, box.url, wanted(hourly)))

        then = union(each.range for each in copy.catalog.coverage(hourly))
        assert claimed == [TimeRange(START, hour.replace(hour=2))]
        assert then == [TimeRange(START, hour)]
        markets.assert_equal(market, copy, hourly, TimeRange(START, hour))


def test_a_hole_is_not_explained_by_a_copy_that_ends_before_what_is_held(
    market: Path, tmp_path: Path
) -> None:
    """It fails loudly, and is filled when the venue has caught up."""

    def part(start: int, end: int) -> Request:
        day = replace(wanted(CANDLES), start=START.replace(hour=start))
        return replace(day, end=START.replace(hour=end))

    with (
        BoxThread(market, clock_start=NOW.isoformat(), clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        for start, end in ((0, 5), (10, 12)):
            asyncio.run(markets.run(copy, box.url, part(start, end)))
        box.control("lag", seconds=(NOW - START.replace(hour=8)).total_seconds())
        frozen = asyncio.run(markets.run(copy, box.url, part(0, 12)))
        promised = union(each.range for each in copy.catalog.coverage(CANDLES))
        box.control("lag", seconds=0)
        asyncio.run(markets.run(copy, box.url, part(0, 12)))

        assert [job.state for job in frozen.jobs] == [JobState.FAILED]
        assert promised == [part_of(0, 5), part_of(10, 12)]
        markets.assert_equal(market, copy, CANDLES, part_of(0, 12))


def part_of(start: int, end: int) -> TimeRange:
    return TimeRange(START.replace(hour=start), START.replace(hour=end))
