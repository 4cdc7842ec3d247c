"""Publishes one partition: merged, fenced, and either wholly there or not at all.

The protocol (DESIGN, section 5): an intent row; a temporary file on the disk for good; then, in
one ``BEGIN IMMEDIATE``, the lease's token and the generation in the catalog *and* in the file
on the disk are still those merged from, rename, fsync of the folder, catalog rows, commit. A
file may be ahead of the catalog, never behind. Locks only save work; that comparison is the
guarantee.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.coverage import Coverage
from lake.domain.jobs import Lease
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.errors import InvalidRequest, StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import parquet
from lake.storage.catalog import series_id_of
from lake.storage.change import Base, CommitResult, Overtaken, PartitionCommit
from lake.storage.columns import require_rows
from lake.storage.merging import Merging
from lake.storage.parquet import StoredFile
from lake.storage.points import reached
from lake.storage.publish import Publication
from lake.storage.reconcile import roll_forward

if TYPE_CHECKING:
    from lake.storage.lake import Storage

__all__ = ["CommitResult", "PartitionCommit", "commit"]

_MAX_MERGES = 100
"""Each time around, another writer of the same partition has published: bounded in practice."""


def commit(storage: Storage, change: PartitionCommit, lease: Lease) -> CommitResult:
    """Publish *change* for the job of *lease*, in bounded memory however large the file is.

    When it returns, everything in it is on the disk for good; when it raises, nothing of it is
    visible, or all of it is and start-up records it.

    Raises:
        InvalidRequest: The rows can be iterated only once, or lie outside of the partition.
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
    if isinstance(change.rows, pa.Table):
        change = replace(change, rows=require_rows(change.rows, spec, window))
    elif isinstance(change.rows, Iterator):
        raise InvalidRequest(
            f"The rows for {change.partition.path} can be read only once, but have to be merged "
            "again when another writer is quicker. Give an iterable that starts anew each time."
        )
    reached("commit.begun")
    with storage.turn(change.partition.path):
        for _ in range(_MAX_MERGES):
            with suppress(Overtaken):
                return _attempt(storage, change, lease, spec)
    raise StorageError(
        f"{change.partition.path} was rewritten by others {_MAX_MERGES} times while job "
        f"{lease.job_id} tried to. Nothing of this attempt was published; start it again."
    )


def _attempt(
    storage: Storage, change: PartitionCommit, lease: Lease, spec: RowSpec
) -> CommitResult:
    path = storage.parquet / change.partition.path
    known = _Known.read(storage, change)
    with parquet.opened(path) as file:
        footer = None if file is None else file.footer
        on_disk = 0 if footer is None else footer.generation
        if on_disk > known.generation:
            roll_forward(storage, change.partition)
            raise Overtaken
        if on_disk < known.generation:
            raise parquet.behind(path, footer)
        base = Base(
            known.generation, known.sha256, footer, known.coverage, known.origin, known.variant
        )
        publication = Publication(
            storage, change, lease, spec, base, _claims(storage, change, lease), storage.clock()
        )
        if not _brings_rows(change):
            # Claims alone need no rows, however large the file is.
            reached("commit.merged")
            return publication.lay_claims()
        merging = Merging(change, spec, known.coverage, storage.sizes)
        if _is_large(storage, change.rows, file):
            if file is not None and file.digest().sha256 != known.sha256:
                raise parquet.altered(path)
            reached("commit.merged")
            return publication.stream(
                merging.slice_by_slice(file),
                checks_keys=not isinstance(change.rows, pa.Table) and "ts" not in spec.key,
            )
        held = None if file is None else file.held(spec)
        if held is not None and held.sha256 != known.sha256:
            # Merging from it would give wrong rows a new, valid digest.
            raise parquet.altered(path)
    merged = merging.whole(None if held is None else held.rows)
    reached("commit.merged")
    if not merged.alters:
        return publication.lay_claims(merged.notes)
    return publication.write(merged)


def _brings_rows(change: PartitionCommit) -> bool:
    if change.replace is not None or not isinstance(change.rows, pa.Table):
        return True
    return bool(change.rows.num_rows)


def _is_large(
    storage: Storage, rows: pa.Table | Iterable[pa.Table], file: StoredFile | None
) -> bool:
    if not isinstance(rows, pa.Table):
        return True
    held = 0 if file is None else file.decoded_bytes
    return bool(held + rows.nbytes > storage.sizes.whole_bytes)


def _claims(storage: Storage, change: PartitionCommit, lease: Lease) -> list[Coverage]:
    confirmed_at = change.confirmed_at or storage.clock()
    return [
        Coverage(
            range=claim.range,
            basis=claim.basis,
            source=change.tag.name,
            source_rank=change.tag.rank,
            job_id=lease.job_id,
            confirmed_at=confirmed_at,
            evidence=claim.evidence,
        )
        for claim in change.claims
    ]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog says of the partition. Read before the file: that only moves ahead."""

    generation: int
    sha256: str | None
    coverage: list[Coverage]
    origin: str
    variant: str | None

    @classmethod
    def read(cls, storage: Storage, change: PartitionCommit) -> _Known:
        partition = change.partition
        with storage.database.reading() as transaction:
            series_id = series_id_of(transaction, partition.series)
            known = transaction.row(
                "select generation, sha256 from partitions where path = ?", (partition.path,)
            )
            series = transaction.row(
                "select origin, variant from series where series_id = ?", (series_id,)
            )
            covered = stored_coverage.touching(transaction, series_id, partition.range)
        assert series is not None
        generation, sha256 = (0, None) if known is None else known
        return cls(generation, sha256, covered, *series)
