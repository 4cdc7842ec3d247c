"""The job of one recorded order book: snapshots wait in memory and are committed together.

Snapshots have no duration, so a claim for each would be one row of coverage each: 8,640 a day
made every commit four times as slow and the file half as large again. What is claimed is each
run of snapshots in which none was missed, as ``rows_only``: the rows in it are held, and nothing
is said of the moments between them. Held in such a range are exactly the times of its rows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import Instrument, Series
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, union
from lake.domain.rows import Page, SourceTag
from lake.domain.times import MICROSECOND
from lake.errors import LeaseLost, ReadOnlyLake, StorageError
from lake.ingestion.events import Listener, Stored
from lake.ingestion.room import require_room

if TYPE_CHECKING:
    import pyarrow as pa

    from lake.storage.lake import Storage

# A commit that fails is tried again with the next one, so often before the job is given up.
_COMMIT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Taken:
    """One snapshot, or the refused book in its place.

    ``after`` is the time of the one before where none was missed between the two.
    """

    page: Page
    after: datetime | None

    @property
    def ts(self) -> datetime:
        return self.page.window.start


def runs_of(taken: Sequence[Taken]) -> list[TimeRange]:
    """The spans in which no snapshot was missed, ascending and joined."""
    moments = [(each.ts, each.after or each.ts) for each in taken if each.page.rows.num_rows]
    # A venue's own times may go back now and then.
    return union(TimeRange(min(pair), max(pair) + MICROSECOND) for pair in moments)


@dataclass(slots=True)
class BookJob:
    """One series at work, under its lease.

    Attributes:
        taken: Snapshots that came, those refused and those like the one before included.
        stored: Rows committed.
        unchanged: Snapshots that are the one before, with its time and sequence.
        refused: Books that break an invariant.
        missed: Snapshots that were due and not taken, by reason.
        error: The last error of the venue, or why the job failed.
    """

    series: Series
    instrument: Instrument
    job_id: str
    lease: Lease
    evidence: str
    taken: int = 0
    stored: int = 0
    unchanged: int = 0
    refused: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    cancelled: bool = False
    failure: BaseException | None = None
    waiting: list[Taken] = field(default_factory=list)
    waiting_bytes: int = 0
    _last: datetime | None = None
    _last_book: pa.Table | None = None
    _attempts: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it takes no more snapshots, whatever the others do."""
        return self.cancelled or self.failure is not None

    @property
    def state(self) -> JobState:
        """How it ends where it runs to its end."""
        if self.failure is not None:
            return JobState.FAILED
        if self.cancelled:
            return JobState.CANCELLED
        return JobState.COMPLETED if self.taken > self.refused else JobState.FAILED

    def take(self, page: Page) -> None:
        """Keep a snapshot until the next commit."""
        self.taken += 1
        self.refused += len(page.rejected)
        if page.rows.num_rows:
            book = page.rows.drop_columns(["received_at"])
            if self._last_book is not None and book.equals(self._last_book):
                # The venue's own word, by time and sequence: nothing changed since.
                self.unchanged += 1
                return
            self._last_book = book
        self.waiting.append(Taken(page, self._last))
        self.waiting_bytes += page.rows.nbytes
        self._last = page.window.start if page.rows.num_rows else None

    def _wait_for_next(self, left: list[Taken]) -> None:
        """Put back what a commit took and did not store, before what came meanwhile."""
        self.waiting = left + self.waiting
        self.waiting_bytes += sum(each.page.rows.nbytes for each in left)

    def miss(self, count: int, why: str) -> None:
        """Note snapshots that were due and not taken."""
        self.missed[why] += count
        self._last = None

    async def commit(
        self,
        storage: Storage,
        tag: SourceTag,
        emit: Listener,
        *,
        progress: float | None,
        min_free: int,
    ) -> None:
        """Store what waits, without asking the venue for anything: it may be down.

        What the disk has no room for, or SQLite no time, waits for the next attempt. Whatever else
        prevents it ends the job: ``failure`` says what, and nothing is raised.
        """
        left, self.waiting, self.waiting_bytes = self.waiting, [], 0
        try:
            while left:
                partition = Partition.of(self.series, left[0].ts)
                inside = [each for each in left if each.ts in partition.range]
                require_room(storage, self.series, min_free=min_free)
                await self._store(storage, tag, partition, inside, emit, progress)
                left = [each for each in left if each.ts not in partition.range]
            self._attempts = 0
        except Exception as error:
            self._attempts += 1
            if not _may_pass(error) or self._attempts >= _COMMIT_ATTEMPTS:
                self.failure, left = error, []
        finally:
            self._wait_for_next(left)

    async def _store(
        self,
        storage: Storage,
        tag: SourceTag,
        partition: Partition,
        taken: Sequence[Taken],
        emit: Listener,
        progress: float | None,
    ) -> None:
        import pyarrow as pa

        from lake.storage.lake import PartitionCommit

        rows = pa.concat_tables([each.page.rows for each in taken])
        change = PartitionCommit(
            partition=partition,
            rows=rows,
            tag=tag,
            claims=tuple(self._claims(partition, taken)),
            rejected=tuple(row for each in taken for row in each.page.rejected),
            progress=progress,
            confirmed_at=max(rows["received_at"].to_pylist(), default=None),
        )
        result = await asyncio.to_thread(storage.commit, change, self.lease)
        added = result.rows_added + result.rows_changed
        self.stored += added
        emit(
            Stored(
                self.series,
                partition.path,
                result.rows_added,
                result.rows_changed,
                result.bytes,
            )
        )

    def _claims(self, partition: Partition, taken: Sequence[Taken]) -> Iterator[Claim]:
        for run in runs_of(taken):
            for where, window in split(self.series, run):
                # A run over midnight: the day before has its own part already, or never will.
                if where == partition:
                    yield Claim(window, Basis.ROWS_ONLY, self.evidence)


def _may_pass(error: Exception) -> bool:
    """Whether storing the same rows may succeed later."""
    return isinstance(error, StorageError) and not isinstance(error, LeaseLost | ReadOnlyLake)
