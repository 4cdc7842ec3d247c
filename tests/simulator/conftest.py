"""One small synthetic lake for all tests of the box: three days around a month's end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread

START, END = datetime(2024, 1, 30), datetime(2024, 2, 2)
LISTED = datetime(2024, 1, 31, 5, 7)
# Ends on the hour, begins inside a minute: candles of 1m and 1h close early.
OUTAGE = TimeRange(datetime(2024, 1, 30, 12, 39, 41, 647_000), datetime(2024, 1, 30, 14))


@pytest.fixture(scope="session")
def lake_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of spot, USD-M and COIN-M candles with a late listing and an outage."""
    root = tmp_path_factory.mktemp("box") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=3,
            instruments=["BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"],
            start=START,
            end=END,
            timeframes=[TimeFrame.MINUTE_1, TimeFrame.HOUR_1, TimeFrame.DAY_1],
            rate=0.05,
            listings={"ETH/USDT": LISTED},
            outages=[OUTAGE],
        )
    return root


@pytest.fixture(scope="module")
def shared_box(lake_root: Path) -> Iterator[BoxThread]:
    with BoxThread(lake_root, clock_start=END.isoformat(), clock_rate=0) as box:
        yield box


@pytest.fixture
def box(shared_box: BoxThread) -> Iterator[BoxThread]:
    """The box over that lake, its clock standing at the end of the data."""
    shared_box.control("reset")
    shared_box.control("clock", now=END.isoformat(), rate=0)
    shared_box.control("limits", enforced=True)
    yield shared_box
    shared_box.control("reset")


FULL_START, FULL_END = datetime(2024, 1, 30, 18), datetime(2024, 2, 1, 6)


@pytest.fixture(scope="session")
def full_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day and a half of three kinds of market, with everything that the box knows."""
    root = tmp_path_factory.mktemp("full") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            instruments=["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "ETH/USDT:USDT"],
            start=FULL_START,
            end=FULL_END,
            timeframes=[TimeFrame.MINUTE_1, TimeFrame.HOUR_1],
            rate=0.4,
            store_trades=True,
            books=timedelta(seconds=10),
            book_levels=50,
            funding={datetime(2023, 1, 1): 8, datetime(2024, 1, 31, 8): 4},
        )
    return root


@pytest.fixture(scope="module")
def shared_full_box(full_root: Path) -> Iterator[BoxThread]:
    with BoxThread(full_root, clock_start=FULL_END.isoformat(), clock_rate=0) as box:
        yield box


@pytest.fixture
def full_box(shared_full_box: BoxThread) -> BoxThread:
    """The box over that lake, its clock standing at the end of the data, without limits."""
    shared_full_box.control("reset")
    shared_full_box.control("clock", now=FULL_END.isoformat(), rate=0)
    shared_full_box.control("limits", enforced=False)
    return shared_full_box
