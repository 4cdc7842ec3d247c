"""Candles from HTTP to Arrow: our strict page path against a bare loop that checks nothing.

Run: python tests/benchmarks/bench_fetch.py [PAGES]

Both ask one server, in a process of its own, for the same full pages of 1000 candles of 1m,
with eight requests in flight. Rounds of both alternate; the medians are compared.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pyarrow as pa
from aiohttp import web

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
    Venue,
)
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource

VENUE = Venue("BINANCE")
BTC = Instrument(
    VENUE, "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, base="BTC", quote="USDT"
)
SERIES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", VENUE), TimeFrame.MINUTE_1)
START = datetime(2024, 1, 1)
START_MS = 1_704_067_200_000
PAGE = 1_000
IN_FLIGHT = 8
ROUNDS = 5
Row = tuple[int, float, float, float, float, float, int, float, int, float, float, msgspec.Raw]


def serve() -> None:
    """Full pages of plausible candles, as fast as they can be given; the URL on stdout."""
    tail = ',"42283.58000000","42298.62000000","42261.02000000","42298.61000000","35.92724000",'
    more = ',"1519032.80270000",1327,"23.18766000","980394.27070000","0"]'

    def klines(query: Mapping[str, str]) -> bytes:
        start, count = int(query["startTime"]), int(query["limit"])
        times = range(start, start + count * 60_000, 60_000)
        return f"[{','.join(f'[{ts}{tail}{ts + 59_999}{more}' for ts in times)}]".encode()

    bodies: dict[str, bytes] = {}

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path.endswith("time"):
            now = b'{"serverTime":%d}' % (time.time_ns() // 1_000_000)
            return web.Response(body=now, content_type="application/json")
        if request.path.endswith("exchangeInfo"):
            empty = b'{"rateLimits":[],"symbols":[]}'
            return web.Response(body=empty, content_type="application/json")
        key = request.query_string
        if key not in bodies:
            bodies[key] = klines(request.query)
        used = {"X-MBX-USED-WEIGHT-1M": "2"}
        return web.Response(body=bodies[key], content_type="application/json", headers=used)

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


async def bare(url: str, windows: list[TimeRange]) -> int:
    """aiohttp, msgspec and Arrow: what one would write in ten lines."""
    decoder: Any = msgspec.json.Decoder(list[Row], strict=False)
    rows = 0

    async def page(session: aiohttp.ClientSession, at: int) -> None:
        nonlocal rows
        start = START_MS + at * PAGE * 60_000
        parameters = {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "limit": PAGE,
            "startTime": start,
            "endTime": start + (PAGE - 1) * 60_000,
        }
        async with session.get(f"{url}/api/v3/klines", params=parameters) as response:
            columns = list(zip(*decoder.decode(await response.read()), strict=True))
        table = pa.table(
            [pa.array(columns[each]) for each in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)],
            names=list("abcdefghij"),
        )
        rows += int(table.num_rows)

    async with aiohttp.ClientSession() as session:
        await in_flight([lambda at=at: page(session, at) for at in range(len(windows))])
    return rows


async def ours(url: str, windows: list[TimeRange]) -> int:
    """``CcxtSource.candles``: signed, budgeted, decoded, checked, claimed."""
    rows = 0
    source = await CcxtSource.open(VENUE, base_url=url, ledger=MemoryLedger(), rate_share=1.0)

    async def page(window: TimeRange) -> None:
        nonlocal rows
        answer = await source.candles(BTC, SERIES, window)
        assert answer.requests == 1
        rows += answer.rows.num_rows

    try:
        await source.instruments()
        await in_flight([lambda each=each: page(each) for each in windows])
    finally:
        await source.close()
    return rows


async def in_flight(jobs: list[Callable[[], Awaitable[None]]]) -> None:
    todo = iter(jobs)

    async def worker() -> None:
        for job in todo:
            await job()

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


def main(pages: int) -> None:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        step = timedelta(minutes=PAGE)
        windows = [TimeRange(START + step * at, START + step * (at + 1)) for at in range(pages)]
        seconds: dict[str, list[float]] = {"bare": [], "ours": []}
        cpu: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(ROUNDS):
            for name, run in (("bare", bare), ("ours", ours)):
                began, used = time.perf_counter(), time.process_time()
                rows = asyncio.run(run(url, windows))
                seconds[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - used)
                assert rows == pages * PAGE
        server.terminate()
    for name in ("bare", "ours"):
        wall, busy = statistics.median(seconds[name]), statistics.median(cpu[name])
        rate, core = pages * PAGE / wall, pages * PAGE / busy
        print(f"{name}: {rate:>10,.0f} candles/s, {core:>10,.0f} a second of CPU")
    ratio = statistics.median(seconds["bare"]) / statistics.median(seconds["ours"])
    print(f"ours is {ratio:.2f} times the bare loop (goal: 0.45 or more)")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
