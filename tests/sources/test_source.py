"""The source as ingestion sees it: what can be had, windows, costs, instruments, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest, SourceError
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource

NOON = datetime(2024, 2, 1, 12)
NOON_MS = 1_706_788_800_000
SYMBOL = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "isSpotTradingAllowed": True,
    "permissions": ["SPOT"],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1e6", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    ],
}
LIMITS = [
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1_200},
]
Answer = Callable[[web.BaseRequest], Any]


@asynccontextmanager
async def venue_server(answer: Answer) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        body = answer(request)
        # A clock is believed only where the Date header does not contradict it.
        return web.Response(
            body=json.dumps(body).encode(),
            content_type="application/json",
            headers={"Date": "Thu, 01 Feb 2024 12:00:00 GMT"},
        )

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def binance(request: web.BaseRequest) -> Any:
    if request.path.endswith("/time"):
        return {"serverTime": NOON_MS}
    if request.path.endswith("/exchangeInfo"):
        return {"serverTime": NOON_MS, "rateLimits": LIMITS, "symbols": [SYMBOL]}
    return []


def with_source(
    use: Callable[[CcxtSource], Awaitable[None]],
    *,
    venue: str = "BINANCE",
    answer: Answer = binance,
    **more: Any,
) -> None:
    async def main() -> None:
        async with venue_server(answer) as url:
            source = await CcxtSource.open(
                Venue(venue), base_url=url, ledger=MemoryLedger(), retry=Retry(2, 0), **more
            )
            try:
                await use(source)
            finally:
                await source.close()

    asyncio.run(main())


def instrument(
    kind: InstrumentKind = InstrumentKind.SPOT, *, venue: str = "BINANCE", **more: Any
) -> Instrument:
    return Instrument(
        Venue(venue), "BTCUSDT", "BTC/USDT", "BTCUSDT", kind, base="BTC", quote="USDT", **more
    )


def series(timeframe: str = "1m", venue: str = "BINANCE") -> Series:
    of = instrument(venue=venue).id
    return Series(DataType.OHLCV, of, TimeFrame.from_str(timeframe))


def test_time_is_the_venues_and_moves_on_without_asking() -> None:
    asked = []

    def answer(request: web.BaseRequest) -> Any:
        asked.append(request.path)
        return binance(request)

    async def use(source: CcxtSource) -> None:
        times = [await source.server_time() for _ in range(50)]

        assert all(NOON <= each < NOON + timedelta(seconds=30) for each in times)
        assert times == sorted(times)
        assert asked == ["/api/v3/time"]

    with_source(use, answer=answer)


def test_instruments_carry_what_the_venue_says_and_its_limit_is_taken_over() -> None:
    async def use(source: CcxtSource) -> None:
        [found] = await source.instruments()

        assert (found.code, found.symbol, found.native_id) == ("BTCUSDT", "BTC/USDT", "BTCUSDT")
        assert (found.kind, found.base, found.quote) == (InstrumentKind.SPOT, "BTC", "USDT")
        assert (found.tick_size, found.lot_size, found.contract_size) == (0.01, 0.00001, None)
        assert source._line.budget.limit is not None
        assert source._line.budget.limit.weight == 1_200

    with_source(use)


def test_an_instrument_list_that_is_none_is_an_error() -> None:
    def answer(request: web.BaseRequest) -> Any:
        return binance(request) if request.path.endswith("/time") else {"symbols": None}

    async def use(source: CcxtSource) -> None:
        with pytest.raises(SourceError, match="no list of symbols"):
            await source.instruments()

    with_source(use, answer=answer)


def test_windows_are_pages_that_cover_the_range_once() -> None:
    async def use(source: CcxtSource) -> None:
        whole = TimeRange(datetime(2024, 1, 1), datetime(2024, 2, 1))

        windows = source.windows(series(), whole)

        assert (windows[0].start, windows[-1].end) == (whole.start, whole.end)
        assert all(a.end == b.start for a, b in pairwise(windows))
        assert {each.duration for each in windows[:-1]} == {timedelta(minutes=1_000)}
        assert source.cost(series(), whole) == (45, 90)
        assert source.windows(series("1mo"), whole) == [whole]

    with_source(use)


def test_coin_margined_windows_stay_within_200_days() -> None:
    async def use(source: CcxtSource) -> None:
        of = series("1d", "BINANCECOINM")
        windows = source.windows(of, TimeRange(datetime(2023, 1, 1), datetime(2024, 1, 1)))

        assert [each.duration.days for each in windows] == [200, 165]

    with_source(use, venue="BINANCECOINM")


def test_nothing_younger_than_the_settle_lag_is_final() -> None:
    async def use(source: CcxtSource) -> None:
        now = datetime(2024, 2, 1, 12, 1, 59)

        assert source.settled_until(series(), now=now) == datetime(2024, 2, 1, 11, 59)
        assert source.settled_until(series("1h"), now=now) == datetime(2024, 2, 1, 11)
        assert source.settled_until(series("1d"), now=now) == datetime(2024, 2, 1)

    with_source(use)


def test_a_timeframe_that_the_venue_lacks_is_refused_with_those_it_has() -> None:
    async def use(source: CcxtSource) -> None:
        with pytest.raises(InvalidRequest, match=r"1s candles .* only: 1m 3m 5m"):
            source.check(instrument(), series("1s", "BINANCEUSDM"))
        with pytest.raises(InvalidRequest, match="unit"):
            source.check(instrument(InstrumentKind.INVERSE), series())

    with_source(use, venue="BINANCEUSDM")


def test_an_inverse_contract_of_unknown_size_is_refused() -> None:
    async def use(source: CcxtSource) -> None:
        of = series(venue="BINANCECOINM")
        inverse = InstrumentKind.INVERSE
        source.check(instrument(inverse, venue="BINANCECOINM", contract_size=100.0), of)
        with pytest.raises(InvalidRequest, match="contract size is unknown"):
            source.check(instrument(inverse, venue="BINANCECOINM"), of)

    with_source(use, venue="BINANCECOINM")


def kraken(request: web.BaseRequest) -> Any:
    return {"error": [], "result": {"unixtime": NOON_MS // 1_000, "rfc1123": ""}}


def test_kraken_gives_its_newest_720_candles_and_says_where_older_ones_are() -> None:
    async def use(source: CcxtSource) -> None:
        hours = series("1h", "KRAKEN")

        held, why = source.obtainable(hours, now=NOON)

        assert held == TimeRange(NOON - timedelta(hours=719), NOON)
        assert why.startswith("KRAKEN's REST gives only the newest 720 candles")
        assert "lake import" in why

    with_source(use, venue="KRAKEN", answer=kraken)


def test_binance_gives_all_that_it_has() -> None:
    async def use(source: CcxtSource) -> None:
        assert source.obtainable(series(), now=NOON) == (TimeRange(EPOCH, NOON), "")

    with_source(use)


def test_rows_of_a_stand_in_are_marked_with_its_address() -> None:
    async def use(source: CcxtSource) -> None:
        assert (source.tag.name, source.tag.origin[:17]) == ("ccxt", "http://127.0.0.1:")

    async def mirror(source: CcxtSource) -> None:
        assert source.tag.origin == "venue"

    with_source(use)
    with_source(mirror, origin="venue")


def test_a_venue_whose_answers_only_carry_a_date_has_a_clock_too() -> None:
    """krakenfutures has no call for the time."""

    def answer(request: web.BaseRequest) -> Any:
        return {"result": "success", "instruments": []}

    async def use(source: CcxtSource) -> None:
        now = await source.server_time()
        assert abs(now - NOON) < timedelta(seconds=5)

    with_source(use, venue="KRAKENFUTURES", answer=answer)
