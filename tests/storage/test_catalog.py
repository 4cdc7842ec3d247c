"""Series, instruments and listings as the catalog keeps them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from storage_kit import HOURLY, Clock, begin, candles, store

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
    Venue,
)
from lake.errors import InvalidRequest, SeriesNotFound
from lake.storage.lake import Storage

BINANCE = Venue("BINANCE")
BITCOIN = Instrument(
    BINANCE,
    "BTCUSDT",
    "BTC/USDT",
    "BTCUSDT",
    InstrumentKind.SPOT,
    "BTC",
    "USDT",
    tick_size=0.01,
    lot_size=0.00001,
)
PERPETUAL = Instrument(
    Venue("BINANCEUSDM"),
    "BTCUSDT-PERP",
    "BTC/USDT:USDT",
    "BTCUSDT",
    InstrumentKind.LINEAR,
    "BTC",
    "USDT",
    settle="USDT",
    contract_size=1.0,
    active=False,
)


def test_instruments_come_back_as_they_were_given(storage: Storage) -> None:
    assert storage.catalog.upsert_instruments([PERPETUAL, BITCOIN]) == []

    assert storage.catalog.instruments() == [BITCOIN, PERPETUAL]
    assert storage.catalog.instruments(BINANCE) == [BITCOIN]
    assert storage.catalog.instrument(PERPETUAL.id) == PERPETUAL
    assert storage.catalog.instrument(InstrumentId("ETHUSDT", BINANCE)) is None


def test_the_time_of_a_market_list_is_kept_per_venue(storage: Storage) -> None:
    """Storing a single instrument says nothing about the age of the list."""
    fetched_at = datetime(2026, 11, 1)
    storage.catalog.upsert_instruments([BITCOIN], fetched_at=fetched_at)

    storage.catalog.upsert_instruments([BITCOIN, PERPETUAL])

    assert storage.catalog.markets_fetched_at(BINANCE) == fetched_at
    assert storage.catalog.markets_fetched_at(PERPETUAL.venue) is None
    assert storage.catalog.markets_fetched_at(Venue("KRAKEN")) is None


def test_sizes_are_kept_with_the_time_in_which_they_held(storage: Storage, clock: Clock) -> None:
    """A price of last year may stand on another tick grid than today's."""
    storage.catalog.upsert_instruments([BITCOIN])
    clock.advance(60)
    storage.catalog.upsert_instruments([BITCOIN])
    clock.advance(60)

    storage.catalog.upsert_instruments([replace(BITCOIN, tick_size=0.1)])

    rows = storage.database.read(
        "select valid_from, valid_to, tick_size from instrument_sizes order by valid_from"
    )
    changed = rows[0][1]
    assert rows == [(0, changed, 0.01), (changed, None, 0.1)]
    assert storage.catalog.instrument(BITCOIN.id) == replace(BITCOIN, tick_size=0.1)


def test_a_code_that_two_symbols_make_stays_with_its_owner(storage: Storage) -> None:
    """``A/BUSD`` and ``AB/USD``: one clash must not keep 3,000 other markets out."""
    one = replace(BITCOIN, code="ABUSD", symbol="A/BUSD", native_id="A-BUSD", active=False)
    two = replace(BITCOIN, code="ABUSD", symbol="AB/USD", native_id="AB-USD")

    refused_first = storage.catalog.upsert_instruments([one, two, PERPETUAL])
    refused_later = storage.catalog.upsert_instruments([replace(one, active=True), two])

    assert refused_first == [one]
    assert [each.symbol for each in refused_later] == ["A/BUSD"]
    assert storage.catalog.instrument(two.id) == two
    assert storage.catalog.instrument(PERPETUAL.id) == PERPETUAL


def test_codes_that_differ_by_case_alone_clash(storage: Storage) -> None:
    """Their paths would be one on some file systems."""
    small = replace(BITCOIN, code="btcusdt", symbol="btc/usdt")

    assert storage.catalog.upsert_instruments([BITCOIN, small]) == [small]


def test_a_relisting_is_a_second_span(storage: Storage) -> None:
    """A span that is known better now replaces what it overlaps."""
    listed, left, back = datetime(2019, 9, 8), datetime(2022, 1, 1), datetime(2023, 1, 1)
    catalog = storage.catalog
    catalog.set_listing(BITCOIN.id, listed, None, "first candle")

    catalog.set_listing(BITCOIN.id, listed, left, "exchangeInfo")
    catalog.set_listing(BITCOIN.id, back, None, "exchangeInfo")

    spans = [(each.listed_from, each.listed_to) for each in catalog.listings(BITCOIN.id)]
    assert spans == [(listed, left), (back, None)]
    assert catalog.listings(PERPETUAL.id) == []


def test_the_first_candle_of_a_series_is_kept(storage: Storage) -> None:
    storage.catalog.ensure_series(HOURLY, "venue")
    unasked = storage.catalog.first_available(HOURLY)

    storage.catalog.set_first_available(HOURLY, datetime(2017, 8, 17, 4), "probe")

    assert unasked is None
    assert storage.catalog.first_available(HOURLY) == datetime(2017, 8, 17, 4)


def test_rows_of_two_origins_never_join_one_series(storage: Storage) -> None:
    """Synthetic rows must not be found among real ones, unless the user vouches for a mirror."""
    storage.catalog.ensure_series(HOURLY, "venue")
    storage.catalog.ensure_series(HOURLY, "venue")

    with pytest.raises(InvalidRequest, match=r"Use another lake \(--data\)\."):
        storage.catalog.ensure_series(HOURLY, "http://127.0.0.1:8000")
    storage.catalog.ensure_series(HOURLY, "http://127.0.0.1:8000", accept_origin=True)

    [info] = storage.catalog.series()
    assert (info.series, info.origin, info.retained_from) == (HOURLY, "venue", None)


def test_series_are_listed_and_unknown_ones_refused(storage: Storage) -> None:
    trades = Series(DataType.TRADES, InstrumentId("BTCUSDT", BINANCE))
    for series in (trades, HOURLY):
        storage.catalog.ensure_series(series, "venue")
    unknown = Series(DataType.TRADES, InstrumentId("ETHUSDT", BINANCE))

    assert [each.series for each in storage.catalog.series()] == [HOURLY, trades]
    assert storage.catalog.series_info(unknown) is None
    assert storage.catalog.partitions(unknown) == []
    with pytest.raises(SeriesNotFound, match="ETHUSDT"):
        storage.catalog.set_first_available(unknown, datetime(2020, 1, 1), "probe")


TRADES = Series(DataType.TRADES, InstrumentId("BTCUSDT", BINANCE))


def test_a_series_holds_one_variant(storage: Storage) -> None:
    """Aggregates and single trades are the same events twice: a sum over both would be wrong."""
    storage.catalog.ensure_series(TRADES, "venue", variant="aggregate/venue")
    storage.catalog.ensure_series(TRADES, "venue", variant="aggregate/venue")

    with pytest.raises(InvalidRequest, match=r"aggregate/venue.*single/venue.*--data"):
        storage.catalog.ensure_series(TRADES, "venue", variant="single/venue")
    with pytest.raises(InvalidRequest, match="of no stated variant"):
        storage.catalog.ensure_series(TRADES, "venue")

    info = storage.catalog.series_info(TRADES)
    assert info is not None
    assert info.variant == "aggregate/venue"


def test_a_series_without_rows_may_still_become_one_of_a_variant(storage: Storage) -> None:
    """Of rows that are there already nobody knows what they are."""
    storage.catalog.ensure_series(TRADES, "venue")
    storage.catalog.ensure_series(TRADES, "venue", variant="single/venue")
    begin(storage)
    store(storage, begin(storage), candles([0]))

    with pytest.raises(InvalidRequest, match="of no stated variant"):
        storage.catalog.ensure_series(HOURLY, "venue", variant="single/venue")

    assert [each.variant for each in storage.catalog.series()] == [None, "single/venue"]
