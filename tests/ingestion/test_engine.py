"""The async API of a trading engine, and the nightly update."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
    Venue,
)
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SeriesNotFound, StorageError, UnknownJob
from lake.ingestion import Backfill, DataIngestionEngine, Report, plan_update, update
from lake.ingestion.events import Event, JobStarted
from lake.simulator.market import generate
from lake.storage.lake import Storage
from lake.store import HistoricalDataStore
from tests.box import BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import END, START, series

BITCOIN = InstrumentId.from_str("BTCUSDT.BINANCE")
LATER = "2024-02-05T00:00:00"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return markets.make_market(tmp_path_factory.mktemp("market") / "lake")


@asynccontextmanager
async def engine_over(market: Path, data: Path) -> AsyncIterator[DataIngestionEngine]:
    with BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box:
        store = HistoricalDataStore(data_path=data)
        await store.initialize()
        engine = DataIngestionEngine(
            data_store=store, parquet_path=data / "parquet", max_workers=4, base_url=box.url
        )
        try:
            yield engine
        finally:
            await engine.close()
            await store.close()


def with_engine(
    market: Path, data: Path, act: Callable[[DataIngestionEngine], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with engine_over(market, data) as engine:
            await act(engine)

    asyncio.run(run())


async def create(engine: DataIngestionEngine, **changes: object) -> str:
    arguments: dict[str, object] = {
        "data_type": DataType.OHLCV,
        "instrument_id": BITCOIN,
        "venue": Venue("BINANCE"),
        "start_time": START,
        "end_time": START + timedelta(days=1),
        "timeframe": TimeFrame.HOUR_1,
    }
    return await engine.create_ingestion_job(**(arguments | changes))  # type: ignore[arg-type]


def test_a_job_is_made_run_watched_and_read(market: Path, tmp_path: Path) -> None:
    """The example of the user's own description, with its names."""

    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(engine)
        assert [job.job_id for job in await engine.list_active_jobs()] == [job_id]

        task = await engine.start_ingestion_job(job_id)
        job = await task

        assert (job.status, job.progress, job.rows) == (JobState.COMPLETED, 1.0, 24)
        assert await engine.list_active_jobs() == []
        frame = await engine.read_ohlcv_parquet(
            instrument_id=BITCOIN,
            venue=Venue("BINANCE"),
            timeframe=TimeFrame.HOUR_1,
            start_time=START,
            end_time=START.replace(tzinfo=UTC) + timedelta(hours=6),
        )
        assert frame["ts"].to_list() == [START + timedelta(hours=hour) for hour in range(6)]
        assert await engine.cleanup_completed_jobs(max_age_hours=24) == 0
        assert await engine.cleanup_completed_jobs(max_age_hours=-1) == 1
        with pytest.raises(UnknownJob):
            await engine.get_job_status(job_id)

    with_engine(market, tmp_path / "data", act)


@pytest.fixture(scope="module")
def perpetual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of one perpetual with its trades, and funding every four hours."""
    root = tmp_path_factory.mktemp("perpetual") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=4,
            start=START,
            end=START + timedelta(days=2),
            instruments=("BTC/USDT:USDT",),
            timeframes=(TimeFrame.HOUR_1,),
            rate=0.2,
            store_trades=True,
            funding=4,
        )
    return root


@pytest.mark.parametrize("data_type", [DataType.TRADES, DataType.FUNDING_RATES])
def test_jobs_of_trades_and_funding_run_as_those_of_candles(
    perpetual: Path, tmp_path: Path, data_type: DataType
) -> None:
    """Every row of the market, once; the job says how many."""
    usdm = Venue("BINANCEUSDM")
    instrument = InstrumentId("BTCUSDT-PERP", usdm)

    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(
            engine,
            data_type=data_type,
            instrument_id=instrument,
            venue=usdm,
            timeframe=None,
            end_time=START + timedelta(days=2),
        )
        job = await (await engine.start_ingestion_job(job_id))

        storage = engine.data_store.storage
        held = markets.assert_equal(perpetual, storage, Series(data_type, instrument))
        assert (job.status, job.progress, job.rows) == (JobState.COMPLETED, 1.0, held)
        assert held > 0
        with pytest.raises(InvalidRequest, match="timeframe"):
            await create(engine, data_type=data_type, instrument_id=instrument, venue=usdm)

    with_engine(perpetual, tmp_path / "data", act)


def test_a_cancelled_job_keeps_what_it_stored_and_can_be_started_again(
    market: Path, tmp_path: Path
) -> None:
    """Cancelled before it starts, a job waits; started again, it completes."""

    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(engine, timeframe=TimeFrame.MINUTE_1, end_time=END)
        await engine.cancel_job(job_id)
        assert (await engine.get_job_status(job_id)).status is JobState.CANCELLED

        job = await (await engine.start_ingestion_job(job_id))

        assert job.status is JobState.COMPLETED
        with pytest.raises(InvalidRequest, match="completed"):
            await engine.start_ingestion_job(job_id)

    with_engine(market, tmp_path / "data", act)


def test_a_job_started_while_its_venue_is_down_fails_with_the_error_and_can_be_started_again(
    market: Path, tmp_path: Path
) -> None:
    """It raised and stayed pending; who awaits the task is promised the job as it ended."""

    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(engine)
        down = DataIngestionEngine(data_store=engine.data_store, base_url="http://127.0.0.1:9")

        failed = await (await down.start_ingestion_job(job_id))
        left = engine.data_store.storage.catalog.failed(failed.series)
        job = await (await engine.start_ingestion_job(job_id))
        await down.close()

        assert (failed.status, failed.lease_owner) == (JobState.FAILED, None)
        assert "BINANCE" in (failed.error or "")
        assert [each.range for each in left] == [failed.range]
        assert (job.status, job.error, job.rows) == (JobState.COMPLETED, None, 24)

    with_engine(market, tmp_path / "data", act)


def test_a_job_that_another_worker_holds_is_left_to_it(market: Path, tmp_path: Path) -> None:
    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(engine)
        jobs = engine.data_store.storage.jobs
        jobs.claim(job_id, "another")

        with pytest.raises(StorageError, match="being worked on by another"):
            await (await engine.start_ingestion_job(job_id))

        assert jobs.get(job_id).lease_owner == "another"

    with_engine(market, tmp_path / "data", act)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venue": Venue("OKX")}, "does not trade at OKX"),
        ({"end_time": START}, "end must be after the start"),
        ({"instrument_id": InstrumentId.from_str("BTCUSD.BINANCE")}, "Near: BTCUSDT"),
        ({"data_type": DataType.ORDERBOOK}, "keep no history .* --type orderbook"),
        ({"timeframe": None}, "needs a timeframe"),
    ],
)
def test_a_wrong_job_is_refused_when_it_is_made(
    market: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """An engine must hear of a wrong request at once, not from a failed job later."""

    async def act(engine: DataIngestionEngine) -> None:
        with pytest.raises(InvalidRequest, match=message):
            await create(engine, **changes)
        assert await engine.list_active_jobs() == []

    with_engine(market, tmp_path / "data", act)


@pytest.mark.parametrize(
    "changes", [{"end_time": START}, {"timeframe": None}, {"timeframe": "7m"}, {"venue": "OKX"}]
)
def test_what_is_wrong_in_itself_is_told_without_a_network(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    async def run() -> None:
        async with HistoricalDataStore(data_path=tmp_path / "data") as store:
            engine = DataIngestionEngine(data_store=store, base_url="http://127.0.0.1:9")
            with pytest.raises(InvalidRequest):
                await create(engine, **changes)

    asyncio.run(run())


def test_ids_venues_and_timeframes_may_be_text_as_in_the_store(
    market: Path, tmp_path: Path
) -> None:
    async def act(engine: DataIngestionEngine) -> None:
        job_id = await create(
            engine, instrument_id="BTCUSDT.BINANCE", venue="BINANCE", timeframe="1h"
        )
        await (await engine.start_ingestion_job(job_id))

        rows = await engine.read_ohlcv_parquet("BTCUSDT.BINANCE", "BINANCE", "1h")

        assert rows.height == 24

    with_engine(market, tmp_path / "data", act)


def test_a_series_that_was_never_stored_is_an_error_not_an_empty_frame(
    market: Path, tmp_path: Path
) -> None:
    """An empty answer would read as a market without trades."""

    async def act(engine: DataIngestionEngine) -> None:
        with pytest.raises(SeriesNotFound):
            await engine.read_ohlcv_parquet(BITCOIN, timeframe=TimeFrame.HOUR_4)

    with_engine(market, tmp_path / "data", act)


def test_an_update_brings_tails_and_holes_and_nothing_else(market: Path, tmp_path: Path) -> None:
    """Every held series to now, by itself; then nothing is left to do."""
    early = markets.request(
        instruments=("BTC/USDT",), start=datetime(2024, 1, 31), end=datetime(2024, 2, 1)
    )
    with (
        Storage.open(tmp_path / "lake", create=True) as storage,
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
    ):
        asyncio.run(markets.run(storage, box.url, early))

        async def bring() -> tuple[int, bool]:
            async with Backfill(storage, base_url=box.url, min_free=0) as backfill:
                report = await update(storage, backfill)
                assert not report.failed
                left = await plan_update(storage, backfill)
                settled = [piece.start for each in left.series for piece in each.pieces]
                return report.rows, all(start >= END for start in settled)

        rows, only_the_future_is_left = asyncio.run(bring())

        assert rows == (3 * 1440 - 810) + (3 * 24 - 13)
        assert only_the_future_is_left
        for timeframe in markets.TIMEFRAMES:
            window = markets.TimeRange(datetime(2024, 1, 31), END)
            markets.assert_equal(market, storage, series("BTCUSDT", timeframe), window)


def test_an_update_without_network_says_which_venue_did_not_answer(
    market: Path, tmp_path: Path
) -> None:
    """Silence from cron must mean that all is well."""
    wanted = markets.request(instruments=("BTC/USDT",), timeframes=(TimeFrame.HOUR_1,))
    with Storage.open(tmp_path / "lake", create=True) as storage:
        with BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box:
            asyncio.run(markets.run(storage, box.url, wanted))

        async def bring() -> Report:
            async with Backfill(storage, base_url=box.url, min_free=0) as backfill:
                return await update(storage, backfill)

        report = asyncio.run(bring())

    assert [lost.venue for lost in report.unreachable] == [Venue("BINANCE")]
    assert (report.jobs, report.exit_code) == ((), 1)


def test_two_instruments_never_share_one_folder(market: Path, tmp_path: Path) -> None:
    """A code that is taken is an error that says what to do, not a mixture of two markets."""
    with (
        Storage.open(tmp_path / "lake", create=True) as storage,
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
    ):
        other = Instrument(
            *(Venue("BINANCE"), "BTCUSDT", "BTCU/SDT", "BTCU-SDT"),
            *(InstrumentKind.SPOT, "BTCU", "SDT"),
        )
        storage.catalog.upsert_instruments([other])
        storage.catalog.ensure_series(series("BTCUSDT", TimeFrame.HOUR_1), "base-url")

        with pytest.raises(InvalidRequest, match="already means another instrument"):
            asyncio.run(markets.run(storage, box.url, markets.request(instruments=("BTC/USDT",))))


def test_a_job_whose_worker_died_before_saying_so_is_completed(
    market: Path, tmp_path: Path
) -> None:
    """Killed between its last commit and its end, a job has nothing left to do but to end."""
    wanted = markets.request(instruments=("BTC/USDT",), timeframes=(TimeFrame.HOUR_1,))
    with (
        Storage.open(tmp_path / "lake", create=True) as storage,
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
    ):
        asyncio.run(markets.run(storage, box.url, wanted))
        job = storage.jobs.create(
            series("BTCUSDT", TimeFrame.HOUR_1), markets.TimeRange(START, END)
        )
        storage.jobs.claim(job.job_id, "killed", ttl_s=0)

        report = asyncio.run(markets.run(storage, box.url, wanted))

        assert report.jobs == ()
        assert storage.jobs.get(job.job_id).status is JobState.COMPLETED


def test_an_update_finds_what_is_held_when_the_catalog_was_made_again(
    market: Path, tmp_path: Path
) -> None:
    """A lost catalog is rebuilt from the files; what it no longer says must not end updates."""
    lake = tmp_path / "lake"
    early = markets.request(
        instruments=("BTC/USDT",), timeframes=(TimeFrame.HOUR_1,), end=datetime(2024, 2, 1)
    )
    with BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box:
        with Storage.open(lake, create=True) as storage:
            asyncio.run(markets.run(storage, box.url, early))
        for file in lake.glob("catalog.sqlite*"):
            file.unlink()

        async def bring(storage: Storage) -> Report:
            async with Backfill(storage, base_url=box.url, min_free=0) as backfill:
                return await update(storage, backfill)

        with Storage.open(lake) as storage:
            report = asyncio.run(bring(storage))

            assert report.exit_code == 0
            markets.assert_equal(market, storage, series("BTCUSDT", TimeFrame.HOUR_1))


def test_a_plan_writes_nothing(market: Path, tmp_path: Path) -> None:
    """Asking what would be done must not add a series that holds nothing."""

    async def plan(storage: Storage, url: str) -> int:
        async with Backfill(storage, base_url=url, min_free=0) as backfill:
            return (await backfill.plan(markets.request())).rows

    with (
        Storage.open(tmp_path / "lake", create=True) as storage,
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
    ):
        assert asyncio.run(plan(storage, box.url)) > 0
        assert storage.catalog.series() == []
        assert storage.jobs.list() == []


def test_a_run_that_is_stopped_leaves_no_job_waiting_or_running(
    market: Path, tmp_path: Path
) -> None:
    """After Ctrl-C, once or twice, the job table says how each job ended."""

    async def cancelled(storage: Storage, url: str) -> None:
        began = asyncio.Event()

        def listen(event: Event) -> None:
            if isinstance(event, JobStarted):
                began.set()

        async with Backfill(storage, base_url=url, min_free=0, on_event=listen) as backfill:
            running = asyncio.create_task(backfill.run(await backfill.plan(markets.request())))
            await began.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def stopped(storage: Storage, url: str) -> Report:
        async with Backfill(storage, base_url=url, min_free=0) as backfill:
            plan = await backfill.plan(markets.request())
            backfill.stop()
            return await backfill.run(plan)

    unfinished = (JobState.PENDING, JobState.RUNNING)
    with BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box:
        with Storage.open(tmp_path / "once", create=True) as storage:
            report = asyncio.run(stopped(storage, box.url))
            assert [job.state for job in report.jobs] == [JobState.CANCELLED] * 4
            assert (report.exit_code, storage.jobs.list(unfinished)) == (130, [])
        with Storage.open(tmp_path / "twice", create=True) as storage:
            asyncio.run(cancelled(storage, box.url))
            assert storage.jobs.list(unfinished) == []
            assert len(storage.jobs.list((JobState.CANCELLED,))) == 4


def test_a_job_wholly_in_the_future_is_refused(market: Path, tmp_path: Path) -> None:
    """It would complete with nothing, as if the venue had nothing."""

    async def act(engine: DataIngestionEngine) -> None:
        start = datetime.fromisoformat(LATER) + timedelta(hours=1)
        with pytest.raises(InvalidRequest, match="there is nothing yet"):
            await create(engine, start_time=start, end_time=start + timedelta(days=1))
        assert await engine.list_active_jobs() == []

    with_engine(market, tmp_path / "data", act)


@pytest.mark.parametrize(("age", "continues"), [(23, True), (25, False)])
def test_a_refetch_that_failed_is_continued_for_a_day(
    market: Path, tmp_path: Path, age: int, continues: bool
) -> None:
    """What it fetched last week is not what somebody wants who asks for all of it again."""
    now = datetime(2026, 11, 22)

    async def run(storage: Storage, box: BoxThread) -> set[str]:
        jobs: set[str] = set()

        def listen(event: Event) -> None:
            if isinstance(event, JobStarted):
                jobs.add(event.job_id)

        async with Backfill(storage, base_url=box.url, min_free=0, on_event=listen) as backfill:
            wanted = markets.request(
                instruments=("BTC/USDT",), timeframes=(TimeFrame.HOUR_1,), refetch=True
            )
            await backfill.run(await backfill.plan(wanted))
        return jobs

    with (
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True, clock=lambda: now) as copy,
    ):
        bitcoin = series("BTCUSDT", TimeFrame.HOUR_1)
        asyncio.run(run(copy, box))
        left = copy.jobs.create(bitcoin, TimeRange(START, END), refetch=True)
        copy.jobs.finish(copy.jobs.claim(left.job_id, "test"), JobState.FAILED, "no answer")
        now += timedelta(hours=age)

        assert (asyncio.run(run(copy, box)) == {left.job_id}) is continues


def test_a_series_that_its_venue_no_longer_gives_does_not_stop_an_update(
    market: Path, tmp_path: Path
) -> None:
    """It is named; the other series of the venue are brought up to now."""
    gone = series("LUNAUSDT", TimeFrame.HOUR_1)

    async def act(storage: Storage, url: str) -> Report:
        async with Backfill(storage, base_url=url, min_free=0) as backfill:
            return await update(storage, backfill)

    with (
        BoxThread(market, clock_start=LATER, clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        asyncio.run(markets.run(copy, box.url, markets.request(end=END - timedelta(days=1))))
        copy.catalog.ensure_series(gone, "base-url")
        copy.catalog.note_wanted(gone, TimeRange(START, END))

        report = asyncio.run(act(copy, box.url))

        assert [job.state for job in report.jobs] == [JobState.COMPLETED] * 4
        [lost] = report.unreachable
        assert "LUNAUSDT" in lost.why
        assert report.exit_code == 4
