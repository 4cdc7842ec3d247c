"""Brings vendors' files into the lake: recognises them, checks them, commits them by partition.

A file is stored wholly or not at all. What is in the lake already is not written again. It
does not know any file format; `lake.sources.archive` does.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Series, Venue
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange, subtract
from lake.domain.rows import Page
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest, LeaseLost, SourceError
from lake.ingestion.events import JobEnded, JobStarted, Stored
from lake.ingestion.import_paths import Found, find
from lake.ingestion.import_pieces import cut, holds, newest
from lake.sources.archive import (
    ARCHIVE_TAG,
    ArchiveFile,
    Contents,
    Hints,
    NotRecognised,
    Streamed,
    recognise,
)
from lake.storage.lake import PartitionCommit

if TYPE_CHECKING:
    from lake.domain.timeframe import TimeFrame
    from lake.storage.lake import Storage

# Reading and committing one partition takes seconds; a worker that is silent longer is gone.
_LEASE_S = 120.0


class FileState(Enum):
    STORED = "stored"
    UNCHANGED = "unchanged"
    """Every row was held already."""
    REFUSED = "refused"
    SKIPPED = "skipped"
    """Found in a folder and of no known format."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file. ``reason`` says why it was refused, or what to know about it."""

    path: Path
    state: FileState
    reason: str = ""
    series: Series | None = None
    window: TimeRange | None = None
    rows: int = 0
    rejected: int = 0
    notes: int = 0


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import ended, file by file in the order of their paths."""

    files: tuple[FileOutcome, ...]
    jobs: tuple[JobEnded, ...]
    rows_added: int
    rows_changed: int
    seconds: float
    interrupted: bool = False

    def count(self, state: FileState) -> int:
        """How many files ended in *state*."""
        return sum(file.state is state for file in self.files)

    @property
    def exit_code(self) -> int:
        """0 done, 1 every file refused, 4 some of them, 130 interrupted (DESIGN, section 9)."""
        if self.interrupted:
            return 130
        refused = self.count(FileState.REFUSED)
        if not refused:
            return 0
        done = self.count(FileState.STORED) + self.count(FileState.UNCHANGED)
        return 4 if done else 1


ImportEvent = FileOutcome | JobStarted | Stored | JobEnded


def import_files(
    storage: Storage,
    paths: Iterable[str | Path],
    *,
    venue: Venue | None = None,
    instrument: str | None = None,
    data_type: DataType | None = None,
    timeframe: TimeFrame | None = None,
    timezone: str | None = None,
    on_event: Callable[[ImportEvent], None] | None = None,
    now: datetime | None = None,
) -> ImportReport:
    """Store the rows of vendors' files; a damaged or unclear file is refused, the others go in.

    Args:
        storage: The lake.
        paths: Files and folders. A folder is searched for archives, a file must be one.
        venue: What the files' own names must agree with; needed where they do not say.
        instrument: Likewise: our code or id, or a ccxt symbol.
        data_type: Likewise.
        timeframe: Likewise.
        timezone: Of times without a zone, where the format has such.
        on_event: Told of every file when it is done, and of every partition stored.
        now: The present (naive UTC); the clock's by default.

    Raises:
        InvalidRequest: There is no such path, or no archive in the folders.
        StorageError: The lake cannot be written. What was stored stays; the same call goes on.
    """
    found = find(paths)
    run = _Run(
        storage,
        Hints(venue, instrument, data_type, timeframe, timezone),
        on_event or (lambda event: None),
        now or datetime.now(UTC).replace(tzinfo=None),
    )
    return run.all(found)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one file has for one partition."""

    file: ArchiveFile
    page: Page
    is_held: bool


@dataclass(slots=True)
class _SeriesJob:
    """The job under which the files of one series are committed."""

    job_id: str
    lease: Lease
    rows: int = 0


@dataclass(slots=True)
class _Run:
    """One call of :func:`import_files`."""

    storage: Storage
    hints: Hints
    emit: Callable[[ImportEvent], None]
    now: datetime
    outcomes: dict[Path, FileOutcome] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    ended: list[JobEnded] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    job: _SeriesJob | None = None

    def all(self, found: Sequence[Found]) -> ImportReport:
        started = time.monotonic()
        by_series: dict[tuple[Series, str | None], list[ArchiveFile]] = {}
        for each in found:
            if (file := self._recognised(each)) is not None:
                by_series.setdefault((file.series, file.variant), []).append(file)
        self._tell_of_skipped(is_all=not by_series)
        interrupted = any(
            not self._series(series, variant, files)
            for (series, variant), files in by_series.items()
        )
        return ImportReport(
            files=tuple(self.outcomes[each.path] for each in found if each.path in self.outcomes),
            jobs=tuple(self.ended),
            rows_added=self.counts["added"],
            rows_changed=self.counts["changed"],
            seconds=time.monotonic() - started,
            interrupted=interrupted,
        )

    def _recognised(self, each: Found) -> ArchiveFile | None:
        try:
            return recognise(each.path, self.hints)
        except NotRecognised as error:
            if each.is_named:
                self._done(FileOutcome(each.path, FileState.REFUSED, str(error)))
            else:
                self.skipped[each.path] = str(error)
        except (SourceError, InvalidRequest) as error:
            self._done(FileOutcome(each.path, FileState.REFUSED, str(error)))
        return None

    def _tell_of_skipped(self, *, is_all: bool) -> None:
        """Files of other kinds may lie in a folder; a folder of nothing else is a mistake."""
        state = FileState.REFUSED if is_all else FileState.SKIPPED
        for path, reason in self.skipped.items():
            self._done(FileOutcome(path, state, reason))

    def _series(self, series: Series, variant: str | None, files: list[ArchiveFile]) -> bool:
        """Import files of one series and variant; False where the job was cancelled meanwhile."""
        catalog = self.storage.catalog
        try:
            if catalog.instrument(series.instrument_id) is None:
                catalog.upsert_instruments([files[0].instrument])
            catalog.ensure_series(series, ARCHIVE_TAG.origin, variant=variant)
        except InvalidRequest as error:
            for file in files:
                self._done(FileOutcome(file.path, FileState.REFUSED, str(error), series))
            return True
        self.job = None
        try:
            for group in _groups(files):
                if group[0].promise is None:
                    self._stream(series, files, group[0])
                else:
                    self._group(series, files, group)
        except _Cancelled:
            self._end(series, JobState.CANCELLED, "cancelled on request; what was stored stays")
            return False
        except KeyboardInterrupt:
            self._end(series, JobState.CANCELLED, "interrupted; what was stored stays")
            raise
        except Exception as error:
            if not isinstance(error, LeaseLost):
                self._end(series, JobState.FAILED, str(error) or type(error).__name__)
            raise
        self._end(series, JobState.COMPLETED, None)
        return True

    def _group(
        self, series: Series, files: Sequence[ArchiveFile], group: Sequence[ArchiveFile]
    ) -> None:
        """Read and commit files that share partitions; each file is stored wholly or not at all."""
        read = [(file, contents) for file in group if (contents := self._read(file)) is not None]
        pieces: dict[Partition, list[_Piece]] = {}
        for file, contents in read:
            for partition, page in cut(series, contents.page):
                held = self.storage.read_partition(partition)
                pieces.setdefault(partition, []).append(
                    _Piece(file, page, held is not None and holds(held, page.rows))
                )
        changed: set[Path] = set()
        for partition, parts in pieces.items():
            if not all(part.is_held for part in parts) or not self._is_claimed(series, parts):
                self._commit(partition, parts, files)
            changed.update(part.file.path for part in parts if not part.is_held)
        for file, contents in read:
            state = FileState.STORED if file.path in changed else FileState.UNCHANGED
            page = contents.page
            self._done(
                FileOutcome(
                    file.path,
                    state,
                    contents.remark,
                    series,
                    page.window,
                    page.rows.num_rows,
                    len(page.rejected),
                    len(page.notes),
                )
            )

    def _stream(self, series: Series, files: Sequence[ArchiveFile], file: ArchiveFile) -> None:
        """Read and commit a file that promises nothing, a partition at a time: it may be long."""
        state, rejected, notes = FileState.UNCHANGED, 0, 0
        try:
            found: Streamed = file.stream(now=self.now)
            for whole in found.pages:
                for partition, page in cut(series, whole):
                    held = self.storage.read_partition(partition)
                    piece = _Piece(file, page, held is not None and holds(held, page.rows))
                    if not piece.is_held or not self._is_claimed(series, [piece]):
                        self._commit(partition, [piece], files, found.window)
                    if not piece.is_held:
                        state = FileState.STORED
                    rejected, notes = rejected + len(page.rejected), notes + len(page.notes)
        except (SourceError, InvalidRequest) as error:
            self._done(FileOutcome(file.path, FileState.REFUSED, str(error), series))
            return
        self._done(
            FileOutcome(
                file.path, state, found.remark, series, found.window, found.rows, rejected, notes
            )
        )

    def _read(self, file: ArchiveFile) -> Contents | None:
        try:
            return file.read(now=self.now)
        except (SourceError, InvalidRequest) as error:
            self._done(FileOutcome(file.path, FileState.REFUSED, str(error), file.series))
            return None

    def _is_claimed(self, series: Series, pieces: Sequence[_Piece]) -> bool:
        """Whether the catalog says already what the files claim."""
        covered = [
            row for row in self.storage.catalog.coverage(series) if row.source == ARCHIVE_TAG.name
        ]
        return all(
            not subtract([claim.range], [row.range for row in covered if row.basis is claim.basis])
            for piece in pieces
            for claim in piece.page.claims
        )

    def _commit(
        self,
        partition: Partition,
        pieces: Sequence[_Piece],
        files: Sequence[ArchiveFile],
        *windows: TimeRange,
    ) -> None:
        job = self.job = self.job or self._start(partition.series, pieces, files, *windows)
        if self.storage.jobs.renew(job.lease, ttl_s=_LEASE_S).cancel_requested:
            raise _Cancelled
        pages = [piece.page for piece in pieces]
        done = sum(file.path in self.outcomes for file in files) + len(pieces)
        change = PartitionCommit(
            partition=partition,
            rows=newest([page.rows for page in pages]),
            tag=ARCHIVE_TAG,
            claims=tuple(claim for page in pages for claim in page.claims),
            rejected=tuple(row for page in pages for row in page.rejected),
            notes=tuple(note for page in pages for note in page.notes),
            progress=min(1.0, done / len(files)),
            confirmed_at=self.now,
        )
        result = self.storage.commit(change, job.lease)
        added, changed = result.rows_added, result.rows_changed
        job.rows += added + changed
        self.counts.update(added=added, changed=changed)
        self.emit(Stored(partition.series, partition.path, added, changed, result.bytes))

    def _start(
        self,
        series: Series,
        pieces: Sequence[_Piece],
        files: Sequence[ArchiveFile],
        *more: TimeRange,
    ) -> _SeriesJob:
        windows = [file.promise for file in files if file.promise is not None]
        windows += [*more, *(piece.page.window for piece in pieces)]
        hull = TimeRange(min(each.start for each in windows), max(each.end for each in windows))
        jobs = self.storage.jobs
        job = jobs.create(series, hull, kind="import")
        lease = jobs.claim(job.job_id, f"import {os.getpid()}", ttl_s=_LEASE_S)
        self.emit(JobStarted(series, job.job_id, 1))
        return _SeriesJob(job.job_id, lease)

    def _end(self, series: Series, state: JobState, error: str | None) -> None:
        if self.job is None:
            return
        self.storage.jobs.finish(self.job.lease, state, error)
        self.ended.append(JobEnded(series, self.job.job_id, state, self.job.rows, error))
        self.emit(self.ended[-1])

    def _done(self, outcome: FileOutcome) -> None:
        self.outcomes[outcome.path] = outcome
        self.emit(outcome)


class _Cancelled(Exception):
    """Somebody asked for the job to be cancelled."""


def _groups(files: Sequence[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Files that go into the same partition together; a file that promises nothing alone."""
    groups: dict[Partition | Path, list[ArchiveFile]] = {}
    for file in sorted(files, key=_stands_last):
        promise = file.promise
        key = file.path if promise is None else Partition.of(file.series, promise.start)
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def _stands_last(file: ArchiveFile) -> tuple[int, datetime, Path]:
    """Days before months: where both speak, the month was published later and stands."""
    promise = file.promise
    if promise is None:
        return 0, EPOCH, file.path
    return promise.duration.days, promise.start, file.path
