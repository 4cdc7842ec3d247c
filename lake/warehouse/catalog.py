"""Gives a DuckDB connection the catalog as a schema: attached read-only, or copied into memory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
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

    The schema ``lake`` gets a view of each of its tables that reads one state of it, also while
    somebody writes; tables read as ``catalog.partitions`` do not promise that.

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
        for statement in consistent_views(connection):
            connection.execute(statement)
    except duckdb.Error as error:
        raise StorageError(f"{catalog} cannot be read: {error}") from error


def consistent_views(connection: Connection) -> list[str]:
    """Statements that make the schema ``lake`` over the attached catalog."""
    statements = ["create schema if not exists lake"]
    for table, columns in _columns(connection).items():
        statements.append(f'create or replace view lake."{table}" as {_consistent(table, columns)}')
    return [*statements, sql_file("session", "attached").text]


def copy(connection: Connection, catalog: Path, *, reader: Connection) -> None:
    """Make the schema ``catalog`` a copy of one state of *catalog* in memory, by way of Arrow.

    Args:
        connection: Gets the copy; it never loads the SQLite extension.
        catalog: The file.
        reader: Another DuckDB, with that extension, that nobody else uses.
    """
    attach(reader, catalog)
    names = list(_columns(reader))
    reader.execute("begin")
    tables = {name: reader.execute(f'from lake."{name}"').to_arrow_table() for name in names}
    reader.execute("commit")
    reader.execute("detach database catalog")
    for schema in ("catalog", "lake", _COPIES):
        connection.execute(f"create schema if not exists {schema}")
    for name, table in tables.items():
        connection.register("arriving", table)
        connection.execute(f'create or replace table {_COPIES}."{name}" as from arriving')
        # Views, so that nobody believes to have changed the catalog.
        for schema in ("catalog", "lake"):
            connection.execute(
                f'create or replace view {schema}."{name}" as from {_COPIES}."{name}"'
            )
        connection.unregister("arriving")
    connection.execute(sql_file("session", "copied").text)


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
