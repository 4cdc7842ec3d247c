"""Writes the init file that gives any DuckDB client the lake's names: ``duckdb -init FILE``.

Plain SQL, the same statements that prepare our own connections. The file reads the live catalog,
so it is for processes that never open it through apsw, and for the DuckDB version it was made
with: the SQLite extension is loaded from its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

import duckdb

from lake.domain.timeframe import TimeFrame
from lake.errors import StorageError
from lake.sql_files import sql_file
from lake.warehouse import session
from lake.warehouse.catalog import copies, quoted, readable, schemas
from lake.warehouse.comments import on_macros, on_views
from lake.warehouse.connection import CATALOG, PARQUET, Opened, open_on, variables
from lake.warehouse.extension import extension_path
from lake.warehouse.queries import Broken


@dataclass(frozen=True, slots=True)
class InitFile:
    """The texts of one lake.

    Attributes:
        text: Prepares a DuckDB client.
        refresh: Takes over, in a running client, what was committed since.
        broken: Files of the user's own that are left out.
    """

    text: str
    refresh: str
    broken: tuple[Broken, ...]


def init_file(root: Path, *, now: datetime) -> InitFile:
    """What prepares any DuckDB client for the lake at *root*, as it is *now*.

    Raises:
        StorageError: The catalog cannot be read, or this process has it open through apsw.
    """
    opened = open_on(root, root / CATALOG, checks=True)
    try:
        count = _buckets(opened.connection)
        text = _joined(_statements(root, opened, count, now))
        refresh = _joined(chain(_copied(opened), _held(count)))
        return InitFile(text, refresh, tuple(opened.broken))
    finally:
        opened.close()


def _statements(root: Path, opened: Opened, count: int, now: datetime) -> Iterator[str]:
    timeframes = opened.holdings.timeframes or tuple(each.value for each in TimeFrame)
    yield (
        f"-- The lake at {root.absolute()}, for DuckDB {duckdb.__version__}: duckdb -init FILE\n"
        f"-- Made by `lake shell --init-file` at {now:%Y-%m-%dT%H:%M:%S}Z. File lists and\n"
        "-- views of the catalog are as of when the file is read: read it again for what is new."
    )
    yield "set TimeZone = 'UTC'"
    yield "set autoinstall_known_extensions = false"
    yield from _load()
    place = quoted(str(readable(root / CATALOG)))
    yield f"attach if not exists {place} as catalog (type sqlite, read_only)"
    yield from schemas()
    yield from _copied(opened)
    yield sql_file("session", "files").text
    yield from variables((root / PARQUET).absolute())
    for part in (session.nothing(), session.macros(), session.views(), session.analytics()):
        yield from part
    yield from session.checked()
    yield from (session.timeframe_view(TimeFrame(name)) for name in timeframes)
    names = [*session.view_names(), *(f"ohlcv_{name}" for name in timeframes)]
    yield from on_macros()
    yield from on_views(opened.connection, names)
    yield from _held(count)
    yield from (query.text for query in opened.queries)


def _load() -> Iterator[str]:
    path = extension_path(duckdb.__version__)
    if path is None:
        yield "install sqlite"
        yield "load sqlite"
    else:
        yield f"load {quoted(str(path))}"


def _copied(opened: Opened) -> Iterator[str]:
    """Takes over what the views read of the catalog, as it is when this is read."""
    yield "begin"
    yield from copies(opened.connection, session.tables(checks=True))
    yield "commit"


def _held(count: int) -> Iterator[str]:
    """Takes over what the catalog holds when this is read."""
    yield sql_file("session", "held").text
    # As many variables as there are statements for; a larger lake has longer ones.
    yield f"set variable lake_buckets = {count}"
    for kind in session.KINDS:
        yield session.kind(kind)
        for number in range(count):
            yield session.bucket(kind, number)
    yield from session.scope()


def _buckets(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select getvariable('lake_buckets')").fetchone()
    if row is None:
        raise StorageError("The lake's file lists cannot be read: DuckDB answers nothing.")
    return int(row[0])


def _joined(statements: Iterator[str]) -> str:
    return "\n\n".join(_ended(statement.strip()) for statement in statements) + "\n"


def _ended(statement: str) -> str:
    is_comment = all(line.startswith("--") for line in statement.splitlines())
    return statement if is_comment or statement.endswith(";") else f"{statement};"
