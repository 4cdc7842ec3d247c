"""End to end: from HTTP to committed Parquet, against the box, beside a loop that stores nothing.

Run: ``make bench`` or ``python -m tests.benchmarks.bench_backfill [--days 120] [--rounds 3]``.
The market is generated once into ``build/bench/market``. Both contenders run in turn in one
process against one server; the ratio is what to quote, the machine is shared and noisy.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import statistics
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.ingestion import Backfill, Request
from lake.storage.lake import Storage
from tests.benchmarks.market import FOLDER, market
from tests.box import BoxServer

START = datetime(2024, 1, 1)
NAMES = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
BINANCE = Venue("BINANCE")


async def backfill(url: str, root: Path, days: int) -> int:
    """Rows stored by a whole backfill into a fresh lake."""
    with Storage.open(root, create=True) as storage:
        async with Backfill(storage, base_url=url, rate_share=1.0, max_workers=16) as engine:
            request = Request(
                BINANCE, NAMES, (TimeFrame.MINUTE_1,), START, START + timedelta(days=days)
            )
            report = await engine.run(await engine.plan(request))
            assert not report.failed, report.failed
            return report.rows


async def bare(url: str, days: int) -> int:
    """Rows decoded by aiohttp + msgspec + Arrow, eight requests at a time, nothing stored."""
    import aiohttp

    from lake.sources.decode import decode_klines

    rows = 0
    gate = asyncio.Semaphore(8)
    start, end = to_us(START) // 1000, to_us(START + timedelta(days=days)) // 1000

    async with aiohttp.ClientSession() as session:

        async def page(symbol: str, first: int) -> int:
            last = min(end, first + 1000 * 60_000) - 1
            query = f"symbol={symbol}&interval=1m&startTime={first}&endTime={last}&limit=1000"
            async with gate, session.get(f"{url}/api/v3/klines?{query}") as response:
                return int(decode_klines(await response.read(), None).table.num_rows)

        pages = [
            page(name.replace("/", ""), first)
            for name in NAMES
            for first in range(start, end, 1000 * 60_000)
        ]
        for each in asyncio.as_completed(pages):
            rows += await each
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    truth = market(NAMES, start=START, days=options.days)
    ratios, rates, per_core = [], [], []
    later = (START + timedelta(days=options.days + 2)).isoformat()
    with BoxServer(truth, clock_start=later, clock_rate=1, limits=False) as box:
        for number in range(options.rounds + 1):
            copy = FOLDER / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            started, cpu = time.perf_counter(), time.process_time()
            rows = asyncio.run(backfill(box.url, copy, options.days))
            whole, used = time.perf_counter() - started, time.process_time() - cpu
            started = time.perf_counter()
            decoded = asyncio.run(bare(box.url, options.days))
            nothing = time.perf_counter() - started
            assert rows == decoded, (rows, decoded)
            if number == 0:
                continue  # The first round warms the server's cache.
            ratios.append(nothing / whole)
            rates.append(rows / whole)
            per_core.append(rows / used)
            print(
                f"round {number}: {rows:,} candles, backfill {rows / whole:,.0f}/s "
                f"({rows / used:,.0f} per CPU second of ours), "
                f"bare loop {decoded / nothing:,.0f}/s"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    print(
        f"median: {statistics.median(rates):,.0f} candles/s, "
        f"{statistics.median(per_core):,.0f} per CPU second, "
        f"{statistics.median(ratios):.2f} times the bare loop; peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
