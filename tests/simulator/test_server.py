"""The box as its clients see it: the real ccxt, and plain HTTP where ccxt hides things."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import Storage
from tests.box import BoxServer, BoxThread

START, END = datetime(2024, 1, 30), datetime(2024, 2, 2)
LISTED = datetime(2024, 1, 31, 5, 7)
MINUTE = 60_000
KLINES = "/api/v3/klines"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ms(moment: datetime) -> int:
    return to_us(moment) // 1_000


def get(box: BoxServer, path: str = KLINES, **query: Any) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of a GET."""
    url = f"{box.url}{path}?{urllib.parse.urlencode(query)}"
    try:
        with _OPENER.open(url, timeout=10) as response:
            return response.status, json.loads(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), dict(error.headers)


def klines(box: BoxServer, **query: Any) -> list[list[Any]]:
    query = {"symbol": "BTCUSDT", "interval": "1m"} | query
    status, rows, _ = get(box, **query)
    assert status == 200, rows
    return list(rows)


def through_ccxt(
    box: BoxServer, venue: str, work: Callable[[Any], Awaitable[Any]], **options: Any
) -> Any:
    """What *work* gives with the real ccxt client of *venue*, pointed at the box."""
    kinds = {"binance": "spot", "binanceusdm": "linear", "binancecoinm": "inverse"}
    apis = {
        "public": f"{box.url}/api/v3",
        "fapiPublic": f"{box.url}/fapi/v1",
        "dapiPublic": f"{box.url}/dapi/v1",
    }

    async def run() -> Any:
        exchange = getattr(ccxt, venue)(
            {
                "enableRateLimit": False,
                "urls": {"api": apis},
                "options": {"fetchMarkets": {"types": [kinds[venue]]}, "fetchCurrencies": False},
                **options,
            }
        )
        try:
            return await work(exchange)
        finally:
            await exchange.close()

    return asyncio.run(run())


def stored(root: Path, code: str, timeframe: TimeFrame) -> list[dict[str, Any]]:
    """The lake's own rows of a series."""
    series = Series(DataType.OHLCV, InstrumentId.from_str(code), timeframe)
    with Storage.open(root, read_only=True) as storage:
        tables = [
            storage.read_partition(info.partition) for info in storage.catalog.partitions(series)
        ]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("venue", "code", "symbol", "native"),
    [
        ("binance", "BTCUSDT.BINANCE", "BTC/USDT", "BTCUSDT"),
        ("binanceusdm", "BTCUSDT-PERP.BINANCEUSDM", "BTC/USDT:USDT", "BTCUSDT"),
        ("binancecoinm", "BTCUSD-PERP-BTC.BINANCECOINM", "BTC/USD:BTC", "BTCUSD_PERP"),
    ],
)
def test_ccxt_reads_the_lake_as_if_it_were_the_venue(
    box: BoxThread, lake_root: Path, venue: str, code: str, symbol: str, native: str
) -> None:
    """Markets, time and candles through the real client are those of the lake."""

    async def work(exchange: Any) -> Any:
        await exchange.load_markets()
        market = exchange.market(symbol)
        time = await exchange.fetch_time()
        candles = await exchange.fetch_ohlcv(symbol, "1h", since=ms(START), limit=200)
        return market, time, candles

    market, time, candles = through_ccxt(box, venue, work)

    assert (market["id"], market["active"]) == (native, True)
    assert market["precision"]["price"] == 0.01
    assert time == ms(END)
    assert [
        [ms(row["ts"]), row["open"], row["high"], row["low"], row["close"], row["volume"]]
        for row in stored(lake_root, code, TimeFrame.HOUR_1)
    ] == candles


@pytest.mark.parametrize(
    ("path", "native", "code"),
    [
        ("/api/v3/klines", "BTCUSDT", "BTCUSDT.BINANCE"),
        ("/fapi/v1/klines", "BTCUSDT", "BTCUSDT-PERP.BINANCEUSDM"),
    ],
)
def test_all_columns_come_out_as_they_are_stored(
    box: BoxThread, lake_root: Path, path: str, native: str, code: str
) -> None:
    """Text on the wire reads back as exactly the stored doubles, in all twelve fields."""
    _, rows, _ = get(box, path, symbol=native, interval="1m", startTime=ms(START), limit=1_000)

    expected = stored(lake_root, code, TimeFrame.MINUTE_1)[:1_000]
    assert len(rows) == 1_000
    for row, ours in zip(rows, expected, strict=True):
        prices = [float(row[field]) for field in range(1, 5)]
        assert [ms(ours["ts"]), prices] == [
            row[0],
            [ours["open"], ours["high"], ours["low"], ours["close"]],
        ]
        amounts = [float(row[5]), float(row[7]), float(row[9]), float(row[10])]
        assert amounts == [
            ours["volume"],
            ours["quote_volume"],
            ours["taker_buy_volume"],
            ours["taker_buy_quote_volume"],
        ]
        assert (row[8], row[11]) == (ours["trade_count"], "0")


def test_coinm_counts_contracts(box: BoxThread, lake_root: Path) -> None:
    """COIN-M's volume is in contracts, its worth in the base asset: the lake's volume."""
    _, rows, _ = get(box, "/dapi/v1/klines", symbol="BTCUSD_PERP", interval="1h", limit=5)

    for row, ours in zip(
        rows,
        stored(lake_root, "BTCUSD-PERP-BTC.BINANCECOINM", TimeFrame.HOUR_1)[-5:],
        strict=True,
    ):
        assert int(row[5]) * 100 == ours["quote_volume"]
        assert float(row[7]) == ours["volume"]
        assert int(row[9]) * 100 == ours["taker_buy_quote_volume"]
        assert float(row[10]) == ours["taker_buy_volume"]


def test_a_row_looks_as_binance_writes_it(box: BoxThread) -> None:
    """Spot: eight decimals everywhere, and the close a millisecond before the next open."""
    [row] = klines(box, startTime=ms(START), limit=1)

    for field in (1, 2, 3, 4, 5, 7, 9, 10):
        assert len(row[field].split(".")[1]) == 8
    assert row[6] == row[0] + MINUTE - 1


def test_a_page_is_bounded_as_binance_bounds_it(box: BoxThread) -> None:
    """500 rows unless asked, 1,000 at most (1,500 for futures), whatever the limit says."""
    assert len(klines(box, startTime=ms(START))) == 500
    assert len(klines(box, startTime=ms(START), limit=5_000)) == 1_000
    _, rows, _ = get(box, "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=5_000)
    assert len(rows) == 1_500


def test_start_and_end_are_inclusive_open_times(box: BoxThread) -> None:
    """A candle that opens at endTime is given; one that opened before startTime is not."""
    first, last = ms(START) + 10 * MINUTE, ms(START) + 12 * MINUTE

    exact = klines(box, startTime=first, endTime=last)
    inside = klines(box, startTime=first + 1, endTime=last - 1)
    up_to = klines(box, endTime=last, limit=2)

    assert [row[0] for row in exact] == [first, first + MINUTE, last]
    assert [row[0] for row in inside] == [first + MINUTE]
    assert [row[0] for row in up_to] == [last - MINUTE, last]


def test_without_bounds_the_newest_rows_come(box: BoxThread) -> None:
    """The last of them is the newest that has opened, across the month's border too."""
    box.control("clock", now="2024-02-01T00:02:30")

    rows = klines(box, limit=5)

    assert rows[-1][0] == ms(datetime(2024, 2, 1, 0, 2))
    assert [row[0] for row in rows] == [rows[-1][0] - back * MINUTE for back in (4, 3, 2, 1, 0)]


def test_pages_start_at_the_listing_and_reach_over_gaps(box: BoxThread) -> None:
    """As Binance: no empty page before a listing, data beyond a gap, [] wholly inside one."""
    listing = klines(box, symbol="ETHUSDT", startTime=ms(START), limit=2)
    before = klines(box, symbol="ETHUSDT", startTime=ms(START), endTime=ms(LISTED) - 1)
    gap = ms(datetime(2024, 1, 30, 13))
    beyond = klines(box, startTime=gap, limit=2)
    inside = klines(box, startTime=gap, endTime=gap + 10 * MINUTE)

    assert [row[0] for row in listing] == [ms(LISTED), ms(LISTED) + MINUTE]
    assert before == []
    assert beyond[0][0] == ms(datetime(2024, 1, 30, 14))
    assert inside == []


def test_an_early_close_shows_in_the_close_time(box: BoxThread) -> None:
    """The lake's note comes out as the close time it was made from."""
    [minute] = klines(box, startTime=ms(datetime(2024, 1, 30, 12, 39)), limit=1)
    [hour] = klines(box, interval="1h", startTime=ms(datetime(2024, 1, 30, 12)), limit=1)

    cut = ms(datetime(2024, 1, 30, 12, 39, 41)) + 646
    assert (minute[6], hour[6]) == (cut, cut)


def test_the_candle_in_progress_grows_to_its_final_self(box: BoxThread) -> None:
    """It is returned, only grows, never leaves the final range, and ends as the stored one."""
    opened = datetime(2024, 1, 30, 9)
    seen = []
    for minutes in (0, 1, 17, 30.5, 59.99):
        box.control("clock", now=(opened + timedelta(minutes=minutes)).isoformat())
        seen.append(klines(box, interval="1h", limit=1)[0])
    box.control("clock", now=(opened + timedelta(hours=1)).isoformat())
    *_, final, after = klines(box, interval="1h", limit=2)

    for young, older in zip(seen, [*seen[1:], final], strict=True):
        assert young[0] == final[0] == ms(opened)
        assert young[6] == final[6]
        assert young[1] == final[1]
        assert Decimal(young[2]) <= Decimal(older[2])
        assert Decimal(young[3]) >= Decimal(older[3])
        for field in (5, 7, 9, 10):
            assert Decimal(young[field]) <= Decimal(older[field])
        assert young[8] <= older[8]
    assert seen[0][8] == 0
    assert 0 < seen[2][8] < final[8]
    assert after[0] == ms(datetime(2024, 1, 30, 10))


def test_a_longer_candle_in_progress_is_made_of_the_shorter_ones(box: BoxThread) -> None:
    """At a whole minute, the hour so far is exactly the sum of its minutes."""
    box.control("clock", now="2024-01-30T09:30:00")

    [hour] = klines(box, interval="1h", limit=1)
    [day] = klines(box, interval="1d", limit=1)
    minutes = klines(box, startTime=ms(datetime(2024, 1, 30, 9)), limit=31)

    assert hour[2] == max((row[2] for row in minutes), key=Decimal)
    assert hour[4] == minutes[-1][4]
    assert Decimal(hour[5]) == sum(Decimal(row[5]) for row in minutes)
    assert hour[8] == sum(row[8] for row in minutes)
    assert day[8] > hour[8]


def test_nothing_of_the_future_is_shown(box: BoxThread) -> None:
    """Candles that open after the box's time do not exist yet, however they are asked for."""
    box.control("clock", now="2024-01-31T00:00:10")
    now = ms(datetime(2024, 1, 31))

    assert klines(box, startTime=now - MINUTE)[-1][0] == now
    assert klines(box, startTime=now + MINUTE) == []
    assert klines(box, endTime=now + 50 * MINUTE, limit=1)[0][0] == now


def test_late_candles_and_corrections(box: BoxThread) -> None:
    """With a lag the newest candle is missing; under correction a closed one still changes."""
    box.control("clock", now="2024-01-31T00:00:02")
    now = ms(datetime(2024, 1, 31))
    final = {row[0]: row for row in klines(box, startTime=now - 3 * MINUTE, endTime=now - 1)}

    box.control("lag", seconds=5)
    late = klines(box, limit=2)
    box.control("lag", seconds=0)
    box.control("corrections", seconds=90)
    changing = klines(box, startTime=now - 3 * MINUTE, endTime=now - 1)
    box.control("clock", now="2024-01-31T00:03:00")
    settled = klines(box, startTime=now - 3 * MINUTE, endTime=now - 1)

    assert late[-1][0] == now - MINUTE
    assert late[-1][5:11] != final[now - MINUTE][5:11]
    assert changing[0] == final[now - 3 * MINUTE]
    assert [row[0] for row in changing] == sorted(final)
    assert changing[1:] != [final[now - 2 * MINUTE], final[now - MINUTE]]
    assert settled == [final[key] for key in sorted(final)]


def test_the_clock_runs_stands_and_jumps(box: BoxThread) -> None:
    """serverTime and the Date header follow the box's clock."""
    box.control("clock", now="2024-01-31T10:20:30", rate=0)
    _, first, headers = get(box, "/api/v3/time")
    box.control("clock", advance_s=90)
    _, second, _ = get(box, "/fapi/v1/time")

    assert first["serverTime"] == ms(datetime(2024, 1, 31, 10, 20, 30))
    assert headers["Date"] == "Wed, 31 Jan 2024 10:20:30 GMT"
    assert second["serverTime"] - first["serverTime"] == 90_000
    assert box.control("clock", rate=1000)["rate"] == 1000
    assert get(box, "/api/v3/time")[1]["serverTime"] > second["serverTime"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOSUCH", "interval": "1m"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "4h"}, -1120),
        ({"symbol": "BTCUSDT"}, -1102),
        ({"interval": "1m"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": "1.7e12"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "many"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": 0}, -1130),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": 2, "endTime": 1}, -1128),
    ],
)
def test_wrong_requests_are_refused_with_binances_codes(
    box: BoxThread, query: dict[str, Any], code: int
) -> None:
    """400 and a code; a timeframe that the lake lacks is refused too, not answered with []."""
    status, answer, _ = get(box, **query)

    assert (status, answer["code"]) == (400, code)
    assert answer["msg"]


def test_what_is_not_there_is_404(box: BoxThread) -> None:
    """Private and unknown paths do not exist, and only GET is answered."""
    request = urllib.request.Request(f"{box.url}{KLINES}", data=b"", method="DELETE")

    with pytest.raises(urllib.error.HTTPError) as deleted:
        _OPENER.open(request, timeout=10)
    with pytest.raises(urllib.error.HTTPError) as unknown:
        _OPENER.open(f"{box.url}/sapi/v1/margin/allPairs", timeout=10)

    with deleted.value, unknown.value:
        assert (deleted.value.code, unknown.value.code) == (405, 404)


def test_exchange_info_names_one_symbol_or_some(box: BoxThread) -> None:
    """The symbol and symbols parameters of spot."""
    path = "/api/v3/exchangeInfo"

    _, one, _ = get(box, path, symbol="ETHUSDT")
    _, two, _ = get(box, path, symbols='["BTCUSDT","ETHUSDT"]')
    status, none, _ = get(box, path, symbol="NOSUCH")

    assert [each["symbol"] for each in one["symbols"]] == ["ETHUSDT"]
    assert [each["symbol"] for each in two["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert (status, none["code"]) == (400, -1121)


def test_a_new_partition_is_seen_after_refresh(box: BoxThread) -> None:
    """The lake may grow while it is served; the box looks again when it is told."""
    known = box.control("refresh")["symbols"]

    assert known == {
        "spot": ["BTCUSDT", "ETHUSDT"],
        "usdm": ["BTCUSDT"],
        "coinm": ["BTCUSD_PERP"],
    }
    assert len(klines(box, limit=3)) == 3
