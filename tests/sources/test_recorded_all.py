"""Every recorded answer of ../shared/ccxt_static, through our path, against what ccxt made of it.

Venues of ours go through their raw decoders, the others through ccxt's unified methods. Which
cases do not pass, and why, is the table here; a case that begins to pass must leave it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import certifi
import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.schemas import TRADES
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, LakeError
from lake.sources.books import validate_book
from lake.sources.capabilities import capability, ccxt_ids
from lake.sources.capability import Paging
from lake.sources.ccxt_source import CcxtSource
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_checks import validate_funding
from lake.sources.markets import instruments_of
from lake.sources.trade_checks import validate_sparse_trades, validate_trades
from lake.sources.unified_rows import UNIFIED_ROWS
from tests.sources.replay import RECORDED, replaying_at

NOW = datetime(2027, 1, 1)
METHODS = (
    "fetchOHLCV",
    "fetchTrades",
    "fetchOrderBook",
    "fetchFundingRateHistory",
    "fetchFundingRate",
)
# Of these ccxt gives derivatives' amounts in contracts; for the candles of some in coins.
CANDLES_IN_CONTRACTS = {"kucoin", "kucoinfutures", "deepcoin", "hashkey", "poloniex", "toobit"}
IN_CONTRACTS = {"okx", "gate", "kucoin", "kucoinfutures", "blofin", "hashkey", "poloniex", "toobit"}

# ccxt puts its own clock where the venue says no time.
ITS_OWN_TIME = {"hibachi"}


@dataclass(frozen=True)
class Recorded:
    """One recorded call: its place in the files, and what it was."""

    exchange: str
    method: str
    number: int
    case: dict[str, Any]

    @property
    def symbol(self) -> str:
        return str(self.case["input"][0])

    @property
    def venue(self) -> Venue:
        """Derivatives of some exchanges are a venue of their own here."""
        if ":" in self.symbol and self.exchange in ("binance", "kucoin"):
            is_inverse = self.symbol.split(":")[0].endswith("USD")
            names = {"binance": ("BINANCEUSDM", "BINANCECOINM"), "kucoin": ("KUCOINFUTURES",) * 2}
            return Venue(names[self.exchange][is_inverse])
        return Venue(self.exchange)

    @property
    def price(self) -> str | None:
        """Which price the candles are of, where it is not that of trades."""
        more = self.case["input"][4] if len(self.case["input"]) > 4 else {}
        return more.get("price")

    @property
    def is_of_unified_account(self) -> bool:
        return any(isinstance(each, dict) and each.get("uta") for each in self.case["input"])


def everything() -> list[Recorded]:
    return [
        Recorded(path.stem, method, number, case)
        for path in sorted((RECORDED / "cases").glob("*.json"))
        for method, cases in json.loads(path.read_text())["methods"].items()
        for number, case in enumerate(cases)
    ]


ALL = everything()


def outcome(one: Recorded) -> str:
    """Why the case does not pass; empty where it does."""
    if one.exchange not in ccxt_ids():
        return "not in ccxt 4.5.90"
    if one.price is not None:
        return refused_by_name(one.price)
    if one.is_of_unified_account and one.method not in ("fetchOHLCV", "fetchFundingRate"):
        return "an endpoint that we do not ask"
    try:
        return asyncio.run(replayed(one))
    except LakeError as error:
        return str(error)


def refused_by_name(price: str) -> str:
    with pytest.raises(InvalidRequest, match="not built yet"):
        DataType.from_str(f"ohlcv_{price}")
    return "refused by name"


async def replayed(one: Recorded) -> str:
    answer = one.case["httpResponse"]
    now_ms = to_us(NOW) / 1_000
    async with replaying_at(one.exchange, one.venue, answer, now_ms=now_ms) as source:
        client = source._line.client
        market = client.market(one.symbol)
        listed = instruments_of(one.venue, [market], precision_mode=client.precisionMode)
        if not listed:
            return "what it settles in is not said"
        return await COMPARED[one.method](one, source, listed[0])


async def compared_candles(one: Recorded, source: CcxtSource, of: Instrument) -> str:
    name = one.case["input"][1] if len(one.case["input"]) > 1 else "1m"
    theirs = sorted(one.case["parsedResponse"])
    series = Series(DataType.OHLCV, of.id, TimeFrame.from_str(name))
    source.check(of, series)
    assert series.grid is not None
    start, last = (from_us(int(theirs[at][0]) * 1_000) for at in (0, -1))
    page = await source.candles(of, series, TimeRange(start, series.grid.next(last)))
    scale = volume_scale(one, of)
    found = [
        (to_us(row["ts"]) // 1_000, *(row[each] for each in ("open", "high", "low", "close")))
        for row in page.rows.to_pylist()
    ]
    if found != [(int(row[0]), *(float(each) for each in row[1:5])) for row in theirs]:
        return "differs"
    volumes = page.rows["volume"].to_pylist()
    return "" if volumes == pytest.approx([row[5] * scale for row in theirs]) else "volume differs"


def volume_scale(one: Recorded, of: Instrument) -> float:
    return of.contract_size or 1.0 if one.exchange in CANDLES_IN_CONTRACTS else 1.0


async def asked(source: CcxtSource, of: Instrument, kind: DataType, cursor: Cursor) -> Decoded:
    entry = capability(of.venue, kind)
    series = Series(kind, of.id)
    source.check(of, series)
    return await source._market._ask(of, series, entry.rows or UNIFIED_ROWS)(cursor)


def around(one: Recorded) -> Cursor:
    """The span of ccxt's rows; where it has none, that from where it was asked."""
    times = [each["timestamp"] for each in one.case["parsedResponse"]]
    if not times:
        since = one.case["input"][1] or 0
        return Cursor(100, None, since * 1_000, to_us(NOW))
    return Cursor(100, None, min(times) * 1_000, (max(times) + 1) * 1_000)


async def compared_trades(one: Recorded, source: CcxtSource, of: Instrument) -> str:
    theirs = one.case["parsedResponse"]
    entry = capability(of.venue, DataType.TRADES)
    decoded = await asked(source, of, DataType.TRADES, around(one))
    rows_of = entry.rows or UNIFIED_ROWS
    if rows_of.paging is Paging.IDS:
        checked = validate_trades(decoded, now=NOW, whole_seconds=rows_of.whole_seconds)
        table, odd = checked.rows, bool(checked.rejected)
    else:
        table, rejected = validate_sparse_trades(
            decoded, now=NOW, whole_seconds=rows_of.whole_seconds
        )
        odd = bool(rejected)
    assert table.schema == TRADES.schema
    rows = table.to_pylist()
    scale = amount_scale(one, of)

    def ours(row: dict[str, Any]) -> tuple[Any, ...]:
        number = row["trade_id"] if row["trade_id"] is not None else row["trade_ref"]
        return (to_us(row["ts"]) // 1_000, row["side"], row["price"], number and str(number))

    def said(each: dict[str, Any]) -> tuple[Any, ...]:
        number = None if entry.variant == "single/derived" else each["id"]
        return (each["timestamp"], each["side"], each["price"], number)

    found = sorted(((*ours(row), row["quantity"]) for row in rows), key=repr)
    wanted = sorted(
        ((*said(each), scale(amount_of(each), each["price"])) for each in theirs), key=repr
    )
    if one.case["input"][2:3] == [len(theirs)]:
        # ccxt cuts to the limit, also among trades of one time.
        found = [each for each in found if each[:-1] in {other[:-1] for other in wanted}]
    if odd or [each[:-1] for each in found] != [each[:-1] for each in wanted]:
        return "differs"
    amounts = [each[-1] for each in wanted]
    return "" if [each[-1] for each in found] == pytest.approx(amounts) else "amount differs"


def amount_of(each: dict[str, Any]) -> float:
    """ccxt leaves the amount out where a Kraken contract is inverse."""
    if each["amount"] is not None:
        return float(each["amount"])
    return float(each["info"]["takerOrder"]["quantity"])


def amount_scale(one: Recorded, of: Instrument) -> Callable[[float, float], float]:
    if of.kind is InstrumentKind.SPOT:
        return lambda amount, price: amount
    size = of.contract_size or 1.0
    if of.kind is InstrumentKind.INVERSE:
        return lambda amount, price: amount * size / price
    scale = size if one.exchange in IN_CONTRACTS else 1.0
    return lambda amount, price: amount * scale


async def compared_book(one: Recorded, source: CcxtSource, of: Instrument) -> str:
    theirs, depth = one.case["parsedResponse"], 20
    decoded = await asked(source, of, DataType.ORDERBOOK, Cursor(depth))
    checked = validate_book(decoded, depth=depth, received=NOW)
    if checked.rejected is not None:
        return checked.rejected.reason
    [row] = checked.rows.to_pylist()
    scale = amount_scale(one, of)
    for name, side in (("bid", "bids"), ("ask", "asks")):
        levels = theirs[side][:depth]
        if row[f"{name}_prices"] != [each[0] for each in levels]:
            return "differs"
        amounts = [scale(each[1], each[0]) for each in levels]
        if row[f"{name}_quantities"] != pytest.approx(amounts):
            return "amount differs"
    said = None if one.exchange in ITS_OWN_TIME else theirs.get("timestamp")
    return "" if said is None or to_us(row["ts"]) // 1_000 == said else "time differs"


async def compared_settlements(one: Recorded, source: CcxtSource, of: Instrument) -> str:
    theirs = sorted(one.case["parsedResponse"], key=lambda each: each["timestamp"])
    rows = capability(of.venue, DataType.FUNDING_RATES).rows
    decoded = await asked(source, of, DataType.FUNDING_RATES, around(one))
    whole = rows is not None and rows.whole_seconds
    checked = validate_funding(decoded, now=NOW, whole_seconds=whole)
    found = [(each.settled_us // 1_000, each.rate) for each in checked.rows]
    wanted = [(each["timestamp"], each["fundingRate"]) for each in theirs]
    missing = [each for each in wanted if each not in found]
    return "differs" if checked.rejected or missing else ""


async def compared_running(one: Recorded, source: CcxtSource, of: Instrument) -> str:
    theirs = one.case["parsedResponse"]
    found = await source.funding_now(of)
    due = found.next_funding_time
    ours = (
        found.predicted_rate,
        None if due is None else to_us(due) // 1_000,
        found.mark_price,
        found.index_price,
    )
    time = theirs.get("fundingTimestamp") or theirs.get("nextFundingTimestamp")
    names = ("markPrice", "indexPrice")
    wanted = (theirs["fundingRate"], time, *(theirs.get(name) for name in names))
    return "" if ours == wanted else "differs"


COMPARED = {
    "fetchOHLCV": compared_candles,
    "fetchTrades": compared_trades,
    "fetchOrderBook": compared_book,
    "fetchFundingRateHistory": compared_settlements,
    "fetchFundingRate": compared_running,
}

GONE = "not in ccxt 4.5.90"
NAMED = "refused by name"
UNIFIED_ACCOUNT = "an endpoint that we do not ask"
NO_HISTORY = "newest ones only, no history"
NO_UNIT = "unit of amounts is not known"
CCXT_DIFFERS = "ccxt 4.5.90 reads it otherwise than was recorded"
WANTS_KEY = "ccxt wants a private key"
# What a message says, in the words of the table.
IN_WORDS = {
    "in what unit": NO_UNIT,
    "its archives hold them": NO_HISTORY,
    "credential": WANTS_KEY,
    "different trades of one id": "rows of one id differ: refused",
    "but its rate is None": "an endpoint without a rate",
}
# What does not pass, and why. Everything else does; a test holds the two apart.
NOT_PASSING = {
    **dict.fromkeys(
        [(name, method, 0) for name in ("bitmart", "bitmex") for method in METHODS[:2]]
        + [(name, "fetchFundingRateHistory", 0) for name in ("bitmart", "bitmex")]
        + [(name, method, 0) for name in ("coinex", "exmo") for method in METHODS[:2]],
        GONE,
    ),
    ("binance", "fetchOHLCV", 1): NAMED,
    ("bitget", "fetchOHLCV", 5): NAMED,
    ("bitget", "fetchOHLCV", 6): NAMED,
    ("bitget", "fetchOrderBook", 1): UNIFIED_ACCOUNT,
    ("bitget", "fetchTrades", 1): UNIFIED_ACCOUNT,
    ("bitget", "fetchTrades", 2): UNIFIED_ACCOUNT,
    ("bitget", "fetchTrades", 3): UNIFIED_ACCOUNT,
    ("bitget", "fetchFundingRateHistory", 1): UNIFIED_ACCOUNT,
    ("kucoin", "fetchFundingRateHistory", 1): UNIFIED_ACCOUNT,
    ("kucoin", "fetchTrades", 2): UNIFIED_ACCOUNT,
    ("kucoin", "fetchOrderBook", 2): UNIFIED_ACCOUNT,
    ("bybit", "fetchTrades", 0): NO_HISTORY,
    ("kucoin", "fetchTrades", 0): NO_HISTORY,
    ("kucoin", "fetchTrades", 1): NO_HISTORY,
    ("kucoinfutures", "fetchTrades", 0): NO_HISTORY,
    ("bydfi", "fetchOHLCV", 0): NO_UNIT,
    ("bydfi", "fetchTrades", 0): NO_UNIT,
    ("bydfi", "fetchOrderBook", 0): NO_UNIT,
    ("deepcoin", "fetchTrades", 1): NO_UNIT,
    ("deepcoin", "fetchOrderBook", 0): NO_UNIT,
    # The recorded market has no contract size.
    ("grvt", "fetchOHLCV", 0): NO_UNIT,
    ("grvt", "fetchOHLCV", 1): NO_UNIT,
    ("grvt", "fetchOHLCV", 2): NO_UNIT,
    ("grvt", "fetchOrderBook", 0): NO_UNIT,
    ("grvt", "fetchOrderBook", 1): NO_UNIT,
    # As ../shared/ccxt_static/README.md lists them.
    ("bithumb", "fetchOrderBook", 0): CCXT_DIFFERS,
    ("bithumb", "fetchOHLCV", 0): CCXT_DIFFERS,
    ("bithumb", "fetchTrades", 0): CCXT_DIFFERS,
    ("coinbaseinternational", "fetchFundingRateHistory", 0): CCXT_DIFFERS,
    ("grvt", "fetchFundingRateHistory", 0): CCXT_DIFFERS,
    ("modetrade", "fetchOHLCV", 0): WANTS_KEY,
    ("modetrade", "fetchOrderBook", 0): WANTS_KEY,
    ("woofipro", "fetchOHLCV", 0): WANTS_KEY,
    ("woofipro", "fetchOrderBook", 0): WANTS_KEY,
    ("bitget", "fetchOHLCV", 0): "ccxt takes the quote volume for the base",
    ("bitget", "fetchFundingRate", 1): "an endpoint without a rate",
    ("cryptomus", "fetchTrades", 0): "a trade without a price: quarantined",
    ("deepcoin", "fetchTrades", 0): "rows of one id differ: refused",
    ("gate", "fetchOHLCV", 0): "the venue says that the candle is running",
    ("zebpay", "fetchOHLCV", 0): "what it settles in is not said",
}
BY_HAND = {CCXT_DIFFERS} | {
    NOT_PASSING[name, "fetchOHLCV", 0] for name in ("bitget", "gate")
} | {NOT_PASSING["cryptomus", "fetchTrades", 0]}  # fmt: skip


def name_of(one: Recorded) -> str:
    return f"{one.exchange}-{one.method}-{one.number}"


@pytest.fixture(scope="module", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each client reads all certificates there are, which takes half of the time here."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.mark.skipif(not ALL, reason=f"no recorded answers at {RECORDED}")
@pytest.mark.parametrize("one", ALL, ids=name_of)
def test_the_answer_goes_through_or_is_in_the_table(one: Recorded) -> None:
    found = outcome(one)

    reason = NOT_PASSING.get((one.exchange, one.method, one.number), "")
    told = next((words for part, words in IN_WORDS.items() if part in found), found)
    if reason in BY_HAND:
        # What differs was looked at; that it differs is held here.
        assert told not in ("", reason)
    else:
        assert told == reason


@pytest.mark.skipif(not ALL, reason=f"no recorded answers at {RECORDED}")
def test_the_table_names_recorded_cases_only() -> None:
    named = {(each.exchange, each.method, each.number) for each in ALL}

    assert len(ALL) == 254
    assert set(NOT_PASSING) <= named
    assert Counter(NOT_PASSING.values()) == {
        GONE: 10,
        NAMED: 3,
        UNIFIED_ACCOUNT: 8,
        NO_HISTORY: 4,
        NO_UNIT: 10,
        CCXT_DIFFERS: 5,
        WANTS_KEY: 4,
        "ccxt takes the quote volume for the base": 1,
        "an endpoint without a rate": 1,
        "a trade without a price: quarantined": 1,
        "rows of one id differ: refused": 1,
        "the venue says that the candle is running": 1,
        "what it settles in is not said": 1,
    }
