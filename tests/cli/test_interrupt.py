"""Ctrl-C in the middle of a backfill: once stops cleanly, twice at once; nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box import BoxServer
from tests.cli.conftest import NOW, Run, clean_environment

LAKE = Path("lake")
_WAIT_S = 30.0
_POLL_S = 0.02


@pytest.fixture
def slow(market: Path) -> Iterator[BoxServer]:
    """The exchange, taking its time over every page, so that there is a middle."""
    with BoxServer(market, clock_start=NOW) as box:
        box.control("faults", rate=1, seed=1, kinds=["slow"], slow_s=0.12, path="klines")
        yield box


def words(box: BoxServer) -> list[str]:
    return (
        "backfill binance BTC/USDT ETH/USDT SOL/USDT --timeframe 1m --max-workers 1"
        f" --start 2024-01-01 --end 2024-01-04 --data {LAKE} --base-url {box.url}"
    ).split()


@pytest.fixture
def started(slow: BoxServer) -> Iterator[subprocess.Popen[str]]:
    """A backfill that has had its first pages."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lake", *words(slow)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any("plan:" in line for line in iter(process.stdout.readline, ""))
    planned = len(slow.requests())
    pause = threading.Event()
    for _ in range(round(_WAIT_S / _POLL_S)):
        if len(slow.requests()) >= planned + 3:
            break
        pause.wait(_POLL_S)
    assert process.poll() is None, process.communicate()
    yield process
    process.kill()
    process.communicate()


def stored(run: Run) -> list[list[str]]:
    answer = run(
        *("sql", "--data", LAKE, "--format", "csv"),
        "select instrument, count(*) as n, count(distinct ts) as times from ohlcv_1m group by all",
    )
    return sorted(line.split(",") for line in answer.out.split()[1:])


def finish(run: Run, slow: BoxServer) -> None:
    """The same command again, without the slowness, brings the rest."""
    slow.control("faults", rate=0)

    assert run(*words(slow)).code == 0

    assert stored(run) == [
        ['"BTCUSDT"', "4170", "4170"],
        ['"ETHUSDT"', "4170", "4170"],
        ['"SOLUSDT"', "2190", "2190"],
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stores_what_is_under_way(
    run: Run, slow: BoxServer, started: subprocess.Popen[str], number: signal.Signals
) -> None:
    started.send_signal(number)
    out, err = started.communicate(timeout=_WAIT_S)

    assert started.returncode == 130
    assert "stopping: what is under way is stored first" in err
    assert "interrupted; run the same command again to continue" in err
    assert "Traceback" not in err
    assert "not_fetched" in out
    assert sum(int(line[1]) for line in stored(run)) > 0
    finish(run, slow)


def test_two_signals_stop_at_once(
    run: Run, slow: BoxServer, started: subprocess.Popen[str]
) -> None:
    slow.control("faults", rate=1, kinds=["hang"], path="klines")

    started.send_signal(signal.SIGINT)
    assert started.stderr is not None
    assert any("stopping" in line for line in iter(started.stderr.readline, ""))
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=_WAIT_S)

    assert started.returncode == 130
    assert "Traceback" not in err
    finish(run, slow)
