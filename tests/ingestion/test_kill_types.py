"""Kill -9 of whole runs for trades, funding rates and order books: the exact truth remains."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.doctor import examine
from lake.storage.lake import Storage
from tests.box import BoxServer
from tests.ingestion import markets

REPOSITORY = Path(__file__).resolve().parents[2]
PERP = InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM"))
START, END = datetime(2024, 1, 1), datetime(2024, 1, 3)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one perpetual: trades, and settlements whose interval changes."""
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=9,
            start=START,
            end=END,
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.HOUR_1,),
            rate=0.5,
            store_trades=True,
            funding={START: 8, datetime(2024, 1, 2): 1},
        )
    return root


def run(url: str, lake: Path, *more: str) -> subprocess.Popen[bytes]:
    """A run as cron would start it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lake", "backfill", "binanceusdm", "BTC/USDT:USDT", *more),
            *("--base-url", url, "--data", str(lake), "--max-workers", "2"),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "LAKE_MIN_FREE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def kill_and_finish(
    market: Path, lake: Path, data_type: DataType, *, kills: int, seed: int
) -> None:
    draw = random.Random(seed)
    wanted = ["--type", data_type.value, "--start", "2024-01-01", "--end", "2024-01-03"]
    with BoxServer(market, clock_start="2024-01-04T00:00:00", clock_rate=0, limits=False) as box:
        # Slow answers spread the work over the time in which we kill.
        box.control("faults", rate=0.6, seed=seed, kinds=["slow"], slow_s=0.2)
        for _ in range(kills):
            process = run(box.url, lake, *wanted)
            time.sleep(draw.uniform(0.4, 3.0))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        box.control("faults", rate=0)
        finished(run(box.url, lake, *wanted))
    with Storage.open(lake) as storage:
        markets.assert_equal(market, storage, Series(data_type, PERP))
        assert [finding for finding in examine(storage, deep=True, repair=False)] == []


@pytest.mark.parametrize("data_type", [DataType.TRADES, DataType.FUNDING_RATES])
def test_a_killed_backfill_of_any_type_continues_and_ends_equal(
    market: Path, tmp_path: Path, data_type: DataType
) -> None:
    """Rows of a border's millisecond are the ones that a restart could lose or double."""
    kill_and_finish(market, tmp_path / "lake", data_type, kills=2, seed=4)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("data_type", [DataType.TRADES, DataType.FUNDING_RATES])
def test_ten_kills_of_any_type_end_equal(
    market: Path, tmp_path: Path, data_type: DataType, seed: int
) -> None:
    """The long version: 200 kills of whole processes at random instants."""
    kill_and_finish(market, tmp_path / "lake", data_type, kills=10, seed=seed)


@pytest.fixture(scope="module")
def book_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half an hour of the same with a book every second."""
    root = tmp_path_factory.mktemp("books") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=9,
            start=datetime(2024, 1, 1, 23, 45),
            end=datetime(2024, 1, 2, 0, 15),
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.5,
            books=timedelta(seconds=1),
        )
    return root


def recording(url: str, lake: Path, *more: str) -> subprocess.Popen[bytes]:
    """A recorder that has begun: it has said what it is going to do."""
    wanted = ["--type", "orderbook", "--every", "1s", "--depth", "5"]
    process = run(url, lake, *wanted, *more)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def record_and_kill(market: Path, lake: Path, *, kills: int, seed: int) -> list[datetime]:
    """The times of the snapshots that are held after recorders were killed and one ended."""
    draw = random.Random(seed)
    # The day ends while the recorders run.
    with BoxServer(market, clock_start="2024-01-01T23:59:50", clock_rate=1, limits=False) as box:
        for _ in range(kills):
            process = recording(box.url, lake)
            time.sleep(draw.uniform(0.5, 3.0))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        process = recording(box.url, lake)
        time.sleep(2.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        finished(recording(box.url, lake, "--for", "2s"))
    with Storage.open(lake) as storage:
        assert [finding for finding in examine(storage, deep=True, repair=False)] == []
        series = Series(DataType.ORDERBOOK, PERP)
        rows = markets.rows_of(storage, series)
        covered = [each.range for each in storage.catalog.coverage(series)]
    times: list[datetime] = rows["ts"].to_pylist()
    assert all(any(moment in span for span in covered) for moment in times)
    best = zip(rows["best_bid"].to_pylist(), rows["best_ask"].to_pylist(), strict=True)
    assert all(bid < ask for bid, ask in best)
    return times


def test_a_killed_recorder_leaves_whole_snapshots_and_can_go_on(
    book_market: Path, tmp_path: Path
) -> None:
    """What a kill costs is what was not committed yet; Ctrl-C costs nothing."""
    times = record_and_kill(book_market, tmp_path / "lake", kills=1, seed=2)

    # The recorder that was stopped gently, and the one that ended by itself.
    assert len(times) >= 4
    assert times == sorted(set(times))


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_recorders_killed_again_and_again_leave_whole_snapshots(
    book_market: Path, tmp_path: Path, seed: int
) -> None:
    times = record_and_kill(book_market, tmp_path / "lake", kills=8, seed=seed)

    assert times == sorted(set(times))
