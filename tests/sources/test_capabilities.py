"""The table of what venues give."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame, grid_of
from lake.errors import InvalidRequest
from lake.sources.capabilities import capabilities, capability, ccxt_ids
from lake.sources.venue_limits import UNIFIED_LIMITS


def test_an_unknown_venue_is_refused_with_near_names_and_no_network() -> None:
    with pytest.raises(InvalidRequest, match=r"BINANSE is not a venue.*BINANCE"):
        capability(Venue("binanse"), DataType.OHLCV)


@pytest.mark.parametrize(
    ("venue", "kind", "way_out"),
    [
        ("bybit", DataType.TRADES, "archives"),
        ("hyperliquid", DataType.TRADES, "archives"),
        ("kucoin", DataType.TRADES, "archives"),
        ("kucoinfutures", DataType.TRADES, "newest 100.*archives"),
        ("binance", DataType.FUNDING_RATES, "BINANCEUSDM"),
        ("mudrex", DataType.ORDERBOOK, "lake sources"),
    ],
)
def test_what_a_venue_does_not_give_is_refused_with_the_way_out(
    venue: str, kind: DataType, way_out: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"{kind} of {venue.upper()}.*{way_out}"):
        capability(Venue(venue), kind)


def test_ids_are_those_of_the_installed_ccxt() -> None:
    """They are read from file names, since importing ccxt takes half a second."""
    import ccxt.async_support

    assert ccxt_ids() == set(ccxt.async_support.exchanges)


def test_every_ccxt_venue_has_an_entry_and_every_limit_a_venue() -> None:
    entries = capabilities()

    assert {each.venue.ccxt_id for each in entries} == ccxt_ids()
    assert {name.lower() for name in UNIFIED_LIMITS} <= ccxt_ids()
    assert all(each.page_size > 0 for each in entries)


@pytest.mark.parametrize(
    ("venue", "page", "weight"), [("BINANCE", 1_000, 2), ("BINANCEUSDM", 499, 2)]
)
def test_binance_pages_bring_the_most_candles_for_their_weight(
    venue: str, page: int, weight: int
) -> None:
    entry = capability(Venue(venue), DataType.OHLCV)

    assert entry.raw is not None
    assert (entry.page_size, entry.raw.weight(page)) == (page, weight)
    per_weight = page / weight
    assert all(count / entry.raw.weight(count) <= per_weight for count in (99, 100, 500, 1_000))


def test_units_of_volume_are_named_only_where_they_are_known() -> None:
    bybit = capability(Venue("bybit"), DataType.OHLCV).volume_units
    kraken = capability(Venue("krakenfutures"), DataType.OHLCV).volume_units
    aster = capability(Venue("aster"), DataType.OHLCV).volume_units

    assert bybit is not None
    assert bybit[InstrumentKind.INVERSE] == "base"
    assert kraken is not None
    assert InstrumentKind.INVERSE not in kraken
    assert aster is not None
    assert InstrumentKind.LINEAR not in aster


@pytest.mark.parametrize("venue", ["BINANCE", "BINANCEUSDM"])
def test_three_day_candles_of_binance_open_on_the_day_that_others_saw(venue: str) -> None:
    """2024-01-01 at spot and USD-M, 2017-08-17 for the first of BTCUSDT."""
    grid = grid_of(Venue(venue), TimeFrame.DAY_3)

    assert grid.is_open(datetime(2024, 1, 1))
    assert grid.is_open(datetime(2017, 8, 17))
    assert grid.floor(datetime(2024, 1, 3, 23)) == datetime(2024, 1, 1)
    assert grid.next(datetime(2024, 1, 1)) - datetime(2024, 1, 1) == timedelta(days=3)
