"""Which files of Binance's tree are chosen, and where they lie."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import COINM, SPOT, USDM
from lake.sources.archive.binance_tree import (
    Choice,
    choose,
    days_instead,
    is_offered,
    path_of,
    variant_of,
)

NOW = datetime(2024, 5, 20, 6)
YEAR = TimeRange(datetime(2024, 1, 1), datetime(2024, 5, 20))


def candles(timeframe: str = "1m", venue: Venue = SPOT) -> Series:
    code = "BTCUSDT" if venue == SPOT else "BTCUSDT-PERP"
    return Series(DataType.OHLCV, InstrumentId(code, venue), TimeFrame(timeframe))


def of(data_type: DataType, venue: Venue = SPOT) -> Series:
    code = "BTCUSDT" if venue == SPOT else "BTCUSDT-PERP"
    return Series(data_type, InstrumentId(code, venue))


def names(series: Series, *pieces: TimeRange, now: datetime = NOW, **more: object) -> list[str]:
    return [
        file.name.removeprefix("BTCUSDT-").removesuffix(".zip")
        for file in choose(series, "BTCUSDT", pieces, now=now, **more)  # type: ignore[arg-type]
    ]


def test_months_that_are_out_come_whole_and_the_newest_by_days() -> None:
    """A month's file comes on the first Monday after it, a day's on the day after."""
    found = names(candles(), YEAR, only_worthwhile=False)

    assert found[:4] == ["1m-2024-01", "1m-2024-02", "1m-2024-03", "1m-2024-04"]
    assert found[4:] == [f"1m-2024-05-{day:02}" for day in range(1, 19)]


def test_a_month_just_over_still_comes_by_days() -> None:
    window = TimeRange(datetime(2024, 4, 1), datetime(2024, 5, 1))

    assert names(candles(), window, now=datetime(2024, 5, 8), only_worthwhile=False) == [
        f"1m-2024-04-{day:02}" for day in range(1, 31)
    ]
    assert names(candles(), window, now=datetime(2024, 5, 9), only_worthwhile=False) == [
        "1m-2024-04"
    ]


def test_what_a_few_requests_give_is_not_worth_a_file() -> None:
    """Ten requests of a thousand rows: a week of minutes, a day of seconds, a year of hours."""
    january = TimeRange(datetime(2024, 1, 1), datetime(2024, 2, 1))
    week = TimeRange(datetime(2024, 1, 1), datetime(2024, 1, 6, 22))

    assert names(candles(), january) == ["1m-2024-01"]
    assert names(candles(), week) == []
    assert names(candles("1h"), YEAR) == []
    assert names(candles("1s"), TimeRange(datetime(2024, 5, 1), datetime(2024, 5, 3))) == [
        "1s-2024-05-01",
        "1s-2024-05-02",
    ]
    assert names(of(DataType.FUNDING_RATES, USDM), YEAR) == []


def test_pieces_of_one_month_make_one_file() -> None:
    pieces = [
        TimeRange(datetime(2024, 1, day), datetime(2024, 1, day + 5)) for day in (1, 8, 15, 22)
    ]

    assert names(candles(), *pieces) == ["1m-2024-01"]


def test_trades_are_taken_from_files_from_six_hours_on() -> None:
    trades, start = of(DataType.TRADES), datetime(2024, 5, 10)
    some = TimeRange(start, start + timedelta(hours=5))
    more = TimeRange(start, start + timedelta(hours=7))

    assert names(trades, some, variant="aggregate/venue") == []
    assert names(trades, more, variant="aggregate/venue") == ["aggTrades-2024-05-10"]
    assert names(trades, more, variant="single/venue") == ["trades-2024-05-10"]


def test_candles_of_three_days_and_more_have_no_daily_files() -> None:
    assert names(candles("1w"), YEAR, only_worthwhile=False) == [
        f"1w-2024-0{month}" for month in range(1, 5)
    ]


@pytest.mark.parametrize(
    ("series", "native", "name", "path"),
    [
        (
            candles(),
            "BTCUSDT",
            "BTCUSDT-1m-2024-01.zip",
            "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip",
        ),
        (
            candles(venue=USDM),
            "BTCUSDT",
            "BTCUSDT-1m-2024-01-02.zip",
            "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-02.zip",
        ),
        (
            of(DataType.TRADES, COINM),
            "BTCUSD_PERP",
            "BTCUSD_PERP-aggTrades-2024-01.zip",
            "data/futures/cm/monthly/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2024-01.zip",
        ),
        (
            of(DataType.FUNDING_RATES, USDM),
            "BTCUSDT",
            "BTCUSDT-fundingRate-2024-01.zip",
            "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-01.zip",
        ),
    ],
)
def test_paths_are_those_of_the_public_tree(
    series: Series, native: str, name: str, path: str
) -> None:
    assert path_of(series, native, name) == path


@pytest.mark.parametrize(
    "name", ["mine.csv", "ETHUSDT-1m-2024-01.zip", "BTCUSDT-5m-2024-01.zip", "BTCUSDT-1m.zip"]
)
def test_a_name_that_is_none_of_the_trees_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no file of"):
        path_of(candles(), "BTCUSDT", name)


def test_days_stand_in_for_a_month_that_is_not_there() -> None:
    window = TimeRange(datetime(2024, 2, 10, 12), datetime(2024, 2, 12))
    [month] = choose(candles(), "BTCUSDT", [window], now=NOW, only_worthwhile=False)

    days = days_instead(candles(), "BTCUSDT", month, [window], now=NOW)

    assert [day.name for day in days] == ["BTCUSDT-1m-2024-02-10.zip", "BTCUSDT-1m-2024-02-11.zip"]


def test_what_is_offered_and_of_which_kind() -> None:
    assert is_offered(candles())
    assert not is_offered(of(DataType.FUNDING_RATES, SPOT))
    assert not is_offered(of(DataType.ORDERBOOK))
    assert not is_offered(candles(venue=Venue("KRAKEN")))
    assert variant_of(of(DataType.TRADES), None) == "aggregate/venue"
    assert variant_of(of(DataType.TRADES), "single/venue") == "single/venue"
    with pytest.raises(InvalidRequest, match="may not be mixed"):
        variant_of(of(DataType.TRADES), "single/derived")


def test_a_source_that_does_not_exist_is_refused() -> None:
    assert Choice.from_str("Archive") is Choice.ARCHIVE
    with pytest.raises(InvalidRequest, match="'ftp' is no source"):
        Choice.from_str("ftp")
