"""What names of Binance's archives say about market, instrument, timeframe and span."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.identifiers import InstrumentKind
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import (
    COINM,
    SPOT,
    USDM,
    instrument_of,
    native_symbol,
    parse_name,
    require_stored_kind,
    venues_by_path,
    venues_by_symbol,
)


@pytest.mark.parametrize(
    ("name", "timeframe", "start", "end"),
    [
        ("BTCUSDT-1m-2024-02.zip", "1m", (2024, 2, 1), (2024, 3, 1)),
        ("BTCUSDT-1h-2024-12.csv", "1h", (2024, 12, 1), (2025, 1, 1)),
        ("BTCUSDT-1m-2024-02-29.zip", "1m", (2024, 2, 29), (2024, 3, 1)),
        ("BTCUSDT-1mo-2024-01.zip", "1mo", (2024, 1, 1), (2024, 2, 1)),
        ("BTCUSDT-1s-2024-01.csv.gz", "1s", (2024, 1, 1), (2024, 2, 1)),
        ("btcusdt-1m-2024-02 (1).zip", "1m", (2024, 2, 1), (2024, 3, 1)),
    ],
)
def test_a_name_promises_a_whole_day_or_month(
    name: str, timeframe: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    """The promise is what coverage rests on."""
    named = parse_name(name)

    assert named is not None
    assert named.symbol == "BTCUSDT"
    assert named.timeframe is TimeFrame(timeframe)
    assert named.promise == TimeRange(datetime(*start), datetime(*end))


@pytest.mark.parametrize("name", ["20180404_trade.zip", "BTCUSDT.csv", "BTCUSDT-1m-2024.zip"])
def test_other_names_say_nothing(name: str) -> None:
    assert parse_name(name) is None


def test_a_day_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        parse_name("BTCUSDT-1m-2023-02-29.zip")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("BTCUSDT-bookTicker-2024-01.zip", "bookTicker"),
        ("BTCUSDT-metrics-2024-01-01.zip", "metrics"),
        ("data/futures/um/monthly/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip", "ohlcv_mark"),
        ("premium-index-klines/BTCUSDT-1m-2024-01.zip", "ohlcv_premium"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(path: str, kind: str) -> None:
    """A mark-price candle must never reach ohlcv, though its file looks the same."""
    with pytest.raises(SourceError, match=kind):
        require_stored_kind(Path(path))


@pytest.mark.parametrize(
    ("path", "venues"),
    [
        ("/a/data/spot/monthly/klines/BTCUSDT/1m/x.zip", (SPOT,)),
        ("/a/data/futures/um/daily/klines/BTCUSDT/1m/x.zip", (USDM,)),
        ("/a/data/futures/cm/daily/klines/BTCUSD_PERP/1m/x.zip", (COINM,)),
        ("/a/binance_vision_um_monthly_klines/x.csv", (USDM,)),
        ("/a/binance_vision_spot_daily_klines/x.csv", (SPOT,)),
        ("/a/binance-futures/x.zip", (USDM, COINM)),
        ("/home/spot-the-dog/um_and_ah/x.zip", (SPOT, USDM, COINM)),
        ("/a/spot/futures/um/x.zip", (USDM,)),
    ],
)
def test_folders_name_the_market_the_nearest_first(path: str, venues: tuple[object, ...]) -> None:
    assert set(venues_by_path(Path(path))[0]) == set(venues)


def test_a_symbol_narrows_the_market() -> None:
    assert venues_by_symbol("BTCUSD_PERP") == (COINM,)
    assert venues_by_symbol("BTCUSD_241227") == (COINM,)
    assert venues_by_symbol("BTCUSDT_241227") == (USDM,)
    assert venues_by_symbol("BTCUSDT") == (SPOT, USDM)


@pytest.mark.parametrize(
    ("symbol", "venue", "code", "ccxt", "kind", "size"),
    [
        ("BTCUSDT", SPOT, "BTCUSDT", "BTC/USDT", InstrumentKind.SPOT, None),
        ("ETHBTC", SPOT, "ETHBTC", "ETH/BTC", InstrumentKind.SPOT, None),
        ("BTCFDUSD", SPOT, "BTCFDUSD", "BTC/FDUSD", InstrumentKind.SPOT, None),
        ("BTCUSDT", USDM, "BTCUSDT-PERP", "BTC/USDT:USDT", InstrumentKind.LINEAR, 1.0),
        ("1000PEPEUSDC", USDM, "1000PEPEUSDC-PERP", "1000PEPE/USDC:USDC", InstrumentKind.LINEAR, 1),
        (
            "BTCUSDT_241227",
            USDM,
            "BTCUSDT-241227",
            "BTC/USDT:USDT-241227",
            InstrumentKind.LINEAR,
            1.0,
        ),
        ("BTCUSD_PERP", COINM, "BTCUSD-PERP-BTC", "BTC/USD:BTC", InstrumentKind.INVERSE, 100.0),
        (
            "ETHUSD_241227",
            COINM,
            "ETHUSD-241227-ETH",
            "ETH/USD:ETH-241227",
            InstrumentKind.INVERSE,
            10.0,
        ),
    ],
)
def test_instruments_are_named_without_a_network(
    symbol: str, venue: object, code: str, ccxt: str, kind: InstrumentKind, size: float | None
) -> None:
    """The three spellings stand side by side, as the venue's own market list would give them."""
    made = instrument_of(symbol, venue, None)  # type: ignore[arg-type]

    assert (made.code, made.symbol, made.native_id) == (code, ccxt, symbol)
    assert (made.kind, made.contract_size) == (kind, size)


def test_an_unknown_quote_asset_needs_a_hint() -> None:
    """A wrong split would give a symbol that ccxt does not know."""
    with pytest.raises(InvalidRequest, match="--instrument"):
        instrument_of("FOOXYZ", SPOT, None)

    assert instrument_of("FOOXYZ", SPOT, "FOO/XYZ").symbol == "FOO/XYZ"


def test_a_hint_must_name_the_same_instrument() -> None:
    for hint in ("BTC/USDT:USDT", "BTCUSDT-PERP", "BTCUSDT", "BTCUSDT-PERP.BINANCEUSDM"):
        assert instrument_of("BTCUSDT", USDM, hint).code == "BTCUSDT-PERP"
    with pytest.raises(InvalidRequest, match="ETH/USDT"):
        instrument_of("BTCUSDT", SPOT, "ETH/USDT")


def test_the_venues_spelling_follows_from_ours() -> None:
    """For files whose own name says nothing."""
    assert native_symbol("BTC/USDT", SPOT) == "BTCUSDT"
    assert native_symbol("BTCUSDT-PERP", USDM) == "BTCUSDT"
    assert native_symbol("BTCUSDT-241227.BINANCEUSDM", USDM) == "BTCUSDT_241227"
    assert native_symbol("BTCUSD-PERP-BTC", COINM) == "BTCUSD_PERP"


@pytest.mark.parametrize(
    ("pair", "base"), [("DOTUSD", "DOT"), ("BNBUSD", "BNB"), ("BTCUSD", "BTC")]
)
def test_coin_margined_contracts_are_quoted_in_dollars(pair: str, base: str) -> None:
    """TUSD and BUSD are quote assets, too, but not there."""
    made = instrument_of(f"{pair}_PERP", COINM, None)

    assert (made.symbol, made.code) == (f"{base}/USD:{base}", f"{base}USD-PERP-{base}")
