"""Bodies of candle answers: what is read, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lake.domain.identifiers import Instrument, InstrumentKind, Venue
from lake.errors import SourceError
from lake.sources.decode import as_integer, decode_inverse_klines, decode_klines, decode_unified

SPOT = InstrumentKind.SPOT
BTC = Instrument(Venue("BINANCE"), "BTCUSDT", "BTC/USDT", "BTCUSDT", SPOT, "BTC", "USDT")
# As Binance writes them: integers for times and counts, text for amounts.
ROW: list[Any] = [
    1_704_067_200_000,
    "42283.58000000",
    "42298.62000000",
    "42261.02000000",
    "42298.61000000",
    "35.92724000",
    1_704_067_259_999,
    "1519032.80270000",
    1_327,
    "23.18766000",
    "980394.27070000",
    "0",
]


def body(*rows: Any) -> bytes:
    return json.dumps(rows).encode()


def test_twelve_fields_become_eleven_columns() -> None:
    table = decode_klines(body(ROW), BTC).table

    assert table.to_pylist() == [
        {
            "ts": 1_704_067_200_000,
            "open": 42283.58,
            "high": 42298.62,
            "low": 42261.02,
            "close": 42298.61,
            "volume": 35.92724,
            "close_time": 1_704_067_259_999,
            "quote_volume": 1519032.8027,
            "trade_count": 1_327,
            "taker_buy_volume": 23.18766,
            "taker_buy_quote_volume": 980394.2707,
        }
    ]


def test_an_empty_list_is_an_answer_without_candles() -> None:
    assert decode_klines(b"[]", BTC).table.num_rows == 0


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"null",
        b"{}",
        b'"text"',
        b"NaN",
        b"12",
        b"<html><body>Maintenance</body></html>",
        b'{"code":-1003,"msg":"Too much request weight used"}',
        body(ROW)[:-20],
        body(ROW) + b"x",
        b"[[1704067200000, NaN, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]]",
        b"\xff\xfe[]",
    ],
)
def test_a_body_that_is_no_list_of_candles_is_refused(wire: bytes) -> None:
    """ccxt reads each of these as "no candles"."""
    with pytest.raises(SourceError) as refusal:
        decode_klines(wire, BTC)

    assert refusal.value.retryable


@pytest.mark.parametrize(
    ("at", "value"), [(0, None), (2, None), (3, "x"), (5, True), (7, None), (8, None), (9, {})]
)
def test_a_field_that_is_no_number_spoils_its_row_only(at: int, value: Any) -> None:
    """The checks reject the row; a null in an optional column must not pass for "unknown"."""
    odd = [*ROW[:at], value, *ROW[at + 1 :]]

    table = decode_klines(body(ROW, odd), BTC).table

    names = table.column_names
    bad = table[names[at]][1].as_py()
    assert bad is None or bad != bad or bad == -1
    assert table.slice(0, 1).equals(decode_klines(body(ROW), BTC).table)


def test_a_short_row_is_kept_as_unreadable_with_its_text() -> None:
    decoded = decode_klines(body(ROW, ROW[:4]), BTC)

    assert decoded.table["ts"].to_pylist() == [1_704_067_200_000, None]
    assert json.loads(decoded.raw(1)) == ROW[:4]


def test_inverse_contracts_become_amounts() -> None:
    """COIN-M counts contracts of 100 USD and gives base volume in the seventh field."""
    perp = Instrument(
        Venue("BINANCECOINM"),
        "BTCUSD-PERP-BTC",
        "BTC/USD:BTC",
        "BTCUSD_PERP",
        InstrumentKind.INVERSE,
        "BTC",
        "USD",
        "BTC",
        contract_size=100.0,
    )
    row = [*ROW[:5], "500", ROW[6], "1.182", 77, "200", "0.473", "0"]

    [candle] = decode_inverse_klines(body(row), perp).table.to_pylist()

    assert (candle["volume"], candle["quote_volume"]) == (1.182, 50_000.0)
    assert (candle["taker_buy_volume"], candle["taker_buy_quote_volume"]) == (0.473, 20_000.0)
    assert candle["trade_count"] == 77


def test_inverse_contracts_of_unknown_size_are_refused() -> None:
    with pytest.raises(SourceError, match="contract size is unknown"):
        decode_inverse_klines(body(ROW), BTC)


def test_unified_rows_take_six_fields_and_scale_contracts() -> None:
    decoded = decode_unified([[1_704_067_200_000, 1, 2, 0.5, 1.5, 300]], 0.01)

    assert decoded.table.to_pylist() == [
        {"ts": 1_704_067_200_000, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3.0}
    ]


@pytest.mark.parametrize("odd", [[1], None, "row", [None] * 6, [1.5, 1, 1, 1, 1, 1]])
def test_unified_rows_that_cannot_be_read_have_no_time(odd: Any) -> None:
    assert decode_unified([odd], 1.0).table["ts"].to_pylist() == [None]


def test_unified_answers_that_are_no_list_are_refused() -> None:
    with pytest.raises(SourceError, match="not a list"):
        decode_unified({}, 1.0)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1151762928807395329", 1_151_762_928_807_395_329),
        (1_151_762_928_807_395_329, 1_151_762_928_807_395_329),
        ("-12", -12),
        ("12.0", 12),
        ("9223372036854775808", None),
        ("--1", None),
        ("1.5", None),
        ("", None),
        (True, None),
    ],
)
def test_long_whole_numbers_keep_their_last_digit(value: object, number: int | None) -> None:
    """Bitget's ids of trades have 19 digits, of which a double keeps 16."""
    assert as_integer(value) == number
