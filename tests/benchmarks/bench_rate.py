"""How much of Binance's weight limit a backfill uses, and whether the venue ever refuses.

Run: python tests/benchmarks/bench_rate.py [PROCESSES] [STRANGER]

PROCESSES (1) fetch for three minutes of real time from the box, which counts weight as Binance
does (6000 a minute), on one lake's ledger at ``rate_share=1``. STRANGER (0) is the weight per
minute that something else on the same address uses. Goal: 90 % of each whole minute, no 429.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

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
from lake.simulator.market import generate
from lake.sources.ccxt_source import CcxtSource
from lake.storage.lake import Storage
from lake.storage.rate_ledger import RateLedger

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
VENUE = Venue("BINANCE")
BTC = Instrument(
    VENUE, "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, base="BTC", quote="USDT"
)
SERIES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", VENUE), TimeFrame.MINUTE_1)
START = datetime(2024, 1, 1)
SECONDS = 190


async def fetch(url: str, ledger: Path) -> None:
    """Ask for the same few pages, over and over, sixteen at a time."""
    rates = RateLedger(ledger)
    source = await CcxtSource.open(VENUE, base_url=url, ledger=rates, rate_share=1.0)
    await source.instruments()
    windows = source.windows(SERIES, TimeRange(START, START + timedelta(days=3)))
    until = time.monotonic() + SECONDS

    async def worker() -> None:
        while time.monotonic() < until:
            for window in windows:
                await source.candles(BTC, SERIES, window)

    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(worker() for _ in range(16)))
    except TimeoutError:
        pass
    finally:
        await source.close()
        rates.close()


def main(processes: int, stranger: int) -> None:
    from tests.box import BoxServer

    with tempfile.TemporaryDirectory() as folder:
        root, ledger = Path(folder) / "market", Path(folder) / "rates.sqlite"
        with Storage.open(root, create=True, origin="synthetic") as storage:
            generate(
                storage,
                seed=1,
                start=START,
                end=START + timedelta(days=3),
                instruments=("BTC/USDT",),
                timeframes=(TimeFrame.MINUTE_1,),
                rate=0.01,
            )
        with BoxServer(root) as box:
            if stranger:
                box.control("stranger", weight_per_minute=stranger, api="spot")
            command = [sys.executable, __file__, "--fetch", box.url, str(ledger)]
            workers = [subprocess.Popen(command) for _ in range(processes)]
            for worker in workers:
                worker.wait()
            weights = box.state()["weights"]["spot"]
    whole = [used for _, used in sorted(weights["used_by_minute"].items())][1:-1]
    shares = ", ".join(f"{used / weights['limit']:.1%}" for used in whole)
    print(
        f"{processes} process(es), stranger {stranger}: whole minutes used {shares}; "
        f"{weights['refused']} refused"
    )


if __name__ == "__main__":
    if "--fetch" in sys.argv:
        asyncio.run(fetch(sys.argv[2], Path(sys.argv[3])))
    else:
        numbers = [int(each) for each in sys.argv[1:]]
        main(*(numbers + [1, 0][len(numbers) :]))
