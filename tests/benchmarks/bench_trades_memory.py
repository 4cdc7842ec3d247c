"""Memory of `lake backfill` over 50 million trades, 15 million of them in one day.

Run: python -m tests.benchmarks.bench_trades_memory [MILLIONS]

One server in a process of its own makes aggregates as they are asked for, the limit lifted. The
backfill is a process as a user starts it; printed is the most that it took (ru_maxrss, shared
libraries included), and what processor time it took for that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from aiohttp import web

from tests.benchmarks.bench_trades import LISTED, PAGE, START, START_MS
from tests.benchmarks.market import FOLDER

DAY_MS = 86_400_000
BUSY = 15_000_000
QUIET = 5_000_000


def moment(number: int) -> int:
    """When aggregate *number* was made: 15 million on the first day, 5 million on each later."""
    if number < BUSY:
        return START_MS + number * DAY_MS // BUSY
    return START_MS + DAY_MS + (number - BUSY) * DAY_MS // QUIET


def first_at(ms: int) -> int:
    """The first aggregate at or after *ms*."""
    since = max(0, ms - START_MS)
    if since <= DAY_MS:
        number = -(-since * BUSY // DAY_MS)
    else:
        number = BUSY - (-(since - DAY_MS) * QUIET // DAY_MS)
    while number and moment(number - 1) >= ms:
        number -= 1
    while moment(number) < ms:
        number += 1
    return number


def body(first: int, count: int) -> bytes:
    rows = (
        f'{{"a":{number},"p":"{40_000 + number % 977}.58000000","q":"0.{1 + number % 97_771:08d}",'
        f'"f":{number * 2},"l":{number * 2 + 1},"T":{moment(number)},'
        f'"m":{"true" if number % 3 else "false"},"M":true}}'
        for number in range(first, first + count)
    )
    return f"[{','.join(rows)}]".encode()


def trades(query: Mapping[str, str]) -> bytes:
    limit = int(query.get("limit", PAGE))
    if "fromId" in query:
        return body(int(query["fromId"]), limit)
    # Who names no time asks for the newest: some weeks after all that is fetched.
    start = int(query.get("startTime", START_MS + 30 * DAY_MS))
    first, end = first_at(start), int(query.get("endTime", start + 3_600_000))
    return body(first, max(0, min(limit, first_at(end + 1) - first)))


def serve() -> None:
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


def main(millions: int) -> None:
    root = FOLDER / "trades-memory"
    shutil.rmtree(root, ignore_errors=True)
    count = millions * 1_000_000
    end = START + timedelta(milliseconds=moment(count) - START_MS)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bench_trades_memory", "serve"],
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lake", "backfill", "binance", "BTC/USDT", "--yes"),
                *("--type", "trades", "--start", START.isoformat(), "--end", iso_ms(end)),
                *("--rate-share", "1", "--base-url", url, "--data", str(root)),
            ],
            env={**os.environ, "LAKE_MIN_FREE": "0"},
        )
        _, status, used = os.wait4(process.pid, 0)
    finally:
        server.terminate()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
        shutil.rmtree(root, ignore_errors=True)
    assert status == 0, status
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    cpu = used.ru_utime + used.ru_stime
    print(f"{count:,} trades: peak memory {peak:.0f} MB, {count / cpu:,.0f} trades/s of one core")


def iso_ms(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 50)
