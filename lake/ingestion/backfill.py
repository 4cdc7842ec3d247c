"""Plans and runs backfills: joins a venue (``sources``) and a lake (``storage``)."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lake.domain.gaps import GapReason, first_row_text
from lake.domain.identifiers import DataType, Series
from lake.domain.jobs import Job, JobState, Lease
from lake.domain.ranges import subtract
from lake.domain.times import iso
from lake.errors import InvalidRequest, LakeError, StorageError
from lake.ingestion.archive_offers import Archives, Wanted
from lake.ingestion.brought import BringFirst, Brought
from lake.ingestion.events import (
    BudgetState,
    Event,
    JobEnded,
    Listener,
    PageFetched,
    Planned,
    RecordingPlanned,
    Waiting,
    ignore,
)
from lake.ingestion.gates import Gates, RowGate
from lake.ingestion.leases import LEASE_S, abandon, claim, fail, kept
from lake.ingestion.planner import Planner
from lake.ingestion.planning import Plan, Request, SeriesPlan, Unreachable
from lake.ingestion.recorder import Recorder
from lake.ingestion.recording import Recording, RecordingPlan, RecordReport, plan_recording
from lake.ingestion.runner import ROWS_IN_FLIGHT, JobRunner
from lake.ingestion.venues import Venues
from lake.sources.archive.binance_tree import Choice

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# What else can be done where rows of a base URL and of a venue would meet.
MIRROR = ", or say --accept-base-url if the one mirrors the other"
# Series worked on at the same time: enough to hide one's commit behind another's requests.
SERIES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. ``interrupted`` says that it was asked to stop."""

    jobs: tuple[JobEnded, ...]
    requests: int
    seconds: float
    interrupted: bool = False
    unreachable: tuple[Unreachable, ...] = ()

    @property
    def rows(self) -> int:
        return sum(job.rows for job in self.jobs)

    @property
    def failed(self) -> tuple[JobEnded, ...]:
        return tuple(job for job in self.jobs if job.state is JobState.FAILED)

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 4 partly done, 130 interrupted (DESIGN, section 9)."""
        if self.interrupted:
            return 130
        if not self.unreachable and all(job.state is JobState.COMPLETED for job in self.jobs):
            return 0
        return 1 if len(self.failed) == len(self.jobs) else 4


class Backfill:
    """Brings ranges of series from venues into one lake.

    Use as ``async with``, or call :meth:`close`. One object may plan and run many times; its
    venue connections are shared.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        base_url: str | None = None,
        accept_base_url: bool = False,
        rate_share: float = 0.8,
        max_workers: int = 8,
        rows_in_flight: int = ROWS_IN_FLIGHT,
        min_free: int = 2 << 30,
        choice: Choice = Choice.AUTO,
        archive_url: str | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self._storage = storage
        self._listener: Listener = on_event or ignore
        self.archives = Archives(
            storage,
            choice=choice,
            url=archive_url,
            is_stand_in=base_url is not None,
            # As for a base URL: only a mirror is the vendor.
            origin="venue" if archive_url is None or accept_base_url else "base-url",
            min_free=min_free,
        )
        # Who names a stand-in for the venue wants its clock and its list.
        is_alone = choice is Choice.ARCHIVE and base_url is None
        self.venues = Venues(
            storage,
            base_url=archive_url if is_alone else base_url,
            accept_base_url=accept_base_url,
            rate_share=rate_share,
            max_workers=max_workers,
            on_wait=lambda venue, why, seconds: self.emit(Waiting(venue, why, seconds)),
            archive=self.archives.downloader if is_alone else None,
        )
        self.planner = Planner(storage, self.venues, self.archives)
        self._gates = Gates(
            asyncio.Semaphore(max_workers), RowGate(rows_in_flight), min_free=min_free
        )
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._requests = 0
        self._interrupted = False

    async def __aenter__(self) -> Backfill:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the venue connections, after what is being stored."""
        await asyncio.to_thread(self._gates.taking_in.shutdown)
        await self.archives.close()
        await self.venues.close()

    def stop(self) -> None:
        """Asks a run to end: pages under way are finished and stored, no new one is asked."""
        self._interrupted = True
        self._gates.stop.set()

    def stop_in_time(self) -> None:
        """As :meth:`stop`, because the time allowed is over: the report is not interrupted."""
        self._gates.stop.set()

    @property
    def origin(self) -> str:
        """What marks the rows of this run: ``venue``, or ``base-url`` for anything else."""
        return self.venues.origin

    async def plan(self, request: Request) -> Plan:
        """What a run would do for *request*; see :meth:`Planner.plan`."""
        plan = await self.planner.plan(request)
        self.emit(Planned(plan))
        return plan

    async def run(self, plan: Plan) -> Report:
        """Does what *plan* says. Failures end their job and are in the report, not raised.

        Raises:
            InvalidRequest: A series is held with rows of another origin.
        """
        started = time.monotonic()
        self._requests = 0
        todo = [each for each in plan.series if each.pieces]
        jobs = await asyncio.to_thread(self._register, plan)
        room = asyncio.Semaphore(SERIES_AT_ONCE)

        async def work(each: SeriesPlan) -> JobEnded:
            async with room:
                if self._gates.stop.is_set():
                    return await self._leave(each.series, jobs[each.series])
                return await self._run_series(each, jobs[each.series])

        tasks = [asyncio.create_task(work(each)) for each in todo]
        try:
            ended = await asyncio.gather(*tasks)
        except BaseException as error:
            # A cancelled gather has cancelled them; twice would cut short how they end.
            if not isinstance(error, asyncio.CancelledError):
                for task in tasks:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for job in jobs.values():
                with suppress(LakeError):
                    self._storage.jobs.request_cancel(job.job_id)
            raise
        await asyncio.to_thread(self._settle, plan)
        return Report(
            tuple(ended),
            requests=self._requests,
            seconds=time.monotonic() - started,
            interrupted=self._interrupted,
            unreachable=plan.unreachable,
        )

    async def plan_recording(self, recording: Recording) -> RecordingPlan:
        """What :meth:`record` would do; see :func:`lake.ingestion.recording.plan_recording`."""
        plan = await plan_recording(self.venues, self._storage.catalog, recording)
        self.emit(RecordingPlanned(plan))
        return plan

    async def record(self, plan: RecordingPlan) -> RecordReport:
        """Takes snapshots of order books as *plan* says, from now on.

        Raises:
            InvalidRequest: A series is held with rows of another origin or depth.
        """
        recorder = Recorder(
            self._storage,
            self.venues,
            gates=self._gates,
            owner=self._owner,
            way_out=MIRROR,
            emit=self.emit,
        )
        return await recorder.run(plan)

    def _register(self, plan: Plan) -> dict[Series, Job]:
        """The job of each series that has something to do: an unfinished one, or a new one."""
        self._note(plan)
        jobs: dict[Series, Job] = {}
        for each in plan.series:
            if each.pieces:
                jobs[each.series] = self.planner.unfinished(
                    each.series, each.wanted, refetch=each.refetch
                ) or self._storage.jobs.create(each.series, each.wanted, refetch=each.refetch)
        return jobs

    async def _leave(self, series: Series, job: Job) -> JobEnded:
        """Ends a job that the run was stopped before."""
        await asyncio.to_thread(self._storage.jobs.request_cancel, job.job_id)
        ended = JobEnded(series, job.job_id, JobState.CANCELLED, 0, "stopped before it began")
        self.emit(ended)
        return ended

    def _settle(self, plan: Plan) -> None:
        """Completes jobs that a killed worker left behind and that have nothing left to do."""
        left_out = {each.series: [part.range for part in each.excluded] for each in plan.series}
        long_ago = self._storage.clock() - timedelta(seconds=2 * LEASE_S)
        for job in self._storage.jobs.list((JobState.PENDING, JobState.RUNNING)):
            if (
                job.series not in left_out
                or job.refetch
                # A job just made is about to be claimed by whoever made it.
                or (job.status is JobState.PENDING and job.updated_at > long_ago)
            ):
                continue
            answered = [
                each.range for each in self._storage.catalog.coverage(job.series) if each.promises
            ]
            if subtract([job.range], answered + left_out[job.series]):
                continue
            # Where its worker lives after all, it ends the job itself, or just has.
            with suppress(StorageError, InvalidRequest):
                lease = self._storage.jobs.claim(job.job_id, self._owner, ttl_s=LEASE_S)
                self._storage.jobs.finish(lease, JobState.COMPLETED)

    def _note(self, plan: Plan) -> None:
        """What was wanted, and what of it cannot be had, in the catalog: gaps need both."""
        catalog = self._storage.catalog
        for each in plan.series:
            source = self.venues.opened(each.series.venue)
            if catalog.instrument(each.series.instrument_id) is None:
                # Nobody has listed it: an archive names it by its files alone.
                catalog.upsert_instruments([each.instrument])
            catalog.ensure_series(
                each.series,
                self.origin,
                accept_origin=self.venues.accept_base_url,
                way_out=MIRROR,
                variant=each.variant or (source.variant(each.series) if source else None),
            )
            catalog.note_wanted(each.series, each.wanted)
            if each.first_available is not None and not self.venues.is_mirror:
                evidence = f"the venue's {first_row_text(each.series, each.first_available)}"
                catalog.set_first_available(
                    each.series, each.first_available, evidence, source=self.venues.speaker
                )
            for part in each.excluded:
                if part.reason is GapReason.BEYOND_SOURCE:
                    catalog.set_beyond_source(each.series, part.range, part.why)

    async def _run_series(self, each: SeriesPlan, job: Job) -> JobEnded:
        try:
            lease = await claim(self._storage, job, self._owner)
        except (StorageError, InvalidRequest):
            # Another worker is, or just was, at this very range: both may fetch, and the
            # commits sort it out.
            job = await asyncio.to_thread(
                self._storage.jobs.create, each.series, each.wanted, refetch=each.refetch
            )
            lease = await claim(self._storage, job, self._owner)
        return await self._run_claimed(each, job, lease)

    async def run_job(self, job_id: str) -> JobEnded:
        """Runs one job of the job table: what it wants minus what is covered by now.

        A failure ends the job and is told, not raised: also that the venue does not answer, or
        lacks what the job asks for.

        Raises:
            UnknownJob: There is no such job.
            StorageError: A live worker holds it.
            InvalidRequest: It is completed, or was to record books.
        """
        job = await asyncio.to_thread(self._storage.jobs.get, job_id)
        if job.data_type is DataType.ORDERBOOK:
            raise InvalidRequest(
                f"Job {job_id} was to record {job.series} from {iso(job.start_time)} on; venues "
                "keep no history of their books, so that cannot be made up for. Record from now "
                f"on: lake backfill {job.venue} {job.instrument_id.symbol} --type orderbook."
            )
        lease = await claim(self._storage, job, self._owner)
        try:
            async with kept(self._storage, lease):
                plan = await self._plan_of(job)
        except LakeError as error:
            await asyncio.to_thread(fail, self._storage, job, lease, str(error))
            ended = JobEnded(job.series, job_id, JobState.FAILED, 0, str(error))
            self.emit(ended)
            return ended
        except BaseException:
            abandon(self._storage, lease)
            raise
        if not plan.series:
            await asyncio.to_thread(self._storage.jobs.finish, lease, JobState.COMPLETED)
            return JobEnded(job.series, job_id, JobState.COMPLETED, 0)
        return await self._run_claimed(plan.series[0], job, lease)

    async def _plan_of(self, job: Job) -> Plan:
        named = await self.venues.names(job.venue)
        [instrument] = named(job.instrument_id.symbol)
        wanted = [Wanted(instrument, job.series, job.range)]
        plan = await self.planner.plan_series(job.venue, wanted, refetch=job.refetch)
        await asyncio.to_thread(self._note, plan)
        return plan

    async def _run_claimed(self, each: SeriesPlan, job: Job, lease: Lease) -> JobEnded:
        source = self.venues.opened(each.series.venue)
        assert source is not None, "the plan was made by asking it"
        runner = JobRunner(
            self._storage,
            source,
            job=self._storage.jobs.get(job.job_id),
            lease=lease,
            instrument=each.instrument,
            gates=self._gates,
            emit=self.emit,
            replaces=each.replaces,
        )
        try:
            ended = await runner.run(each.pieces, self._first(each, lease))
        except asyncio.CancelledError:
            abandon(self._storage, lease)
            raise
        self.emit(ended)
        return ended

    def _first(self, each: SeriesPlan, lease: Lease) -> BringFirst | None:
        """Brings the files of *each* before the venue is asked; None where there are none."""
        if not each.files:
            return None

        async def bring(must_stop: Callable[[], bool]) -> Brought:
            source = await self.venues.source(each.series.venue)
            return await self.archives.bring(
                each,
                lease,
                now=await source.server_time(),
                gates=self._gates,
                emit=self.emit,
                must_stop=must_stop,
            )

        return bring

    def emit(self, event: Event) -> None:
        """Tells the listener; a page also tells how much of the venue's budget is used."""
        if isinstance(event, PageFetched):
            self._requests += event.requests
            source = self.venues.opened(event.series.venue)
            if source is not None:
                self._listener(BudgetState(event.series.venue, source.budget_share))
        self._listener(event)
