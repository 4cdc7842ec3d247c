"""The writing half of a commit: intent, temporary file, fence, rename, catalog rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa

from lake.domain.coverage import Coverage, overlay
from lake.domain.coverage import merge as joined
from lake.domain.jobs import Lease
from lake.domain.ranges import subtract
from lake.domain.rows import Note
from lake.domain.schemas import RowSpec
from lake.domain.times import to_us
from lake.errors import SchemaMismatch, StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import disk, parquet
from lake.storage.catalog import series_id_of
from lake.storage.change import Base, CommitResult, Overtaken, PartitionCommit, Tally
from lake.storage.connection import Transaction
from lake.storage.footer import Footer
from lake.storage.hot import Published
from lake.storage.jobs import hold, require_token
from lake.storage.merge import Merged
from lake.storage.points import reached
from lake.storage.recording import forget_intent, record
from lake.storage.records import moment_or_none, us_or_none
from lake.storage.revisions import OldRows, Revising
from lake.storage.scan import OrderScan, RowScan, keys_are_unique
from lake.storage.writing import PartitionWriter

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_SILENT_AT_MOST = timedelta(seconds=5)
"""A slice takes a tenth of a second, the shortest sensible lease several."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One attempt to publish: what it starts from, and for whom."""

    storage: Storage
    change: PartitionCommit
    lease: Lease
    spec: RowSpec
    base: Base
    claims: list[Coverage]
    now: datetime
    commit_id: str = field(default_factory=lambda: uuid4().hex)
    old_rows: OldRows = field(init=False)

    def __post_init__(self) -> None:
        how = "merged" if self.change.replace is None else "replaced"
        revising = Revising(
            self.change.partition,
            self.base.footer,
            self.commit_id,
            self.lease.job_id,
            f"{how} from {self.change.tag.name}",
            self.now,
        )
        object.__setattr__(self, "old_rows", OldRows(self.storage, revising))

    @property
    def path(self) -> Path:
        return self.storage.parquet / self.change.partition.path

    @property
    def temporary(self) -> Path:
        # Hidden from every reader: some skip leading dots, others want .parquet at the end.
        return self.path.with_name(f".data.{self.commit_id}.tmp")

    def lay_claims(self, notes: Sequence[Note] = ()) -> CommitResult:
        """Record what the rows in the file already answer; the file stays as it is."""
        with self.storage.database.writing() as transaction:
            series_id = self._fence(transaction)
            self._note(transaction, series_id, notes)
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

    def write(self, merged: Merged) -> CommitResult:
        """Write rows that are all at hand, and publish them."""
        # The rows that change are announced with the intent: one transaction less.
        self._announce(merged.old_rows, merged.notes)
        rest = replace(merged, old_rows=None, notes=())
        result = self._written(iter((rest,)), checks_keys=False)
        assert result is not None
        return result

    def stream(self, slices: Iterator[Merged], *, checks_keys: bool) -> CommitResult:
        """Write the merged rows as they come, slice by slice, and publish them.

        Args:
            slices: Disjoint, in order.
            checks_keys: Whether the slices do not vouch that no key is in two of them.

        Raises:
            SchemaMismatch: A key is in two slices.
        """
        self._announce(None, ())
        result = self._written(slices, checks_keys=checks_keys)
        return self.lay_claims() if result is None else result

    def _written(self, slices: Iterator[Merged], *, checks_keys: bool) -> CommitResult | None:
        """None where the slices come to what the file holds already."""
        tally = Tally(RowScan(self.change.partition))
        order = OrderScan(self.spec)
        last: pa.Table | None = None
        try:
            with disk.storage_errors(f"creating {self.path.parent}"):
                disk.make_folders(self.path.parent)
            self.old_rows.store()
            with PartitionWriter(
                self.temporary, self.spec, self.storage.sizes, is_finished=self._is_finished
            ) as writer:
                told_at = self.storage.clock()
                for merged in slices:
                    # A day of trades takes seconds: nobody is to take us for dead meanwhile.
                    is_silent = self.storage.clock() - told_at >= _SILENT_AT_MOST
                    if merged.old_rows is not None or merged.notes or is_silent:
                        self._tell(merged.old_rows, merged.notes)
                        told_at = self.storage.clock()
                    tally.count(merged)
                    writer.append(merged.rows)
                    last = merged.rows
                    if checks_keys:
                        order.feed(merged.rows)
                if tally.alters:
                    footer = self._footer(tally)
                    written = writer.finish(footer)
            if not tally.alters:
                self._withdraw()
                return None
            if checks_keys:
                self._require_unique(order, tally.scan.rows)
            self.old_rows.finish()
            self._publish(footer, tally, written)
        except BaseException:
            self._withdraw()
            raise
        reached("publish.committed")
        is_all = last is not None and last.num_rows == footer.rows
        self.storage.hot.published(
            Published(
                self.change.partition,
                (self.base.generation, self.base.sha256),
                (footer.generation, written.sha256),
                rows=last if is_all else None,
                added=None if tally.changed or tally.removed else tally.added,
            )
        )
        return CommitResult(
            rows_added=tally.added,
            rows_changed=tally.changed,
            rows_removed=tally.removed,
            rows_total=footer.rows,
            bytes=written.bytes,
            generation=footer.generation,
        )

    @property
    def _is_finished(self) -> bool:
        """Whether all of the partition is promised to be there once this is published."""
        promised = (
            each.range for each in _overlaid(self.base.coverage, self.claims) if each.promises
        )
        return not subtract([self.change.partition.range], promised)

    def _require_unique(self, order: OrderScan, rows: int) -> None:
        unique = order.is_unique
        if unique is None:
            with parquet.opened(self.temporary) as file:
                # Where start-up removed it as that of a dead worker, the fence finds out.
                unique = file is None or keys_are_unique(
                    lambda: file.tables(self.spec), rows, self.spec
                )
        if not unique:
            raise SchemaMismatch(
                f"The rows for {self.change.partition.path} hold one {self.spec.key[0]} under two "
                "times, or have another time for one that is stored. Nothing was stored. Give "
                "them as one table, or replace the range."
            )

    def _footer(self, tally: Tally) -> Footer:
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
            commit_id=self.commit_id,
            job_id=self.lease.job_id,
            token=self.lease.token,
            rows=tally.scan.rows,
            min_ts=moment_or_none(tally.scan.min_us),
            max_ts=moment_or_none(tally.scan.max_us),
            source=self.change.tag,
            origin=self.base.origin,
            variant=self.base.variant,
            written_at=self.now,
            stored=tally.added + tally.changed,
            progress=self.change.progress,
            claims=tuple(self.claims),
            coverage=tuple(joined(known)),
        )

    def _announce(self, old_rows: pa.Table | None, notes: Sequence[Note]) -> None:
        """The intent, and the rows that it will change: so start-up can clean up after us."""
        with self.storage.database.writing() as transaction:
            reached("intent.begun")
            hold(transaction, self.lease, self.storage.clock())
            series_id = series_id_of(transaction, self.change.partition.series)
            transaction.run(
                "insert into intents values (?, ?, ?, ?, ?, ?, ?)",
                (
                    self.commit_id,
                    self.lease.job_id,
                    self.lease.token,
                    self.change.partition.path,
                    self.temporary.relative_to(self.storage.parquet).as_posix(),
                    self.base.generation + 1,
                    to_us(self.now),
                ),
            )
            self.old_rows.tell(transaction, series_id, old_rows)
            # Facts whether or not the rows get there, and the same facts when tried again.
            self._note(transaction, series_id, notes)
            reached("intent.written")
        reached("intent.committed")

    def _tell(self, old_rows: pa.Table | None, notes: Sequence[Note]) -> None:
        """Add to what the intent announced: the rows that a slice changes, and its notes."""
        with self.storage.database.writing() as transaction:
            hold(transaction, self.lease, self.storage.clock())
            intent = transaction.row("select 1 from intents where commit_id = ?", (self.commit_id,))
            if intent is None:
                raise Overtaken  # taken for dead: revisions of ours would stay behind for ever
            series_id = series_id_of(transaction, self.change.partition.series)
            self.old_rows.tell(transaction, series_id, old_rows)
            self._note(transaction, series_id, notes)
            reached("slice.told")
        self.old_rows.store()

    def _publish(self, footer: Footer, tally: Tally, written: parquet.Written) -> None:
        with self.storage.database.writing() as transaction:
            reached("publish.begun")
            series_id = self._fence(transaction)
            still = transaction.row("select 1 from intents where commit_id = ?", (self.commit_id,))
            if still is None or not self.temporary.exists():
                # Start-up of another process took us for dead and cleaned up after us.
                raise Overtaken
            reached("publish.checked")
            with disk.storage_errors(f"publishing {self.path}"):
                self.temporary.rename(self.path)
                reached("publish.renamed")
                disk.sync_folder(self.path.parent)
            reached("publish.synced")
            before_us = stored_coverage.last_row_us(transaction, series_id)
            record(
                transaction,
                series_id,
                self.change.partition,
                footer,
                written=written,
                gaps=tally.scan.gaps,
            )
            self._advance(transaction, series_id, stored=footer.stored)
            stored_coverage.doubt_endings(
                transaction, series_id, self.change.partition.series.grid, before_us
            )
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

    def _note(self, transaction: Transaction, series_id: int, notes: Sequence[Note]) -> None:
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
                for each in (*self.change.notes, *notes)
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

    def _withdraw(self) -> None:
        """Take the intent back, unless its file was published after all."""
        with suppress(OSError, StorageError):
            on_disk = parquet.read_footer(self.path)
            if on_disk is not None and on_disk.commit_id == self.commit_id:
                return
            self.temporary.unlink(missing_ok=True)
            self.old_rows.abandon()
            with self.storage.database.writing() as transaction:
                forget_intent(transaction, self.storage.root, self.commit_id)


def _overlaid(old: list[Coverage], claims: Iterable[Coverage]) -> list[Coverage]:
    for claim in claims:
        old = overlay(old, claim)
    return old
