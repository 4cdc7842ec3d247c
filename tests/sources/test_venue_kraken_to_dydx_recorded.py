"""Recorded answers of Kraken, KuCoin, Hyperliquid and dYdX (../shared/ccxt_static), decoded raw."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import ccxt
import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import from_us
from lake.errors import InvalidRequest
from lake.sources.books import validate_book
from lake.sources.capabilities import capability
from lake.sources.capability import RowsEndpoint
from lake.sources.cursor import CandleCursor
from lake.sources.decode import Decoded
from lake.sources.funding_checks import validate_funding
from lake.sources.validation import Checked, validate_candles
from tests.sources.replay import RECORDED, cases, fetched

NOW = datetime(2027, 1, 1)
LINEAR, INVERSE = InstrumentKind.LINEAR, InstrumentKind.INVERSE


def perpetual(venue: str, kind: InstrumentKind, size: float) -> Instrument:
    quote, settle = ("USDT", "USDT") if kind is LINEAR else ("USD", "BTC")
    return Instrument(
        Venue(venue), "BTC-PERP", f"BTC/{quote}:{settle}", "X", kind, "BTC", quote, settle,
        contract_size=size,
    )  # fmt: skip


def spot(venue: str) -> Instrument:
    return Instrument(Venue(venue), "BTCUSDT", "BTC/USDT", "X", InstrumentKind.SPOT, "BTC", "USDT")


def recorded(venue: str, method: str, starts: str = "") -> list[dict[str, Any]]:
    path = RECORDED / "cases" / f"{venue}.json"
    if not path.exists():
        pytest.skip(f"no recorded answers at {path}")
    found = json.loads(path.read_text())["methods"][method]
    return [each for each in found if each["description"].startswith(starts)]


def endpoint(venue: str, kind: DataType) -> RowsEndpoint:
    rows = capability(Venue(venue), kind).rows
    assert rows is not None
    return rows


def decoded(instrument: Instrument, kind: DataType, answer: Any) -> Decoded:
    return endpoint(instrument.venue.name, kind).decode(json.dumps(answer).encode(), instrument)


def checked_candles(instrument: Instrument, timeframe: str, answer: Any) -> Checked:
    raw = capability(instrument.venue, DataType.OHLCV).raw
    assert raw is not None
    table = raw.decode(json.dumps(answer).encode(), instrument).table
    return validate_candles(table, Grid(TimeFrame.from_str(timeframe)), None, closed_before=NOW)


@pytest.mark.parametrize("venue", ["kraken", "kucoin", "kucoinfutures", "hyperliquid", "dydx"])
def test_candles_have_ccxts_values_in_the_base_asset(venue: str) -> None:
    """Through the real client; what ccxt cuts off or drops is there too."""
    for case in cases(venue):
        if venue == "kucoin" and ":" in case.symbol:
            continue
        scale = 0.001 if venue == "kucoinfutures" else 1.0

        _, page = fetched(case)

        names = ("ts", "open", "high", "low", "close", "volume")
        ours = list(zip(*(page.rows[name].to_pylist() for name in names), strict=True))
        assert page.rejected == ()
        assert ours == [
            (from_us(row[0] * 1_000), *(float(each) for each in row[1:5]), row[5] * scale)
            for row in sorted(case.parsed)
        ]


def test_columns_that_ccxt_drops_are_kept() -> None:
    [kraken] = recorded("kraken", "fetchOHLCV")
    [kucoin] = recorded("kucoin", "fetchOHLCV", "spot ohlcv")
    [dydx] = recorded("dydx", "fetchOHLCV")
    hyperliquid = recorded("hyperliquid", "fetchOHLCV", "btc")[0]

    counts = checked_candles(spot("KRAKEN"), "1h", kraken["httpResponse"]).rows
    quotes = checked_candles(spot("KUCOIN"), "1h", kucoin["httpResponse"]).rows
    quiet = checked_candles(perpetual("DYDX", LINEAR, 1), "1m", dydx["httpResponse"]).rows
    trades = checked_candles(
        perpetual("HYPERLIQUID", LINEAR, 1), "1m", hyperliquid["httpResponse"]
    ).rows

    assert counts["trade_count"].to_pylist() == [162, 126, 127, 434, 137, 612]
    assert counts["quote_volume"].null_count == 6
    assert quotes["quote_volume"].to_pylist() == [
        4391287.808186813, 4390218.48746545, 5859577.939581874,
    ]  # fmt: skip
    assert (quiet["quote_volume"].to_pylist(), quiet["trade_count"].to_pylist()) == ([0.0], [0])
    assert trades["trade_count"].to_pylist() == [67, 26]


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("KRAKEN", "interval"), ("KRAKENFUTURES", "interval"), ("COINBASE", "granularity"),
        ("KUCOIN", "type"), ("KUCOINFUTURES", "granularity"), ("HYPERLIQUID", "interval"),
        ("DYDX", "resolution"),
    ],
)  # fmt: skip
def test_every_timeframe_is_asked_for_as_the_venue_spells_it(venue: str, name: str) -> None:
    """ccxt's own table says how; no timeframe is offered that it does not have."""
    entry = capability(Venue(venue), DataType.OHLCV)
    client = getattr(ccxt, entry.venue.ccxt_id)()
    spelled = client.timeframes
    if venue == "KUCOINFUTURES":
        spelled = client.options["timeframes"]["swap"]
    assert entry.raw is not None
    assert entry.timeframes

    for timeframe in entry.timeframes:
        cursor = CandleCursor(timeframe, 1_704_067_200_000_000, 1_704_067_200_000_000, 1, NOW)
        asked = entry.raw.request(spot(venue), cursor).parameters
        asked = asked.get("req", asked)

        assert str(asked[name]) == str(spelled[timeframe.ccxt])


def test_linear_contracts_of_kucoin_become_coins() -> None:
    """475 contracts of 0.001 BTC, for 41,736.36 USDT."""
    [case] = recorded("kucoin", "fetchOHLCV", "fetch ohlcv for swap")
    instrument = perpetual("KUCOINFUTURES", LINEAR, 0.001)

    rows = checked_candles(instrument, "1m", case["httpResponse"]).rows

    assert rows["volume"].to_pylist() == pytest.approx([0.475, 0.38])
    assert rows["quote_volume"].to_pylist() == [41736.3593, 33394.8441]


def test_inverse_contracts_of_kucoin_take_the_venues_turnover_as_coins() -> None:
    """3,000 contracts of one dollar at 60,000 are 0.05 BTC."""
    answer = {"data": [[1769402280000, 60000, 60100, 59900, 60050, 3000, 0.05]]}

    rows = checked_candles(perpetual("KUCOINFUTURES", INVERSE, 1), "1m", answer).rows

    assert rows["volume"].to_pylist() == [0.05]
    assert rows["quote_volume"].to_pylist() == [3000.0]


@pytest.mark.parametrize("turnover", [[0.06], [3000], [], ["x"]])
def test_turnover_that_does_not_fit_contracts_and_prices_is_rejected(turnover: list[Any]) -> None:
    """Were its unit another one, amounts would be wrong by a factor that nobody sees."""
    answer = {"data": [[1769402280000, 60000, 60100, 59900, 60050, 3000, *turnover]]}

    checked = checked_candles(perpetual("KUCOINFUTURES", INVERSE, 1), "1m", answer)

    assert checked.rows.num_rows == 0
    assert [each.reason for each in checked.rejected] == ["volume is not a number from 0"]


def test_linear_turnover_may_be_absent_but_not_odd() -> None:
    instrument = perpetual("KUCOINFUTURES", LINEAR, 0.001)
    row = [1769402280000, 60000, 60100, 59900, 60050, 500]

    without = checked_candles(instrument, "1m", {"data": [row]})
    odd = checked_candles(instrument, "1m", {"data": [[*row, 30_000_000]]})

    assert without.rows["volume"].to_pylist() == [0.5]
    assert without.rows["quote_volume"].to_pylist() == [None]
    assert [each.reason for each in odd.rejected] == ["quote_volume is not a number from 0"]


def test_a_trade_of_kraken() -> None:
    [case] = recorded("kraken", "fetchTrades")
    [theirs] = case["parsedResponse"]

    found = decoded(spot("KRAKEN"), DataType.TRADES, case["httpResponse"])

    assert found.table.to_pylist() == [
        {"ts": 1710327959173347, "trade_id": 6324366, "price": 73324.4, "quantity": 0.010309,
         "taker": 1}
    ]  # fmt: skip
    assert (str(6324366), 73324.4, 0.010309, "buy") == tuple(
        theirs[name] for name in ("id", "price", "amount", "side")
    )
    assert found.following == "1710327959173746878"


def test_a_trade_of_an_inverse_contract_of_kraken_is_in_coins() -> None:
    """200 dollars at 66,155 are 0.003023 BTC; ccxt leaves the amount out."""
    [case] = recorded("krakenfutures", "fetchTrades")
    [theirs] = case["parsedResponse"]

    found = decoded(perpetual("KRAKENFUTURES", INVERSE, 1), DataType.TRADES, case["httpResponse"])

    [row] = found.table.to_pylist()
    assert row["quantity"] == pytest.approx(200 / 66155)
    assert (row["trade_ref"], row["ts"], row["price"]) == (
        theirs["id"], theirs["timestamp"], theirs["price"],
    )  # fmt: skip
    assert (row["taker"], theirs["side"]) == (1, "buy")
    assert found.following == "MTc3MjAyMTc1MTg0Ny81MzI5NzAyNjM5Mw=="


def test_a_trade_of_dydx() -> None:
    [case] = recorded("dydx", "fetchTrades")
    [theirs] = case["parsedResponse"]

    found = decoded(perpetual("DYDX", LINEAR, 1), DataType.TRADES, case["httpResponse"])

    [row] = found.table.to_pylist()
    assert (row["trade_ref"], row["ts"] // 1_000, row["price"], row["quantity"]) == (
        theirs["id"], theirs["timestamp"], theirs["price"], theirs["amount"],
    )  # fmt: skip
    assert (row["taker"], theirs["side"]) == (1, "buy")
    assert found.following == "2025-07-29T05:16:49.920Z"


@pytest.mark.parametrize("venue", ["kucoin", "kucoinfutures", "hyperliquid"])
def test_trades_without_a_history_are_refused(venue: str) -> None:
    with pytest.raises(InvalidRequest, match=f"trades of {venue.upper()}"):
        capability(Venue(venue), DataType.TRADES)


@pytest.mark.parametrize(
    ("venue", "starts", "instrument", "scale"),
    [
        ("kucoin", "fetch orderbook", spot("KUCOIN"), 1.0),
        ("kucoin", "fetch order book for swap", perpetual("KUCOINFUTURES", LINEAR, 0.001), 0.001),
        ("dydx", "", perpetual("DYDX", LINEAR, 1), 1.0),
    ],
)
def test_books_have_ccxts_levels_in_the_base_asset(
    venue: str, starts: str, instrument: Instrument, scale: float
) -> None:
    [case] = recorded(venue, "fetchOrderBook", starts)
    theirs = case["parsedResponse"]

    checked = validate_book(
        decoded(instrument, DataType.ORDERBOOK, case["httpResponse"]), depth=100, received=NOW
    )

    assert checked.rejected is None
    [row] = checked.rows.to_pylist()
    for ours, side in (("bid", "bids"), ("ask", "asks")):
        assert row[f"{ours}_prices"] == [price for price, _ in theirs[side]]
        assert row[f"{ours}_quantities"] == pytest.approx(
            [quantity * scale for _, quantity in theirs[side]]
        )
    assert row["sequence"] == theirs["nonce"]
    told = theirs["timestamp"]
    # ccxt cuts nanoseconds to milliseconds.
    assert row["ts"].replace(microsecond=row["ts"].microsecond // 1_000 * 1_000) == (
        NOW if told is None else from_us(told * 1_000)
    )


def test_a_contract_in_a_book_of_an_inverse_market_is_so_many_dollars() -> None:
    """1,000 dollars at 4,213 are 0.2373605... BTC; 2,000 at 4,218 are 0.4741583..."""
    answer = {
        "result": "success",
        "serverTime": "2016-02-25T09:45:53.818Z",
        "orderBook": {"bids": [[4213, 1000]], "asks": [[4218, 2000]]},
    }

    table = decoded(perpetual("KRAKENFUTURES", INVERSE, 1), DataType.ORDERBOOK, answer).table

    [row] = table.to_pylist()
    assert row["bid_quantities"] == pytest.approx([0.23736055])
    assert row["ask_quantities"] == pytest.approx([0.47415837])
    assert from_us(row["ts"]) == datetime(2016, 2, 25, 9, 45, 53, 818_000)
    assert row["sequence"] is None


def test_settlements_of_kucoin_and_dydx_have_ccxts_values() -> None:
    [kucoin] = recorded("kucoin", "fetchFundingRateHistory", "fetch funding rate history by fut")
    [dydx] = recorded("dydx", "fetchFundingRateHistory")

    many = validate_funding(
        decoded(
            perpetual("KUCOINFUTURES", LINEAR, 0.001), DataType.FUNDING_RATES,
            kucoin["httpResponse"],
        ),
        now=NOW, whole_seconds=False,
    )  # fmt: skip
    one = validate_funding(
        decoded(perpetual("DYDX", LINEAR, 1), DataType.FUNDING_RATES, dydx["httpResponse"]),
        now=NOW,
        whole_seconds=False,
    )

    assert [each.rate for each in many.rows] == [8.2e-05, 0.000136, 5e-05, 1.4e-05]
    [first] = kucoin["parsedResponse"]
    assert (many.rows[0].settled_us, many.rows[0].rate) == (
        first["timestamp"] * 1_000, first["fundingRate"],
    )  # fmt: skip
    [theirs] = dydx["parsedResponse"]
    [ours] = one.rows
    assert (ours.settled_us // 1_000, ours.rate) == (theirs["timestamp"], theirs["fundingRate"])
    assert from_us(ours.ts_us) == datetime(2025, 7, 29, 5)
    assert ours.index_price == 118536.67532
