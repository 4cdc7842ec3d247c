"""Candles and trades a second that the box serves to a bare aiohttp client.

    PYTHONPATH=.:tests python tests/benchmarks/bench_box.py [--instruments 4] [--days 60]
        [--trades 2000000]

Two processes: the box, and a client that reads bodies and throws them away. The first pass
over the rows turns partitions into text (cold), later ones find them in the cache (warm).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from box import BoxServer

from lake.domain.timeframe import TimeFrame
from lake.simulator.instruments import market, universe
from lake.simulator.market import generate
from lake.storage.lake import Storage

START = datetime(2024, 1, 1)
PAGE = 1_000
IN_FLIGHT = 8
_START_MS = 1_704_067_200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=4)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--trades", type=int, default=2_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        names = universe(options.instruments)
        with Storage.open(root, create=True, origin="synthetic") as storage:
            made = generate(
                storage,
                seed=1,
                instruments=names,
                start=START,
                end=START + timedelta(days=options.days),
                timeframes=[TimeFrame.MINUTE_1],
            )
        print(f"generated  {made.rows / made.seconds:12,.0f} candles/s  ({made.rows:,} rows)")
        symbols = [market(name).instrument.native_id for name in names]
        with BoxServer(root, limits=False) as box:
            asked = candle_pages(box.url, symbols, options.days)
            asyncio.run(measure(asked, "candles", options.seconds))
            print(f"box memory {peak_mb(box.pid):12,.0f} MB at its peak")
    with tempfile.TemporaryDirectory() as folder:
        bench_trades(Path(folder) / "lake", options.trades, options.seconds)


def bench_trades(root: Path, trades: int, seconds: float) -> None:
    """One busy instrument, its aggregates walked by id."""
    rate = trades / 86_400 / 2
    with Storage.open(root, create=True, origin="synthetic") as storage:
        made = generate(
            storage,
            seed=1,
            instruments=["BTC/USDT:USDT"],
            start=START,
            end=START + timedelta(days=2),
            timeframes=[TimeFrame.HOUR_1],
            rate=rate,
            store_trades=True,
        )
    print(f"generated  {made.trades / made.seconds:12,.0f} trades/s stored  ({made.trades:,} rows)")
    with BoxServer(root, limits=False) as box:
        asked = [
            f"{box.url}/fapi/v1/aggTrades?symbol=BTCUSDT&limit={PAGE}&fromId={first}"
            for first in range(1, made.trades - PAGE, PAGE)
        ]
        asyncio.run(measure(asked, "trades", seconds))
        # Half a million trades are 50 MB of text and stay in the box's cache.
        asyncio.run(measure(asked[:500], "trades (cached)", seconds))
        print(f"box memory {peak_mb(box.pid):12,.0f} MB at its peak")


def candle_pages(url: str, symbols: list[str], days: int) -> list[str]:
    return [
        f"{url}/api/v3/klines?symbol={symbol}&interval=1m&limit={PAGE}"
        f"&startTime={_START_MS + page * PAGE * 60_000}"
        for symbol in symbols
        for page in range(days * 1_440 // PAGE)
    ]


async def measure(asked: list[str], what: str, seconds: float) -> None:
    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await fetch(session, asked, deadline=began + 600)
        cold = time.perf_counter() - began
        print(f"cold       {len(asked) * PAGE / cold:12,.0f} {what}/s")
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        done = 0
        while time.perf_counter() - began < seconds:
            done += await fetch(session, asked, deadline=began + seconds)
        warm = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
        busy = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        print(f"warm       {done * PAGE / warm:12,.0f} {what}/s")
        print(f"           client used {busy:.1f} s of processor time")


async def fetch(session: aiohttp.ClientSession, asked: list[str], *, deadline: float) -> int:
    waiting = iter(asked)
    done = 0

    async def worker() -> None:
        nonlocal done
        for url in waiting:
            if time.perf_counter() > deadline:
                return
            async with session.get(url) as response:
                body = await response.read()
            assert response.status == 200
            assert body.startswith((b"[[", b"[{"))
            done += 1

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return done


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process on Linux; 0 elsewhere."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1_024


if __name__ == "__main__":
    main()
