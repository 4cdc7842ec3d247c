"""Answers SQL over a lake, as Arrow tables or polars frames. It cannot write the lake.

A file may be replaced at any moment, and DuckDB opens a path more than once; a query that met
two versions of a file is asked again. It does not open DuckDB itself.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, LakeError, NoLake, SeriesNotFound, StorageError
from lake.warehouse import connection as opening

if TYPE_CHECKING:
    import polars as pl

Parameters = Mapping[str, Any] | Sequence[Any] | None

# DuckDB reads a file's footer through one descriptor and its pages through another. Where the
# file was replaced in between it fails with one of these, or with its bare base class
# ("don't know what type", "TProtocolException"); a file that is really damaged keeps failing.
_MAY_PASS = (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException)
# After one of these DuckDB answers nothing any more and has to be opened anew.
_BROKEN = (duckdb.InternalException, duckdb.FatalException)
# Without any sign of a commit a failure is believed after this many tries...
_TRIES = 3
# ... and with commits going on all the time, after this many.
_MAX_TRIES = 25
# From here on a view, which lists every file, is slower than the macro by far.
_MANY_FILES = 5_000
_VIEW = re.compile(r"\bohlcv_(?:all|\d+(?:s|m|h|d|w|mo))\b", re.IGNORECASE)
# Either would open a file that this process may hold open through apsw (DESIGN, section 4).
_TOUCHES_SQLITE = re.compile(r"\bsqlite_\w+\s*\(|\b(?:catalog|hot|rates)\.sqlite", re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain(?:\s+analyze)?\s*(?:\([^)]*\))?\s*(.*)", re.I | re.S)
_OURS = re.compile(r"lake: (.*?)(?:\n\nLINE|\Z)", re.S)
_NO_VIEW = re.compile(r"Table with name ohlcv_(\w+) does not exist")

_Kind = duckdb.StatementType
# Nothing here can write a file: what is created or changed lives in memory.
_ALLOWED = {
    _Kind.SELECT,
    _Kind.SET,
    _Kind.VARIABLE_SET,
    _Kind.CREATE,
    _Kind.CREATE_FUNC,
    _Kind.INSERT,
    _Kind.UPDATE,
    _Kind.DELETE,
    _Kind.DROP,
    _Kind.ALTER,
    _Kind.TRANSACTION,
    _Kind.RELATION,
}


class Trust(Enum):
    """Whose SQL it is."""

    OWN = "own"
    """The user's: files may be read, tables made in memory; the lake cannot be written."""
    LOCKED = "locked"
    """A stranger's: one SELECT, over the lake only."""


class Warehouse:
    """DuckDB on one lake, following the lake as it grows. One thread at a time.

    Args:
        root: The lake.
        catalog: Gives the catalog file to attach, for each query anew: ``Storage.snapshot`` in
            a process that has the lake open. None: the live file, for all others.
        trust: Whose SQL is run.
    """

    def __init__(
        self,
        root: Path,
        *,
        catalog: Callable[[], Path] | None = None,
        trust: Trust = Trust.OWN,
    ) -> None:
        self._root = root
        self._trust = trust
        self._access = _access(trust, shares_process=catalog is not None)
        self._catalog = catalog or (lambda: _live_catalog(root))
        # What is attached is at least as new as its stamp, so the stamp is taken first.
        self._attached = self._catalog()
        self._stamp = _stamp(self._attached)
        self._opened = self._open()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB's own connection, prepared. After a failed query it may be another one."""
        return self._opened.connection

    def query(
        self, sql: str, parameters: Parameters = None, **frames: pl.DataFrame
    ) -> pl.DataFrame:
        """The answer of *sql* as a polars frame; see :meth:`arrow`.

        Args:
            sql: DuckDB SQL.
            parameters: Values, by name or by position.
            frames: Polars frames that the SQL may use as tables of these names.
        """
        import polars as pl

        for name, frame in frames.items():
            self.connection.register(name, frame.to_arrow())
        answer = pl.from_arrow(self.arrow(sql, parameters))
        assert isinstance(answer, pl.DataFrame)
        return answer

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """The answer of *sql* (of its last statement), from some committed state of each file.

        Args:
            sql: DuckDB SQL. ``$name`` and ``?`` take their values from *parameters*.
            parameters: Values, by name or by position.

        Returns:
            A table; without columns where the statement answers nothing.

        Raises:
            InvalidRequest: The SQL is wrong, names what is not held, or would write.
            StorageError: A file is damaged.
        """
        self._require_allowed(sql)
        for attempt in range(1, _MAX_TRIES + 1):
            self._follow()
            self._warn_of_many_files(sql)
            try:
                return _table(self.connection.execute(sql, parameters))
            except duckdb.Error as error:
                if not _may_pass(error) or not self._again(attempt, error):
                    raise _translated(error, self._opened.holdings) from error
        raise AssertionError("unreachable")

    def interrupt_after(self, seconds: float) -> threading.Timer:
        """Stop a query that still runs after *seconds*; cancel the timer when it has ended."""
        timer = threading.Timer(seconds, self.connection.interrupt)
        timer.daemon = True
        timer.start()
        return timer

    def close(self) -> None:
        """Close DuckDB. Closing twice does no harm."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self) -> bool:
        """Take over what was committed since the last query; whether there was anything."""
        catalog = self._catalog()
        stamp = _stamp(catalog)
        if catalog == self._attached and stamp == self._stamp:
            return False
        if catalog != self._attached or self._access is not opening.Access.OWN:
            self._opened.take(catalog)
        self._opened.refresh()
        self._attached, self._stamp = catalog, stamp
        return True

    def _again(self, attempt: int, error: duckdb.Error) -> bool:
        """Whether a failed read is worth another try, with DuckDB able to make it."""
        if isinstance(error, _BROKEN):
            self._opened.close()
            self._opened = self._open()
        return attempt < _TRIES or (self._follow() and attempt < _MAX_TRIES)

    def _open(self) -> opening.Opened:
        return opening.open_on(self._root, self._attached, self._access)

    def _warn_of_many_files(self, sql: str) -> None:
        if self._opened.holdings.files > _MANY_FILES and _VIEW.search(sql):
            warnings.warn(
                f"A view reads the list of all {self._opened.holdings.files:,} files. For some "
                "instruments or a short range use the macro, which opens only what it needs: "
                "from ohlcv('BTCUSDT.BINANCE', '1h', since := '2024-01-01')",
                stacklevel=3,
            )

    def _require_allowed(self, sql: str) -> None:
        kinds = _kinds(self.connection, sql)
        if self._trust is Trust.LOCKED:
            if kinds != [_Kind.SELECT]:
                raise InvalidRequest("Locked SQL is exactly one SELECT.")
            return
        if self._access is opening.Access.SHARED and _TOUCHES_SQLITE.search(sql):
            raise InvalidRequest(
                "This process has the lake's SQLite files open, and opening them a second time "
                "would lose commits. Use the schema catalog: from catalog.partitions."
            )
        if _Kind.EXPLAIN in kinds:
            if len(kinds) > 1:
                raise InvalidRequest("EXPLAIN stands alone; run the other statements before it.")
            inner = _EXPLAIN.fullmatch(sql)
            kinds = _kinds(self.connection, inner[1]) if inner else [_Kind.EXPLAIN]
        for kind in kinds:
            if kind not in _ALLOWED:
                raise InvalidRequest(
                    f"{kind.name} is not possible here: SQL cannot write the lake or open other "
                    "databases. To save an answer use --output FILE."
                )


def query(
    root: Path, sql: str, parameters: Parameters = None, *, trust: Trust = Trust.OWN
) -> pl.DataFrame:
    """The answer of *sql* over the lake at *root*: for a process that never opens it otherwise.

    Raises:
        NoLake: There is no lake.
        InvalidRequest: The SQL is wrong, names what is not held, or would write.
        StorageError: A file is damaged, or this process has the lake open.
    """
    with Warehouse(root, trust=trust) as warehouse:
        return warehouse.query(sql, parameters)


def _stamp(catalog: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """Something that differs whenever SQLite wrote to *catalog*; found without opening it."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in (catalog, catalog.with_name(f"{catalog.name}-wal")):
        try:
            found = path.stat()
            stamps.append((found.st_ino, found.st_size, found.st_mtime_ns))
        except FileNotFoundError:
            stamps.append(None)
    return tuple(stamps)


def _may_pass(error: duckdb.Error) -> bool:
    """Whether *error* is what a file replaced under a query looks like."""
    if _OURS.search(str(error)):
        return False
    return type(error) is duckdb.Error or isinstance(error, (*_MAY_PASS, *_BROKEN))


def _live_catalog(root: Path) -> Path:
    catalog = root / opening.CATALOG
    if not catalog.is_file():
        raise NoLake(
            f"no lake at {root.absolute()}: it has no {opening.CATALOG}. Say where it is with "
            "--data, or create one with `lake backfill`."
        )
    return catalog


def _table(result: duckdb.DuckDBPyConnection) -> pa.Table:
    return pa.table({}) if result.description is None else result.to_arrow_table()


def _kinds(connection: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.StatementType]:
    try:
        return [statement.type for statement in connection.extract_statements(sql)]
    except duckdb.Error as error:
        raise InvalidRequest(f"The SQL cannot be understood: {error}") from error


def _access(trust: Trust, *, shares_process: bool) -> opening.Access:
    if trust is Trust.LOCKED:
        return opening.Access.LOCKED
    return opening.Access.SHARED if shares_process else opening.Access.OWN


def _translated(error: duckdb.Error, holdings: opening.Holdings) -> LakeError:
    text = str(error)
    if ours := _OURS.search(text):
        return SeriesNotFound(ours[1][0].upper() + ours[1][1:])
    if view := _NO_VIEW.search(text):
        held = holdings.timeframes
        name = view[1]
        what = f"No {name} candles are held" if name in _names() else f"{name} is no timeframe"
        return SeriesNotFound(
            f"{what}: there is no view ohlcv_{name}. Held are: {', '.join(held) or 'none'}."
        )
    if type(error) is duckdb.Error or isinstance(error, (duckdb.IOException, *_BROKEN)):
        return StorageError(
            f"The lake's files cannot be read: {text}. `lake doctor` tells what is wrong with them."
        )
    return InvalidRequest(text)


def _names() -> set[str]:
    return {each.value for each in TimeFrame}
