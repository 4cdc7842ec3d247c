"""Publishes one partition: merged, fenced, and either wholly there or not at all.

The protocol (DESIGN, section 5): an intent row; a temporary file on the disk for good; then, in
one ``BEGIN IMMEDIATE``, the lease's token and the generation in the catalog *and* in the file
on the disk are still those merged from, rename, fsync of the folder, catalog rows, commit. A
file may be ahead of the catalog, never behind. Locks only save work; that comparison is the
guarantee.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.coverage import Claim, Coverage, overlay
from lake.domain.coverage import merge as joined
from lake.domain.jobs import Lease
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected, SourceTag
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.times import to_us
from lake.errors import InvalidRequest, StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import disk, merge, parquet
from lake.storage.catalog import series_id_of
from lake.storage.columns import micros, require_rows
from lake.storage.connection import Transaction
from lake.storage.jobs import hold, require_token
from lake.storage.parquet import DamagedFile, Footer, Held
from lake.storage.points import reached
from lake.storage.reconcile import roll_forward
from lake.storage.recording import forget_intent, gaps_of, record
from lake.storage.records import us_or_none

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_MAX_MERGES = 100
"""Each time around, another writer of the same partition has published: bounded in practice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionCommit:
    """Rows for one partition, and what they are known to answer.

    Attributes:
        partition: The file. All rows lie in its range.
        rows: In the data type's schema; any order.
        tag: Where they come from.
        claims: What counts as asked and answered from now on.
        replace: None merges. A range becomes exactly *rows*.
        rejected: Rows that were refused; stored in ``quarantine``.
        notes: What the source says beyond the columns.
        progress: The job's progress after this commit, 0 to 1.
        confirmed_at: When the source answered; now, where None.
    """

    partition: Partition
    rows: pa.Table
    tag: SourceTag
    claims: tuple[Claim, ...] = ()
    replace: TimeRange | None = None
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Note, ...] = ()
    progress: float | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did to the rows, and what the file holds now."""

    rows_added: int
    rows_changed: int
    rows_removed: int
    rows_total: int
    bytes: int
    generation: int


class _Overtaken(Exception):
    """Another writer published this partition since we read it: merge again."""


@dataclass(frozen=True, slots=True)
class _Base:
    """What was merged from. ``generation`` is that of the catalog and of the file alike."""

    generation: int
    sha256: str | None
    footer: Footer | None
    rows: pa.Table | None
    coverage: list[Coverage]
    origin: str


def commit(storage: Storage, change: PartitionCommit, lease: Lease) -> CommitResult:
    """Publish *change* for the job of *lease*.

    When it returns, everything in it is on the disk for good; when it raises, nothing of it is
    visible, or all of it is and start-up records it.

    Raises:
        LeaseLost: Another worker has the job now.
        SchemaMismatch: The rows are not what the partition holds.
        SeriesNotFound: ``ensure_series`` was not called.
        StorageError: The disk or SQLite failed, or the file that is there is damaged.
    """
    spec = ROW_SPECS[change.partition.series.data_type]
    window = change.partition.range
    if change.replace is not None:
        inside = change.replace.intersection(window)
        if inside is None:
            raise InvalidRequest(f"{change.replace} is outside of {change.partition.path}.")
        window = inside
        change = replace(change, replace=inside)
    change = replace(change, rows=require_rows(change.rows, spec, window))
    reached("commit.begun")
    with storage.turn(change.partition.path):
        for _ in range(_MAX_MERGES):
            with suppress(_Overtaken):
                return _attempt(storage, change, lease, spec)
    raise StorageError(
        f"{change.partition.path} was rewritten by others {_MAX_MERGES} times while job "
        f"{lease.job_id} tried to. Nothing of this attempt was published; start it again."
    )


def _attempt(
    storage: Storage, change: PartitionCommit, lease: Lease, spec: RowSpec
) -> CommitResult:
    base = _read_base(storage, change, spec)
    merged = _merged(change, base, spec)
    reached("commit.merged")
    now = storage.clock()
    claims = [
        Coverage(
            range=claim.range,
            basis=claim.basis,
            source=change.tag.name,
            source_rank=change.tag.rank,
            job_id=lease.job_id,
            confirmed_at=change.confirmed_at or now,
            evidence=claim.evidence,
        )
        for claim in change.claims
    ]
    writer = _Writer(storage, change, lease, spec, base, merged, claims, now)
    return writer.write() if merged.alters else writer.lay_claims()


def _read_base(storage: Storage, change: PartitionCommit, spec: RowSpec) -> _Base:
    """The file as it is, and what the catalog says of it; brought into step if need be."""
    partition = change.partition
    path = storage.parquet / partition.path
    # The catalog before the file: a file only ever moves ahead.
    with storage.database.reading() as transaction:
        series_id = series_id_of(transaction, partition.series)
        known = transaction.row(
            "select generation, sha256 from partitions where path = ?", (partition.path,)
        )
        origin = transaction.row("select origin from series where series_id = ?", (series_id,))
        covered = stored_coverage.touching(transaction, series_id, partition.range)
    assert origin is not None
    generation, sha256 = (0, None) if known is None else known
    held: Held | None = None
    if change.rows.num_rows or change.replace is not None:
        held = parquet.read_held(path, spec)
        footer = None if held is None else held.footer
    else:
        # Claims alone need no rows, however large the file is.
        footer = parquet.read_footer(path)
    on_disk = 0 if footer is None else footer.generation
    if on_disk > generation:
        roll_forward(storage, partition)
        raise _Overtaken
    if on_disk < generation:
        raise StorageError(
            f"{path} is {'missing' if footer is None else 'older than the catalog says'}. "
            "`lake doctor --repair` marks its range as missing, then start again."
        )
    if held is not None and held.sha256 != sha256:
        # Merging from it would give wrong rows a new, valid digest.
        raise DamagedFile(
            f"{path} is not what was written: its digest has changed. `lake doctor --repair` "
            "moves it to quarantine; the next backfill fetches its range again."
        )
    return _Base(
        generation, sha256, footer, None if held is None else held.rows, covered, origin[0]
    )


def _merged(change: PartitionCommit, base: _Base, spec: RowSpec) -> merge.Merged:
    if change.replace is not None:
        return merge.replace(base.rows, change.rows, spec, change.replace)
    return merge.merge(
        base.rows,
        change.rows,
        spec,
        rank=change.tag.rank,
        source=change.tag.name,
        coverage=base.coverage,
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """One attempt to publish: everything that it needs, decided."""

    storage: Storage
    change: PartitionCommit
    lease: Lease
    spec: RowSpec
    base: _Base
    merged: merge.Merged
    claims: list[Coverage]
    now: datetime

    @property
    def path(self) -> Path:
        return self.storage.parquet / self.change.partition.path

    def lay_claims(self) -> CommitResult:
        """Record what the rows in the file already answer; the file stays as it is."""
        with self.storage.database.writing() as transaction:
            series_id = self._fence(transaction)
            self._note(transaction, series_id)
            self._advance(transaction, series_id, stored=0)
            reached("publish.recorded")
        reached("publish.committed")
        footer = self.base.footer
        return CommitResult(
            rows_added=0,
            rows_changed=0,
            rows_removed=0,
            rows_total=0 if footer is None else footer.rows,
            bytes=0 if footer is None else self.path.stat().st_size,
            generation=self.base.generation,
        )

    def write(self) -> CommitResult:
        """Write the merged rows and publish them."""
        footer = self._footer()
        # Hidden from every reader: some skip leading dots, others want .parquet at the end.
        temporary = self.path.with_name(f".data.{footer.commit_id}.tmp")
        self._announce(footer, temporary)
        try:
            with disk.storage_errors(f"creating {self.path.parent}"):
                disk.make_folders(self.path.parent)
            written = parquet.write(temporary, self.merged.rows, self.spec, footer)
            self._publish(footer, temporary, written)
        except BaseException:
            self._withdraw(footer, temporary)
            raise
        reached("publish.committed")
        return CommitResult(
            rows_added=self.merged.added,
            rows_changed=self.merged.changed,
            rows_removed=self.merged.removed,
            rows_total=footer.rows,
            bytes=written.bytes,
            generation=footer.generation,
        )

    def _footer(self) -> Footer:
        rows = self.merged.rows
        moments = micros(rows["ts"])
        known = [
            replace(each, range=inside, job_id="")
            for each in _overlaid(self.base.coverage, self.claims)
            if (inside := each.range.intersection(self.change.partition.range))
        ]
        return Footer(
            lake_id=self.storage.lake_id,
            series=self.change.partition.series,
            schema_version=self.spec.version,
            generation=self.base.generation + 1,
            commit_id=uuid.uuid4().hex,
            job_id=self.lease.job_id,
            token=self.lease.token,
            rows=rows.num_rows,
            min_ts=rows["ts"][0].as_py() if len(moments) else None,
            max_ts=rows["ts"][-1].as_py() if len(moments) else None,
            source=self.change.tag,
            origin=self.base.origin,
            written_at=self.now,
            stored=self.merged.added + self.merged.changed,
            progress=self.change.progress,
            claims=tuple(self.claims),
            coverage=tuple(joined(known)),
        )

    def _announce(self, footer: Footer, temporary: Path) -> None:
        """The intent, and the rows that it will change: so start-up can clean up after us."""
        with self.storage.database.writing() as transaction:
            reached("intent.begun")
            hold(transaction, self.lease, self.now)
            series_id = series_id_of(transaction, self.change.partition.series)
            transaction.run(
                "insert into intents values (?, ?, ?, ?, ?, ?, ?)",
                (
                    footer.commit_id,
                    self.lease.job_id,
                    self.lease.token,
                    self.change.partition.path,
                    temporary.relative_to(self.storage.parquet).as_posix(),
                    footer.generation,
                    to_us(self.now),
                ),
            )
            self._revise(transaction, series_id, footer.commit_id)
            # Facts whether or not the rows get there, and the same facts when tried again.
            self._note(transaction, series_id)
            reached("intent.written")
        reached("intent.committed")

    def _revise(self, transaction: Transaction, series_id: int, commit_id: str) -> None:
        old = self.merged.old_rows
        if old is None:
            return
        why = (
            f"merged from {self.change.tag.name}"
            if self.change.replace is None
            else f"replaced from {self.change.tag.name}"
        )
        moments = micros(old["ts"]).tolist()
        rows = [
            {
                name: to_us(value) if isinstance(value, datetime) else value
                for name, value in row.items()
            }
            for row in old.to_pylist()
        ]
        transaction.run_many(
            "insert or ignore into revisions values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            [
                (
                    series_id,
                    moment,
                    json.dumps([row[name] for name in self.spec.key]),
                    self.base.generation,
                    json.dumps(row),
                    why,
                    self.lease.job_id,
                    to_us(self.now),
                    commit_id,
                )
                for moment, row in zip(moments, rows, strict=True)
            ],
        )

    def _publish(self, footer: Footer, temporary: Path, written: parquet.Written) -> None:
        gaps = gaps_of(self.change.partition, self.merged.rows)
        with self.storage.database.writing() as transaction:
            reached("publish.begun")
            series_id = self._fence(transaction)
            still = transaction.row(
                "select 1 from intents where commit_id = ?", (footer.commit_id,)
            )
            if still is None or not temporary.exists():
                # Start-up of another process took us for dead and cleaned up after us.
                raise _Overtaken
            reached("publish.checked")
            with disk.storage_errors(f"publishing {self.path}"):
                temporary.rename(self.path)
                reached("publish.renamed")
                disk.sync_folder(self.path.parent)
            reached("publish.synced")
            record(
                transaction,
                series_id,
                self.change.partition,
                footer,
                written=written,
                gaps=gaps,
            )
            self._advance(transaction, series_id, stored=footer.stored)
            reached("publish.recorded")

    def _fence(self, transaction: Transaction) -> int:
        """The series' number, if the lease is ours and the base is what is there now."""
        require_token(transaction, self.lease)
        known = transaction.row(
            "select generation, sha256 from partitions where path = ?",
            (self.change.partition.path,),
        )
        # A generation can come back after a damaged file was taken away; a commit cannot.
        base, on_disk = self.base, parquet.read_footer(self.path)
        in_catalog = (0, None) if known is None else known
        in_file = None if on_disk is None else (on_disk.generation, on_disk.commit_id)
        merged_from = None if base.footer is None else (base.generation, base.footer.commit_id)
        if in_catalog != (base.generation, base.sha256) or in_file != merged_from:
            raise _Overtaken
        return series_id_of(transaction, self.change.partition.series)

    def _note(self, transaction: Transaction, series_id: int) -> None:
        now = to_us(self.now)
        transaction.run_many(
            "insert into quarantine values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            [
                (series_id, us_or_none(each.ts), each.reason, each.raw, self.lease.job_id, now)
                for each in self.change.rejected
            ],
        )
        transaction.run_many(
            "insert into notes values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            [
                (series_id, to_us(each.ts), each.kind, each.text, self.lease.job_id, now)
                for each in (*self.change.notes, *self.merged.notes)
            ],
        )

    def _advance(self, transaction: Transaction, series_id: int, *, stored: int) -> None:
        stored_coverage.lay(transaction, series_id, self.claims)
        hold(transaction, self.lease, self.now)
        transaction.run(
            "update ingestion_jobs set rows = rows + ?, progress = ifnull(?, progress) "
            "where job_id = ?",
            (stored, self.change.progress, self.lease.job_id),
        )

    def _withdraw(self, footer: Footer, temporary: Path) -> None:
        """Take the intent back, unless its file was published after all."""
        with suppress(OSError, StorageError):
            on_disk = parquet.read_footer(self.path)
            if on_disk is not None and on_disk.commit_id == footer.commit_id:
                return
            temporary.unlink(missing_ok=True)
            with self.storage.database.writing() as transaction:
                forget_intent(transaction, footer.commit_id)


def _overlaid(old: list[Coverage], claims: Iterable[Coverage]) -> list[Coverage]:
    for claim in claims:
        old = overlay(old, claim)
    return old
