"""Opens DuckDB on a lake: the catalog attached read-only, views and macros in place.

The only module that opens DuckDB. It never attaches a file that this process holds open through
apsw: two SQLite libraries on one file lose commits (DESIGN, section 4).
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lake import open_files
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.errors import MigrationError, StorageError
from lake.sql_files import sql_file, sql_files
from lake.warehouse.extension import PACKAGE, extension_path

CATALOG = "catalog.sqlite"
PARQUET = "parquet"
_TEMPLATE = "ohlcv_timeframe"
_GLOB_CHARACTERS = re.compile(r"([*?\[])")
# What a stranger's query may use (--locked); it fails cleanly beyond.
_LOCKED_MEMORY = "1GiB"

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the views read: how many candle files, of which timeframes (shortest first)."""

    files: int
    timeframes: tuple[str, ...]


def open_on(root: Path, catalog: Path) -> Connection:
    """A connection on the lake at *root* that attaches the file *catalog*, READ_ONLY.

    The live catalog for a process that never opens it through apsw, a snapshot for others.

    Raises:
        StorageError: This process has *catalog* open through apsw, or it cannot be read.
        MigrationError: It is of another version.
    """
    connection = _connect()
    try:
        _load_sqlite(connection)
        attach(connection, catalog)
        _prepare(connection, root)
    except BaseException:
        connection.close()
        raise
    return connection


def open_locked(root: Path, catalog: Path) -> Connection:
    """A connection for the SQL of strangers: no SQLite extension, no file outside ``parquet/``.

    The catalog is a copy in memory. Only a single SELECT may be run on it (see
    :mod:`lake.warehouse.query`): DuckDB itself would still let ``COPY`` overwrite the lake.
    """
    connection = _connect()
    try:
        copy_catalog(connection, catalog)
        _prepare(connection, root)
        folders = [str((root / PARQUET).absolute()), str(_private_folder())]
        for name, value in (
            ("allowed_directories", folders),
            ("memory_limit", _LOCKED_MEMORY),
            ("autoload_known_extensions", False),
            ("python_enable_replacements", False),
            ("enable_external_access", False),
            ("lock_configuration", True),
        ):
            _set(connection, name, value)
    except BaseException:
        connection.close()
        raise
    return connection


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
    readable = _readable(catalog)
    connection.execute("detach database if exists catalog")
    try:
        connection.execute(f"attach {_quoted(str(readable))} as catalog (type sqlite, read_only)")
        _require_version(connection, catalog)
        connection.execute("create schema if not exists lake")
        for table, columns in _columns(connection).items():
            connection.execute(
                f'create or replace view lake."{table}" as {_consistent(table, columns)}'
            )
        connection.execute(sql_file("session", "attached").text)
    except duckdb.Error as error:
        raise StorageError(f"{catalog} cannot be read: {error}") from error


def copy_catalog(connection: Connection, catalog: Path) -> None:
    """Make the schema ``catalog`` a copy of one state of *catalog* in memory, by way of Arrow."""
    reader = _connect()
    try:
        _load_sqlite(reader)
        attach(reader, catalog)
        names = list(_columns(reader))
        reader.execute("begin")
        tables = {name: reader.execute(f'from lake."{name}"').to_arrow_table() for name in names}
    finally:
        reader.close()
    for schema in ("catalog", "lake"):
        connection.execute(f"create schema if not exists {schema}")
    for name, table in tables.items():
        connection.register("arriving", table)
        connection.execute(f'create or replace table catalog."{name}" as from arriving')
        connection.execute(f'create or replace view lake."{name}" as from catalog."{name}"')
        connection.unregister("arriving")
    connection.execute(sql_file("session", "copied").text)


def refresh(connection: Connection) -> Holdings:
    """Take over what the catalog holds now: file lists, and a view for each timeframe."""
    connection.execute(sql_file("session", "held").text)
    holdings = holdings_of(connection)
    names = set(holdings.timeframes) or {each.value for each in TimeFrame}
    present = {
        name.removeprefix("ohlcv_")
        for (name,) in connection.execute(
            "select view_name from duckdb_views() where starts_with(view_name, 'ohlcv_')"
        ).fetchall()
    }
    template = sql_file("views", _TEMPLATE).text
    connection.execute(sql_file("session", "nothing").text)
    for timeframe in TimeFrame:
        if timeframe.value in present - names:
            connection.execute(f"drop view ohlcv_{timeframe.value}")
        elif timeframe.value in names - present:
            connection.execute(template.replace("{timeframe}", timeframe.value))
    connection.execute(sql_file("session", "taken").text)
    return holdings


def holdings_of(connection: Connection) -> Holdings:
    """What the last :func:`refresh` found."""
    row = connection.execute(
        "select getvariable('lake_holdings')['files'], getvariable('lake_holdings')['timeframes']"
    ).fetchone()
    assert row is not None
    return Holdings(row[0], tuple(each.value for each in TimeFrame if each.value in row[1]))


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
    return f"select {outer} from sqlite_query('catalog', {_quoted(f'select {inner} from {table}')})"


def _readable(catalog: Path) -> Path:
    """*catalog*, or a private copy of it where its folder cannot be written.

    SQLite reads a database in WAL mode only with the ``-shm`` file beside it. Where that is
    missing and cannot be made, nobody is writing, and a copy is as good.
    """
    shared = catalog.with_name(f"{catalog.name}-shm")
    if shared.exists() or os.access(catalog.parent, os.W_OK):
        return catalog
    try:
        folder = Path(tempfile.mkdtemp(dir=_private_folder()))
        for name in (catalog.name, f"{catalog.name}-wal"):
            if (source := catalog.with_name(name)).exists():
                shutil.copyfile(source, folder / name)
    except OSError as error:
        raise StorageError(f"{catalog} cannot be copied to read it: {error}") from error
    return folder / catalog.name


def _connect() -> Connection:
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    # Left alone, DuckDB spills into the working directory and downloads what it lacks.
    _set(connection, "temp_directory", str(_private_folder()))
    _set(connection, "autoinstall_known_extensions", False)
    return connection


def _load_sqlite(connection: Connection) -> None:
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


def _prepare(connection: Connection, root: Path) -> None:
    """Names, macros and views of the lake at *root*."""
    parquet = str((root / PARQUET).absolute())
    # DuckDB takes every path for a pattern; a bracket in a folder's name must stay one.
    _set_variable(connection, "lake_root", _GLOB_CHARACTERS.sub(r"[\1]", parquet))
    _set_variable(connection, "lake_empty_ohlcv", str(_empty_file()))
    _set_variable(connection, "lake_schema_version", OHLCV.version)
    connection.execute(sql_file("session", "nothing").text)
    for file in sql_files("macros"):
        connection.execute(file.text)
    for file in sql_files("views"):
        if file.name != _TEMPLATE:
            connection.execute(file.text)
    refresh(connection)


def _set(connection: Connection, name: str, value: str | bool | list[str]) -> None:
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = "[" + ", ".join(_quoted(each) for each in value) + "]"
    else:
        text = _quoted(value)
    connection.execute(f"set {name} = {text}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _set_variable(connection: Connection, name: str, value: str | bool | int) -> None:
    connection.execute(f"set variable {name} = $value", {"value": value})


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


@cache
def _private_folder() -> Path:
    """A folder of this process for what DuckDB spills, gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="lake-duckdb-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _empty_file() -> Path:
    """A candle file without rows: what a view reads where no file is held."""
    nobody = Series(DataType.OHLCV, InstrumentId("_", Venue("_")), TimeFrame.MINUTE_1)
    path = _private_folder() / Partition(nobody, 1970, 1).path
    path.parent.mkdir(parents=True)
    table: pa.Table = OHLCV.schema.empty_table()
    pq.write_table(table, path)
    return path
