"""Trades, books and funding as their clients see them: real ccxt, and plain HTTP."""

from __future__ import annotations

import itertools
import urllib.request
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import pyarrow as pa
import pytest
from box import BoxServer, BoxThread

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.timeframe import TimeFrame
from lake.storage.lake import Storage
from tests.simulator.test_server import get, ms, through_ccxt

START = datetime(2024, 1, 30, 18)
SPOT, LINEAR, INVERSE = (
    "BTCUSDT.BINANCE",
    "BTCUSDT-PERP.BINANCEUSDM",
    "BTCUSD-PERP-BTC.BINANCECOINM",
)
AGG = "/api/v3/aggTrades"
HOUR = 3_600_000


@pytest.fixture
def root(full_root: Path) -> Path:
    return full_root


@pytest.fixture
def box(full_box: BoxThread) -> BoxThread:
    return full_box


def stored(root: Path, code: str, kind: DataType, frame: TimeFrame | None = None) -> list[Any]:
    with Storage.open(root, read_only=True) as storage:
        infos = storage.catalog.partitions(Series(kind, InstrumentId.from_str(code), frame))
        tables = [storage.read_partition(info.partition) for info in infos]
    rows: list[Any] = pa.concat_tables(tables).to_pylist()
    return rows


def agg(box: BoxServer, path: str = AGG, **query: Any) -> list[dict[str, Any]]:
    status, rows, _ = get(box, path, **{"symbol": "BTCUSDT"} | query)
    assert status == 200, rows
    return list(rows)


@pytest.mark.parametrize(
    ("path", "symbol", "code"),
    [
        (AGG, "BTCUSDT", SPOT),
        ("/fapi/v1/aggTrades", "BTCUSDT", LINEAR),
        ("/dapi/v1/aggTrades", "BTCUSD_PERP", INVERSE),
    ],
)
def test_walking_by_id_gives_every_stored_trade(
    box: BoxThread, root: Path, path: str, symbol: str, code: str
) -> None:
    """Dense, ascending, each column the stored double; across chunks, days and a month's end."""
    rows: list[dict[str, Any]] = []
    while page := agg(box, path, symbol=symbol, fromId=len(rows) + 1, limit=1_000):
        rows += page

    expected = stored(root, code, DataType.TRADES)
    assert len(rows) == len(expected) > 20_000
    for row, ours in zip(rows, expected, strict=True):
        price, quantity = float(row["p"]), float(row["q"])
        if code == INVERSE:
            quantity = quantity * 100 / price
        assert (row["a"], row["T"], price, quantity, row["f"], row["l"], row["m"]) == (
            ours["trade_id"],
            ms(ours["ts"]),
            ours["price"],
            ours["quantity"],
            ours["first_trade_id"],
            ours["last_trade_id"],
            ours["side"] == "sell",
        )
        assert ("M" in row) == (code == SPOT)


def test_a_trade_looks_as_binance_writes_it(box: BoxThread) -> None:
    """Spot has eight decimals, futures the tick's and the lot's, COIN-M whole contracts."""
    [spot] = agg(box, fromId=1, limit=1)
    [linear] = agg(box, "/fapi/v1/aggTrades", fromId=1, limit=1)
    [inverse] = agg(box, "/dapi/v1/aggTrades", symbol="BTCUSD_PERP", fromId=1, limit=1)

    assert list(spot) == ["a", "p", "q", "f", "l", "T", "m", "M"]
    assert [len(spot[key].split(".")[1]) for key in "pq"] == [8, 8]
    assert [len(linear[key].split(".")[1]) for key in "pq"] == [2, 5]
    assert inverse["q"].isdigit()


def test_times_are_inclusive_and_share_milliseconds(box: BoxThread) -> None:
    """All rows of the first and the last millisecond are there, however many."""
    around = agg(box, startTime=ms(datetime(2024, 1, 31)), limit=1_000)
    shared = next(row["T"] for row, after in itertools.pairwise(around) if row["T"] == after["T"])

    exact = agg(box, startTime=shared, endTime=shared)

    assert exact == [row for row in around if row["T"] == shared]
    assert len(exact) > 1
    assert agg(box, startTime=shared, limit=1) == exact[:1]
    assert agg(box, endTime=shared, limit=1) == exact[-1:]
    assert agg(box, startTime=shared + 1, limit=1)[0]["a"] == exact[-1]["a"] + 1


def test_windows_and_limits(box: BoxThread) -> None:
    """500 unless asked, 1,000 at most; a full window gives one of its ends, either may come."""
    start = ms(datetime(2024, 1, 31, 13))
    window = {"startTime": start, "endTime": start + HOUR}
    whole = []
    while page := agg(box, fromId=whole[-1]["a"] + 1 if whole else _first(box, start), limit=1000):
        whole += page
        if whole[-1]["T"] > start + HOUR:
            break
    whole = [row for row in whole if row["T"] <= start + HOUR]

    assert len(whole) > 500
    assert agg(box, **window) == whole[-500:]
    box.control("windows", keep="oldest")
    assert agg(box, **window) == whole[:500]
    assert agg(box, **window, limit=7) == whole[:7]
    assert len(agg(box, startTime=start, limit=5_000)) == 1_000
    assert len(agg(box)) == 500
    assert agg(box, fromId=1 << 40) == []


def _first(box: BoxServer, start: int) -> int:
    return int(agg(box, startTime=start, limit=1)[0]["a"])


def test_the_future_has_not_been_traded(box: BoxThread) -> None:
    """Up to the box's clock and no further, by id, by time and by default."""
    box.control("clock", now="2024-01-31T10:00:30.500")
    now = ms(datetime(2024, 1, 31, 10, 0, 30)) + 500

    newest = agg(box, limit=3)
    after = agg(box, fromId=newest[-1]["a"] + 1)

    assert newest[-1]["T"] <= now
    assert after == []
    assert agg(box, startTime=now + 1) == []
    assert agg(box, startTime=now - HOUR, endTime=now)[-1] == newest[-1]
    box.control("clock", now="2024-01-31T11:00")
    assert agg(box, fromId=newest[-1]["a"] + 1)[0]["T"] > now


@pytest.mark.parametrize("path", ["/api/v3/", "/fapi/v1/", "/dapi/v1/"])
def test_the_running_candle_is_the_sum_of_the_trades_so_far(box: BoxThread, path: str) -> None:
    """At any millisecond: count, volumes, worth, and the hour on top of the minute."""
    symbol = "BTCUSD_PERP" if path == "/dapi/v1/" else "BTCUSDT"
    box.control("clock", now="2024-01-31T13:27:41.777")
    opened = ms(datetime(2024, 1, 31, 13, 27))

    _, [candle], _ = get(box, f"{path}klines", symbol=symbol, interval="1m", limit=1)
    _, [hour], _ = get(box, f"{path}klines", symbol=symbol, interval="1h", limit=1)
    trades = agg(box, f"{path}aggTrades", symbol=symbol, startTime=opened, limit=1_000)
    since = ms(datetime(2024, 1, 31, 13))
    first = _symbol_first(box, path, symbol, since)

    assert candle[0] == opened
    assert candle[8] == sum(row["l"] - row["f"] + 1 for row in trades) > 5
    assert Decimal(candle[5]) == sum(Decimal(row["q"]) for row in trades)
    bought = sum(Decimal(row["q"]) for row in trades if not row["m"])
    assert Decimal(candle[9]) == bought
    assert Decimal(candle[4]) == Decimal(trades[-1]["p"])
    assert Decimal(candle[2]) == max(Decimal(row["p"]) for row in trades)
    assert hour[8] == trades[-1]["l"] - first + 1
    if path == "/api/v3/":
        worth = sum(Decimal(row["q"]) * Decimal(row["p"]) for row in trades)
        assert Decimal(candle[7]) == worth


def _symbol_first(box: BoxServer, path: str, symbol: str, since: int) -> int:
    [row] = agg(box, f"{path}aggTrades", symbol=symbol, startTime=since, limit=1)
    return int(row["f"])


@pytest.mark.parametrize("path", ["/api/v3/", "/fapi/v1/", "/dapi/v1/"])
def test_recent_trades_are_what_the_aggregates_are_made_of(box: BoxThread, path: str) -> None:
    """The newest fills: dense ids, and their sums are the aggregates'."""
    symbol = "BTCUSD_PERP" if path == "/dapi/v1/" else "BTCUSDT"
    whole = agg(box, f"{path}aggTrades", symbol=symbol, limit=1_000)

    _, single, _ = get(box, f"{path}trades", symbol=symbol, limit=1_000)

    ids = [row["id"] for row in single]
    assert ids == list(range(whole[-1]["l"] - 999, whole[-1]["l"] + 1))
    for row in whole[-100:]:
        inside = [each for each in single if row["f"] <= each["id"] <= row["l"]]
        assert sum(Decimal(each["qty"]) for each in inside) == Decimal(row["q"])
        assert {each["time"] for each in inside} == {row["T"]}
        assert {Decimal(each["price"]) for each in inside} == {Decimal(row["p"])}
        assert {each["isBuyerMaker"] for each in inside} == {row["m"]}
    assert ("baseQty" in single[0]) == (path == "/dapi/v1/")
    assert len(get(box, f"{path}trades", symbol=symbol)[1]) == 500


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (AGG, {"fromId": 1, "startTime": 2}, -1128),
        (AGG, {"fromId": 1, "endTime": 2}, -1128),
        (AGG, {"startTime": 0, "endTime": HOUR + 1}, -1127),
        (AGG, {"startTime": 2, "endTime": 1}, -1128),
        ("/fapi/v1/aggTrades", {"startTime": 2, "endTime": 1}, -1023),
        (AGG, {"symbol": "NOSUCH"}, -1121),
        (AGG, {"limit": 0}, -1130),
        (AGG, {"fromId": "x"}, -1100),
        ("/fapi/v1/depth", {"limit": 7}, -4021),
        ("/api/v3/depth", {"limit": 0}, -1130),
        ("/dapi/v1/fundingRate", {"symbol": ""}, -1102),
        ("/fapi/v1/fundingRate", {"symbol": "NOSUCH"}, -1121),
        ("/fapi/v1/premiumIndex", {"symbol": "NOSUCH"}, -1121),
    ],
)
def test_wrong_requests_are_refused(
    box: BoxThread, path: str, query: dict[str, Any], code: int
) -> None:
    """400 and Binance's code; nothing is guessed."""
    status, answer, _ = get(box, path, **{"symbol": "BTCUSDT"} | query)

    assert (status, answer["code"]) == (400, code)


def test_old_fills_need_a_key(box: BoxThread) -> None:
    """Without one -2014, with one that the venue does not know -2015; both are 401."""
    status, answer, _ = get(box, "/api/v3/historicalTrades", symbol="BTCUSDT")

    async def with_key(exchange: Any) -> str:
        try:
            await exchange.publicGetHistoricalTrades({"symbol": "BTCUSDT"})
        except ccxt.AuthenticationError as error:
            return str(error)
        return ""

    assert (status, answer["code"]) == (401, -2014)
    assert "-2015" in through_ccxt(box, "binance", with_key, apiKey="nobody", secret="s")


def test_spot_has_no_funding(box: BoxThread) -> None:
    """Those paths do not exist there."""
    for name in ("fundingRate", "fundingInfo", "premiumIndex"):
        with pytest.raises(urllib.request.HTTPError) as error:
            urllib.request.urlopen(f"{box.url}/api/v3/{name}", timeout=5)
        with error.value:
            assert error.value.code == 404


@pytest.mark.parametrize(
    ("path", "symbol", "code"),
    [
        ("/api/v3/depth", "BTCUSDT", SPOT),
        ("/fapi/v1/depth", "BTCUSDT", LINEAR),
        ("/dapi/v1/depth", "BTCUSD_PERP", INVERSE),
    ],
)
def test_the_book_is_the_newest_snapshot(
    box: BoxThread, root: Path, path: str, symbol: str, code: str
) -> None:
    """Of the box's moment, to the depth asked for, level by level as it is stored."""
    books = stored(root, code, DataType.ORDERBOOK)
    for index in (0, 700, 1_023, 1_024, 2_160, len(books) - 1):
        ours = books[index]
        box.control("clock", now=(ours["ts"] + timedelta(seconds=3)).isoformat())

        _, book, _ = get(box, path, symbol=symbol, limit=20)

        assert book["lastUpdateId"] == ours["sequence"]
        for side, name in (("bids", "bid"), ("asks", "ask")):
            levels = [(float(price), float(size)) for price, size in book[side]]
            if code == INVERSE:
                levels = [(price, size * 100 / price) for price, size in levels]
            assert levels == list(
                zip(ours[f"{name}_prices"][:20], ours[f"{name}_quantities"][:20], strict=True)
            )
        if code != SPOT:
            assert (book["T"], book["E"]) == (ms(ours["ts"]), ms(ours["ts"]) + 3_000)
        assert ("pair" in book) == (code == INVERSE)
    assert len(get(box, path, symbol=symbol, limit=1_000)[1]["asks"]) == 50


def test_before_the_first_snapshot_the_book_is_empty(box: BoxThread) -> None:
    """The venue was there, nobody quoted."""
    box.control("clock", now=(START - timedelta(hours=1)).isoformat())

    _, book, _ = get(box, "/api/v3/depth", symbol="BTCUSDT")

    assert book == {"lastUpdateId": 0, "bids": [], "asks": []}


@pytest.mark.parametrize(
    ("path", "symbol", "code"),
    [
        ("/fapi/v1/fundingRate", "BTCUSDT", LINEAR),
        ("/dapi/v1/fundingRate", "BTCUSD_PERP", INVERSE),
    ],
)
def test_funding_is_what_has_been_settled(
    box: BoxThread, root: Path, path: str, symbol: str, code: str
) -> None:
    """Ascending, at the venue's own late milliseconds, nothing before it has happened."""
    ours = stored(root, code, DataType.FUNDING_RATES)
    second = ms(ours[1]["settled_at"])

    _, rows, _ = get(box, path, symbol=symbol, startTime=0, limit=1_000)
    _, two, _ = get(box, path, symbol=symbol, limit=2)
    _, first, _ = get(box, path, symbol=symbol, startTime=0, endTime=second - 1)
    box.control("clock", now=ours[1]["ts"].isoformat())
    _, known, _ = get(box, path, symbol=symbol)

    assert [(row["symbol"], row["fundingTime"], float(row["fundingRate"])) for row in rows] == [
        (symbol, ms(row["settled_at"]), row["funding_rate"]) for row in ours
    ]
    assert two == rows[-2:]
    assert first == rows[:1]
    assert known == (rows[:2] if second == ms(ours[1]["ts"]) else rows[:1])
    if code == LINEAR:
        assert [float(row["markPrice"]) for row in rows] == [row["mark_price"] for row in ours]
    else:
        assert "markPrice" not in rows[0]


def test_funding_of_all_symbols(box: BoxThread) -> None:
    """USD-M answers without a symbol: every settlement, in order of time."""
    _, rows, _ = get(box, "/fapi/v1/fundingRate", limit=1_000)
    _, oldest, _ = get(box, "/fapi/v1/fundingRate", limit=3, startTime=0)

    assert {row["symbol"] for row in rows} == {"BTCUSDT", "ETHUSDT"}
    times = [row["fundingTime"] for row in rows]
    assert times == sorted(times)
    assert oldest == rows[:3]


def test_the_index_moves_towards_the_next_settlement(box: BoxThread, root: Path) -> None:
    """From the last rate to the next, due at its hour; the mark is the last trade's price."""
    ours = stored(root, LINEAR, DataType.FUNDING_RATES)
    last, coming = ours[-2], ours[-1]
    seen = []
    for minutes in (0, 120, 239):
        moment = last["ts"] + timedelta(minutes=minutes)
        box.control("clock", now=moment.isoformat())
        _, row, _ = get(box, "/fapi/v1/premiumIndex", symbol="BTCUSDT")
        [newest] = agg(box, "/fapi/v1/aggTrades", limit=1)
        seen.append(float(row["lastFundingRate"]))
        assert row["nextFundingTime"] == ms(coming["ts"])
        assert row["time"] == ms(moment)
        assert Decimal(row["markPrice"]) == Decimal(newest["p"])
    _, every, _ = get(box, "/fapi/v1/premiumIndex")
    _, inverse, _ = get(box, "/dapi/v1/premiumIndex")

    low, high = sorted((last["funding_rate"], coming["funding_rate"]))
    assert seen[0] == last["funding_rate"]
    assert all(low <= rate <= high for rate in seen)
    assert [row["symbol"] for row in every] == ["BTCUSDT", "ETHUSDT"]
    assert [(row["symbol"], row["pair"]) for row in inverse] == [("BTCUSD_PERP", "BTCUSD")]


def test_funding_info_names_unusual_intervals(box: BoxThread) -> None:
    """Nothing while all settle every eight hours; four as soon as that is the interval."""
    box.control("clock", now="2024-01-31T01:00")
    _, before, _ = get(box, "/fapi/v1/fundingInfo")
    box.control("clock", now="2024-01-31T09:00")
    _, after, _ = get(box, "/fapi/v1/fundingInfo")

    assert before == []
    assert [(row["symbol"], row["fundingIntervalHours"]) for row in after] == [
        ("BTCUSDT", 4),
        ("ETHUSDT", 4),
    ]


@pytest.mark.parametrize(
    ("venue", "symbol", "code"),
    [
        ("binance", "BTC/USDT", SPOT),
        ("binanceusdm", "BTC/USDT:USDT", LINEAR),
        ("binancecoinm", "BTC/USD:BTC", INVERSE),
    ],
)
def test_ccxt_reads_trades_books_and_funding(
    box: BoxThread, root: Path, venue: str, symbol: str, code: str
) -> None:
    """The real client's unified methods find what the lake holds."""
    box.control("windows", keep="oldest")
    since = datetime(2024, 1, 31, 12)

    async def work(exchange: Any) -> Any:
        await exchange.load_markets()
        trades = await exchange.fetch_trades(symbol, since=ms(since), limit=200)
        book = await exchange.fetch_order_book(symbol, 20)
        if venue == "binance":
            return trades, book, [], {}
        rates = await exchange.fetch_funding_rate_history(symbol, since=ms(START), limit=50)
        return trades, book, rates, await exchange.fetch_funding_rate(symbol)

    trades, book, rates, rate = through_ccxt(box, venue, work)

    ours = [row for row in stored(root, code, DataType.TRADES) if row["ts"] >= since][:200]
    assert [(int(row["id"]), row["timestamp"], row["price"], row["side"]) for row in trades] == [
        (row["trade_id"], ms(row["ts"]), row["price"], row["side"]) for row in ours
    ]
    last = stored(root, code, DataType.ORDERBOOK)[-1]
    assert book["nonce"] == last["sequence"]
    assert [level[0] for level in book["bids"]] == last["bid_prices"][:20]
    if venue != "binance":
        settled = stored(root, code, DataType.FUNDING_RATES)
        assert [(row["timestamp"], row["fundingRate"]) for row in rates] == [
            (ms(row["settled_at"]), row["funding_rate"]) for row in settled
        ]
        assert rate["fundingTimestamp"] == ms(datetime(2024, 2, 1, 8))


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        (AGG, {}, 4),
        ("/fapi/v1/aggTrades", {}, 20),
        ("/dapi/v1/aggTrades", {"symbol": "BTCUSD_PERP"}, 20),
        ("/api/v3/trades", {}, 25),
        ("/fapi/v1/trades", {}, 5),
        ("/api/v3/depth", {}, 5),
        ("/api/v3/depth", {"limit": 101}, 25),
        ("/api/v3/depth", {"limit": 1_000}, 50),
        ("/api/v3/depth", {"limit": 5_000}, 250),
        ("/fapi/v1/depth", {}, 10),
        ("/fapi/v1/depth", {"limit": 50}, 2),
        ("/fapi/v1/depth", {"limit": 100}, 5),
        ("/fapi/v1/depth", {"limit": 1_000}, 20),
        ("/fapi/v1/premiumIndex", {}, 1),
        ("/dapi/v1/premiumIndex", {"symbol": "BTCUSD_PERP"}, 10),
        ("/fapi/v1/fundingRate", {}, 1),
    ],
)
def test_requests_weigh_what_binance_says(
    box: BoxThread, path: str, query: dict[str, Any], weight: int
) -> None:
    """The used-weight header after one request of a fresh minute."""
    _, _, headers = get(box, path, **{"symbol": "BTCUSDT"} | query)

    assert headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_funding_has_a_limit_of_its_own(box: BoxThread) -> None:
    """500 requests in five minutes for fundingRate and fundingInfo together, then 429."""
    box.control("limits", enforced=True, limit=2_400)
    box.control("limits", enforced=True, limit=5, api="usdm_funding")
    box.control("clock", now="2024-01-31T10:01:00")

    answers = [get(box, "/fapi/v1/fundingRate", symbol="BTCUSDT")[0] for _ in range(4)]
    answers.append(get(box, "/fapi/v1/fundingInfo")[0])
    status, _, headers = get(box, "/fapi/v1/fundingRate", symbol="BTCUSDT")
    other, _, _ = get(box, "/fapi/v1/depth", symbol="BTCUSDT")

    assert answers == [200] * 5
    assert (status, headers["Retry-After"], other) == (429, "240", 200)


def test_what_was_served_is_counted(box: BoxThread) -> None:
    """For measurements: rows by kind."""
    agg(box, limit=7)
    get(box, "/api/v3/depth", symbol="BTCUSDT")
    get(box, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=2)

    assert box.state()["served"] == {"trades": 7, "books": 1, "funding": 2}
