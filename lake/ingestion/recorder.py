"""Records order books: snapshots of many instruments at a fixed interval, from now on.

Venues keep no history of their books, so what is not taken when it is due is lost: a request that
fails or comes late is counted and told, and the recording goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page, SourceTag
from lake.domain.times import MICROSECOND, from_us, to_us
from lake.errors import InvalidRequest, LakeError, LeaseLost, SourceError
from lake.ingestion.book_job import BookJob
from lake.ingestion.events import (
    BudgetState,
    JobEnded,
    JobStarted,
    Listener,
    Missed,
    PageFetched,
)
from lake.ingestion.gates import Gates
from lake.ingestion.leases import LEASE_S
from lake.ingestion.recording import KIND, BookEnded, RecordingPlan, RecordReport, span_text

if TYPE_CHECKING:
    from lake.ingestion.venues import Venues
    from lake.sources.ccxt_source import CcxtSource
    from lake.storage.lake import Storage

# Why a snapshot was missed.
REQUEST_FAILED = "the request failed"
TOO_LATE = "the venue or its rate limit took too long"
DISK_BEHIND = "storing takes longer than taking"

# A commit writes the day's file again: once a minute is often enough for whoever looks on, and
# no more than a tenth of the time goes into it.
COMMIT_EVERY_S = 60.0
_COMMIT_SHARE = 0.1
# What may wait for a commit, over all books; twice as much where the disk is slow.
_WAITING_SNAPSHOTS = 5_000
_WAITING_BYTES = 64 << 20
# How long a snapshot under way may still take when the recording is stopped.
_GRACE_S = 1.0


class Recorder:
    """Runs one recording. Used once."""

    def __init__(
        self,
        storage: Storage,
        venues: Venues,
        *,
        gates: Gates,
        owner: str,
        way_out: str,
        emit: Listener,
        commit_every_s: float = COMMIT_EVERY_S,
    ) -> None:
        self._storage = storage
        self._venues = venues
        self._gates = gates
        self._owner = owner
        self._way_out = way_out
        self._emit = emit
        self._commit_every_s = commit_every_s
        self._requests = 0
        self._ticks_done = 0
        self._jobs: list[BookJob] = []
        self._committing = asyncio.Lock()
        self._slowest_s = 0.0

    async def run(self, plan: RecordingPlan) -> RecordReport:
        """Records until the time is over, or the run is asked to stop.

        Raises:
            InvalidRequest: A series is held with rows of another origin or depth.
            asyncio.CancelledError: Stopped at once; what was committed stays.
        """
        source = await self._venues.exchange(plan.recording.venue)
        started, every_us = time.monotonic(), plan.recording.every // MICROSECOND
        first = -(-to_us(_now()) // every_us)
        jobs = self._jobs = await asyncio.to_thread(self._claim_all, plan, first * every_us)
        # Making hundreds of jobs takes a while, in which nothing is due yet.
        first = max(first, -(-to_us(_now()) // every_us))
        last = None if plan.ticks is None else first + plan.ticks
        heartbeat = asyncio.create_task(self._keep_leases(jobs))
        writer = asyncio.create_task(self._write_now_and_then(source.tag, plan))
        takers = [asyncio.create_task(self._take(source, plan, job, first, last)) for job in jobs]
        try:
            try:
                await _all_of(takers, heartbeat, writer)
            finally:
                # A task that broke must not take with it what the others have.
                for task in (writer, *takers):
                    task.cancel()
                await _to_its_end(self._write_the_rest(source.tag, plan))
        except BaseException as error:
            state, why = JobState.FAILED, str(error) or repr(error)
            if isinstance(error, asyncio.CancelledError):
                state, why = JobState.CANCELLED, "stopped at once"
            for job in jobs:
                self._end(job, state, why)
            raise
        finally:
            for task in (heartbeat, writer, *takers):
                task.cancel()
            await asyncio.gather(heartbeat, writer, *takers, return_exceptions=True)
        stopped = self._gates.stop.is_set()
        ended = [await asyncio.to_thread(self._ended, job, open_ended=last is None) for job in jobs]
        for job in jobs:
            # A mistake of ours is worth its traceback, once everything is stored and told.
            if job.failure is not None and not isinstance(job.failure, LakeError):
                raise job.failure
        return RecordReport(tuple(ended), self._requests, time.monotonic() - started, stopped)

    # Jobs.

    def _claim_all(self, plan: RecordingPlan, first_us: int) -> list[BookJob]:
        catalog, every = self._storage.catalog, plan.recording.every
        self._bury(plan)
        for each in plan.books:
            catalog.ensure_series(
                each.series,
                self._venues.origin,
                accept_origin=self._venues.accept_base_url,
                variant=each.variant,
                way_out=self._way_out,
            )
        # Where nobody said how long, the job's range grows with it.
        start = from_us(first_us)
        window = TimeRange(start, start + (plan.recording.duration or every))
        jobs = []
        for each in plan.books:
            job = self._storage.jobs.create(each.series, window, kind=KIND)
            lease = self._storage.jobs.claim(job.job_id, self._owner, ttl_s=LEASE_S)
            evidence = f"snapshots every {span_text(every)}"
            jobs.append(BookJob(each.series, each.instrument, job.job_id, lease, evidence))
            self._emit(JobStarted(each.series, job.job_id, 1))
        return jobs

    def _bury(self, plan: RecordingPlan) -> None:
        """End the recordings of these books whose process was killed: nobody continues them."""
        ours = {each.series for each in plan.books}
        for job in self._storage.jobs.list((JobState.PENDING, JobState.RUNNING)):
            if job.kind == KIND and job.series in ours:
                if self._storage.jobs.is_worked_on(job.job_id):
                    raise InvalidRequest(
                        f"{job.series} is being recorded already (job {job.job_id}). Stop that "
                        f"with `lake jobs cancel {job.job_id}`, or record other instruments."
                    )
                self._storage.jobs.request_cancel(job.job_id)

    async def _keep_leases(self, jobs: Sequence[BookJob]) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 5)
            for job in jobs:
                if job.is_over and not job.waiting:
                    continue
                try:
                    known = await asyncio.to_thread(
                        self._storage.jobs.renew, job.lease, ttl_s=LEASE_S
                    )
                except LakeError as error:
                    job.failure = job.failure or error
                else:
                    job.cancelled = known.cancel_requested

    def _ended(self, job: BookJob, *, open_ended: bool) -> BookEnded:
        state = job.state
        if state is JobState.COMPLETED and self._gates.stop.is_set() and not open_ended:
            state = JobState.CANCELLED
        error = None if job.failure is None else str(job.failure) or repr(job.failure)
        if state is JobState.FAILED and error is None:
            error = f"no snapshot could be had: {job.error or 'all books were refused'}"
        elif state is JobState.CANCELLED:
            error = "stopped on request; what was taken stays"
        if not isinstance(job.failure, LeaseLost):
            self._end(job, state, error)
        self._emit(JobEnded(job.series, job.job_id, state, job.stored, error))
        return BookEnded(
            job.series,
            job.job_id,
            state,
            job.stored,
            job.unchanged,
            job.refused,
            dict(job.missed),
            error or job.error,
        )

    def _end(self, job: BookJob, state: JobState, error: str | None) -> None:
        with suppress(LakeError):
            self._storage.jobs.finish(job.lease, state, error)

    # Snapshots.

    async def _take(
        self, source: CcxtSource, plan: RecordingPlan, job: BookJob, first: int, last: int | None
    ) -> None:
        """One book's snapshots, at multiples of the interval, until it is over."""
        every_us = plan.recording.every // MICROSECOND
        tick = first
        while not job.is_over and (last is None or tick < last):
            if await self._stopped_before(from_us(tick * every_us)):
                return
            if self._load() >= 2:
                self._miss(job, 1, DISK_BEHIND)
            else:
                await self._snapshot(source, plan, job)
            # What was due while we waited for the venue cannot be taken any more.
            due = max(tick + 1, -(-to_us(_now()) // every_us))
            if last is not None:
                due = min(due, last)
            if due > tick + 1 and not self._gates.stop.is_set():
                self._miss(job, due - tick - 1, TOO_LATE)
            tick = due
            self._ticks_done = max(self._ticks_done, tick - first)

    async def _snapshot(self, source: CcxtSource, plan: RecordingPlan, job: BookJob) -> None:
        try:
            async with self._gates.requests:
                if self._gates.stop.is_set():
                    return
                page = await self._in_time(
                    source.book(job.instrument, plan.recording.depth),
                    max(plan.recording.every, plan.recording.patience).total_seconds(),
                )
        except InvalidRequest as error:
            job.failure = error
            return
        except SourceError as error:
            job.error = str(error)
            self._miss(job, 1, REQUEST_FAILED)
            return
        if page is None:
            return
        job.take(page)
        self._requests += page.requests
        self._emit(
            PageFetched(
                job.series,
                rows=page.rows.num_rows,
                slots=1,
                requests=page.requests,
                rejected=len(page.rejected),
            )
        )
        self._emit(BudgetState(plan.recording.venue, source.budget_share))

    async def _in_time(self, asking: Coroutine[Any, Any, Page], limit_s: float) -> Page | None:
        """What is asked for, or None where the recording is stopped before it comes.

        Raises:
            SourceError: It could not be had within *limit_s*.
        """
        task = asyncio.ensure_future(asking)
        stop = asyncio.ensure_future(self._gates.stop.wait())
        try:
            await asyncio.wait({task, stop}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if stop.done() and not task.done():
                await asyncio.wait({task}, timeout=_GRACE_S)
            if task.done():
                return task.result()
            if stop.done():
                return None
            raise SourceError(f"No book could be had within {limit_s:g} s.", retryable=True)
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def _stopped_before(self, moment: datetime) -> bool:
        """Wait for *moment*; whether the recording was stopped before it."""
        while (left := (moment - _now()).total_seconds()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gates.stop.wait(), left)
            if self._gates.stop.is_set():
                return True
        return self._gates.stop.is_set()

    def _miss(self, job: BookJob, count: int, why: str) -> None:
        job.miss(count, why)
        self._emit(Missed(job.series, count, why))

    # Commits.

    def _load(self) -> float:
        """How full memory may still get: 1 is when it is time to commit."""
        snapshots = sum(len(job.waiting) for job in self._jobs)
        size = sum(job.waiting_bytes for job in self._jobs)
        return max(snapshots / _WAITING_SNAPSHOTS, size / _WAITING_BYTES)

    async def _write_now_and_then(self, tag: SourceTag, plan: RecordingPlan) -> None:
        written = time.monotonic()
        while True:
            await asyncio.sleep(min(1.0, self._commit_every_s / 10))
            pause_s = max(self._commit_every_s, self._slowest_s / _COMMIT_SHARE)
            due = time.monotonic() - written >= pause_s
            if due or self._load() >= 1:
                await asyncio.shield(self._write(tag, plan))
                written = time.monotonic()

    async def _write(self, tag: SourceTag, plan: RecordingPlan) -> None:
        async with self._committing:
            began = time.monotonic()
            progress = None if plan.ticks is None else min(1.0, self._ticks_done / plan.ticks)
            for job in self._jobs:
                # Also of a job that has failed: what it took before is as true as ever.
                await job.commit(
                    self._storage,
                    tag,
                    self._emit,
                    progress=progress,
                    min_free=self._gates.min_free,
                )
                if plan.ticks is None and not job.is_over:
                    await asyncio.to_thread(self._reach, job)
            self._slowest_s = time.monotonic() - began

    async def _write_the_rest(self, tag: SourceTag, plan: RecordingPlan) -> None:
        """Store all that waits; a job whose snapshots cannot be stored has failed."""
        await self._write(tag, plan)
        while any(job.waiting for job in self._jobs):
            await self._write(tag, plan)

    def _reach(self, job: BookJob) -> None:
        """Let the job's range, which nobody named an end of, reach to now."""
        with suppress(LakeError):
            self._storage.jobs.extend(job.lease, _now())


async def _all_of(takers: Sequence[asyncio.Task[None]], *helpers: asyncio.Task[None]) -> None:
    """Wait for all of *takers*, or raise what broke one of them or of their *helpers*.

    The helpers go on for ever: a recording whose writer is dead would fill memory unseen.
    """
    left = set(takers)
    while left:
        done, _ = await asyncio.wait({*left, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        left -= done


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do *work* wholly, also where we are cancelled meanwhile: snapshots cannot be had again."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _now() -> datetime:
    """The clock that says when snapshots are due (naive UTC)."""
    return datetime.now(UTC).replace(tzinfo=None)
