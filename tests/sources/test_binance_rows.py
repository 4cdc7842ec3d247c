"""Binance's trades, settlements and books, from bytes to checked rows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from lake.domain.identifiers import Instrument, InstrumentKind, Venue
from lake.domain.schemas import ORDERBOOK, TRADES
from lake.errors import SourceError
from lake.sources.binance_rows import decode_agg_trades, decode_depth, decode_funding
from lake.sources.books import CheckedBook, validate_book
from lake.sources.funding_checks import CheckedFunding, validate_funding
from lake.sources.trade_checks import CheckedTrades, validate_trades

NOW = datetime(2024, 1, 2)
DAY_MS = 1_704_067_200_000
BTC = Instrument(
    Venue("BINANCE"), "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, "BTC", "USDT"
)
COIN = Instrument(
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


def trade(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "a": number,
        "p": "40000.50",
        "q": "0.25",
        "f": number * 10,
        "l": number * 10 + 4,
        "T": DAY_MS + number,
        "m": True,
        "M": True,
    }
    return {name: each for name, each in (row | changes).items() if each is not ...}


def trades(*rows: dict[str, Any], of: Instrument = BTC) -> CheckedTrades:
    body = json.dumps(rows).encode()
    return validate_trades(decode_agg_trades(body, of), now=NOW, whole_seconds=False)


def test_a_trade_has_the_takers_side_and_keeps_the_ids_of_its_fills() -> None:
    """The buyer was the maker, so the taker sold."""
    checked = trades(trade(7), trade(8, m=False))

    assert checked.rows.schema.equals(TRADES.schema, check_metadata=True)
    assert checked.rows.to_pylist() == [
        {
            "ts": datetime(2024, 1, 1) + timedelta(milliseconds=7 + at),
            "trade_id": 7 + at,
            "trade_ref": None,
            "price": 40000.5,
            "quantity": 0.25,
            "side": side,
            "first_trade_id": 70 + 10 * at,
            "last_trade_id": 74 + 10 * at,
            "received_at": None,
        }
        for at, side in enumerate(["sell", "buy"])
    ]


def test_contracts_of_coin_m_become_the_base_asset() -> None:
    """Four contracts of 100 USD at 40,000 are 0.01 BTC."""
    checked = trades(trade(1, p="40000", q="4"), of=COIN)

    assert checked.rows["quantity"].to_pylist() == [0.01]


def test_contracts_of_unknown_size_are_refused() -> None:
    unknown = Instrument(
        Venue("BINANCECOINM"), "X", "X/USD:X", "X", InstrumentKind.INVERSE, "X", "USD", "X"
    )

    with pytest.raises(SourceError, match="contract size is unknown") as failure:
        trades(trade(1), of=unknown)

    assert not failure.value.retryable


def test_times_in_microseconds_are_the_same_times() -> None:
    checked = trades(trade(1, T=(DAY_MS + 1) * 1_000), trade(2, T=(DAY_MS + 1) * 1_000 + 1))

    assert checked.rows["ts"].to_pylist() == [
        datetime(2024, 1, 1, 0, 0, 0, 1_000),
        datetime(2024, 1, 1, 0, 0, 0, 1_001),
    ]


def test_whole_seconds_are_refused_because_something_was_lost() -> None:
    """A second too early is a trade of another candle."""
    with pytest.raises(SourceError, match="whole seconds"):
        trades(trade(1, T=DAY_MS // 1_000))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"T": None}, "no readable time"),
        ({"T": -5}, "no readable time"),
        ({"T": DAY_MS + 200_000_000}, "from the future"),
        ({"a": None}, "no readable id"),
        ({"a": "x"}, "no readable id"),
        ({"p": "0"}, "price is not a positive number"),
        ({"p": "-1"}, "price is not a positive number"),
        ({"p": "NaN"}, "price is not a positive number"),
        ({"p": None}, "price is not a positive number"),
        ({"q": "Infinity"}, "quantity is not a positive number"),
        ({"q": "0.0"}, "quantity is not a positive number"),
        ({"q": ...}, "quantity is not a positive number"),
        ({"m": ...}, "side is neither buy nor sell"),
        ({"m": "yes"}, "side is neither buy nor sell"),
        ({"f": ...}, "first and last id are no range"),
        ({"f": 99, "l": 98}, "first and last id are no range"),
        ({"f": -1, "l": -1}, "first and last id are no range"),
        ({"f": 13}, "its fills are those of the trade before"),
        ({"T": DAY_MS - 60_000}, "its time does not fit the trades around it"),
        ({"T": DAY_MS + 60_000}, "its time does not fit the trades around it"),
    ],
)
def test_a_row_that_breaks_an_invariant_is_kept_aside_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    odd = trade(2, **changes)

    checked = trades(trade(1), odd, trade(3), trade(4))

    assert checked.rows["trade_id"].to_pylist() == [1, 3, 4]
    [(number, rejected)] = checked.rejected
    assert number == (2 if "a" not in changes else -1)
    assert rejected.reason == reason
    assert json.loads(rejected.raw) == odd


def test_a_side_that_the_source_does_not_say_is_null() -> None:
    assert trades(trade(1, m=None), trade(2)).rows["side"].to_pylist() == [None, "sell"]


def test_a_repeated_row_is_one_trade_and_order_is_by_id() -> None:
    checked = trades(trade(3), trade(1), trade(2), trade(1))

    assert checked.rows["trade_id"].to_pylist() == [1, 2, 3]
    assert checked.rejected == ()


def test_different_rows_of_one_id_are_a_faulty_answer() -> None:
    with pytest.raises(SourceError, match="different trades of one id"):
        trades(trade(1), trade(1, q="9"))


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b'"text"', b"NaN", b"[{", b"<html>", b"\xff"]
)
@pytest.mark.parametrize("decode", [decode_agg_trades, decode_funding, decode_depth])
def test_a_body_that_is_no_answer_is_refused_and_not_empty(body: bytes, decode: Any) -> None:
    with pytest.raises(SourceError) as failure:
        decode(body, BTC)

    assert failure.value.retryable


def funding(*rows: dict[str, Any]) -> CheckedFunding:
    decoded = decode_funding(json.dumps(rows).encode(), BTC)
    return validate_funding(decoded, now=NOW, whole_seconds=False)


def settlement(hour: int, **changes: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "fundingTime": DAY_MS + hour * 3_600_000 + 47,
        "fundingRate": "0.00010000",
        "markPrice": "42000.10",
    }
    return row | changes


def test_a_settlement_has_the_scheduled_time_beside_the_told_one() -> None:
    [row] = funding(settlement(8)).rows

    assert (row.ts_us, row.settled_us) == (
        (DAY_MS + 28_800_000) * 1_000,
        (DAY_MS + 28_800_047) * 1_000,
    )
    assert (row.rate, row.mark_price, row.index_price) == (0.0001, 42000.1, None)


def test_a_mark_price_that_the_venue_leaves_empty_is_null() -> None:
    assert funding(settlement(0, markPrice="")).rows[0].mark_price is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fundingTime": None}, "no readable time"),
        ({"fundingTime": DAY_MS + 200_000_000}, "from the future"),
        ({"fundingRate": "-9.5"}, "funding_rate is not a fraction"),
        ({"fundingRate": None}, "funding_rate is not a fraction"),
        ({"fundingRate": "NaN"}, "funding_rate is not a fraction"),
        ({"markPrice": "-1"}, "mark_price is not a positive number"),
    ],
)
def test_an_odd_settlement_is_kept_aside_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    checked = funding(settlement(0), settlement(8, **changes))

    assert [row.ts_us for row in checked.rows] == [DAY_MS * 1_000]
    assert [each.reason for each in checked.rejected] == [reason]


def test_different_rows_of_one_settlement_are_both_kept_aside() -> None:
    checked = funding(settlement(0), settlement(8), settlement(8, fundingRate="0.2"))

    assert [row.ts_us for row in checked.rows] == [DAY_MS * 1_000]
    assert len(checked.rejected) == 2


def book(
    changes: dict[str, Any] | None = None, of: Instrument = BTC, depth: int = 2
) -> CheckedBook:
    body = {
        "lastUpdateId": 17,
        "bids": [["100", "1"], ["99.5", "2"], ["99", "3"]],
        "asks": [["100.5", "4"], ["101", "5"], ["102", "6"]],
    }
    decoded = decode_depth(json.dumps(body | (changes or {})).encode(), of)
    return validate_book(decoded, depth=2, received=NOW)


def test_a_book_is_cut_to_its_depth_and_has_our_time_where_the_venue_says_none() -> None:
    checked = book()

    assert checked.rows.schema.equals(ORDERBOOK.schema, check_metadata=True)
    assert checked.rows.to_pylist() == [
        {
            "ts": NOW,
            "sequence": 17,
            "best_bid": 100.0,
            "best_bid_quantity": 1.0,
            "best_ask": 100.5,
            "best_ask_quantity": 4.0,
            "bid_prices": [100.0, 99.5],
            "bid_quantities": [1.0, 2.0],
            "ask_prices": [100.5, 101.0],
            "ask_quantities": [4.0, 5.0],
            "received_at": NOW,
        }
    ]


def test_a_book_of_futures_has_the_venues_time_and_amounts_in_base() -> None:
    """One contract of 100 USD at 100 is 1 BTC."""
    [row] = book({"E": DAY_MS + 9, "T": DAY_MS + 5}, of=COIN).rows.to_pylist()

    assert (row["ts"], row["received_at"]) == (datetime(2024, 1, 1, 0, 0, 0, 5_000), NOW)
    assert row["bid_quantities"] == [1.0, 2 * 100 / 99.5]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bids": [["99", "1"], ["100", "1"]]}, "bids are not ordered best first"),
        ({"asks": [["102", "1"], ["102", "1"]]}, "asks are not ordered best first"),
        ({"bids": [["100.5", "1"]]}, "crossed: the best bid is not below the best ask"),
        ({"bids": [["100", None]]}, "bid quantity is not a positive number"),
        ({"bids": [["100"]]}, "bid price is not a positive number"),
        ({"asks": [["-1", "1"]]}, "ask price is not a positive number"),
        ({"T": DAY_MS + 200_000_000}, "from the future"),
    ],
)
def test_a_book_that_cannot_be_is_kept_aside(changes: dict[str, Any], reason: str) -> None:
    checked = book(changes)

    assert checked.rows.num_rows == 0
    assert checked.rejected is not None
    assert checked.rejected.reason == reason


def test_one_side_of_a_book_may_be_empty() -> None:
    [row] = book({"asks": []}).rows.to_pylist()

    assert (row["best_bid"], row["best_ask"], row["ask_prices"]) == (100.0, None, [])
