"""How much of Binance's true weight limit backfills use, and whether they are ever refused.

Run: ``python -m tests.benchmarks.bench_budget [--minutes 3] [--type trades]``. Ten instruments
(trades: four) with ``--rate-share 1`` against the box with its limits on, in real time: one
process; two processes; one process while a stranger on the same address uses half. What counts
are whole minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.timeframe import TimeFrame
from lake.simulator.instruments import universe
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.benchmarks.market import FOLDER, market
from tests.box import BoxServer

START = datetime(2022, 1, 1)
DAYS = 2 * 365
NAMES = universe(10)
# A minute's weight brings 1.5 million trades: two days of these are eight million.
TRADED, TRADE_DAYS, TRADE_RATE = universe(4), 2, 24.0


def backfill(url: str, lake: Path, names: list[str], kind: str) -> subprocess.Popen[bytes]:
    days = TRADE_DAYS if kind == "trades" else DAYS
    window = ["--start", START.isoformat(), "--end", (START + timedelta(days=days)).isoformat()]
    wanted = ["--type", "trades"] if kind == "trades" else ["--timeframe", "1m"]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lake", "backfill", "binance", *names, *window, "--yes"),
            *(*wanted, "--rate-share", "1", "--base-url", url, "--data", str(lake)),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LAKE_MIN_FREE": "0"},
    )


def trades_market() -> Path:
    """The lake of trades at ``build/bench/market-trades``, made where it is not there yet."""
    root = FOLDER / "market-trades"
    if not root.exists():
        with Storage.open(root, create=True, origin="synthetic") as storage:
            generate(
                storage,
                seed=1,
                start=START,
                end=START + timedelta(days=TRADE_DAYS),
                instruments=TRADED,
                timeframes=(TimeFrame.HOUR_1,),
                rate=TRADE_RATE,
                store_trades=True,
            )
    return root


def measure(title: str, box: BoxServer, kind: str, *, processes: int, minutes: int) -> None:
    lake = FOLDER / "budget-copy"
    shutil.rmtree(lake, ignore_errors=True)
    names = TRADED if kind == "trades" else NAMES
    share = len(names) // processes
    running = [
        backfill(box.url, lake, names[number * share : (number + 1) * share], kind)
        for number in range(processes)
    ]
    first = int(time.time()) // 60 + 1
    time.sleep((first + minutes) * 60 - time.time() + 0.2)
    spot = box.state()["weights"]["spot"]
    alive = [each.poll() is None for each in running]
    for each in running:
        each.send_signal(signal.SIGINT)
    for each in running:
        each.wait(60)
    whole = [spot["used_by_minute"].get(str(first + number), 0) for number in range(minutes)]
    shares = ", ".join(f"{used / spot['limit']:.1%}" for used in whole)
    print(
        f"{title}: {shares} of {spot['limit']:,} a minute, {spot['refused']} refused (429), "
        f"{spot['bans']} bans{'' if all(alive) else ' (ENDED EARLY: too little to fetch)'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=3)
    parser.add_argument("--type", choices=("ohlcv", "trades"), default="ohlcv")
    options = parser.parse_args()
    is_trades = options.type == "trades"
    truth = trades_market() if is_trades else market(NAMES, start=START, days=DAYS)
    for title, processes, stranger in (
        ("one process", 1, 0),
        ("two processes", 2, 0),
        ("beside a stranger who uses half", 1, 3_000),
    ):
        with BoxServer(truth) as box:
            box.control("stranger", weight_per_minute=stranger, api="spot")
            measure(title, box, options.type, processes=processes, minutes=options.minutes)


if __name__ == "__main__":
    main()
