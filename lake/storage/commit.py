"""Publishes one partition: merged, fenced, and either wholly there or not at all.

The protocol (DESIGN, section 5): an intent row; a temporary file on the disk for good; then, in
one ``BEGIN IMMEDIATE``, the lease's token and the generation in the catalog *and* in the file
on the disk are still those merged from, rename, fsync of the folder, catalog rows, commit. A
file may be ahead of the catalog, never behind. Locks only save work; that comparison is the
guarantee.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from lake.domain.coverage import Coverage
from lake.domain.jobs import Lease
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.errors import InvalidRequest, StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import merge, parquet
from lake.storage.catalog import series_id_of
from lake.storage.columns import require_rows
from lake.storage.parquet import Held
from lake.storage.points import reached
from lake.storage.publish import Base, CommitResult, Overtaken, PartitionCommit, Publication
from lake.storage.reconcile import roll_forward

if TYPE_CHECKING:
    from lake.storage.lake import Storage

__all__ = ["CommitResult", "PartitionCommit", "commit"]

_MAX_MERGES = 100
"""Each time around, another writer of the same partition has published: bounded in practice."""


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
            with suppress(Overtaken):
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
    writer = Publication(storage, change, lease, spec, base, merged, claims, now)
    return writer.write() if merged.alters else writer.lay_claims()


def _read_base(storage: Storage, change: PartitionCommit, spec: RowSpec) -> Base:
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
        raise Overtaken
    if on_disk < generation:
        raise parquet.behind(path, footer)
    if held is not None and held.sha256 != sha256:
        # Merging from it would give wrong rows a new, valid digest.
        raise parquet.altered(path)
    return Base(generation, sha256, footer, None if held is None else held.rows, covered, origin[0])


def _merged(change: PartitionCommit, base: Base, spec: RowSpec) -> merge.Merged:
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
