"""Jobs: who may work on one, what ends it, and what a dead worker leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from storage_kit import HOURLY, Clock, answered, begin, candles, hour, hours, store

from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, LeaseLost, SeriesNotFound, StorageError, UnknownJob
from lake.storage.lake import Storage
from lake.storage.process import ProcessIdentity


def test_a_job_says_what_was_asked(storage: Storage, clock: Clock) -> None:
    storage.catalog.ensure_series(HOURLY, "venue")

    job = storage.jobs.create(HOURLY, hours(0, 24), refetch=True)

    assert storage.jobs.get(job.job_id) == job
    assert (job.series, job.range, job.status) == (HOURLY, hours(0, 24), JobState.PENDING)
    assert (job.kind, job.refetch, job.attempts, job.created_at) == ("backfill", True, 0, clock.now)


def test_a_job_needs_a_known_series(storage: Storage) -> None:
    with pytest.raises(SeriesNotFound):
        storage.jobs.create(HOURLY, hours(0, 24))


def test_an_unknown_job_is_named(storage: Storage) -> None:
    for ask in (storage.jobs.get, storage.jobs.retry, storage.jobs.request_cancel):
        with pytest.raises(UnknownJob, match="nonsense"):
            ask("nonsense")


def test_a_job_of_a_living_worker_cannot_be_claimed(storage: Storage) -> None:
    lease = begin(storage, owner="first")

    with pytest.raises(StorageError, match="worked on by first"):
        storage.jobs.claim(lease.job_id, "second")

    assert storage.jobs.renew(lease).token == lease.token


def test_a_job_whose_lease_is_over_can_be_claimed(storage: Storage, clock: Clock) -> None:
    """However alive its process is: it may hang. The token keeps it from doing harm."""
    first = begin(storage, ttl_s=30)
    clock.advance(31)

    second = storage.jobs.claim(first.job_id, "second")

    assert second.token == first.token + 1
    assert storage.jobs.get(first.job_id).attempts == 2
    with pytest.raises(LeaseLost):
        storage.jobs.renew(first)
    with pytest.raises(LeaseLost):
        storage.jobs.finish(first, JobState.COMPLETED)
    assert storage.jobs.renew(second).status is JobState.RUNNING


def test_a_job_of_a_killed_process_can_be_claimed_at_once(storage: Storage) -> None:
    """Nobody waits for the lease of a process that is known to be gone."""
    lease = begin(storage, ttl_s=3600)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    theirs = ProcessIdentity.current()
    start = open_start(process.pid)
    dead = ProcessIdentity(theirs.host, theirs.boot, theirs.namespace, process.pid, start)
    with storage.database.writing() as transaction:
        transaction.run("update ingestion_jobs set lease_process = ?", (dead.to_json(),))

    assert not dead.is_dead()
    with pytest.raises(StorageError, match=str(process.pid)):
        storage.jobs.claim(lease.job_id, "second")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert dead.is_dead()
    assert storage.jobs.claim(lease.job_id, "second").token == 2


def open_start(pid: int) -> str:
    from lake.storage.process import _start_of

    return _start_of(pid) or ""


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, False),
        ({"start": "1"}, True),
        ({"boot": "another"}, True),
        ({"host": "elsewhere"}, False),
        ({"namespace": "pid:[1]", "pid": 2**22 + 1}, False),
        ({"pid": 2**22 + 1}, True),
    ],
    ids=["this", "number used again", "rebooted", "other host", "other container", "gone"],
)
def test_a_process_is_dead_only_where_that_is_certain(
    change: dict[str, str | int], dead: bool
) -> None:
    me = ProcessIdentity.current()
    parts = {name: getattr(me, name) for name in ("host", "boot", "namespace", "pid", "start")}

    assert ProcessIdentity(**(parts | change)).is_dead() is dead


def test_a_forked_child_is_not_its_parent() -> None:
    """Else a child's lease would live as long as the parent does."""
    me = ProcessIdentity.current()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, ProcessIdentity.current().to_json().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        child = ProcessIdentity.from_json(pipe.read().decode())
    os.wait()

    assert child.pid != me.pid


def test_finishing_gives_the_lease_up(storage: Storage, clock: Clock) -> None:
    lease = begin(storage)

    storage.jobs.finish(lease, JobState.COMPLETED)

    job = storage.jobs.get(lease.job_id)
    assert (job.status, job.progress, job.lease_owner) == (JobState.COMPLETED, 1.0, None)
    assert job.finished_at == clock.now
    with pytest.raises(InvalidRequest, match="nothing left to do"):
        storage.jobs.claim(lease.job_id, "again")
    with pytest.raises(LeaseLost):
        store(storage, lease, candles([0]))


def test_a_failed_job_keeps_its_error_and_can_be_tried_again(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles([0, 1]))
    storage.jobs.finish(lease, JobState.FAILED, "the venue is down")
    assert storage.jobs.get(lease.job_id).error == "the venue is down"

    storage.jobs.retry(lease.job_id)
    again = storage.jobs.claim(lease.job_id, "again")

    job = storage.jobs.get(lease.job_id)
    assert (job.status, job.attempts, job.rows, job.error) == (JobState.RUNNING, 2, 2, None)
    assert again.token > lease.token


def test_a_running_job_is_only_asked_to_stop(storage: Storage) -> None:
    """It ends between two pages; what it stores until then counts."""
    lease = begin(storage)

    storage.jobs.request_cancel(lease.job_id)

    assert storage.jobs.renew(lease).cancel_requested
    store(storage, lease, candles([0]), answered(0, 1))
    storage.jobs.finish(lease, JobState.CANCELLED)
    assert storage.jobs.get(lease.job_id).status is JobState.CANCELLED
    storage.jobs.retry(lease.job_id)
    assert not storage.jobs.get(lease.job_id).cancel_requested


def test_a_job_that_nobody_works_on_is_cancelled_at_once(storage: Storage, clock: Clock) -> None:
    """Pending, or left behind by a dead worker, which then cannot publish any more."""
    storage.catalog.ensure_series(HOURLY, "venue")
    pending = storage.jobs.create(HOURLY, hours(0, 1))
    lease = begin(storage)
    clock.advance(31)

    for job_id in (pending.job_id, lease.job_id):
        storage.jobs.request_cancel(job_id)

    assert {job.status for job in storage.jobs.list()} == {JobState.CANCELLED}
    with pytest.raises(LeaseLost):
        store(storage, lease, candles([0]))


def test_what_is_no_backfill_is_not_run_as_one(storage: Storage) -> None:
    """An import that was killed would ask the venue for what it was to read from files."""
    storage.catalog.ensure_series(HOURLY, "venue")
    window = TimeRange(datetime(2024, 1, 1), datetime(2024, 1, 2))
    job = storage.jobs.create(HOURLY, window, kind="import")

    with pytest.raises(InvalidRequest, match=r"'import'; only backfills.*own command again"):
        storage.jobs.retry(job.job_id)


def test_only_ended_jobs_are_retried(storage: Storage) -> None:
    lease = begin(storage)

    with pytest.raises(InvalidRequest, match="is running"):
        storage.jobs.retry(lease.job_id)


def test_jobs_are_listed_by_state(storage: Storage) -> None:
    done, running = begin(storage), begin(storage)
    storage.jobs.finish(done, JobState.COMPLETED)

    assert [job.job_id for job in storage.jobs.list()] == [done.job_id, running.job_id]
    assert [job.job_id for job in storage.jobs.list([JobState.RUNNING])] == [running.job_id]


def test_coverage_of_cleaned_jobs_is_joined(storage: Storage, clock: Clock) -> None:
    """`lake update` every five minutes is 100,000 jobs a year, each with its own coverage."""
    started = clock.now
    for number in range(0, 50, 5):
        lease = begin(storage)
        store(storage, lease, candles([]), answered(number, number + 5))
        storage.jobs.finish(lease, JobState.COMPLETED)
        clock.advance(300)
    living = begin(storage)
    store(storage, living, candles([]), answered(50, 55))
    before = len(storage.catalog.coverage(HOURLY))

    cleaned = storage.jobs.clean(clock.now)

    assert (before, cleaned) == (11, 10)
    old, new = storage.catalog.coverage(HOURLY)
    assert (old.range, old.job_id, old.confirmed_at) == (hours(0, 50), "", started)
    assert (new.range, new.job_id) == (hours(50, 55), living.job_id)


def test_what_failed_stays_known_after_jobs_are_cleaned(storage: Storage, clock: Clock) -> None:
    lease = begin(storage)
    storage.catalog.add_failed(HOURLY, hours(5, 9), lease.job_id, "timeout")
    storage.jobs.finish(lease, JobState.FAILED, "timeout")
    kept = begin(storage)
    clock.advance(3600)

    cleaned = storage.jobs.clean(clock.now)

    assert cleaned == 1
    assert [job.job_id for job in storage.jobs.list()] == [kept.job_id]
    [failed] = storage.catalog.failed(HOURLY)
    assert (failed.range, failed.error) == (hours(5, 9), "timeout")


def test_what_a_cancelled_job_left_open_stays_known(storage: Storage, clock: Clock) -> None:
    """Not what it brought; and not once somebody else has asked, or the job was done after all."""
    lease = begin(storage)
    store(storage, lease, candles(range(10)), answered(0, 10))
    storage.jobs.finish(lease, JobState.CANCELLED, "stopped on request")
    year = TimeRange(hour(10), datetime(2025, 1, 1))

    [left] = storage.catalog.cancelled(HOURLY)
    storage.jobs.clean(clock.now + timedelta(days=1))
    kept = storage.catalog.cancelled(HOURLY)
    other = begin(storage)
    store(storage, other, candles([]), answered(10, 20))
    asked = [each.range for each in storage.catalog.cancelled(HOURLY)]
    storage.jobs.finish(other, JobState.COMPLETED)

    assert (left.range, left.job_id, left.why) == (year, lease.job_id, "stopped on request")
    assert left.at == clock.now
    assert kept == [left]
    assert asked == [TimeRange(hour(20), datetime(2025, 1, 1))]
    assert storage.catalog.cancelled(HOURLY) == []


def test_a_job_cancelled_before_it_began_is_known_too(storage: Storage) -> None:
    storage.catalog.ensure_series(HOURLY, "venue")
    job = storage.jobs.create(HOURLY, TimeRange(hour(0), hour(9)))
    storage.jobs.request_cancel(job.job_id)
    imported = storage.jobs.create(HOURLY, TimeRange(hour(20), hour(90)), kind="import")
    storage.jobs.request_cancel(imported.job_id)

    [left] = storage.catalog.cancelled(HOURLY)

    assert (left.range, left.why) == (TimeRange(hour(0), hour(9)), "cancelled on request")
