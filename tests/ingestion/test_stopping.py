"""A run that is asked to stop while its venue does not answer."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.identifiers import DataType, Venue
from lake.domain.jobs import JobState
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Backfill, Request
from lake.ingestion.events import Event, JobStarted, PageFetched
from lake.simulator.market import generate
from lake.sources.archive.binance_tree import Choice
from lake.storage.lake import Storage
from tests.box import BoxThread

START, END = datetime(2024, 1, 1), datetime(2024, 1, 4)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=START,
            end=END,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.05,
            store_trades=True,
        )
    return root


@pytest.mark.parametrize("data_type", [DataType.OHLCV, DataType.TRADES])
def test_a_stop_does_not_wait_for_an_outage_to_pass(
    market: Path, tmp_path: Path, data_type: DataType
) -> None:
    """Twelve attempts with their pauses take minutes; what came before them is stored."""
    frames = (TimeFrame.MINUTE_1,) if data_type is DataType.OHLCV else ()
    request = Request(Venue("BINANCE"), ("BTC/USDT",), frames, START, END, data_type=data_type)
    stopped_at = 0.0

    async def stopped(storage: Storage, box: BoxThread) -> float:
        def listen(event: Event) -> None:
            nonlocal stopped_at
            if isinstance(event, PageFetched) and not stopped_at:
                down = {"start": "2024-01-01", "end": "2025-01-01"}
                box.control("outages", ranges=[down])
                asyncio.get_running_loop().call_later(0.3, backfill.stop)
                stopped_at = time.monotonic()

        async with Backfill(
            storage, base_url=box.url, min_free=0, max_workers=1, on_event=listen
        ) as backfill:
            backfill._gates.stop_grace_s = 0.1
            report = await backfill.run(await backfill.plan(request))
        assert [job.state for job in report.jobs] == [JobState.CANCELLED]
        return time.monotonic() - stopped_at

    with (
        BoxThread(market, clock_start="2024-02-01", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        took = asyncio.run(stopped(copy, box))
        [info] = copy.catalog.series()

        assert copy.catalog.coverage(info.series)
        assert took < 3


def test_pages_under_way_are_waited_for(market: Path, tmp_path: Path) -> None:
    """A request that is answered in time is stored, not thrown away."""
    request = Request(Venue("BINANCE"), ("BTC/USDT",), (TimeFrame.MINUTE_1,), START, END)

    async def stopped(storage: Storage, url: str) -> int:
        pages = 0

        def listen(event: Event) -> None:
            nonlocal pages
            if isinstance(event, PageFetched):
                pages += 1
                backfill.stop()

        async with Backfill(
            storage, base_url=url, min_free=0, max_workers=3, on_event=listen
        ) as backfill:
            await backfill.run(await backfill.plan(request))
        return pages

    with (
        BoxThread(market, clock_start="2024-02-01", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        pages = asyncio.run(stopped(copy, box.url))
        [info] = copy.catalog.series()
        stored = sum(each.rows for each in copy.catalog.partitions(info.series))

        assert pages == 3
        assert stored == 3_000


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["run stopped", "job cancelled"])
def test_a_stop_does_not_wait_for_a_file_to_come(
    market: Path, tmp_path: Path, is_cancelled: bool
) -> None:
    """A month of trades may be 10 GB; what has come of it is gone on with by the next run."""
    request = Request(Venue("BINANCE"), ("BTC/USDT",), (TimeFrame.MINUTE_1,), START, END)

    async def stopped(storage: Storage, box: BoxThread) -> None:
        def listen(event: Event) -> None:
            if isinstance(event, JobStarted):
                box.control("faults", rate=1.0, kinds=["hang"], path="archive")
                asyncio.get_running_loop().call_later(0.3, stop, event.job_id)

        def stop(job_id: str) -> None:
            if is_cancelled:
                storage.jobs.request_cancel(job_id)
            else:
                backfill.stop_in_time()

        async with Backfill(
            storage,
            base_url=box.url,
            min_free=0,
            choice=Choice.ARCHIVE,
            archive_url=f"{box.url}/archive",
            on_event=listen,
        ) as backfill:
            backfill._gates.stop_grace_s = 0.1
            plan = await backfill.plan(request)
            # The lease, and with it the wish to cancel, is looked at every six seconds.
            report = await asyncio.wait_for(backfill.run(plan), 10 if is_cancelled else 3)
        assert [job.state for job in report.jobs] == [JobState.CANCELLED]

    with (
        BoxThread(market, clock_start="2024-02-20", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        asyncio.run(stopped(copy, box))

        assert [job.status for job in copy.jobs.list()] == [JobState.CANCELLED]
