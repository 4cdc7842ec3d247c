"""Opens ``hot.sqlite``: made where it is missing, made again where it is of another version."""

from __future__ import annotations

from pathlib import Path

from lake.sql_files import sql_file
from lake.storage.connection import Access, DamagedDatabase, Database


def open_hot(path: Path, *, read_only: bool) -> Database | None:
    """The database; None where it cannot be had: its rows are in the files as well.

    Raises:
        StorageError: The disk or SQLite failed.
    """
    tables = sql_file("hot", "tables")
    version = int(tables.header["version"])
    if read_only:
        # SQLite reads a WAL database only with the -shm beside it, or where it can make one.
        if not path.exists() or not path.with_name(f"{path.name}-shm").exists():
            return None
        database = Database(path, Access.READ)
        if _version(database) == version:
            return database
        database.close()
        return None
    for _ in range(2):
        try:
            database = Database(path, Access.CACHE)
        except DamagedDatabase:
            _remove(path)
            continue
        try:
            if _version(database) != version:
                _make(database, tables.text, version)
            return database
        except DamagedDatabase:
            database.close()
            _remove(path)
    return None


def _make(database: Database, tables: str, version: int) -> None:
    """Empty tables in place of whatever is there. The file stays: others may have it open."""
    with database.writing() as transaction:
        if transaction.row("pragma user_version") == (version,):
            return
        for (name,) in transaction.rows("select name from sqlite_schema where type = 'table'"):
            transaction.run(f'drop table "{name}"')
        transaction.run(tables)
        transaction.run(f"pragma user_version = {version}")


def _version(database: Database) -> int:
    row = database.read_one("pragma user_version")
    assert row is not None
    return int(row[0])


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
