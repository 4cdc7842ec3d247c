"""Trades from HTTP to checked Arrow pages, and on to committed Parquet, the limit lifted.

Run: python -m tests.benchmarks.bench_trades [TRADES]

One server in a process of its own gives full pages of aggregates as fast as it can. Printed are
trades a second by the clock, and by the processor time of this process alone.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from aiohttp import web

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.ranges import TimeRange
from lake.ingestion import Backfill, Request
from lake.sources.binance_rows import decode_agg_trades
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource
from lake.sources.trade_checks import validate_trades
from lake.storage.lake import Storage
from tests.benchmarks.market import FOLDER

BTC = Instrument(
    Venue("BINANCE"), "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, "BTC", "USDT"
)
START = datetime(2024, 1, 1)
START_MS = 1_704_067_200_000
PAGE = 1_000
STEP_MS = 20
ROUNDS = 3
# What ccxt needs of a symbol to list it.
LISTED = (
    b'{"rateLimits":[],"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC",'
    b'"quoteAsset":"USDT","isSpotTradingAllowed":true,"permissions":["SPOT"],"filters":[]}]}'
)


def body(first: int, count: int) -> bytes:
    """Aggregates from id *first* on, one every 20 ms."""
    rows = (
        f'{{"a":{number},"p":"{40_000 + number % 977}.58000000","q":"0.{1 + number % 97_771:08d}",'
        f'"f":{number * 2},"l":{number * 2 + 1},"T":{START_MS + number * STEP_MS},'
        f'"m":{"true" if number % 3 else "false"},"M":true}}'
        for number in range(first, first + count)
    )
    return f"[{','.join(rows)}]".encode()


def serve() -> None:
    """The URL on stdout, then pages; made once each, so that giving them costs little."""
    pages: dict[int, bytes] = {}

    def trades(query: Mapping[str, str]) -> bytes:
        limit = int(query["limit"])
        if "fromId" not in query:
            start = int(query.get("startTime", START_MS + 10**9))
            first = max(0, -(-(start - START_MS) // STEP_MS))
            end = int(query.get("endTime", START_MS + 2 * 10**9))
            return body(first, max(0, min(limit, (end - START_MS) // STEP_MS + 1 - first)))
        first = int(query["fromId"])
        if first not in pages:
            pages[first] = body(first, limit)
        return pages[first]

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path.endswith("/time"):
            text = b'{"serverTime":%d}' % (time.time() * 1_000)
        elif request.path.endswith("/exchangeInfo"):
            text = LISTED
        else:
            text = trades(request.query)
        return web.Response(body=text, content_type="application/json")

    async def main() -> None:
        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


async def measured(url: str, count: int) -> tuple[float, float]:
    """Seconds by the clock and of this process, for *count* trades."""
    source = await CcxtSource.open(
        BTC.venue, base_url=url, ledger=MemoryLedger(), rate_share=1.0, timeout_s=60.0
    )
    try:
        await source.instruments()
        window = TimeRange(START, START + timedelta(milliseconds=STEP_MS * count))
        began, used, rows = time.perf_counter(), time.process_time(), 0
        async for page in source.pages(BTC, Series(DataType.TRADES, BTC.id), window):
            rows += page.rows.num_rows
        assert rows == count
        return time.perf_counter() - began, time.process_time() - used
    finally:
        await source.close()


async def stored(url: str, count: int) -> tuple[float, float]:
    """The same for a whole backfill into a fresh lake: planned, fetched, checked, committed."""
    root = FOLDER / "trades-copy"
    shutil.rmtree(root, ignore_errors=True)
    end = START + timedelta(milliseconds=STEP_MS * count)
    wanted = Request(BTC.venue, (BTC.symbol,), (), START, end, data_type=DataType.TRADES)
    began, used = time.perf_counter(), time.process_time()
    with Storage.open(root, create=True) as storage:
        async with Backfill(storage, base_url=url, rate_share=1.0, min_free=0) as backfill:
            report = await backfill.run(await backfill.plan(wanted))
    assert not report.failed, report.failed
    assert report.rows == count
    return time.perf_counter() - began, time.process_time() - used


def parsing() -> float:
    """Processor seconds of decoding and checking one page."""
    page, now = body(7, PAGE), datetime(2024, 2, 1)
    assert len(msgspec.json.decode(page)) == PAGE
    times = []
    for _ in range(300):
        used = time.process_time()
        validate_trades(decode_agg_trades(page, BTC), now=now, whole_seconds=False)
        times.append(time.process_time() - used)
    return statistics.median(times)


def main(count: int) -> None:
    print(f"decoded and checked: {PAGE / parsing():,.0f} trades/s of one core")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bench_trades", "serve"], stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        asyncio.run(measured(url, count))
        rounds = [asyncio.run(measured(url, count)) for _ in range(ROUNDS)]
        whole = [asyncio.run(stored(url, count)) for _ in range(ROUNDS)]
    finally:
        server.terminate()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
    for title, times in (("pages", rounds), ("Parquet", whole)):
        clock, used = (statistics.median(each) for each in zip(*times, strict=True))
        print(
            f"from HTTP to {title}: {count / clock:,.0f} trades/s by the clock, "
            f"{count / used:,.0f} trades/s of one core"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 500_000)
