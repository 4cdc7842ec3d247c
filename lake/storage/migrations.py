"""Brings a catalog to the schema of this version: numbered files, forward only, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lake import __version__
from lake.domain.times import to_us
from lake.errors import MigrationError
from lake.sql_files import SqlFile, sql_files
from lake.storage.connection import Database
from lake.storage.disk import storage_errors, sync_file, sync_folder

_TABLE = """
create table if not exists migrations (
    number integer not null primary key,
    name text not null,
    sha256 text not null,
    since text not null,
    applied_by text not null,
    applied_at integer not null
) strict
"""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What :func:`migrate` did. ``backup`` is the copy made before, where there was a catalog."""

    applied: tuple[str, ...]
    backup: Path | None


def migrate(
    database: Database, *, now: datetime, known: tuple[SqlFile, ...] | None = None
) -> Migrated:
    """Apply the migrations that *database* lacks, in one transaction; a copy is kept before.

    Args:
        database: The catalog, open for writing; it may be new and empty.
        now: What is noted as the time of each migration (naive UTC).
        known: All migrations, in order; those of ``sql/migrations`` where None.

    Raises:
        MigrationError: The catalog is newer than this version, or a migration that it had
            applied is not the one that we ship.
    """
    known = sql_files("migrations") if known is None else known
    applied = _applied(database)
    _check(database.path, applied, known)
    if len(applied) == len(known):
        return Migrated((), None)
    backup = _back_up(database, len(applied)) if applied else None
    with database.writing() as transaction:
        transaction.run(_TABLE)
        # Another process may have been quicker since we looked.
        done = len(transaction.rows("select number from migrations"))
        for number, file in enumerate(known[done:], start=done + 1):
            transaction.run(file.text)
            transaction.run(
                "insert into migrations values (?, ?, ?, ?, ?, ?)",
                (number, file.name, file.sha256, file.header["since"], __version__, to_us(now)),
            )
    return Migrated(tuple(file.name for file in known[done:]), backup)


def require_current(database: Database) -> None:
    """Refuse a catalog that this version cannot read as it is.

    Raises:
        MigrationError: It is newer, or older and cannot be migrated because it is read-only.
    """
    known = sql_files("migrations")
    applied = _applied(database)
    _check(database.path, applied, known)
    if len(applied) < len(known):
        raise MigrationError(
            f"{database.path} lacks the migration {known[len(applied)].name}, and the lake cannot "
            "be written here. Open it once where it can be written, for example: lake doctor."
        )


def _applied(database: Database) -> list[tuple[int, str, str, str]]:
    tables = database.read("select 1 from sqlite_schema where name = 'migrations'")
    if not tables:
        return []
    rows = database.read("select number, name, sha256, since from migrations order by number")
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _check(
    path: Path, applied: list[tuple[int, str, str, str]], known: tuple[SqlFile, ...]
) -> None:
    if len(applied) > len(known):
        since = applied[-1][3]
        raise MigrationError(
            f"{path} was written by a newer mdlake: it has the migration {applied[-1][1]}. "
            f"This is mdlake {__version__}; install mdlake {since} or newer."
        )
    for (_, name, sha256, _), file in zip(applied, known, strict=False):
        if (name, sha256) != (file.name, file.sha256):
            raise MigrationError(
                f"{path} was made with another text of the migration {name} than this mdlake "
                f"{__version__} has ({file.name}). Install the version that made it."
            )


def _back_up(database: Database, number: int) -> Path:
    target = database.path.with_name(f"{database.path.name}.after-{number:04}.backup")
    with storage_errors(f"copying the catalog to {target} before its migration"):
        target.unlink(missing_ok=True)
        database.copy_to(target)
        with target.open("rb+") as file:
            sync_file(file.fileno())
        sync_folder(target.parent)
    return target
