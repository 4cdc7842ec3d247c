"""Names parse, print back, and refuse nonsense at the door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
    Venue,
    expiry_of,
    instrument_code,
)
from lake.domain.resolve import resolve
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest

BINANCE = Venue("BINANCE")


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("BTC/USDT", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT-PERP"),
        ("BTC/USD:BTC", "BTCUSD-PERP-BTC"),
        ("BTC/USD:BTC-241227", "BTCUSD-241227-BTC"),
        ("BTC/USDT:USDT-241227", "BTCUSDT-241227"),
        ("BTC/USD:BTC-241227-60000-C", "BTCUSD-241227-60000-C-BTC"),
        ("1000PEPE/USDT:USDT", "1000PEPEUSDT-PERP"),
    ],
)
def test_codes_are_made_from_unified_symbols(symbol: str, code: str) -> None:
    """DESIGN, section 2: base + quote, then what kind, then settle where it is not the quote."""
    assert instrument_code(symbol) == code


@pytest.mark.parametrize(
    ("name", "venue"),
    [
        ("gateio", "GATE"),
        ("huobi", "HTX"),
        ("coinbasepro", "COINBASE"),
        ("binance-futures", "BINANCEUSDM"),
        ("Binance", "BINANCE"),
    ],
)
def test_old_and_common_venue_names_are_understood(name: str, venue: str) -> None:
    """ccxt dropped names that people still type."""
    assert Venue(name).name == venue


@given(st.text(min_size=1).filter(lambda text: text.upper() != "NULL"), st.sampled_from(["OKX"]))
def test_an_instrument_id_reads_back_what_it_prints(symbol: str, venue: str) -> None:
    """A symbol may hold dots, slashes or anything else."""
    if symbol.upper() == "__HIVE_DEFAULT_PARTITION__":
        return
    one = InstrumentId(symbol, Venue(venue))

    assert InstrumentId.from_str(str(one)) == one


@pytest.mark.parametrize("text", ["BTCUSDT", "", ".", "BTCUSDT.", ".BINANCE", "NULL.BINANCE"])
def test_what_is_no_instrument_id_is_refused(text: str) -> None:
    """NULL would come back as a missing value from every hive reader."""
    with pytest.raises(InvalidRequest):
        InstrumentId.from_str(text)


def test_a_data_type_that_is_not_built_is_refused_by_name() -> None:
    """A mark-price candle must never reach ohlcv."""
    with pytest.raises(InvalidRequest, match="not built yet"):
        DataType.from_str("ohlcv_mark")


def test_candles_need_a_timeframe_and_trades_have_none() -> None:
    """A series without its timeframe would mix 1m and 1h."""
    bitcoin = InstrumentId("BTCUSDT", BINANCE)

    with pytest.raises(InvalidRequest, match="needs a timeframe"):
        Series(DataType.OHLCV, bitcoin)
    with pytest.raises(InvalidRequest, match="has no timeframe"):
        Series(DataType.TRADES, bitcoin, TimeFrame.HOUR_1)


def test_expiry_is_read_from_the_code() -> None:
    """Plans stop where a dated future ends."""
    day = expiry_of("BTCUSD-241227-BTC")

    assert day is not None
    assert day.isoformat() == "2024-12-27"
    assert expiry_of("BTCUSDT-PERP") is None


def _instrument(symbol: str, native: str, venue: Venue = BINANCE) -> Instrument:
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    return Instrument(
        venue,
        instrument_code(symbol),
        symbol,
        native,
        InstrumentKind.LINEAR if settle else InstrumentKind.SPOT,
        base,
        quote,
        settle or None,
    )


MARKETS = [
    _instrument("BTC/USDT", "BTCUSDT"),
    _instrument("ETH/USDT", "ETHUSDT"),
    _instrument("ETH/USDT:USDT", "ETHUSDT_P"),
    _instrument("SOL/USDT:USDT", "SOL-SWAP"),
]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("btcusdt", ["BTCUSDT"]),
        ("BTC/USDT", ["BTCUSDT"]),
        ("BTCUSDT.BINANCE", ["BTCUSDT"]),
        ("ETH/USDT:USDT", ["ETHUSDT-PERP"]),
        ("ETHUSDT", ["ETHUSDT"]),
        ("SOL-SWAP", ["SOLUSDT-PERP"]),
        ("SOLUSDT", ["SOLUSDT-PERP"]),
        ("*USDT-PERP", ["ETHUSDT-PERP", "SOLUSDT-PERP"]),
    ],
)
def test_instruments_are_found_by_every_spelling(text: str, codes: list[str]) -> None:
    """Our code first, then ccxt's symbol, the venue's id, base + quote; patterns find many."""
    assert [each.code for each in resolve(text, BINANCE, MARKETS)] == codes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BTCUSD", "Near: BTCUSDT"),
        ("BTCUSDT.OKX", "names the venue OKX"),
        ("*EUR", "matches"),
    ],
)
def test_a_wrong_name_says_what_is_near(text: str, message: str) -> None:
    """A typo must not cost a look at the documentation."""
    with pytest.raises(InvalidRequest, match=message):
        resolve(text, BINANCE, MARKETS)
