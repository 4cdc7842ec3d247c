"""Fetching from a notebook: inside a running loop, and with Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lake import InvalidRequest, Lake
from lake.errors import ReadOnlyLake
from lake.research.loop import run
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion.markets import make_market


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    market = make_market(tmp_path_factory.mktemp("fetch") / "market")
    with BoxThread(market, clock_start="2024-02-05T00:00:00", clock_rate=1.0) as box:
        yield box.url


def test_plan_backfill_and_update_work_in_a_running_loop(tmp_path: Path, url: str) -> None:
    """A second backfill asks for nothing: what is held is known."""

    async def cell() -> tuple[int, int, int, int]:
        with Lake(tmp_path / "data", create=True) as lake:
            asked = ("BTCUSDT.BINANCE", "1h", "2024-01-30", "2024-02-01")
            planned = lake.plan(*asked, base_url=url)
            report = lake.backfill(*asked, base_url=url)
            assert report.exit_code == 0
            again = lake.backfill(*asked, base_url=url)
            lake.update(base_url=url)
            return (
                planned.rows,
                report.rows,
                len(again.jobs),
                lake.ohlcv("BTCUSDT", "1h", on_gap="ignore")["ts"].max().day,
            )

    assert asyncio.run(cell()) == (48, 48, 0, 3)


def test_several_venues_and_what_is_wrong(tmp_path: Path, url: str) -> None:
    with Lake(tmp_path / "data", create=True) as lake:
        plan = lake.plan(
            ["BTC/USDT", "ETHUSDT"], ["1m", "1h"], "2024-02-02", venue="binance", base_url=url
        )
        assert {str(each.series) for each in plan.series} == {
            f"{code}.BINANCE ohlcv {length}"
            for code in ("BTCUSDT", "ETHUSDT")
            for length in ("1m", "1h")
        }
        with pytest.raises(InvalidRequest, match="at which venue"):
            lake.plan("BTC/USDT", "1h", "2024-02-02")
        with pytest.raises(InvalidRequest, match="need a timeframe"):
            lake.plan("BTCUSDT.BINANCE", start="2024-02-02")
        with pytest.raises(InvalidRequest, match="reftech is no option"):
            lake.plan("BTCUSDT.BINANCE", "1h", "2024-02-02", reftech=True)
        with pytest.raises(InvalidRequest, match="No instrument"):
            lake.plan([], "1h", "2024-02-02")


def test_nothing_is_fetched_into_a_lake_that_is_only_read(tmp_path: Path) -> None:
    with Storage.open(tmp_path / "data", create=True):
        pass
    lake = Lake(tmp_path / "data")
    lake._storage.read_only = True

    with pytest.raises(ReadOnlyLake, match="reading only"):
        lake.backfill("BTCUSDT.BINANCE", "1h", "2024-02-02")
    lake.close()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT as a terminal's program has it: what a shell starts with & begins by ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(after_s: float) -> None:
    threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGINT)).start()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_once_stops_cleanly() -> None:
    """The work is told, and its answer is still given."""

    async def work(stop_with: Callable[[Callable[[], None]], None]) -> str:
        stop = asyncio.Event()
        stop_with(stop.set)
        interrupt(0.05)
        await stop.wait()
        return "stopped cleanly"

    assert run(work) == "stopped cleanly"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_twice_stops_at_once() -> None:
    async def work(stop_with: Callable[[Callable[[], None]], None]) -> str:
        stop_with(lambda: interrupt(0.05))
        interrupt(0.05)
        await asyncio.sleep(30)
        return "never"

    with pytest.raises(KeyboardInterrupt):
        run(work)


def test_a_timeout_of_the_work_is_raised_and_long_work_is_waited_for() -> None:
    async def work(stop_with: object) -> str:
        await asyncio.sleep(0.6)
        return "done"

    async def late(stop_with: object) -> None:
        await asyncio.sleep(0.3)
        raise TimeoutError("the venue")

    assert run(work) == "done"
    with pytest.raises(TimeoutError, match="the venue"):
        run(late)


def test_an_error_of_the_work_is_raised() -> None:
    async def work(stop_with: object) -> None:
        raise InvalidRequest("wrong")

    with pytest.raises(InvalidRequest, match="wrong"):
        run(work)
