"""Start-up after a crash: finishes or takes back what dead workers had announced.

Looks only at intents, never at the tree (the doctor does that), and only at those whose worker
no longer holds the job. Idempotent, and may itself be killed anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import to_us
from lake.storage import coverage as stored_coverage
from lake.storage import disk, parquet
from lake.storage.connection import Row, Transaction
from lake.storage.jobs import is_alive
from lake.storage.parquet import DamagedFile
from lake.storage.points import reached
from lake.storage.recording import (
    adopt_series,
    forget_intent,
    forget_partition,
    record,
    set_aside,
)
from lake.storage.removals import unlink_if_removed, unlink_removed
from lake.storage.scan import RowScan

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_INTENTS = (
    "select commit_id, path, temporary, intents.token, job.status, job.token, job.lease_until, "
    "job.lease_process from intents left join ingestion_jobs as job using (job_id)"
)


def reconcile(storage: Storage) -> int:
    """Settle every intent that no living worker stands behind; how many there were."""
    dead = [row[0] for row in storage.database.read(_INTENTS) if _is_dead(storage, row)]
    for commit_id in dead:
        _settle(storage, commit_id)
    unlink_removed(storage)
    return len(dead)


def roll_forward(storage: Storage, partition: Partition) -> bool:
    """Record the file of *partition* where it is ahead of the catalog; whether it was.

    Raises:
        DamagedFile: It cannot be read, or belongs to another lake or series.
    """
    with storage.database.writing() as transaction:
        return catch_up(transaction, storage, partition)


def _settle(storage: Storage, commit_id: str) -> None:
    with storage.database.writing() as transaction:
        reached("reconcile.begun")
        row = transaction.row(f"{_INTENTS} where commit_id = ?", (commit_id,))
        if row is None or not _is_dead(storage, row):
            return
        partition = Partition.from_path(row[1])
        temporary = storage.parquet / row[2]
        with disk.storage_errors(f"removing {temporary}"):
            temporary.unlink(missing_ok=True)
        reached("reconcile.unlinked")
        try:
            catch_up(transaction, storage, partition)
        except DamagedFile as error:
            take_away(transaction, storage, partition, str(error))
        _forget_if_missing(transaction, storage, partition)
        forget_intent(transaction, storage.root, commit_id)
        reached("reconcile.recorded")


def _forget_if_missing(transaction: Transaction, storage: Storage, partition: Partition) -> None:
    """A start-up that was killed may have moved a damaged file and not said so."""
    known = transaction.row("select 1 from partitions where path = ?", (partition.path,))
    if known is not None and not (storage.parquet / partition.path).exists():
        why = "was missing after a crash"
        forget_partition(transaction, partition, why, to_us(storage.clock()))


def take_away(transaction: Transaction, storage: Storage, partition: Partition, why: str) -> str:
    """Quarantine the file of *partition* and mark its range as missing; where it lies now."""
    path = storage.parquet / partition.path
    moved = set_aside(path, partition.path, storage.quarantine)
    place = moved.relative_to(storage.root).as_posix()
    forget_partition(transaction, partition, f"moved to {place}: {why}", to_us(storage.clock()))
    return place


def catch_up(transaction: Transaction, storage: Storage, partition: Partition) -> bool:
    """As :func:`roll_forward`, inside a write transaction that is already open."""
    path = storage.parquet / partition.path
    if unlink_if_removed(transaction, storage, partition):
        return False
    footer = parquet.read_footer(path)
    known = transaction.row("select generation from partitions where path = ?", (partition.path,))
    if footer is None or (known is not None and footer.generation <= known[0]):
        return False
    seen = RowScan(partition)
    with parquet.opened(path) as file:
        if file is None or file.footer.series != partition.series:
            raise DamagedFile(f"{path} holds rows of another series.")
        if file.footer.lake_id != storage.lake_id:
            raise DamagedFile(f"{path} was written by another lake.")
        footer, written = file.footer, file.digest()
        # Every page is checked before the catalog vouches for the file.
        for rows in file.tables(ROW_SPECS[partition.series.data_type]):
            seen.feed(rows)
    # The writer may have died before it forced the new name onto the disk.
    with disk.storage_errors(f"publishing {path}"):
        disk.sync_folder(path.parent)
    series_id = adopt_series(transaction, footer)
    before_us = stored_coverage.last_row_us(transaction, series_id)
    record(transaction, series_id, partition, footer, written=written, gaps=seen.gaps)
    # Without a row in the catalog all that the file knows is news; else only its last commit.
    stored_coverage.lay(transaction, series_id, footer.coverage if known is None else footer.claims)
    if known is None:
        stored_coverage.lay(transaction, series_id, footer.claims)
    stored_coverage.doubt_endings(transaction, series_id, partition.series.grid, before_us)
    transaction.run(
        "update ingestion_jobs set rows = rows + ?, progress = ifnull(?, progress) "
        "where job_id = ? and token >= ?",
        (footer.stored, footer.progress, footer.job_id, footer.token),
    )
    return True


def _is_dead(storage: Storage, row: Row) -> bool:
    _, _, _, token, status, newest, until, process = row
    if status != JobState.RUNNING.value or token != newest:
        return True
    return not is_alive(until, process, storage.clock())
