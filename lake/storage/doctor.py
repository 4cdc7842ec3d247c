"""Compares files with the catalog, and brings them into step where that is wanted.

The only part of the storage that walks the tree. Start-up looks at intents alone; this finds
what no intent tells of: files lost, altered, put back from a backup, or copied in by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import to_us
from lake.errors import InvalidRequest, ReadOnlyLake, SchemaMismatch
from lake.storage import parquet, revisions
from lake.storage.columns import require_rows
from lake.storage.parquet import DamagedFile
from lake.storage.rebuild import parquet_files
from lake.storage.reconcile import catch_up, reconcile, take_away
from lake.storage.recording import forget_partition, set_aside
from lake.storage.records import PartitionInfo, us_or_none
from lake.storage.scan import OrderScan, RowScan, keys_are_unique

if TYPE_CHECKING:
    from lake.storage.connection import Transaction
    from lake.storage.lake import Storage

_REFETCH = "`lake doctor --repair` marks its range as missing; the next backfill fetches it again."
_TAKE_AWAY = (
    "`lake doctor --repair` moves it to quarantine and marks its range as missing; the next "
    "backfill fetches it again."
)

Repair = Callable[["Transaction", "Storage", Partition, str], object]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. *path* is relative to the lake, *remedy* is what to do."""

    severity: Literal["error", "warning"]
    what: str
    path: str
    remedy: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class _Problem:
    what: str
    remedy: str
    repair: Repair


def examine(storage: Storage, *, deep: bool = False, repair: bool = False) -> list[Finding]:
    """What is wrong with the lake; nothing, where the list is empty.

    Safe while others write: what looks wrong is looked at again under the catalog's lock.

    Args:
        storage: The lake.
        deep: Read every byte: digests, page checksums, order and keys of rows, gap runs.
        repair: Put right what can be; nothing is deleted, files are moved to quarantine.

    Raises:
        ReadOnlyLake: It is to be repaired and cannot be written.
    """
    if repair and storage.read_only:
        raise ReadOnlyLake(
            f"The lake at {storage.root} cannot be repaired because it is open for reading only. "
            "Run as a user who may write it."
        )
    return [
        *_catalog_itself(storage, deep=deep),
        *_workers(storage),
        *_intents(storage, repair=repair),
        *_held_files(storage, deep=deep, repair=repair),
        *_other_files(storage, repair=repair),
        *_old_rows(storage, deep=deep),
    ]


def _catalog_itself(storage: Storage, *, deep: bool) -> Iterator[Finding]:
    name = storage.database.path.name
    for damage in storage.database.damage(deep=deep):
        yield Finding(
            "error",
            f"SQLite: {damage}",
            name,
            "Move the catalog and its -wal and -shm out of the lake: the next command makes it "
            "again from the Parquet files, all but the job history.",
        )
    if storage.database.holds_its_locks() is False:
        yield Finding(
            "error",
            "this process has lost its locks on the catalog",
            name,
            "Something opened the catalog by other means inside this process, or the file "
            "system has no locks. Stop writing, keep the lake on a local disk, and report it.",
        )


def _workers(storage: Storage) -> Iterator[Finding]:
    for job in storage.jobs.list((JobState.RUNNING,)):
        if not storage.jobs.is_worked_on(job.job_id):
            yield Finding(
                "warning",
                f"the worker of job {job.job_id} ({job.series}) is gone",
                storage.database.path.name,
                "Start the same command again: it continues. Or `lake jobs cancel` it.",
            )


def _intents(storage: Storage, *, repair: bool) -> Iterator[Finding]:
    if repair:
        reconcile(storage)
    wanted = {row[0] for row in storage.database.read("select temporary from intents")}
    for path in sorted(storage.parquet.rglob(".data.*.tmp")):
        relative = path.relative_to(storage.parquet).as_posix()
        if relative in wanted or _is_announced(storage, relative):
            continue
        if repair:
            path.unlink(missing_ok=True)
        yield Finding(
            "warning",
            "a temporary file that no intent speaks of",
            _shown(storage, relative),
            "`lake doctor --repair` removes it.",
            repaired=repair,
        )


def _is_announced(storage: Storage, relative: str) -> bool:
    """Whether a writer announced the file after the list of intents was read."""
    return (
        not (storage.parquet / relative).exists()
        or storage.database.read_one("select 1 from intents where temporary = ?", (relative,))
        is not None
    )


def _held_files(storage: Storage, *, deep: bool, repair: bool) -> Iterator[Finding]:
    for info in storage.catalog.all_partitions():
        if _problem_of(storage, info, deep=deep) is None:
            continue
        yield from _confirmed(storage, info.partition, deep=deep, repair=repair)


def _confirmed(
    storage: Storage, partition: Partition, *, deep: bool, repair: bool
) -> Iterator[Finding]:
    """The finding, if it stands once no writer can be in between; put right if wanted."""
    if storage.read_only:
        info = storage.catalog.partition(partition)
        problem = None if info is None else _problem_of(storage, info, deep=deep)
    else:
        with storage.database.writing() as transaction:
            info = storage.catalog.partition(partition)
            problem = None if info is None else _problem_of(storage, info, deep=deep)
            if problem is not None and repair:
                try:
                    problem.repair(transaction, storage, partition, problem.what)
                except DamagedFile as error:
                    # Its footer is sound and its pages are not.
                    take_away(transaction, storage, partition, str(error))
    if problem is not None:
        path = _shown(storage, partition.path)
        yield Finding("error", problem.what, path, problem.remedy, repaired=repair)


def _problem_of(storage: Storage, info: PartitionInfo, *, deep: bool) -> _Problem | None:
    path = storage.parquet / info.partition.path
    try:
        footer = parquet.read_footer(path)
    except DamagedFile as error:
        return _Problem(f"unreadable: {error}", _TAKE_AWAY, take_away)
    if footer is None:
        return _Problem("missing, though the catalog has it", _REFETCH, _forget)
    if footer.lake_id != storage.lake_id or footer.series != info.partition.series:
        return _Problem("holds rows of another lake or series", _TAKE_AWAY, take_away)
    if footer.generation > info.generation:
        return _Problem(
            f"ahead of the catalog (generation {footer.generation} after {info.generation})",
            "`lake doctor --repair` records it; so does the next command that writes it.",
            _catch_up,
        )
    if footer.generation < info.generation:
        return _Problem(
            f"older than the catalog says (generation {footer.generation}, not {info.generation})",
            "`lake doctor --repair` records it as it is and marks what it lacks as missing.",
            _take_back,
        )
    if path.stat().st_size != info.bytes:
        return _Problem(f"{path.stat().st_size} bytes, not {info.bytes}", _TAKE_AWAY, take_away)
    return _inner_problem(path, info) if deep else None


def _inner_problem(path: Path, info: PartitionInfo) -> _Problem | None:
    spec = ROW_SPECS[info.partition.series.data_type]
    seen, order = RowScan(info.partition), OrderScan(spec)
    try:
        with parquet.opened(path) as file:
            if file is None:
                return _Problem("missing, though the catalog has it", _REFETCH, _forget)
            if file.footer.generation != info.generation:
                return None  # replaced since; the next look sees the new one
            if file.digest().sha256 != info.sha256:
                return _Problem(
                    "altered since it was written (sha256 differs)", _TAKE_AWAY, take_away
                )
            for rows in file.tables(spec):
                require_rows(rows, spec, info.partition.range)
                seen.feed(rows)
                order.feed(rows)
            is_unique = order.is_unique
            if is_unique is None:
                is_unique = keys_are_unique(lambda: file.tables(spec), seen.rows, spec)
    except (DamagedFile, SchemaMismatch) as error:
        return _Problem(f"damaged: {error}", _TAKE_AWAY, take_away)
    if not (is_unique and order.is_sorted):
        return _Problem("rows out of order, or keys twice", _TAKE_AWAY, take_away)
    told = (
        info.rows,
        us_or_none(info.min_ts),
        us_or_none(info.max_ts),
        info.gap_runs,
        info.missing,
    )
    if told != (seen.rows, seen.min_us, seen.max_us, *seen.gaps):
        return _Problem(
            "its rows, bounds or gap runs are not those in the catalog",
            "`lake doctor --repair` counts them again.",
            _take_back,
        )
    return None


def _other_files(storage: Storage, *, repair: bool) -> Iterator[Finding]:
    held = {info.partition.path for info in storage.catalog.all_partitions()}
    for relative in parquet_files(storage.parquet):
        if relative in held:
            continue
        try:
            partition = Partition.from_path(relative)
            if storage.catalog.partition(partition) is not None:
                continue  # a commit since we asked
            footer = parquet.read_footer(storage.parquet / relative)
            if footer is None:
                continue
            if footer.lake_id != storage.lake_id or footer.series != partition.series:
                raise DamagedFile("it holds rows of another lake or series")
        except (InvalidRequest, DamagedFile) as error:
            yield _stranger(storage, relative, str(error), repair=repair)
            continue
        what, remedy = "written by this lake, but the catalog lacks it", "takes it in"
        if repair:
            with storage.database.writing() as transaction:
                try:
                    catch_up(transaction, storage, partition)
                except DamagedFile as error:
                    take_away(transaction, storage, partition, str(error))
                    what, remedy = f"{what}, and it is damaged: {error}", "moves it to quarantine"
        yield Finding(
            "error",
            what,
            _shown(storage, relative),
            f"`lake doctor --repair` {remedy}.",
            repaired=repair,
        )


def _old_rows(storage: Storage, *, deep: bool) -> Iterator[Finding]:
    for each in storage.catalog.revision_files():
        if (what := revisions.damage(storage, each, deep=deep)) is not None:
            yield Finding(
                "warning",
                f"old rows of generation {each.generation}: {what}",
                each.path,
                "The data are whole; what they were before is lost. Put the file back from a "
                "backup.",
            )


def _stranger(storage: Storage, relative: str, why: str, *, repair: bool) -> Finding:
    if repair:
        set_aside(storage.parquet / relative, relative, storage.quarantine)
    return Finding(
        "error",
        f"not a file of this lake: {why}",
        _shown(storage, relative),
        "`lake doctor --repair` moves it to quarantine; `lake import` brings its rows in.",
        repaired=repair,
    )


def _forget(transaction: Transaction, storage: Storage, partition: Partition, why: str) -> None:
    forget_partition(transaction, partition, why, to_us(storage.clock()))


def _catch_up(transaction: Transaction, storage: Storage, partition: Partition, why: str) -> None:
    catch_up(transaction, storage, partition)


def _take_back(transaction: Transaction, storage: Storage, partition: Partition, why: str) -> None:
    """Believe the file: forget what the catalog says, then take in what the footer says."""
    forget_partition(transaction, partition, why, to_us(storage.clock()))
    catch_up(transaction, storage, partition)


def _shown(storage: Storage, relative: str) -> str:
    return f"{storage.parquet.name}/{relative}"
