"""Order books recorded from the exchange in the box, with what can go wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.ingestion import Backfill
from lake.ingestion.book_job import Taken, runs_of
from lake.ingestion.events import Event, Missed, PageFetched, Stored
from lake.ingestion.gates import Gates, RowGate
from lake.ingestion.recorder import TOO_LATE, Recorder
from lake.ingestion.recording import Recording, RecordReport
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets

USDM = Venue("BINANCEUSDM")
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
BTC = Series(DataType.ORDERBOOK, InstrumentId("BTCUSDT-PERP", USDM))
ETH = Series(DataType.ORDERBOOK, InstrumentId("ETHUSDT-PERP", USDM))
SECOND = timedelta(seconds=1)
WANTED = Recording(USDM, SYMBOLS, every=0.1 * SECOND, duration=SECOND, depth=5)

BRIEF = replace(WANTED, patience=0.5 * SECOND)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes around midnight of two perpetuals, with a book every 50 milliseconds."""
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            start=datetime(2024, 1, 1, 23, 55),
            end=datetime(2024, 1, 2, 0, 5),
            instruments=SYMBOLS,
            timeframes=(TimeFrame.MINUTE_1,),
            rate=2,
            books=0.05 * SECOND,
        )
    return root


@pytest.fixture
def box(market: Path) -> Iterator[BoxThread]:
    with BoxThread(market, clock_start="2024-01-01T23:58", limits=False) as box:
        yield box


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        yield storage


def record(
    lake: Storage,
    box: BoxThread,
    wanted: Recording = WANTED,
    *,
    seen: list[Event] | None = None,
    when_taken: int = 0,
    do: str = "",
) -> RecordReport:
    """Records *wanted*; once *when_taken* snapshots came, does something to box or recorder."""

    async def run() -> RecordReport:
        taken = 0

        def listen(event: Event) -> None:
            nonlocal taken
            if seen is not None:
                seen.append(event)
            taken += isinstance(event, PageFetched)
            if taken == when_taken and do == "outage":
                box.control("outages", ranges=[{"start": "2024-01-01", "end": "2025-01-01"}])
            if taken == when_taken and do == "lose clock":
                # An answer's Date that differs makes the clock doubtful, and it cannot be asked.
                queue = [{"fault": "http_503", "count": 10_000, "path": "/time"}]
                box.control("faults", queue=queue)
                box.control("clock", advance_s=20)
            if taken == when_taken and do == "stop":
                backfill.stop()

        async with Backfill(lake, base_url=box.url, min_free=0, on_event=listen) as backfill:
            return await backfill.record(await backfill.plan_recording(wanted))

    return asyncio.run(run())


def stored(lake: Storage, series: Series) -> pa.Table:
    return markets.rows_of(lake, series)


def test_snapshots_come_at_multiples_of_the_interval(box: BoxThread, lake: Storage) -> None:
    """One book after the other, each as the venue had it at that moment."""
    report = record(lake, box)

    assert report.exit_code == 0
    assert [each.series for each in report.books] == [BTC, ETH]
    for each in report.books:
        # 10 were due; a busy machine may miss some, and says so.
        missed = sum(each.missed.values())
        rows = stored(lake, each.series)
        assert each.stored + each.unchanged + missed == 10
        assert each.stored == rows.num_rows > 0
        assert set(rows["bid_prices"].combine_chunks().value_lengths().to_pylist()) == {5}
        starts = [job.range.start for job in lake.jobs.list() if job.series == each.series]
        assert [moment.microsecond % 100_000 for moment in starts] == [0]


def test_what_is_stored_is_what_the_venue_had(box: BoxThread, lake: Storage, market: Path) -> None:
    record(lake, box)

    with Storage.open(market, read_only=True) as truth:
        theirs = {row["sequence"]: row for row in markets.rows_of(truth, BTC).to_pylist()}
    for row in stored(lake, BTC).to_pylist():
        expected = theirs[row["sequence"]]
        for name in ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities"):
            assert row[name] == expected[name][:5]
        assert row["ts"] == expected["ts"]


def test_a_run_without_a_miss_is_one_row_of_coverage(box: BoxThread, lake: Storage) -> None:
    """A claim for each of 8,640 snapshots a day made every commit four times as slow."""
    report = record(lake, box)

    for each in report.books:
        covered = lake.catalog.coverage(each.series)
        assert len(covered) <= 1 + sum(each.missed.values())
        assert {row.basis for row in covered} == {Basis.ROWS_ONLY}
        times = stored(lake, each.series)["ts"].to_pylist()
        assert all(any(moment in row.range for row in covered) for moment in times)


def test_runs_end_where_a_snapshot_was_missed() -> None:
    start = datetime(2024, 1, 1)
    rows = pa.table({"ts": [start]})

    def taken(second: float, after: float | None) -> Taken:
        moment = start + second * SECOND
        window = TimeRange(moment, moment + timedelta(microseconds=1))
        return Taken(Page(window, rows), None if after is None else start + after * SECOND)

    found = runs_of([taken(1, None), taken(2, 1), taken(5, None), taken(4.5, 5)])

    tick = timedelta(microseconds=1)
    assert found == [
        TimeRange(start + SECOND, start + 2 * SECOND + tick),
        TimeRange(start + 4.5 * SECOND, start + 5 * SECOND + tick),
    ]


def test_a_book_that_did_not_change_is_kept_once(market: Path, lake: Storage) -> None:
    """The venue's clock stands still: its time and sequence say that nothing happened."""
    with BoxThread(market, clock_start="2024-01-01T23:58", clock_rate=0, limits=False) as box:
        report = record(lake, box)

    for each in report.books:
        assert (each.stored, stored(lake, each.series).num_rows) == (1, 1)
        assert each.unchanged + sum(each.missed.values()) == 9
        assert each.state is JobState.COMPLETED


def test_midnight_parts_the_files(market: Path, lake: Storage) -> None:
    with BoxThread(market, clock_start="2024-01-01T23:59:59.3", limits=False) as box:
        record(lake, box)

    parts = [info.partition.range.start for info in lake.catalog.partitions(BTC)]

    assert parts == [datetime(2024, 1, 1), datetime(2024, 1, 2)]


@pytest.mark.parametrize("seed", range(2))
def test_faulty_answers_cost_snapshots_but_never_store_a_wrong_one(
    box: BoxThread, lake: Storage, market: Path, seed: int
) -> None:
    """Four answers of ten are faulty: what cannot be had in time is counted as missed."""
    box.control("faults", rate=0.4, seed=seed, retry_after_s=0, slow_s=0.02, path="depth")

    report = record(lake, box, BRIEF)

    with Storage.open(market, read_only=True) as truth:
        theirs = {row["sequence"]: row for row in markets.rows_of(truth, BTC).to_pylist()}
    for row in stored(lake, BTC).to_pylist():
        assert row["ask_prices"] == theirs[row["sequence"]]["ask_prices"][:5]
    for each in report.books:
        missed = sum(each.missed.values())
        assert each.stored + each.unchanged + each.refused + missed == 10


def test_a_slow_venue_is_told_as_missed_snapshots(box: BoxThread, lake: Storage) -> None:
    box.control("faults", rate=1, seed=1, kinds=["slow"], slow_s=0.35, path="depth")
    seen: list[Event] = []

    report = record(lake, box, seen=seen)

    [btc, _] = report.books
    assert btc.state is JobState.COMPLETED
    assert btc.missed[TOO_LATE] >= 5
    assert sum(each.count for each in seen if isinstance(each, Missed)) == sum(
        sum(each.missed.values()) for each in report.books
    )
    # Each miss ends a run.
    assert len(lake.catalog.coverage(BTC)) == btc.stored


def test_a_venue_that_goes_down_costs_what_was_due(box: BoxThread, lake: Storage) -> None:
    """What came before is stored; the run goes on until its time is over."""
    report = record(lake, box, BRIEF, when_taken=4, do="outage")

    # A book that had not changed is taken and not stored again.
    assert sum(each.stored + each.unchanged for each in report.books) >= 4
    assert all(each.missed for each in report.books)
    assert report.exit_code == 0


def test_what_was_taken_is_stored_whatever_the_venues_clock_does(
    box: BoxThread, lake: Storage
) -> None:
    """After a minute of outage the clock counts as unknown: commits asked for it and gave up."""
    began = time.monotonic()

    report = record(lake, box, BRIEF, when_taken=8, do="lose clock")

    assert time.monotonic() - began < 20
    assert all(each.missed for each in report.books)
    assert sum(each.stored + each.unchanged for each in report.books) >= 8
    for each in report.books:
        rows = stored(lake, each.series)
        assert each.stored == rows.num_rows > 0
        assert {row.confirmed_at for row in lake.catalog.coverage(each.series)} == {
            max(rows["received_at"].to_pylist())
        }


def test_a_writer_that_breaks_ends_a_recording_without_end(box: BoxThread, lake: Storage) -> None:
    """It went on, kept everything in memory and was completed, with nothing stored any more."""

    def listen(event: Event) -> None:
        if isinstance(event, Stored):
            raise RuntimeError("a listener that is broken")

    async def run() -> None:
        gates = Gates(asyncio.Semaphore(4), RowGate(1_000), min_free=0)
        async with Backfill(lake, base_url=box.url, min_free=0) as backfill:
            plan = await backfill.plan_recording(replace(WANTED, duration=None))
            recorder = Recorder(
                *(lake, backfill.venues),
                gates=gates,
                owner="test",
                way_out="",
                emit=listen,
                commit_every_s=0.3,
            )
            asyncio.get_running_loop().call_later(20, gates.stop.set)
            await recorder.run(plan)

    with pytest.raises(RuntimeError, match="a listener that is broken"):
        asyncio.run(run())

    jobs = lake.jobs.list()
    assert {job.status for job in jobs} == {JobState.FAILED}
    assert {job.error for job in jobs} == {"a listener that is broken"}
    assert stored(lake, BTC).num_rows > 0


def test_a_run_in_which_nothing_could_be_had_fails_loudly(box: BoxThread, lake: Storage) -> None:
    """It could when it was planned."""

    async def run() -> RecordReport:
        async with Backfill(lake, base_url=box.url, min_free=0) as backfill:
            plan = await backfill.plan_recording(BRIEF)
            box.control("outages", ranges=[{"start": "2024-01-01", "end": "2025-01-01"}])
            return await backfill.record(plan)

    report = asyncio.run(run())

    assert report.exit_code == 1
    assert {each.state for each in report.books} == {JobState.FAILED}
    assert all("no snapshot could be had" in (each.error or "") for each in report.books)
    assert {job.status for job in lake.jobs.list()} == {JobState.FAILED}


def test_a_venue_that_is_down_from_the_start_is_refused_before_anything_is_made(
    box: BoxThread, lake: Storage
) -> None:
    box.control("faults", queue=[{"fault": "http_404", "count": 50, "path": "depth"}])

    with pytest.raises(SourceError):
        record(lake, box)

    assert lake.jobs.list() == []


def test_a_stop_stores_what_was_taken_at_once(box: BoxThread, lake: Storage) -> None:
    """Without an end named the job is completed: that is how it was to end."""
    began = time.monotonic()

    ended = record(lake, box, replace(WANTED, duration=3600 * SECOND), when_taken=6, do="stop")
    until = record(lake, box, replace(WANTED, duration=None), when_taken=6, do="stop")

    assert time.monotonic() - began < 10
    assert [each.state for each in ended.books] == [JobState.CANCELLED] * 2
    assert [each.state for each in until.books] == [JobState.COMPLETED] * 2
    assert (ended.exit_code, until.exit_code) == (130, 130)
    assert stored(lake, BTC).num_rows == ended.books[0].stored + until.books[0].stored
    # Two that come close after one another on a busy machine may be the same book.
    assert ended.stored + sum(each.unchanged for each in ended.books) >= 6
    last = [job for job in lake.jobs.list() if job.series == BTC][-1]
    assert last.end_time - last.start_time > WANTED.every


def test_a_request_that_hangs_does_not_hold_up_a_stop(box: BoxThread, lake: Storage) -> None:
    box.control("faults", queue=[{"fault": "hang", "count": 50, "after": 7, "path": "depth"}])
    began = time.monotonic()

    async def run() -> RecordReport:
        async with Backfill(lake, base_url=box.url, min_free=0) as backfill:
            plan = await backfill.plan_recording(replace(WANTED, duration=None))
            asyncio.get_running_loop().call_later(1, backfill.stop)
            return await backfill.record(plan)

    report = asyncio.run(run())

    assert time.monotonic() - began < 6
    assert report.stored >= 4


def test_a_second_recorder_of_the_same_book_is_refused(box: BoxThread, lake: Storage) -> None:
    async def run() -> RecordReport:
        async with Backfill(lake, base_url=box.url, min_free=0) as backfill:
            plan = await backfill.plan_recording(WANTED)
            first = asyncio.create_task(backfill.record(plan))
            await asyncio.sleep(0.3)
            with pytest.raises(InvalidRequest, match="is being recorded already"):
                await backfill.record(plan)
            return await first

    assert asyncio.run(run()).exit_code == 0


def test_another_depth_is_refused_with_the_one_held(box: BoxThread, lake: Storage) -> None:
    record(lake, box, replace(WANTED, duration=0.2 * SECOND))

    with pytest.raises(InvalidRequest, match=r"held as rest/5; .* Say --depth 5"):
        record(lake, box, replace(WANTED, depth=10))


def test_a_depth_that_the_venue_lacks_is_refused(box: BoxThread, lake: Storage) -> None:
    with pytest.raises(InvalidRequest, match="5000 levels"):
        record(lake, box, replace(WANTED, depth=5_000))

    assert lake.catalog.series() == []


def test_more_than_the_rate_limit_allows_is_refused_with_what_it_does(
    market: Path, lake: Storage
) -> None:
    """Two books of 1,000 levels weigh 40 a round, and 80 % of 2,400 a minute are 32 a second."""
    with (
        BoxThread(market, clock_start="2024-01-01T23:58") as box,
        pytest.raises(InvalidRequest, match=r"one round in 1\.2 s"),
    ):
        record(lake, box, replace(WANTED, every=SECOND, depth=1_000))


def test_a_full_disk_ends_the_recording_and_keeps_what_was_stored(
    box: BoxThread, lake: Storage
) -> None:
    async def run() -> RecordReport:
        async with Backfill(lake, base_url=box.url, min_free=1 << 60) as backfill:
            return await backfill.record(await backfill.plan_recording(WANTED))

    report = asyncio.run(run())

    assert report.exit_code == 1
    assert all("min_free" in (each.error or "") for each in report.books)
