"""Runs one job: fetches the windows of its pieces and commits them partition by partition.

It knows nothing of plans or venues' wire formats. What it promises: whatever was fetched
when it ends, for whatever reason, is either committed with its coverage or will be asked
for again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from lake.domain.identifiers import Instrument, Series
from lake.domain.jobs import Job, JobState, Lease
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, subtract, union
from lake.domain.rows import Page
from lake.errors import LakeError, LeaseLost
from lake.ingestion.brought import BringFirst
from lake.ingestion.events import JobEnded, JobStarted, Listener, PageFetched, Stored
from lake.ingestion.gates import Gates, Room
from lake.ingestion.leases import LEASE_S
from lake.ingestion.planning import slots
from lake.ingestion.room import require_room

if TYPE_CHECKING:
    from lake.sources.source import Source
    from lake.storage.lake import Storage

_T = TypeVar("_T")

# Candles that may be fetched and not yet committed, over all jobs of a run: about 300 bytes
# each while they are merged and written, so this bounds memory near 350 MB.
ROWS_IN_FLIGHT = 1_000_000

# Trades and the like are committed whenever so many have come.
STREAMED_ROWS = 500_000
# A commit writes its whole day again, so the next one waits until as many rows have come as the
# day holds, up to this: four million trades are written twice and not nine times.
MOST_STREAMED_ROWS = 1_250_000
# A trade takes 70 bytes, as many again while it is merged, and what allocators keep of that: of
# such rows the gate lets in three for two candles.
STREAMED_PER_CANDLE = 1.5
# Where a venue is slow, a kill costs no more than what came in this time.
STREAMED_S = 60.0


class Stopped(Exception):
    """The job was cancelled, or the run was asked to stop."""


class JobRunner:
    """One job at work, under its lease."""

    def __init__(
        self,
        storage: Storage,
        source: Source,
        *,
        job: Job,
        lease: Lease,
        instrument: Instrument,
        gates: Gates,
        emit: Listener,
        replaces: bool = False,
    ) -> None:
        self._replaces = replaces
        self._storage = storage
        self._source = source
        self._job = job
        self._lease = lease
        self._instrument = instrument
        self._gates = gates
        self._emit = emit
        self._series: Series = job.series
        self._cancelled = False
        self._is_late = False
        self._fetching: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._rows = 0
        self._slots_done = 0
        self._slots_total = 1

    async def run(self, pieces: Sequence[TimeRange], before: BringFirst | None = None) -> JobEnded:
        """Brings *pieces* into the lake; the job is in a final state afterwards.

        *before* brings some of them from elsewhere first, and says what is left.

        Raises:
            asyncio.CancelledError: The task was cancelled. What was committed stays; the
                caller, who gave the lease, ends the job.
        """
        # What was covered before counts as done, so that progress never goes back.
        self._slots_total = max(1, slots(self._series, self._job.range))
        self._slots_done = self._slots_total - sum(slots(self._series, each) for each in pieces)
        self._emit(JobStarted(self._series, self._job.job_id, self._job.attempts))
        helpers = [asyncio.create_task(self._keep_lease()), asyncio.create_task(self._hurry())]
        try:
            left = pieces if before is None else await self._brought(before)
            await self._fetch_all(left)
        finally:
            for each in helpers:
                each.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        return await self._end(pieces)

    async def _brought(self, before: BringFirst) -> Sequence[TimeRange]:
        try:
            brought = await before(self._must_stop)
        except Exception as error:
            # What is no LakeError is raised again once the job has ended.
            self._failure = error
            return ()
        self._rows += brought.rows
        self._failure = brought.problem
        left = sum(slots(self._series, each) for each in brought.left)
        self._slots_done = self._slots_total - left
        return brought.left

    async def _fetch_all(self, pieces: Sequence[TimeRange]) -> None:
        by_partition: dict[Partition, list[TimeRange]] = {}
        for piece in pieces:
            for partition, window in split(self._series, piece):
                by_partition.setdefault(partition, []).append(window)
        tasks: set[asyncio.Task[None]] = set()
        # Two at a time: one is fetched while the one before is written.
        room = asyncio.Semaphore(2)
        try:
            for partition, windows in by_partition.items():
                await room.acquire()
                if self._must_stop():
                    break
                task = asyncio.create_task(self._bring(partition, windows))
                tasks.add(task)
                task.add_done_callback(lambda done: room.release())
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _bring(self, partition: Partition, windows: Sequence[TimeRange]) -> None:
        """Fetches and commits one partition's windows; failures are kept, not raised."""
        if self._series.grid is None:
            failures = await self._bring_streamed(partition, windows)
        else:
            failures = await self._bring_windows(partition, windows)
        for failure in failures:
            if not isinstance(failure, Stopped) and self._failure is None:
                self._failure = failure

    async def _bring_windows(
        self, partition: Partition, windows: Sequence[TimeRange]
    ) -> list[BaseException]:
        """Candles: every window is a page of its own, so all are asked for at once."""
        asked = [page for window in windows for page in self._source.windows(self._series, window)]
        async with self._gates.rows.hold(sum(slots(self._series, window) for window in windows)):
            results = await asyncio.gather(
                *(self._page(window) for window in asked), return_exceptions=True
            )
            pages = [result for result in results if isinstance(result, Page)]
            failures = [result for result in results if isinstance(result, BaseException)]
            try:
                if pages:
                    await self._commit(partition, pages)
            except Exception as error:
                # A failed commit outranks a failed page: it says what is wrong with the lake.
                failures.insert(0, error)
        return failures

    async def _bring_streamed(
        self, partition: Partition, windows: Sequence[TimeRange]
    ) -> list[BaseException]:
        """Trades and the like: pages follow one another, and are committed while they come."""
        pages: list[Page] = []
        count, due, began = 0, STREAMED_ROWS, time.monotonic()
        failures: list[BaseException] = []
        async with self._gates.rows.hold(weight_of(STREAMED_ROWS)) as room:
            try:
                for window in windows:
                    stream = self._source.pages(self._instrument, self._series, window)
                    async with aclosing(stream) as pages_of_window:
                        while page := await self._unless_late(anext(pages_of_window, None)):
                            self._tell(page)
                            pages.append(page)
                            count += page.rows.num_rows
                            if count >= due or time.monotonic() - began > STREAMED_S:
                                # Taken first: a commit that failed is not tried a second time.
                                ready, pages, count = pages, [], 0
                                held = await self._commit(partition, ready)
                                del ready
                                due = gathered_at_once(room, held)
                                began = time.monotonic()
                            if self._must_stop():
                                raise Stopped
            except Exception as error:
                failures.append(error)
            try:
                if pages:
                    await self._commit(partition, pages)
            except Exception as error:
                failures.insert(0, error)
        return failures

    async def _page(self, window: TimeRange) -> Page:
        async with self._gates.requests:
            if self._must_stop():
                raise Stopped
            page = await self._unless_late(
                self._source.candles(self._instrument, self._series, window)
            )
        self._tell(page)
        return page

    async def _unless_late(self, fetching: Awaitable[_T]) -> _T:
        """What is being fetched, unless the run was asked to stop and it takes too long."""
        task = asyncio.current_task()
        assert task is not None
        self._fetching.add(task)
        try:
            return await fetching
        except asyncio.CancelledError:
            if not self._is_late:
                raise
            raise Stopped from None
        finally:
            self._fetching.discard(task)

    async def _hurry(self) -> None:
        """Ends requests that are still repeated some time after the wish to stop."""
        await self._gates.stop.wait()
        await asyncio.sleep(self._gates.stop_grace_s)
        self._is_late = True
        for task in self._fetching:
            task.cancel()

    def _tell(self, page: Page) -> None:
        self._emit(
            PageFetched(
                self._series,
                rows=page.rows.num_rows,
                slots=slots(self._series, page.window),
                requests=page.requests,
                rejected=len(page.rejected),
            )
        )

    async def _commit(self, partition: Partition, pages: Sequence[Page]) -> int:
        """Commits *pages*; how many rows the partition has then."""
        if not self._replaces:
            return await self._commit_some(partition, pages)
        held = 0
        for answered, some in _answers(pages):
            held = await self._commit_some(partition, some, replace=answered)
        return held

    async def _commit_some(
        self, partition: Partition, pages: Sequence[Page], replace: TimeRange | None = None
    ) -> int:
        import pyarrow as pa

        from lake.storage.lake import PartitionCommit

        require_room(self._storage, self._series, min_free=self._gates.min_free)
        self._slots_done += sum(slots(self._series, page.window) for page in pages)
        change = PartitionCommit(
            partition=partition,
            rows=pa.concat_tables([page.rows for page in pages]),
            tag=self._source.tag,
            replace=replace,
            claims=tuple(claim for page in pages for claim in page.claims),
            rejected=tuple(row for page in pages for row in page.rejected),
            notes=tuple(note for page in pages for note in page.notes),
            progress=min(1.0, self._slots_done / self._slots_total),
            confirmed_at=await self._source.server_time(),
        )
        result = await asyncio.to_thread(self._storage.commit, change, self._lease)
        self._rows += result.rows_added + result.rows_changed
        self._emit(
            Stored(
                self._series, partition.path, result.rows_added, result.rows_changed, result.bytes
            )
        )
        return result.rows_total

    def _must_stop(self) -> bool:
        return self._cancelled or self._failure is not None or self._gates.stop.is_set()

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 5)
            try:
                job = await asyncio.to_thread(self._storage.jobs.renew, self._lease, ttl_s=LEASE_S)
            except LakeError as error:
                self._failure = error
                return
            if job.cancel_requested:
                self._cancelled = True

    async def _end(self, pieces: Sequence[TimeRange]) -> JobEnded:
        state, error = JobState.COMPLETED, None
        if self._failure is not None:
            state, error = JobState.FAILED, str(self._failure) or repr(self._failure)
        elif self._cancelled or self._gates.stop.is_set():
            state, error = JobState.CANCELLED, "stopped on request; what was stored stays"
        if not isinstance(self._failure, LeaseLost):
            await asyncio.to_thread(self._finish, state, error, pieces)
        if self._failure is not None and not isinstance(self._failure, LakeError):
            raise self._failure
        return JobEnded(self._series, self._job.job_id, state, self._rows, error)

    def _finish(self, state: JobState, error: str | None, pieces: Sequence[TimeRange]) -> None:
        catalog = self._storage.catalog
        if state is JobState.FAILED:
            done = [each.range for each in catalog.coverage(self._series) if each.promises]
            for left in subtract(pieces, done):
                catalog.add_failed(self._series, left, self._job.job_id, error or "")
        self._storage.jobs.finish(self._lease, state, error)


def _answers(pages: Sequence[Page]) -> Iterator[tuple[TimeRange | None, list[Page]]]:
    """*pages* that touch, together, with the range that they answer.

    None where that is not one range, or a row lies outside of it: then nothing may be taken away.
    """
    together: list[Page] = []
    for page in sorted(pages, key=lambda each: each.window):
        if together and together[-1].window.end != page.window.start:
            yield _answered(together), together
            together = []
        together.append(page)
    if together:
        yield _answered(together), together


def _answered(pages: Sequence[Page]) -> TimeRange | None:
    spans = union(claim.range for page in pages for claim in page.claims if claim.basis.promises)
    if len(spans) != 1:
        return None
    rows = [bound for page in pages if page.rows.num_rows for bound in _bounds(page)]
    return spans[0] if all(moment in spans[0] for moment in rows) else None


def _bounds(page: Page) -> tuple[datetime, datetime]:
    moments = page.rows["ts"]
    return moments[0].as_py(), moments[-1].as_py()


def weight_of(rows: int) -> int:
    """How many candles' room so many *rows* of a stream take."""
    return round(rows / STREAMED_PER_CANDLE)


def gathered_at_once(room: Room, held: int) -> int:
    """How many rows to gather before a day that holds *held* is written again."""
    wanted = min(MOST_STREAMED_ROWS, max(STREAMED_ROWS, held))
    return max(STREAMED_ROWS, round(room.grow_to(weight_of(wanted)) * STREAMED_PER_CANDLE))
