"""Takes old data out of the lake: whole files, all or nothing, and never back again.

One transaction takes a series' files out of the catalog, trims its coverage, notes from where on
it is retained and names the files; only then are they unlinked. Killed in between, the next
start-up unlinks them. Plans leave out what lies before ``retained_from``, so that a nightly
backfill does not fetch it again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lake.domain.held import HeldFile
from lake.domain.identifiers import Series
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, ReadOnlyLake
from lake.storage import coverage as stored_coverage
from lake.storage import files
from lake.storage.catalog import series_id_of
from lake.storage.connection import Transaction
from lake.storage.held import held_files
from lake.storage.parquet import DamagedFile
from lake.storage.points import reached
from lake.storage.reconcile import catch_up, reconcile
from lake.storage.removals import unlink_removed

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_BEGINNING = datetime(1, 1, 1)


@dataclass(frozen=True, slots=True)
class Removal:
    """What of one series goes, or went: its files, and the span of their rows.

    ``retained_from`` is where what stays begins; None where nothing stays.
    """

    series: Series
    files: int
    rows: int
    bytes: int
    first: datetime | None
    last: datetime | None
    retained_from: datetime | None


def expiring(storage: Storage, series: Series, before: datetime) -> Removal:
    """What :func:`expire` with the same arguments would take out; nothing is changed.

    Raises:
        SeriesNotFound: The series was never stored.
    """
    boundary = _boundary(series, before)
    listed = held_files(storage.database, series, None, to_us(boundary))
    if listed is None:
        with storage.database.reading() as transaction:
            series_id_of(transaction, series)
    return _removal(series, listed or [], boundary)


def expire(storage: Storage, series: Series, before: datetime) -> Removal:
    """Take out every file of *series* that lies wholly before *before*.

    Args:
        storage: The lake.
        series: Whose rows.
        before: The first moment that has to stay (naive UTC). The file that holds it stays as
            a whole.

    Raises:
        SeriesNotFound: The series was never stored.
        ReadOnlyLake: Nothing can be changed.
        StorageError: A file could not be unlinked: it is out of the catalog, and the next
            start-up tries again.
    """
    _require_writable(storage)
    boundary = _boundary(series, before)
    # What dead writers left behind is settled first, or their files would come back later.
    reconcile(storage)
    with storage.database.writing() as transaction:
        reached("retention.begun")
        series_id = series_id_of(transaction, series)
        removed = _take_out(transaction, storage, series_id, series, boundary, "expired")
        transaction.run(
            "update series set retained_from = max(ifnull(retained_from, $from), $from) "
            "where series_id = $series_id",
            {"from": to_us(boundary), "series_id": series_id},
        )
        stored_coverage.cut(transaction, series_id, TimeRange(_BEGINNING, boundary))
        reached("retention.recorded")
    reached("retention.committed")
    unlink_removed(storage)
    return _removal(series, removed, boundary)


def dropping(storage: Storage, series: Series) -> Removal:
    """What :func:`drop` would take out; nothing is changed.

    Raises:
        SeriesNotFound: The series was never stored.
    """
    with storage.database.reading() as transaction:
        series_id_of(transaction, series)
    return _removal(series, held_files(storage.database, series) or [], None)


def drop(storage: Storage, series: Series) -> Removal:
    """Take *series* out of the lake as if it had never been stored: rows, coverage, jobs, notes.

    Raises:
        SeriesNotFound: The series was never stored.
        InvalidRequest: A job is at work on it.
        ReadOnlyLake: Nothing can be changed.
        StorageError: A file could not be unlinked: it is out of the catalog, and the next
            start-up tries again.
    """
    _require_writable(storage)
    reconcile(storage)
    with storage.database.writing() as transaction:
        reached("retention.begun")
        series_id = series_id_of(transaction, series)
        running = transaction.row(
            "select job_id from ingestion_jobs where series_id = ? and status = 'running'",
            (series_id,),
        )
        if running is not None:
            raise InvalidRequest(
                f"{series} cannot be dropped while job {running[0]} is at work on it. "
                f"`lake jobs cancel {running[0]}` ends it."
            )
        removed = _take_out(transaction, storage, series_id, series, None, "dropped")
        tables = transaction.rows(
            "select tables.name from sqlite_schema as tables "
            "inner join pragma_table_info(tables.name) as columns on columns.name = 'series_id' "
            "where tables.type = 'table' and tables.name <> 'series'"
        )
        for (table,) in tables:
            transaction.run(f'delete from "{table}" where series_id = ?', (series_id,))
        transaction.run("delete from series where series_id = ?", (series_id,))
        reached("retention.recorded")
    reached("retention.committed")
    unlink_removed(storage)
    storage.hot.forget(series)
    return _removal(series, removed, None)


def _boundary(series: Series, before: datetime) -> datetime:
    return Partition.of(series, before).range.start


def _take_out(
    transaction: Transaction,
    storage: Storage,
    series_id: int,
    series: Series,
    boundary: datetime | None,
    why: str,
) -> list[HeldFile]:
    """Move the files before *boundary* (all, where None) from the partitions to the removals."""
    end = "" if boundary is None else "and range_end <= $end"
    bindings = {"series_id": series_id} | ({} if boundary is None else {"end": to_us(boundary)})
    for (path,) in transaction.rows(
        f"select path from partitions where series_id = $series_id {end}", bindings
    ):
        # A writer that died between rename and commit left the file ahead of the catalog. One
        # that cannot be read has nothing to tell, and goes all the same.
        with suppress(DamagedFile):
            catch_up(transaction, storage, Partition.from_path(path))
    removed = [
        HeldFile(*row)
        for row in transaction.rows(
            "select path, range_start, range_end, rows, min_ts, max_ts, bytes, sha256, "
            "schema_version, generation, gap_runs from partitions "
            f"where series_id = $series_id {end} order by range_start",
            bindings,
        )
    ]
    now = to_us(storage.clock())
    transaction.run_many(
        "insert or replace into removals values (?, ?, ?, ?, ?, ?)",
        [
            (f"{files.PARQUET}/{each.path}", str(series), each.rows, each.bytes, why, now)
            for each in removed
        ],
    )
    old = transaction.rows(
        "select path, rows, bytes from revision_files where series_id = ? and pending = 0 and "
        "partition_path in (select value from json_each(?))",
        (series_id, json.dumps([each.path for each in removed])),
    )
    transaction.run_many(
        "insert or replace into removals values (?, ?, ?, ?, ?, ?)",
        [(path, str(series), rows, size, why, now) for path, rows, size in old],
    )
    transaction.run_many("delete from revision_files where path = ?", [(row[0],) for row in old])
    if boundary is not None:
        transaction.run(
            "delete from revisions where series_id = ? and ts < ? and pending = 0",
            (series_id, to_us(boundary)),
        )
    transaction.run_many(
        "delete from partitions where path = ?", [(each.path,) for each in removed]
    )
    return removed


def _removal(series: Series, removed: list[HeldFile], boundary: datetime | None) -> Removal:
    lows = [each.min_us for each in removed if each.min_us is not None]
    highs = [each.max_us for each in removed if each.max_us is not None]
    return Removal(
        series,
        files=len(removed),
        rows=sum(each.rows for each in removed),
        bytes=sum(each.bytes for each in removed),
        first=from_us(min(lows)) if lows else None,
        last=from_us(max(highs)) if highs else None,
        retained_from=boundary,
    )


def _require_writable(storage: Storage) -> None:
    if storage.read_only:
        raise ReadOnlyLake(
            f"The lake at {storage.root} is open for reading only, so nothing can be taken out. "
            "Run as a user who may write it."
        )
