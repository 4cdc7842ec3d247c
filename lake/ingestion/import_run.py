"""One import at work: files by series, series by partition, one job a series."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.identifiers import Series
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest, LeaseLost, SchemaMismatch, SourceError
from lake.ingestion.events import JobEnded, JobStarted, Stored
from lake.ingestion.import_ledger import Ledger, size_of
from lake.ingestion.import_paths import Found
from lake.ingestion.import_pieces import by_promise, cut, holds, newest, without_held
from lake.ingestion.import_report import FileOutcome, FileState, ImportEvent, ImportReport
from lake.ingestion.room import MIN_FREE, require_room
from lake.sources.archive import (
    FORMATS,
    ArchiveFile,
    ArchiveFormat,
    Hints,
    Lot,
    NotRecognised,
    Streamed,
    recognise,
)
from lake.storage.lake import PartitionCommit

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# Reading and committing one partition takes seconds; a worker that is silent longer is gone.
_LEASE_S = 120.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one file has for one partition."""

    file: ArchiveFile
    lot: Lot
    is_held: bool = False


@dataclass(slots=True)
class _SeriesJob:
    """The job under which the files of one series are committed."""

    job_id: str
    lease: Lease
    rows: int = 0


@dataclass(slots=True)
class ImportRun:
    """One call of :func:`lake.ingestion.imports.import_files`."""

    storage: Storage
    hints: Hints
    emit: Callable[[ImportEvent], None]
    now: datetime
    scratch: Path
    ledger: Ledger
    origin: str = "venue"
    is_again: bool = False
    """Files that were taken in before are read again."""
    min_free: int = MIN_FREE
    """Bytes that stay free on the disk."""
    formats: Sequence[ArchiveFormat] = FORMATS
    """The readers that files are shown to, in this order."""
    lease: Lease | None = None
    """Of the job that wanted the files; None: each series gets a job of its own."""
    outcomes: dict[Path, list[FileOutcome]] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    ended: list[JobEnded] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    job: _SeriesJob | None = None

    def all(self, found: Sequence[Found]) -> ImportReport:
        started = time.monotonic()
        by_series: dict[tuple[Series, str | None], list[ArchiveFile]] = {}
        for each in found:
            for file in self._recognised(each):
                by_series.setdefault((file.series, file.variant), []).append(file)
        self._tell_of_skipped(is_all=not by_series)
        interrupted = any(
            not self._series(series, variant, files)
            for (series, variant), files in by_series.items()
        )
        return ImportReport(
            files=tuple(outcome for each in found for outcome in self.outcomes.get(each.path, ())),
            jobs=tuple(self.ended),
            rows_added=self.counts["added"],
            rows_changed=self.counts["changed"],
            seconds=time.monotonic() - started,
            interrupted=interrupted,
        )

    def _recognised(self, each: Found) -> Sequence[ArchiveFile]:
        try:
            return recognise(each.path, self.hints, self.formats)
        except NotRecognised as error:
            if each.is_named:
                self._done(FileOutcome(each.path, FileState.REFUSED, str(error)))
            else:
                self.skipped[each.path] = str(error)
        except (SourceError, InvalidRequest) as error:
            self._done(FileOutcome(each.path, FileState.REFUSED, str(error)))
        except OSError as error:
            why = f"{each.path} cannot be read: {error.strerror or error}."
            self._done(FileOutcome(each.path, FileState.REFUSED, why))
        return ()

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
            catalog.ensure_series(series, self.origin, variant=variant)
        except InvalidRequest as error:
            for file in files:
                self._refused(file, str(error))
            return True
        self.job = None
        try:
            left = [file for file in files if not self._is_taken_in(file)]
            for group in _groups(left):
                if group[0].is_small:
                    self._group(series, files, group)
                else:
                    self._stream(series, files, group[0])
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

    def _is_taken_in(self, file: ArchiveFile) -> bool:
        """Whether this very file was stored before; it is not read again then."""
        try:
            known = None if self.is_again else self.ledger.taken_in(file)
        except SourceError:
            # It vanished; that is told when it is opened.
            return False
        if known is not None:
            outcome = FileOutcome(
                file.path,
                FileState.UNCHANGED,
                "taken in before",
                file.series,
                known.window,
                known.rows,
            )
            self._done(outcome)
        return known is not None

    def _group(
        self,
        series: Series,
        files: Sequence[ArchiveFile],
        group: Sequence[ArchiveFile],
    ) -> None:
        """Read and commit files that share partitions; each file is stored wholly or not at all."""
        read = [(file, *opened) for file in group if (opened := self._opened(file)) is not None]
        pieces: dict[Partition, list[_Piece]] = {}
        revised: list[tuple[Partition, _Piece]] = []
        told: Counter[Path] = Counter()
        for file, found, is_revised in read:
            for lot in found.lots:
                told[file.path] += len(lot.notes)
                for partition, part in cut(series, lot):
                    piece = self._piece(file, partition, part)
                    if is_revised:
                        revised.append((partition, piece))
                    else:
                        pieces.setdefault(partition, []).append(piece)
        changed: set[Path] = set()
        for partition, parts in pieces.items():
            if not all(part.is_held for part in parts) or not self._is_claimed(parts):
                self._commit(partition, parts, files)
            changed.update(part.file.path for part in parts if not part.is_held)
        for partition, piece in revised:
            for lot, window in by_promise(piece.lot):
                part = lot
                if not lot.claims:
                    part = without_held(lot, self.storage.read_partition(partition))
                if self._commit(partition, [_Piece(piece.file, part)], files, replace=window):
                    changed.add(piece.file.path)
        for file, found, _ in read:
            state = FileState.STORED if file.path in changed else FileState.UNCHANGED
            self._stored(file, found, state, told[file.path])

    def _stream(
        self,
        series: Series,
        files: Sequence[ArchiveFile],
        file: ArchiveFile,
    ) -> None:
        """Read and commit one file, a partition at a time: it may be long."""
        if (opened := self._opened(file)) is None:
            return
        found, is_revised = opened
        state, notes = FileState.UNCHANGED, 0
        try:
            for lot in found.lots:
                notes += len(lot.notes)
                for partition, part in cut(series, lot):
                    piece = self._piece(file, partition, part)
                    if piece.is_held and not is_revised and self._is_claimed([piece]):
                        continue
                    for each, replace in by_promise(part) if is_revised else [(part, None)]:
                        again = _Piece(file, each)
                        if self._commit(partition, [again], files, found.window, replace=replace):
                            state = FileState.STORED
        except (SourceError, InvalidRequest, SchemaMismatch) as error:
            self._refused(file, str(error))
            return
        self._stored(file, found, state, notes)

    def _opened(self, file: ArchiveFile) -> tuple[Streamed, bool] | None:
        """What *file* holds, and whether it is another version of one that was taken in."""
        try:
            # What memory should not hold of it goes to the scratch folder, and is no smaller.
            size = size_of(file)
            require_room(self.storage, file.series, min_free=self.min_free, size=size)
            found = file.stream(now=self.now, scratch=self.scratch)
            return found, self.ledger.is_revised(file, found)
        except (SourceError, InvalidRequest) as error:
            self._refused(file, str(error))
            return None

    def _piece(self, file: ArchiveFile, partition: Partition, lot: Lot) -> _Piece:
        """*lot*, and whether all of it is in the lake: looked at where each time has one row."""
        is_held = False
        if isinstance(lot.rows, pa.Table) and ROW_SPECS[file.series.data_type].key == ("ts",):
            held = self.storage.read_partition(partition)
            is_held = held is not None and holds(held, lot.rows)
        return _Piece(file, lot, is_held)

    def _is_claimed(self, pieces: Sequence[_Piece]) -> bool:
        """Whether the catalog says already what the files claim, and may go on saying it."""
        return not self.is_again and all(
            self.ledger.is_claimed(piece.file, piece.lot.claims) for piece in pieces
        )

    def _commit(
        self,
        partition: Partition,
        pieces: Sequence[_Piece],
        files: Sequence[ArchiveFile],
        *windows: TimeRange,
        replace: TimeRange | None = None,
    ) -> bool:
        """Whether that altered any row."""
        job = self.job = self.job or self._start(partition.series, pieces, files, *windows)
        if self.storage.jobs.renew(job.lease, ttl_s=_LEASE_S).cancel_requested:
            raise _Cancelled
        require_room(self.storage, partition.series, min_free=self.min_free)
        lots = [piece.lot for piece in pieces]
        done = sum(file.path in self.outcomes for file in files) + len(pieces)
        rows = lots[0].rows if len(lots) == 1 else newest([_table(lot) for lot in lots])
        change = PartitionCommit(
            partition=partition,
            rows=rows,
            tag=dataclasses.replace(pieces[0].file.reader.tag, origin=self.origin),
            claims=tuple(claim for lot in lots for claim in lot.claims),
            replace=replace,
            rejected=tuple(row for lot in lots for row in lot.rejected),
            notes=tuple(note for lot in lots for note in lot.notes),
            progress=min(1.0, done / len(files)) if self.lease is None else None,
            confirmed_at=self.now,
        )
        result = self.storage.commit(change, job.lease)
        added, changed = result.rows_added, result.rows_changed
        job.rows += added + changed
        self.counts.update(added=added, changed=changed)
        self.emit(Stored(partition.series, partition.path, added, changed, result.bytes))
        return bool(added or changed or result.rows_removed)

    def _start(
        self,
        series: Series,
        pieces: Sequence[_Piece],
        files: Sequence[ArchiveFile],
        *more: TimeRange,
    ) -> _SeriesJob:
        if self.lease is not None:
            return _SeriesJob(self.lease.job_id, self.lease)
        windows = [file.promise for file in files if file.promise is not None]
        windows += [*more, *(piece.lot.window for piece in pieces)]
        hull = TimeRange(min(each.start for each in windows), max(each.end for each in windows))
        jobs = self.storage.jobs
        job = jobs.create(series, hull, kind="import")
        lease = jobs.claim(job.job_id, f"import {os.getpid()}", ttl_s=_LEASE_S)
        self.emit(JobStarted(series, job.job_id, 1))
        return _SeriesJob(job.job_id, lease)

    def _end(self, series: Series, state: JobState, error: str | None) -> None:
        if self.job is None or self.lease is not None:
            return
        self.storage.jobs.finish(self.job.lease, state, error)
        self.ended.append(JobEnded(series, self.job.job_id, state, self.job.rows, error))
        self.emit(self.ended[-1])

    def _stored(self, file: ArchiveFile, found: Streamed, state: FileState, notes: int) -> None:
        """Note that all of *file* is in the lake now."""
        try:
            self.ledger.stored(file, found)
        except SourceError as error:
            self._refused(file, str(error))
            return
        self._done(
            FileOutcome(
                file.path,
                state,
                found.remark,
                file.series,
                found.window,
                found.rows,
                found.rejected,
                notes,
            )
        )

    def _refused(self, file: ArchiveFile, reason: str) -> None:
        self.ledger.refused(file, reason)
        self._done(FileOutcome(file.path, FileState.REFUSED, reason, file.series))

    def _done(self, outcome: FileOutcome) -> None:
        self.outcomes.setdefault(outcome.path, []).append(outcome)
        self.emit(outcome)


def _table(lot: Lot) -> pa.Table:
    assert isinstance(lot.rows, pa.Table), "only small files share a commit"
    return lot.rows


class _Cancelled(Exception):
    """Somebody asked for the job to be cancelled."""


def _groups(files: Sequence[ArchiveFile]) -> list[list[ArchiveFile]]:
    """Small files that go into the same partition together; every other file alone."""
    groups: dict[Partition | Path, list[ArchiveFile]] = {}
    for file in sorted(files, key=_stands_last):
        promise = file.promise
        if promise is None or not file.is_small:
            key: Partition | Path = file.path
        else:
            key = Partition.of(file.series, promise.start)
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def _stands_last(file: ArchiveFile) -> tuple[int, datetime, Path]:
    """Days before months: where both speak, the month was published later and stands."""
    promise = file.promise
    if promise is None:
        return 0, EPOCH, file.path
    return promise.duration.days, promise.start, file.path
