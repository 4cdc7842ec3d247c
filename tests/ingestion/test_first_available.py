"""Where a venue's candles begin: who may say so, and when it is asked again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.gaps import GapReason
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest
from lake.ingestion import Request
from lake.simulator.market import generate
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets

START, LATER, END = datetime(2024, 1, 1), datetime(2024, 1, 2, 6), datetime(2024, 1, 4)
HOURLY = markets.series("BTCUSDT", TimeFrame.HOUR_1)
NOW = "2024-01-05"


def make(root: Path, start: datetime) -> Path:
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=7,
            start=start,
            end=END,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.HOUR_1,),
            rate=0.02,
        )
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whole") / "lake", START)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same market, of which the first day and more is missing."""
    return make(tmp_path_factory.mktemp("short") / "lake", LATER)


def box(root: Path) -> BoxThread:
    return BoxThread(root, clock_start=NOW, clock_rate=0, limits=False)


def wanted(*, refetch: bool = False) -> Request:
    return markets.request(
        instruments=("BTC/USDT",),
        timeframes=(TimeFrame.HOUR_1,),
        start=START,
        end=END,
        refetch=refetch,
    )


def gaps(storage: Storage) -> list[tuple[TimeRange, GapReason, str]]:
    return [(each.range, each.reason, each.evidence) for each in find_gaps(storage)]


def test_what_a_mirror_lacks_is_not_taken_for_the_listing(
    whole: Path, short: Path, tmp_path: Path
) -> None:
    """It is beyond that source; another one is asked for it."""
    with (
        box(short) as mirror,
        box(whole) as other,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        asyncio.run(markets.run(copy, mirror.url, wanted(), accept_base_url=True))
        before = gaps(copy)
        told = copy.catalog.first_told(HOURLY)

        asyncio.run(markets.run(copy, other.url, wanted(), accept_base_url=True))

        evidence = f"{mirror.url} has nothing before 2024-01-02T06:00:00"
        assert before == [(TimeRange(START, LATER), GapReason.BEYOND_SOURCE, evidence)]
        assert told is None
        assert gaps(copy) == []
        markets.assert_equal(whole, copy, HOURLY)


def test_what_one_address_says_does_not_stand_for_another(
    whole: Path, short: Path, tmp_path: Path
) -> None:
    """A stand-in that began late must not hide what its successor has."""
    with Storage.open(tmp_path / "copy", create=True) as copy:
        with box(short) as first:
            asyncio.run(markets.run(copy, first.url, wanted()))
            told = copy.catalog.first_told(HOURLY)
            before = gaps(copy)
        with box(whole) as second:
            asyncio.run(markets.run(copy, second.url, wanted()))
            then = copy.catalog.first_told(HOURLY)

        assert told is not None
        assert (told.moment, told.source) == (LATER, first.url)
        assert [reason for _, reason, _ in before] == [GapReason.BEFORE_LISTING]
        assert then is not None
        assert (then.moment, then.source) == (START, second.url)
        markets.assert_equal(whole, copy, HOURLY)


def test_a_refetch_asks_again_where_the_candles_begin(
    whole: Path, short: Path, tmp_path: Path
) -> None:
    """A copy that lagged when it was asked first is not believed for ever."""
    with box(short) as venue, Storage.open(tmp_path / "copy", create=True) as copy:
        asyncio.run(markets.run(copy, venue.url, wanted()))
        with Storage.open(whole, read_only=True) as storage:
            venue.exchange.shelf = type(venue.exchange.shelf)(storage)

            again = asyncio.run(markets.run(copy, venue.url, wanted()))
            asyncio.run(markets.run(copy, venue.url, wanted(refetch=True)))

        assert again.jobs == ()
        assert copy.catalog.first_available(HOURLY) == START
        markets.assert_equal(whole, copy, HOURLY)


def test_nothing_is_missing_before_1970(whole: Path, tmp_path: Path) -> None:
    """Whoever wants everything may say so: the years before computers counted are no gap."""
    request = markets.request(
        instruments=("BTC/USDT",),
        timeframes=(TimeFrame.HOUR_1,),
        start=datetime(1, 1, 1),
        end=END,
    )
    early = replace(request, end=datetime(1969, 7, 20))

    with box(whole) as venue, Storage.open(tmp_path / "copy", create=True) as copy:
        asyncio.run(markets.run(copy, venue.url, request))
        with pytest.raises(InvalidRequest, match="nothing was traded before 1970"):
            asyncio.run(markets.run(copy, venue.url, early))

        [(missing, reason, _)] = gaps(copy)

    assert (missing, reason) == (TimeRange(EPOCH, START), GapReason.BEFORE_LISTING)
