"""Rewrites files of an older schema in the current one, by the protocol of every commit.

Rows stay as they are: columns that an older file lacks are null, as they read before. Readers see
the old file or the new one, and a writer who comes in between is merged from, not lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Series
from lake.domain.jobs import Job, JobState, Lease
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.errors import ReadOnlyLake, StorageError
from lake.storage import coverage as stored_coverage
from lake.storage import parquet
from lake.storage.catalog import series_id_of
from lake.storage.change import Base, Overtaken, PartitionCommit
from lake.storage.merge import Merged
from lake.storage.publish import Publication
from lake.storage.reconcile import reconcile, roll_forward

if TYPE_CHECKING:
    from lake.storage.lake import Storage
    from lake.storage.parquet import StoredFile

_KIND = "migrate"
_MAX_TRIES = 100
"""Each time around another writer has published the file: bounded in practice."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """The files of one series that an older version of the program wrote.

    ``versions`` are the schema versions that they have, ascending.
    """

    series: Series
    partitions: tuple[Partition, ...]
    rows: int
    bytes: int
    versions: tuple[int, ...]

    @property
    def range(self) -> TimeRange:
        """The time from the first file's to the last one's end."""
        return TimeRange(self.partitions[0].range.start, self.partitions[-1].range.end)


def outdated(storage: Storage) -> list[Outdated]:
    """What :func:`upgrade` would rewrite, by series; by the catalog, no file is opened."""
    current = [(kind.value, ROW_SPECS[kind].version) for kind in DataType]
    terms = " or ".join("(series.data_type = ? and schema_version < ?)" for _ in current)
    rows = storage.database.read(
        "select path, rows, bytes, schema_version from partitions "
        f"inner join series using (series_id) where {terms} order by series_id, range_start",
        [value for pair in current for value in pair],
    )
    found: dict[Series, list[tuple[Partition, int, int, int]]] = {}
    for path, count, size, version in rows:
        partition = Partition.from_path(path)
        found.setdefault(partition.series, []).append((partition, count, size, version))
    return [
        Outdated(
            series,
            partitions=tuple(each[0] for each in files),
            rows=sum(each[1] for each in files),
            bytes=sum(each[2] for each in files),
            versions=tuple(sorted({each[3] for each in files})),
        )
        for series, files in found.items()
    ]


def upgrade(storage: Storage, old: Outdated) -> int:
    """Rewrite the files of *old* in the current schema; how many were.

    May be killed anywhere and started again: what was rewritten stays so.

    Raises:
        ReadOnlyLake: Nothing can be written.
        StorageError: A file is damaged, or the disk failed.
    """
    if storage.read_only:
        raise ReadOnlyLake(
            f"The lake at {storage.root} is open for reading only, so its files cannot be "
            f"rewritten. {storage.why_read_only}"
        )
    reconcile(storage)
    left = [job.job_id for job in _unfinished(storage) if job.series == old.series]
    # One that was killed or failed is taken over; one that is at work is not disturbed.
    job_id = left[-1] if left else storage.jobs.create(old.series, old.range, kind=_KIND).job_id
    lease = storage.jobs.claim(job_id, _KIND)
    count = 0
    try:
        for partition in old.partitions:
            count += _rewritten(storage, partition, lease)
    except BaseException as error:
        with suppress(StorageError):
            storage.jobs.finish(lease, JobState.FAILED, str(error) or type(error).__name__)
        raise
    storage.jobs.finish(lease, JobState.COMPLETED)
    return count


def settle(storage: Storage) -> None:
    """End the jobs of migrations that were killed when there was nothing left to do for them."""
    waiting = {each.series for each in outdated(storage)}
    for job in _unfinished(storage):
        if job.series not in waiting and not storage.jobs.is_worked_on(job.job_id):
            storage.jobs.finish(storage.jobs.claim(job.job_id, _KIND), JobState.COMPLETED)


def _unfinished(storage: Storage) -> list[Job]:
    states = (JobState.RUNNING, JobState.FAILED, JobState.PENDING)
    return [job for job in storage.jobs.list(states) if job.kind == _KIND]


def _rewritten(storage: Storage, partition: Partition, lease: Lease) -> bool:
    with storage.turn(partition.path):
        for _ in range(_MAX_TRIES):
            with suppress(Overtaken):
                return _attempt(storage, partition, lease)
    raise StorageError(
        f"{partition.path} was rewritten by others {_MAX_TRIES} times meanwhile. Start it again."
    )


def _attempt(storage: Storage, partition: Partition, lease: Lease) -> bool:
    spec = ROW_SPECS[partition.series.data_type]
    path = storage.parquet / partition.path
    # The catalog before the file: that only moves ahead.
    with storage.database.reading() as transaction:
        series_id = series_id_of(transaction, partition.series)
        known = transaction.row(
            "select generation, sha256 from partitions where path = ?", (partition.path,)
        )
        names = transaction.row(
            "select origin, variant from series where series_id = ?", (series_id,)
        )
        covered = stored_coverage.touching(transaction, series_id, partition.range)
    if known is None:
        return False  # taken out since
    with parquet.opened(path) as file:
        if file is None or file.footer.generation < known[0]:
            raise parquet.behind(path, file)
        if file.footer.generation > known[0]:
            roll_forward(storage, partition)
            raise Overtaken
        if file.footer.schema_version >= spec.version:
            return False  # written anew since
        if file.digest().sha256 != known[1]:
            raise parquet.altered(path)
        assert names is not None
        tag = file.footer.source
        publication = Publication(
            storage,
            PartitionCommit(partition=partition, rows=spec.schema.empty_table(), tag=tag),
            lease,
            spec,
            Base(known[0], known[1], file.footer, covered, names[0], names[1]),
            [],
            storage.clock(),
        )
        publication.stream(_unchanged(file, spec), checks_keys=False)
    return True


def _unchanged(file: StoredFile, spec: RowSpec) -> Iterator[Merged]:
    """All rows as they are, said to be changed: else nothing would be written."""
    # A file without rows has to be written again as well.
    yield Merged(spec.schema.empty_table(), changed=0 if file.footer.rows else 1)
    for rows in file.tables(spec):
        yield Merged(rows, changed=rows.num_rows)
