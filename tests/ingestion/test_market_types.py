"""Trades and funding rates the whole way: generate, serve, backfill, compare."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Request
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets

START, END = datetime(2024, 1, 1), datetime(2024, 1, 3)
USDM = Venue("BINANCEUSDM")
PERP = InstrumentId("BTCUSDT-PERP", USDM)
TRADES = Series(DataType.TRADES, PERP)
FUNDING = Series(DataType.FUNDING_RATES, PERP)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one perpetual whose funding interval changes."""
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=3,
            start=START,
            end=END,
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.HOUR_1,),
            rate=0.2,
            store_trades=True,
            funding={START: 8, datetime(2024, 1, 2): 4},
        )
    return root


def request(data_type: DataType, start: datetime = START, end: datetime = END) -> Request:
    return Request(USDM, ("BTC/USDT:USDT",), (), start, end, data_type=data_type)


@pytest.mark.parametrize("faults", [0.0, 0.4])
@pytest.mark.parametrize("series", [TRADES, FUNDING], ids=["trades", "funding"])
def test_what_the_venue_has_is_stored_exactly(
    market: Path, tmp_path: Path, series: Series, faults: float
) -> None:
    """Row for row; then nothing is left to do."""
    with (
        BoxThread(market, clock_start="2024-01-04", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        box.control("faults", rate=faults, seed=1, retry_after_s=0, slow_s=0.01)

        report = asyncio.run(markets.run(copy, box.url, request(series.data_type)))

        assert not report.failed, report.failed
        assert report.rows == markets.assert_equal(market, copy, series)
        box.control("faults", rate=0)
        again = asyncio.run(markets.run(copy, box.url, request(series.data_type)))
        assert again.jobs == ()


def test_ranges_that_meet_inside_a_day_join_without_a_seam(market: Path, tmp_path: Path) -> None:
    """Trades of the border's millisecond are neither lost nor stored twice."""
    border = START + timedelta(hours=30)
    with (
        BoxThread(market, clock_start="2024-01-04", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        for start, end in ((border, END), (START, border)):
            asyncio.run(markets.run(copy, box.url, request(DataType.TRADES, start, end)))

        markets.assert_equal(market, copy, TRADES, TimeRange(START, END))


def test_three_years_of_a_changing_interval_come_back_complete(tmp_path: Path) -> None:
    """8h, then 4h, then 1h: nothing may assume the interval that the venue has today.

    ccxt's own paging steps 8 hours times 1,000 and so loses most of such a history.
    """
    start, fours, ones = datetime(2021, 1, 1), datetime(2022, 1, 1), datetime(2023, 1, 1)
    end = datetime(2024, 1, 1)
    with Storage.open(tmp_path / "market", create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=start,
            end=end,
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.DAY_1,),
            rate=0.0005,
            funding={start: 8, fours: 4, ones: 1},
        )
    # A settlement ends the time that it pays for: none at the start, the last before the end.
    hours = [8.0] * (365 * 3) + [4.0] * (365 * 6) + [1.0] * (365 * 24 - 1)
    with (
        BoxThread(tmp_path / "market", clock_start="2024-01-04", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        box.control("faults", rate=0.1, seed=2, retry_after_s=0, slow_s=0.01)

        wanted = request(DataType.FUNDING_RATES, start, end)
        report = asyncio.run(markets.run(copy, box.url, wanted))

        assert not report.failed, report.failed
        assert markets.assert_equal(tmp_path / "market", copy, FUNDING) == len(hours)
        assert markets.rows_of(copy, FUNDING)["interval_hours"].to_pylist() == hours
