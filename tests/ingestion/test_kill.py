"""Kill -9 of whole backfills, and two of them at once in two processes: the exact truth remains."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lake.domain.jobs import JobState
from lake.domain.timeframe import TimeFrame
from lake.storage.doctor import examine
from lake.storage.lake import Storage
from tests.box import BoxServer
from tests.ingestion import markets
from tests.ingestion.markets import TIMEFRAMES, series

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return markets.make_market(tmp_path_factory.mktemp("market") / "lake")


def start(url: str, lake: Path, *more: str) -> subprocess.Popen[bytes]:
    """A backfill of everything the market has, as cron would start it."""
    names = ["BTC/USDT", "ETH/USDT", "--timeframe", "1m,1h"]
    window = ["--start", "2024-01-30", "--end", "2024-02-04", *more]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lake", "backfill", "binance", *names, *window),
            *("--base-url", url, "--data", str(lake), "--max-workers", "2"),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "LAKE_MIN_FREE": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def assert_whole(market: Path, lake: Path) -> None:
    """Equal to the truth, nothing half done left behind, and every digest right."""
    with Storage.open(lake) as storage:
        for code in ("BTCUSDT", "ETHUSDT"):
            for timeframe in TIMEFRAMES:
                markets.assert_equal(market, storage, series(code, timeframe))
        assert [finding for finding in examine(storage, deep=True, repair=False)] == []


def kill_and_finish(market: Path, tmp_path: Path, *, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    lake = tmp_path / "lake"
    with BoxServer(market, clock_start="2024-02-05T00:00:00", clock_rate=0, limits=False) as box:
        # Slow answers spread the work over the time in which we kill.
        box.control("faults", rate=0.5, seed=seed, kinds=["slow"], slow_s=0.15)
        for _ in range(kills):
            process = start(box.url, lake)
            time.sleep(draw.uniform(0.3, 2.5))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        finished(start(box.url, lake))
        box.control("faults", rate=0)
        finished(start(box.url, lake))
    assert_whole(market, lake)
    with Storage.open(lake) as storage:
        assert {job.status for job in storage.jobs.list()} <= {JobState.COMPLETED}


def test_a_killed_backfill_continues_and_ends_equal(market: Path, tmp_path: Path) -> None:
    """The same command, again and again, completes: that is the whole recovery procedure."""
    kill_and_finish(market, tmp_path, kills=5, seed=1)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10))
def test_a_backfill_killed_ten_times_ends_equal(market: Path, tmp_path: Path, seed: int) -> None:
    """The long version: 100 kills of whole processes at random instants."""
    kill_and_finish(market, tmp_path, kills=10, seed=seed)


def test_two_processes_at_once_give_the_exact_union(market: Path, tmp_path: Path) -> None:
    """Overlapping ranges of the same series, each by a process of its own."""
    lake = tmp_path / "lake"
    with BoxServer(market, clock_start="2024-02-05T00:00:00", clock_rate=0, limits=False) as box:
        one, two = start(box.url, lake), start(box.url, lake, "--refetch")
        finished(one)
        finished(two)

    assert_whole(market, lake)


def test_hourly_candles_of_the_box_are_served_as_stored(market: Path) -> None:
    """The comparison above would be hollow if the market had no hours at all."""
    with Storage.open(market, read_only=True) as storage:
        hours = markets.rows_of(storage, series("BTCUSDT", TimeFrame.HOUR_1))

    assert hours.num_rows == 5 * 24 - 13
