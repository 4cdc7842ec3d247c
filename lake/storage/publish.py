"""The writing half of a commit: intent, temporary file, fence, rename, catalog rows."""

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
from lake.domain.schemas import RowSpec
from lake.domain.times import to_us
from lake.errors import StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import disk, parquet
from lake.storage.catalog import series_id_of
from lake.storage.columns import micros
from lake.storage.connection import Transaction
from lake.storage.jobs import hold, require_token
from lake.storage.merge import Merged
from lake.storage.parquet import Footer
from lake.storage.points import reached
from lake.storage.recording import forget_intent, gaps_of, record
from lake.storage.records import us_or_none

if TYPE_CHECKING:
    from lake.storage.lake import Storage


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


class Overtaken(Exception):
    """Another writer published this partition since we read it: merge again."""


@dataclass(frozen=True, slots=True)
class Base:
    """What was merged from. ``generation`` is that of the catalog and of the file alike."""

    generation: int
    sha256: str | None
    footer: Footer | None
    rows: pa.Table | None
    coverage: list[Coverage]
    origin: str


@dataclass(frozen=True, slots=True)
class Publication:
    """One attempt to publish: everything that it needs, decided."""

    storage: Storage
    change: PartitionCommit
    lease: Lease
    spec: RowSpec
    base: Base
    merged: Merged
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
            hold(transaction, self.lease, self.storage.clock())
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
                raise Overtaken
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
            raise Overtaken
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
        hold(transaction, self.lease, self.storage.clock())
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
