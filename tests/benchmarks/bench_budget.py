"""How much of Binance's true weight limit backfills use, and whether they are ever refused.

Run: ``python -m tests.benchmarks.bench_budget [--minutes 3]``. Ten instruments with
``--rate-share 1`` against the box with its limits on, in real time: one process; two processes;
one process while a stranger on the same address uses half. What counts are whole minutes.
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

from lake.simulator.instruments import universe
from tests.benchmarks.market import FOLDER, market
from tests.box import BoxServer

START = datetime(2022, 1, 1)
DAYS = 2 * 365
NAMES = universe(10)


def backfill(url: str, lake: Path, names: list[str]) -> subprocess.Popen[bytes]:
    window = ["--start", START.isoformat(), "--end", (START + timedelta(days=DAYS)).isoformat()]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lake", "backfill", "binance", *names, *window, "--yes"),
            *("--timeframe", "1m", "--rate-share", "1", "--base-url", url, "--data", str(lake)),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LAKE_MIN_FREE": "0"},
    )


def measure(title: str, box: BoxServer, *, processes: int, minutes: int) -> None:
    lake = FOLDER / "budget-copy"
    shutil.rmtree(lake, ignore_errors=True)
    share = len(NAMES) // processes
    running = [
        backfill(box.url, lake, NAMES[number * share : (number + 1) * share])
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
    options = parser.parse_args()
    truth = market(NAMES, start=START, days=DAYS)
    for title, processes, stranger in (
        ("one process", 1, 0),
        ("two processes", 2, 0),
        ("beside a stranger who uses half", 1, 3_000),
    ):
        with BoxServer(truth) as box:
            box.control("stranger", weight_per_minute=stranger, api="spot")
            measure(title, box, processes=processes, minutes=options.minutes)


if __name__ == "__main__":
    main()
