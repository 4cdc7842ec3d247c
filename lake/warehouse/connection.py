"""Opens DuckDB on a lake, with its names in place; they follow the lake when refreshed.

The only module that opens DuckDB. It never attaches a file that this process holds open through
apsw: two SQLite libraries on one file lose commits (DESIGN, section 4).
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import duckdb

from lake.domain.timeframe import TimeFrame
from lake.sql_files import sql_file
from lake.warehouse import session
from lake.warehouse.catalog import (
    Connection,
    attach,
    copy,
    load_sqlite,
    private_folder,
    quoted,
    take,
)
from lake.warehouse.comments import on_macros, on_views
from lake.warehouse.queries import Broken, Query, load_queries

CATALOG = "catalog.sqlite"
PARQUET = "parquet"
_GLOB_CHARACTERS = re.compile(r"([*?\[])")
# What a stranger's query may use (--locked); it fails cleanly beyond.
_LOCKED_MEMORY = "1GiB"
_LOCKED_SPILL = "2GiB"
# What people may change in a session whose configuration is locked: nothing that names a file.
_FREE_SETTINGS = ["threads", "memory_limit", "max_memory", "preserve_insertion_order"]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the views read: how many files, of which timeframes of candles (shortest first)."""

    files: int
    timeframes: tuple[str, ...]


class Access(Enum):
    """What a connection may reach."""

    OWN = "own"
    """The live catalog and any file that the user may read."""
    SHARED = "shared"
    """The lake's Parquet alone: this process has the catalog open through apsw, and whoever opens
    and closes that file a second time drops apsw's locks."""
    LOCKED = "locked"
    """The lake's Parquet alone, in bounded memory, nothing of the caller's names."""


class Opened:
    """One DuckDB connection on a lake.

    Attributes:
        connection: DuckDB's own.
        holdings: What the last :meth:`refresh` found.
        queries: The user's own files that were loaded.
        broken: Those that could not be.
    """

    def __init__(self, connection: Connection, access: Access, *, checks: bool = False) -> None:
        self.connection = connection
        self.queries: list[Query] = []
        self.broken: list[Broken] = []
        self.holdings = Holdings(0, ())
        self._access = access
        self._checks = checks
        self._reader: Connection | None = None
        self._attached: Path | None = None
        self._taken: dict[tuple[str, int], str] = {}

    def take(self, catalog: Path) -> None:
        """Make *catalog* the schema ``catalog``, and take over what the views read of it."""
        if self._access is Access.OWN:
            if catalog != self._attached:
                attach(self.connection, catalog)
                self._attached = catalog
            take(self.connection, catalog, session.tables(checks=self._checks))
        else:
            if self._reader is None:
                self._reader = _connect()
                load_sqlite(self._reader)
            try:
                copy(self.connection, catalog, reader=self._reader)
            except BaseException:
                self._reader.close()  # in the middle of a transaction: of no more use
                self._reader = None
                raise

    def refresh(self) -> Holdings:
        """Take over what the catalog holds now: file lists, and a view for each timeframe."""
        execute = self.connection.execute
        execute(sql_file("session", "held").text)
        row = execute(
            "select coalesce(sum(files), 0)::bigint, "
            "list(distinct timeframe) filter (data_type = 'ohlcv') from lake.held"
        ).fetchone()
        assert row is not None
        held = tuple(each for each in TimeFrame if each.value in (row[1] or ()))
        self.holdings = Holdings(row[0], tuple(each.value for each in held))
        self._make_timeframe_views(held or tuple(TimeFrame))
        for kind in session.KINDS:
            execute(session.kind(kind))
        for kind, number in self._changed_buckets():
            execute(session.bucket(kind, number))
        if self._checks:
            self.choose()
        return self.holdings

    def choose(self) -> None:
        """Choose the files that checks read, by what their variables say."""
        for statement in session.scope():
            self.connection.execute(statement)

    def close(self) -> None:
        """Close DuckDB. Closing twice does no harm."""
        self.connection.close()
        if self._reader is not None:
            self._reader.close()

    def _make_timeframe_views(self, wanted: tuple[TimeFrame, ...]) -> None:
        execute = self.connection.execute
        present = {
            name
            for (name,) in execute(
                "select view_name from duckdb_views() where starts_with(view_name, 'ohlcv_')"
            ).fetchall()
        }
        for statement in session.nothing():
            execute(statement)
        made = []
        for timeframe in TimeFrame:
            name = f"ohlcv_{timeframe.value}"
            if name in present and timeframe not in wanted:
                execute(f"drop view {name}")
            elif name not in present and timeframe in wanted:
                execute(session.timeframe_view(timeframe))
                made.append(name)
        for statement in on_views(self.connection, made):
            execute(statement)

    def _changed_buckets(self) -> set[tuple[str, int]]:
        """Those whose lines are others than when they were last taken over."""
        self.connection.execute(sql_file("session", "buckets").text)
        rows = self.connection.fetchall()
        now = {(kind, number): content for kind, number, content in rows}
        before, self._taken = self._taken, now
        return {each for each in now.keys() | before.keys() if now.get(each) != before.get(each)}


def open_on(
    root: Path, catalog: Path, access: Access = Access.OWN, *, checks: bool = False
) -> Opened:
    """DuckDB on the lake at *root* with the file *catalog* as the schema ``catalog``.

    Args:
        root: The lake.
        catalog: The live catalog for a process that never opens it through apsw, a snapshot for
            others.
        access: What the connection may reach. DuckDB itself holds to it, whatever is typed; that
            only SELECT is run where it must, is up to :mod:`lake.warehouse.statements`.
        checks: Whether the names that checks read are made, too.

    Raises:
        StorageError: This process has *catalog* open through apsw, or it cannot be read.
        MigrationError: It is of another version.
    """
    opened = Opened(_connect(), access, checks=checks)
    try:
        if access is Access.OWN:
            load_sqlite(opened.connection)
        opened.take(catalog)
        parquet = _reachable(root, access)
        _prepare(opened.connection, parquet)
        if checks:
            for statement in session.checked():
                opened.connection.execute(statement)
        opened.refresh()
        opened.queries, opened.broken = load_queries(opened.connection, root)
        for name, value in _settings(root, parquet, access).items():
            _set(opened.connection, name, value)
    except BaseException:
        opened.close()
        raise
    return opened


def _connect() -> Connection:
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    # Left alone, DuckDB spills into the working directory and downloads what it lacks.
    _set(connection, "temp_directory", str(private_folder()))
    _set(connection, "autoinstall_known_extensions", False)
    return connection


def _prepare(connection: Connection, parquet: Path) -> None:
    """Names, macros and views over the Parquet files below *parquet*."""
    parts = (
        variables(parquet),
        session.nothing(),
        session.macros(),
        session.views(),
        session.analytics(),
    )
    for statements in (*parts, on_macros()):
        for statement in statements:
            connection.execute(statement)
    for statement in on_views(connection, session.view_names()):
        connection.execute(statement)


def variables(parquet: Path) -> list[str]:
    """What the macros must know before they are made."""
    # DuckDB takes every path for a pattern; a bracket in a folder's name must stay one.
    place = _GLOB_CHARACTERS.sub(r"[\1]", str(parquet))
    return [
        f"set variable lake_root = {quoted(place)}",
        "set variable lake_buckets = 1",
        session.versions(),
    ]


def _reachable(root: Path, access: Access) -> Path:
    """``parquet/`` of the lake, by a name that DuckDB's list of allowed folders can hold."""
    parquet = (root / PARQUET).absolute()
    if access is Access.OWN or not _GLOB_CHARACTERS.search(str(parquet)):
        return parquet
    # A pattern, even one that stands for itself, is never inside an allowed folder.
    link = Path(tempfile.mkdtemp(dir=private_folder())) / PARQUET
    link.symlink_to(parquet, target_is_directory=True)
    return link


def _settings(root: Path, parquet: Path, access: Access) -> dict[str, str | bool | list[str]]:
    """What holds from here on, in this order. The last one makes the others final."""
    settings: dict[str, str | bool | list[str]] = {
        "allow_persistent_secrets": False,
        "allow_community_extensions": False,
    }
    if access is not Access.OWN:
        settings |= {
            "allowed_directories": [str((root / PARQUET).absolute()), str(parquet)],
            "autoload_known_extensions": False,
        }
    if access is Access.LOCKED:
        settings |= {
            "memory_limit": _LOCKED_MEMORY,
            "max_temp_directory_size": _LOCKED_SPILL,
            "python_enable_replacements": False,
        }
    else:
        settings["allowed_configs"] = _FREE_SETTINGS
    if access is not Access.OWN:
        settings["enable_external_access"] = False
    return {**settings, "lock_configuration": True}


def _set(connection: Connection, name: str, value: str | bool | list[str]) -> None:
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = "[" + ", ".join(quoted(each) for each in value) + "]"
    else:
        text = quoted(value)
    connection.execute(f"set {name} = {text}")
