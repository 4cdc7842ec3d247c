"""Gives a DuckDB connection the catalog as a schema: attached read-only, or copied into memory.

What our views read of it is copied into memory either way, in the schema ``lake``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

import duckdb

from lake import open_files
from lake.errors import MigrationError, StorageError
from lake.private_copies import copy_of
from lake.sql_files import sql_file, sql_files
from lake.warehouse.extension import PACKAGE, extension_path

Connection = duckdb.DuckDBPyConnection
_COPIES = "lake_copies"
# A -shm file is made so large at least.
_SHARED_BYTES = 32_768


def attach(connection: Connection, catalog: Path) -> None:
    """Make *catalog* the schema ``catalog``, in place of the one before.

    Raises:
        StorageError: apsw has the file open in this process, or it cannot be opened.
        MigrationError: It is of another version.
    """
    if open_files.is_registered(catalog):
        raise StorageError(
            f"{catalog} is open for writing in this process, so DuckDB must not open it too. "
            "Attach Storage.snapshot() instead."
        )
    place = readable(catalog)
    connection.execute("detach database if exists catalog")
    try:
        connection.execute(f"attach {quoted(str(place))} as catalog (type sqlite, read_only)")
        _require_version(connection, catalog)
    except duckdb.Error as error:
        raise _unreadable(catalog, error) from error


def take(connection: Connection, catalog: Path, names: Collection[str]) -> None:
    """Make the schema ``lake`` a copy of one state of the attached *catalog*'s tables *names*.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        for statement in schemas():
            connection.execute(statement)
        connection.execute("begin")
        try:
            for statement in copies(connection, names):
                connection.execute(statement)
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
        connection.execute(sql_file("session", "files").text)
    except duckdb.Error as error:
        raise _unreadable(catalog, error) from error


def schemas() -> list[str]:
    """Statements that make room for :func:`copies`."""
    return [f"create schema if not exists {schema}" for schema in ("lake", _COPIES)]


def copies(connection: Connection, names: Collection[str]) -> list[str]:
    """Statements that take over the attached catalog's tables *names*, to be run in a transaction.

    Not views of the attached tables: DuckDB scans those by rowid, up to a highest one that it
    looked up before and through other connections, so a row that a writer replaces meanwhile is
    missed (measured: 1 scan in 100 at 60 commits a second). Nor views of ``sqlite_query``, which
    is one statement on one connection: two of them in one query use that connection from two
    threads, and the process ends or reads nonsense (measured: 1 query in 1,000).
    """
    statements = []
    for table, columns in _columns(connection).items():
        if table in names:
            read = _consistent(table, columns)
            statements.append(f'create or replace table {_COPIES}."{table}" as {read}')
            statements.append(_view("lake", table))
    return statements


def copy(connection: Connection, catalog: Path, *, reader: Connection) -> None:
    """Make the schema ``catalog`` a copy of one state of *catalog* in memory, by way of Arrow.

    Args:
        connection: Gets the copy; it never loads the SQLite extension.
        catalog: The file.
        reader: Another DuckDB, with that extension, that nobody else uses.
    """
    attach(reader, catalog)
    reader.execute("begin")
    tables = {
        name: reader.execute(_consistent(name, columns)).to_arrow_table()
        for name, columns in _columns(reader).items()
    }
    reader.execute("commit")
    reader.execute("detach database catalog")
    for statement in ("create schema if not exists catalog", *schemas()):
        connection.execute(statement)
    for name, table in tables.items():
        connection.register("arriving", table)
        connection.execute(f'create or replace table {_COPIES}."{name}" as from arriving')
        for schema in ("catalog", "lake"):
            connection.execute(_view(schema, name))
        connection.unregister("arriving")
    connection.execute(sql_file("session", "files").text)


def _view(schema: str, table: str) -> str:
    """A view of a copy, so that nobody believes to have changed the catalog."""
    return f'create or replace view {schema}."{table}" as from {_COPIES}."{table}"'


def _unreadable(catalog: Path, error: duckdb.Error) -> StorageError:
    return StorageError(f"{catalog} cannot be read: {error}")


def load_sqlite(connection: Connection) -> None:
    """Load DuckDB's SQLite extension, from its package where that has one for us."""
    path = extension_path(duckdb.__version__)
    try:
        if path is not None:
            connection.load_extension(str(path))
            return
        connection.install_extension("sqlite")
        connection.load_extension("sqlite")
    except duckdb.Error as error:
        raise StorageError(
            f"DuckDB {duckdb.__version__} needs its SQLite extension to read the catalog, and "
            f"the package {PACKAGE} has none for this platform or version. Install "
            f"{PACKAGE.replace('_', '-')}=={duckdb.__version__}, or run once with a network: "
            f"duckdb -c 'install sqlite'. ({error})"
        ) from error


def quoted(text: str) -> str:
    """*text* as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


@cache
def private_folder() -> Path:
    """A folder of this process for what DuckDB spills, gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="lake-duckdb-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _columns(connection: Connection) -> dict[str, list[tuple[str, str]]]:
    """The attached catalog's tables, each with its columns and their types."""
    rows = connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where database_name = 'catalog' order by table_name, column_index"
    ).fetchall()
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, []).append((column, kind))
    return tables


def _consistent(table: str, columns: list[tuple[str, str]]) -> str:
    """A query of all of *table* in one statement of SQLite, which gives everything as text."""
    # SQLite's own text of a real number has 15 digits, two too few.
    inner = ", ".join(
        f"case when {name} is not null then printf('%!.17g', {name}) end as {name}"
        if kind == "DOUBLE"
        else name
        for name, kind in columns
    )
    outer = ", ".join(f"{name}::{kind} as {name}" for name, kind in columns)
    return f"select {outer} from sqlite_query('catalog', {quoted(f'select {inner} from {table}')})"


def readable(catalog: Path) -> Path:
    """*catalog*, or a private copy of it where its folder cannot be written or is full.

    SQLite reads a database in WAL mode only with the ``-shm`` file beside it. Where that is
    missing and cannot be made, nobody is writing, and a copy is as good.
    """
    shared = catalog.with_name(f"{catalog.name}-shm")
    # On a full disk an empty one may be left of an attempt to make it.
    is_shared = shared.exists() and shared.stat().st_size >= _SHARED_BYTES
    can_make = os.access(catalog.parent, os.W_OK) and (
        shutil.disk_usage(catalog.parent).free >= 2 * _SHARED_BYTES
    )
    if is_shared or can_make:
        return catalog
    copied = copy_of(catalog)
    atexit.register(shutil.rmtree, copied.parent, ignore_errors=True)
    return copied


def _require_version(connection: Connection, catalog: Path) -> None:
    known = len(sql_files("migrations"))
    newest = connection.execute(
        "select number, since from catalog.migrations order by number desc limit 1"
    ).fetchone()
    if newest is not None and newest[0] > known:
        raise MigrationError(
            f"{catalog} was written by a newer mdlake; install mdlake {newest[1]} or newer."
        )
    if newest is None or newest[0] < known:
        raise MigrationError(
            f"{catalog} is of an older mdlake. Open the lake once with a command that may write "
            "it, for example `lake doctor`, and its catalog is brought up to date."
        )
