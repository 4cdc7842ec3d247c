"""Recorded answers of Bybit, OKX, Bitget and Gate (../shared/ccxt_static), decoded raw.

Bitget's answers of its unified trading account (``uta``) are those of endpoints that are not
asked here; its candles of it have the same fields.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.times import from_us
from lake.errors import InvalidRequest, SourceError
from lake.sources.books import validate_book
from lake.sources.capabilities import capability
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_checks import validate_funding
from lake.sources.market_requests import MarketRequests
from lake.sources.trade_checks import validate_trades
from tests.sources.replay import RECORDED, cases, fetched

NOW = datetime(2027, 1, 1)
SPOT, LINEAR, INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE


def instrument(venue: str, kind: InstrumentKind, native: str, size: float | None) -> Instrument:
    quote = "USD" if kind is INVERSE else "USDT"
    settle = {SPOT: None, LINEAR: "USDT", INVERSE: "BTC"}[kind]
    ending = {SPOT: "", LINEAR: "-PERP", INVERSE: "-PERP-BTC"}[kind]
    symbol = f"BTC/{quote}" + (f":{settle}" if settle else "")
    return Instrument(
        Venue(venue), f"BTC{quote}{ending}", symbol, native, kind, "BTC", quote, settle,
        contract_size=size,
    )  # fmt: skip


BYBIT = instrument("BYBIT", SPOT, "BTCUSDT", None)
BYBIT_LINEAR = instrument("BYBIT", LINEAR, "BTCUSDT", 1.0)
BYBIT_INVERSE = instrument("BYBIT", INVERSE, "BTCUSD", 1.0)
OKX = instrument("OKX", SPOT, "BTC-USDT", None)
OKX_LINEAR = instrument("OKX", LINEAR, "BTC-USDT-SWAP", 0.01)
OKX_INVERSE = instrument("OKX", INVERSE, "BTC-USD-SWAP", 100.0)
BITGET = instrument("BITGET", SPOT, "BTCUSDT", None)
BITGET_LINEAR = instrument("BITGET", LINEAR, "BTCUSDT", 1.0)
BITGET_INVERSE = instrument("BITGET", INVERSE, "BTCUSD", 1.0)
GATE = instrument("GATE", SPOT, "BTC_USDT", None)
GATE_LINEAR = instrument("GATE", LINEAR, "BTC_USDT", 0.0001)
GATE_INVERSE = instrument("GATE", INVERSE, "BTC_USD", 1.0)


def recorded(venue: str, method: str, starts: str = "") -> list[dict[str, Any]]:
    path = RECORDED / "cases" / f"{venue}.json"
    if not path.exists():
        pytest.skip(f"no recorded answers at {path}")
    found = json.loads(path.read_text())["methods"][method]
    return [
        each
        for each in found
        if each["description"].startswith(starts) and "uta" not in each["description"]
    ]


def decoded(of: Instrument, kind: DataType, answer: Any) -> Decoded:
    rows = capability(of.venue, kind).rows
    assert rows is not None
    return rows.decode(json.dumps(answer).encode(), of)


def candles(of: Instrument, answer: Any) -> list[dict[str, Any]]:
    raw = capability(of.venue, DataType.OHLCV).raw
    assert raw is not None
    rows: list[dict[str, Any]] = raw.decode(json.dumps(answer).encode(), of).table.to_pylist()
    return rows


def trades(of: Instrument, answer: Any) -> list[dict[str, Any]]:
    checked = validate_trades(decoded(of, DataType.TRADES, answer), now=NOW, whole_seconds=False)
    assert checked.rejected == ()
    rows: list[dict[str, Any]] = checked.rows.to_pylist()
    return rows


def book(of: Instrument, answer: Any) -> dict[str, Any]:
    checked = validate_book(decoded(of, DataType.ORDERBOOK, answer), depth=20, received=NOW)
    assert checked.rejected is None
    [row] = checked.rows.to_pylist()
    assert isinstance(row, dict)
    return row


# Agreement with ccxt.


@pytest.mark.parametrize("venue", ["bybit", "okx", "bitget", "gate"])
def test_candles_have_ccxts_values_and_the_quote_volume_that_it_drops(venue: str) -> None:
    """Through the real client. Of Bitget's inverse candle ccxt takes the quote for the base."""
    for case in cases(venue):
        if "price" in case.description:
            continue
        if "false" in json.dumps(case.answer):
            # Gate says itself that it is running; see the test of closed flags.
            continue

        _, page = fetched(case)

        names = ("ts", "open", "high", "low", "close", "volume")
        ours = list(zip(*(page.rows[name].to_pylist() for name in names), strict=True))
        theirs = [
            (from_us(row[0] * 1_000), *(float(each) for each in row[1:6]))
            for row in sorted(case.parsed)
        ]
        if case.description.startswith("Inverse"):
            assert theirs[0][5] == 8_578.3319
            theirs = [(*row[:5], 0.199) for row in theirs]
        assert page.rejected == ()
        assert ours == theirs
        assert page.rows["quote_volume"].null_count == 0


def test_gates_recorded_candle_is_running_and_has_ccxts_values() -> None:
    [case] = cases("gate")

    [candle] = candles(GATE, case.answer)

    [theirs] = case.parsed
    names = ("open", "high", "low", "close", "volume")
    assert [candle["ts"] * 1_000, *(candle[name] for name in names)] == theirs
    assert candle["closed"] is False


def test_recorded_trades_have_ccxts_values() -> None:
    for of in (OKX, BITGET, GATE):
        for case in recorded(of.venue.ccxt_id, "fetchTrades"):
            rows = trades(of, case["httpResponse"])

            assert [
                (str(row["trade_id"]), row["side"], row["price"], row["quantity"]) for row in rows
            ] == [
                (each["id"], each["side"], each["price"], each["amount"])
                for each in case["parsedResponse"]
            ]
            # Gate tells microseconds, of which ccxt keeps the milliseconds.
            told = [row["ts"].replace(microsecond=row["ts"].microsecond // 1_000 * 1_000)
                    for row in rows]  # fmt: skip
            assert told == [from_us(each["timestamp"] * 1_000) for each in case["parsedResponse"]]


def test_recorded_settlements_have_ccxts_values() -> None:
    cases_of = {
        BYBIT_LINEAR: recorded("bybit", "fetchFundingRateHistory"),
        BITGET_LINEAR: recorded("bitget", "fetchFundingRateHistory"),
    }
    for of, found in cases_of.items():
        for case in found:
            rows = decoded(of, DataType.FUNDING_RATES, case["httpResponse"])

            checked = validate_funding(rows, now=NOW, whole_seconds=False)

            assert checked.rejected == ()
            assert [(each.settled_us // 1_000, each.rate) for each in checked.rows] == [
                (each["timestamp"], each["fundingRate"]) for each in case["parsedResponse"]
            ]


@pytest.mark.parametrize(
    ("of", "starts", "scale", "sequence"),
    [
        (BYBIT_LINEAR, "swap", 1.0, 342_690),
        (BYBIT, "Spot", 1.0, 4_313_234),
        (OKX_LINEAR, "Swap", 0.01, None),
        (OKX, "spot", 1.0, None),
        (BITGET, "spot", 1.0, None),
    ],
)
def test_recorded_books_have_ccxts_levels_in_the_base_asset(
    of: Instrument, starts: str, scale: float, sequence: int | None
) -> None:
    [case] = recorded(of.venue.ccxt_id, "fetchOrderBook", starts)
    theirs = case["parsedResponse"]

    row = book(of, case["httpResponse"])

    assert row["ts"] == from_us(theirs["timestamp"] * 1_000)
    assert row["sequence"] == sequence
    for ours, side in (("bid", "bids"), ("ask", "asks")):
        levels = zip(row[f"{ours}_prices"], row[f"{ours}_quantities"], strict=True)
        assert list(levels) == [(each[0], each[1] * scale) for each in theirs[side]]


# Contracts, computed by hand.


def test_a_linear_level_of_okx_is_contracts_times_a_hundredth_of_a_coin() -> None:
    """14,881 contracts of 0.01 BTC are 148.81 BTC."""
    answer = {
        "code": "0",
        "data": [
            {
                "asks": [["43466.4", "14881", "0", "1"]],
                "bids": [["43466.3", "13807", "0", "1"]],
                "ts": "1706612067750",
                "seqId": 3235851742,
            }
        ],
    }

    row = book(OKX_LINEAR, answer)

    assert row["ask_quantities"] == [pytest.approx(148.81, rel=1e-15)]
    assert row["bid_quantities"] == [pytest.approx(138.07, rel=1e-15)]
    assert row["sequence"] == 3_235_851_742


def test_an_inverse_level_of_okx_is_contracts_times_size_over_price() -> None:
    """500 contracts of 100 USD at 40,000 USD are 1.25 BTC; 8 at 32,000 are 0.025."""
    answer = {
        "code": "0",
        "data": [
            {
                "asks": [["40000", "500", "0", "1"]],
                "bids": [["32000", "8", "0", "1"]],
                "ts": "1706612067750",
            }
        ],
    }

    row = book(OKX_INVERSE, answer)

    assert (row["ask_quantities"], row["bid_quantities"]) == ([1.25], [0.025])


def test_trades_of_okx_contracts_are_in_the_base_asset() -> None:
    """3 contracts of 0.01 BTC; 20 contracts of 100 USD at 50,000 USD."""
    row = {"side": "buy", "sz": "3", "px": "50000", "tradeId": "7", "ts": "1706612067750"}

    [linear] = trades(OKX_LINEAR, {"code": "0", "data": [row]})
    [inverse] = trades(OKX_INVERSE, {"code": "0", "data": [row | {"sz": "20", "side": "sell"}]})

    assert (linear["quantity"], linear["side"]) == (pytest.approx(0.03, rel=1e-15), "buy")
    assert (inverse["quantity"], inverse["side"]) == (0.04, "sell")


def test_candles_of_okx_contracts_take_the_venues_own_base_volume() -> None:
    """628 contracts, 2.5819 BTC, 62,800 USD: the row of ccxt's own example."""
    row = ["1678928760000", "24341.4", "24344", "24313.2", "24323", "628", "2.5819", "62800", "0"]

    for of in (OKX_LINEAR, OKX_INVERSE):
        [candle] = candles(of, {"code": "0", "data": [row]})

        assert (candle["volume"], candle["quote_volume"]) == (2.5819, 62_800.0)
        assert candle["closed"] is False


def test_contracts_of_gate_are_in_the_base_asset() -> None:
    """25,000 contracts of 0.0001 BTC are 2.5 BTC; 30,000 of 1 USD at 60,000 USD are 0.5 BTC."""
    sold = {
        "id": 25, "create_time": 1682378573, "create_time_ms": 1682378573.123,
        "size": -25_000, "price": "60000",
    }  # fmt: skip

    [linear] = trades(GATE_LINEAR, [sold])
    [inverse] = trades(GATE_INVERSE, [sold | {"size": 30_000}])
    levels = {
        "id": 6358770031,
        "current": 1634350208.745,
        "asks": [{"s": 30_000, "p": "60000"}],
        "bids": [{"s": 25_000, "p": "50000"}],
    }

    assert (linear["quantity"], linear["side"]) == (2.5, "sell")
    assert (inverse["quantity"], inverse["side"]) == (0.5, "buy")
    assert linear["ts"] == datetime(2023, 4, 24, 23, 22, 53, 123_000)
    assert book(GATE_LINEAR, levels)["ask_quantities"] == [3.0]
    assert book(GATE_INVERSE, levels)["ask_quantities"] == [0.5]
    assert book(GATE_INVERSE, levels)["bid_quantities"] == [0.5]
    assert book(GATE_LINEAR, levels)["ts"] == datetime(2021, 10, 16, 2, 10, 8, 745_000)
    assert book(GATE_LINEAR, levels)["sequence"] == 6_358_770_031


def test_a_linear_candle_of_gate_counts_contracts() -> None:
    """97,151 contracts of 0.0001 BTC are 9.7151 BTC; the sum is the quote volume."""
    row = {"t": 1632873600, "o": "41025", "h": "41882.17", "l": "40783.94", "c": "41776.92",
           "v": 97_151, "sum": "401234.5"}  # fmt: skip

    [candle] = candles(GATE_LINEAR, [row])

    assert candle["volume"] == pytest.approx(9.7151, rel=1e-15)
    assert candle["quote_volume"] == 401_234.5


def test_inverse_candles_of_gate_are_refused() -> None:
    """They count contracts of 1 USD, and no candle tells at what prices these were traded."""
    units = capability(Venue("GATE"), DataType.OHLCV).volume_units

    assert units is not None
    assert INVERSE not in units


def test_inverse_amounts_of_bybit_are_in_the_base_asset() -> None:
    """Its candle says the base itself as turnover; its book counts contracts of 1 USD."""
    kline = ["1670608800000", "17071", "17073", "17027", "17055.5", "268611", "15.74462667"]
    levels = {"s": "BTCUSD", "b": [["20000", "50000"]], "a": [["25000", "10000"]],
              "ts": 1706803948569, "u": 7}  # fmt: skip

    [candle] = candles(BYBIT_INVERSE, {"result": {"symbol": "BTCUSD", "list": [kline]}})
    row = book(BYBIT_INVERSE, {"result": levels})

    assert (candle["volume"], candle["quote_volume"]) == (15.74462667, 268_611.0)
    assert (row["bid_quantities"], row["ask_quantities"]) == ([2.5], [0.4])


# What is said, and what is refused.


def test_gate_says_whether_a_candle_is_closed() -> None:
    row = ["1710327600", "992134.6", "73408.9", "73435.8", "73236.3", "73236.9", "13.5", "false"]

    [running] = candles(GATE, [row])
    [closed] = candles(GATE, [[*row[:7], "true"]])

    assert (running["closed"], closed["closed"]) == (False, True)
    assert (running["open"], running["high"], running["low"], running["close"]) == (
        73_236.9, 73_435.8, 73_236.3, 73_408.9,
    )  # fmt: skip
    assert (running["volume"], running["quote_volume"]) == (13.5, 992_134.6)


def test_a_settlement_of_okx_is_what_was_realized_beside_what_was_predicted() -> None:
    answer = {
        "code": "0",
        "data": [
            {
                "fundingRate": "0.0000746604960499",
                "fundingTime": "1703059200000",
                "realizedRate": "0.0000746572360545",
            },
            {
                "fundingRate": "0.000227985782722",
                "fundingTime": "1703030400000",
                "realizedRate": "0.0002279755647389",
            },
        ],
    }

    found = decoded(OKX_LINEAR, DataType.FUNDING_RATES, answer)

    assert found.table["funding_rate"].to_pylist() == [7.46572360545e-05, 0.0002279755647389]
    assert found.table["predicted_rate"].to_pylist() == [7.46604960499e-05, 0.000227985782722]
    assert found.following == "1703030400000"


@pytest.mark.parametrize("of", [BYBIT, OKX, BITGET, GATE])
@pytest.mark.parametrize("body", ["{}", "[{}", '{"code":"0"}', '{"result":{"list":null}}', '"x"'])
def test_an_answer_of_another_shape_is_refused_and_never_empty(of: Instrument, body: str) -> None:
    for kind in (DataType.OHLCV, DataType.TRADES, DataType.FUNDING_RATES, DataType.ORDERBOOK):
        if of is BYBIT and kind is DataType.TRADES:
            continue
        entry = capability(of.venue, kind)
        endpoint = entry.raw or entry.rows
        assert endpoint is not None

        with pytest.raises(SourceError) as refusal:
            endpoint.decode(body.encode(), of)

        assert refusal.value.retryable


def test_an_answer_about_another_symbol_is_refused() -> None:
    """A cache that mixes up queries would otherwise store ETH as BTC."""
    answer = {"result": {"symbol": "ETHUSDT", "list": []}}

    with pytest.raises(SourceError, match="ETHUSDT"):
        candles(BYBIT, answer)
    with pytest.raises(SourceError, match="not the order book of BTCUSDT"):
        book(BYBIT, {"result": {"s": "ETHUSDT", "b": [], "a": [], "ts": 1, "u": 1}})


def test_bybits_trades_are_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidRequest, match="newest 1,000 of them and no history"):
        capability(Venue("BYBIT"), DataType.TRADES)


def test_funding_of_what_expires_is_refused() -> None:
    dated = Instrument(
        Venue("OKX"), "BTCUSD-241227-BTC", "BTC/USD:BTC-241227", "BTC-USD-241227", INVERSE,
        "BTC", "USD", "BTC", contract_size=100.0,
    )  # fmt: skip
    requests = MarketRequests.__new__(MarketRequests)

    with pytest.raises(InvalidRequest, match="perpetuals only"):
        requests.check(dated, Series(DataType.FUNDING_RATES, dated.id))


@pytest.mark.parametrize(
    ("settle", "product"),
    [
        ("USDT", "USDT-FUTURES"),
        ("USDC", "USDC-FUTURES"),
        ("BTC", "COIN-FUTURES"),
        ("SUSDT", "SUSDT-FUTURES"),
        ("SBTC", "SCOIN-FUTURES"),
    ],
)
def test_bitgets_contracts_are_asked_for_in_their_product(settle: str, product: str) -> None:
    own = replace(BITGET_LINEAR, settle=settle)
    rows = capability(Venue("BITGET"), DataType.FUNDING_RATES).rows
    assert rows is not None

    first, later = (rows.request(own, Cursor(100, token=token)) for token in (None, "7"))

    assert first.parameters == {
        "symbol": "BTCUSDT", "productType": product, "pageSize": 100, "pageNo": "1",
    }  # fmt: skip
    assert later.parameters["pageNo"] == "7"


def test_dated_contracts_of_gate_are_asked_for_at_their_own_market() -> None:
    dated = Instrument(
        Venue("GATE"), "BTCUSDT-241227", "BTC/USDT:USDT-241227", "BTC_USDT_20241227", LINEAR,
        "BTC", "USDT", "USDT", contract_size=0.0001,
    )  # fmt: skip
    rows = capability(Venue("GATE"), DataType.TRADES).rows
    assert rows is not None

    request = rows.request(dated, Cursor(10, start_us=5_000_000, end_us=9_000_000))

    assert request.method == "publicDeliveryGetSettleTrades"
    assert request.parameters == {
        "contract": "BTC_USDT_20241227", "settle": "usdt", "limit": 10, "from": 5, "to": 9,
    }  # fmt: skip
