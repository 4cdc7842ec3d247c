"""Answers SQL over a lake, as Arrow tables or polars frames. It cannot write the lake.

A file may be replaced at any moment, and DuckDB opens a path more than once; a query that met
two versions of a file is asked again. It does not open DuckDB itself.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from lake.errors import InvalidRequest, NoLake
from lake.warehouse import connection as opening
from lake.warehouse.failures import BROKEN, may_pass, translated
from lake.warehouse.frames import frame_of, table_of
from lake.warehouse.moments import bound
from lake.warehouse.statements import require_locked, require_own

if TYPE_CHECKING:
    import polars as pl

Parameters = Mapping[str, Any] | Sequence[Any] | None

# Without any sign of a commit a failure is believed after this many tries...
_TRIES = 3
# ... and with commits going on all the time, after this many.
_MAX_TRIES = 25
# A file is replaced a moment before the catalog tells of it...
_SIGN_S = 0.2
# ... and a snapshot of the catalog is up to a second old besides (DESIGN, section 4).
_SIGN_IN_SNAPSHOT_S = 1.5
_LOOK_EVERY_S = 0.02
# From here on a view, which lists every file, is slower than the macro by far.
_MANY_FILES = 5_000
_VIEW = re.compile(
    r"\b(?:(?:ohlcv|trades|orderbook|funding_rates)_all|ohlcv_\d+(?:s|m|h|d|w|mo))\b", re.IGNORECASE
)
LOCKED_TIMEOUT_S = 60.0
"""How long the SQL of strangers runs at most, where nobody says otherwise."""
LOCKED_ANSWER_BYTES = 1 << 30
"""What of a stranger's answer is kept in memory, which DuckDB's own limit does not count."""
_BATCH_ROWS = 100_000
_MAX_ALLOWED = 1_000


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
        timeout_s: A query that runs longer is stopped; None: never. Strangers get
            ``LOCKED_TIMEOUT_S`` where nothing is said.
        max_answer_bytes: A stranger's answer may not be larger.
        checks: Whether the names that checks read are there, too; see :meth:`look_at`.
    """

    def __init__(
        self,
        root: Path,
        *,
        catalog: Callable[[], Path] | None = None,
        trust: Trust = Trust.OWN,
        checks: bool = False,
        timeout_s: float | None = None,
        max_answer_bytes: int = LOCKED_ANSWER_BYTES,
    ) -> None:
        if timeout_s is None and trust is Trust.LOCKED:
            timeout_s = LOCKED_TIMEOUT_S
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._root = root
        self._trust = trust
        self._checks = checks
        self._variables: dict[str, Any] = {}
        self._access = _access(trust, shares_process=catalog is not None)
        self._catalog = catalog or (lambda: _live_catalog(root))
        # What is attached is at least as new as its stamp, so the stamp is taken first.
        self._attached = self._catalog()
        self._stamp = _stamp(self._attached)
        # What a statement may do is in its text alone, so a text is looked at once.
        self._allowed: set[str] = set()
        self._opened = self._open()
        for broken in self._opened.broken:
            warnings.warn(str(broken), stacklevel=2)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB's own connection, prepared. After a failed query it may be another one."""
        return self._opened.connection

    def query(
        self, sql: str, parameters: Parameters = None, **frames: pl.DataFrame | pl.LazyFrame
    ) -> pl.DataFrame:
        """The answer of *sql* as a polars frame; see :meth:`arrow`.

        Args:
            sql: DuckDB SQL.
            parameters: Values, by name or by position.
            frames: Polars frames that the SQL may use as tables of these names, for this once.
        """
        tables = {name: table_of(name, frame) for name, frame in frames.items()}
        self._require_free(tables)
        connection = self.connection
        for name, table in tables.items():
            connection.register(name, table)
        try:
            return frame_of(self.arrow(sql, parameters))
        finally:
            for name in tables:
                connection.unregister(name)

    def arrow(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """The answer of *sql* (of its last statement), from some committed state of each file.

        Args:
            sql: DuckDB SQL. ``$name`` and ``?`` take their values from *parameters*.
            parameters: Values, by name or by position. The text of a moment with an offset is
                that moment.

        Returns:
            A table; without columns where the statement answers nothing.

        Raises:
            InvalidRequest: The SQL is wrong, names what is not held, or would write.
            StorageError: A file is damaged.
        """
        self._require_allowed(sql)
        values = bound(parameters)
        for attempt in range(1, _MAX_TRIES + 1):
            moved = self._follow()
            self._warn_of_many_files(sql)
            try:
                with self._limited():
                    return self._table(self.connection.execute(sql, values))
            except duckdb.InterruptException as error:
                raise InvalidRequest(
                    f"The query was stopped after {self._timeout_s or 0:g} s. Ask for less, or "
                    "allow it more time: --timeout SECONDS."
                ) from error
            except duckdb.Error as error:
                if not may_pass(error) or not self._again(attempt, error, moved):
                    raise translated(error, self._opened.holdings, self._access) from error
        raise AssertionError("unreachable")

    def look_at(
        self,
        series: Sequence[int] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **variables: Any,
    ) -> None:
        """From now on checks see only this of the lake.

        Args:
            series: Numbers of series in the catalog; None for all.
            since: Rows from this moment on.
            until: Rows before this moment.
            variables: What else ``getvariable`` is to answer; those set before are forgotten.
        """
        known = {"check_series": series, "check_since": since, "check_until": until}
        forgotten = dict.fromkeys(self._variables.keys() - variables.keys())
        self._variables = {**variables, **known}
        for name, value in {**forgotten, **self._variables}.items():
            self.connection.execute(f'set variable "{name}" = $1', [value])
        self._opened.choose()

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

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Stops what runs longer than it may."""
        if self._timeout_s is None:
            yield
            return
        timer = threading.Timer(self._timeout_s, self.connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _table(self, result: duckdb.DuckDBPyConnection) -> pa.Table:
        if result.description is None:
            return pa.table({})
        if self._trust is Trust.OWN:
            return _named_apart(result.to_arrow_table())
        reader = result.to_arrow_reader(_BATCH_ROWS)
        batches, size = [], 0
        for batch in reader:
            batches.append(batch)
            size += batch.nbytes
            if size > self._max_answer_bytes:
                raise InvalidRequest(
                    f"The answer is larger than {self._max_answer_bytes >> 20} MiB. "
                    "Ask for less of it."
                )
        return _named_apart(pa.Table.from_batches(batches, reader.schema))

    def _follow(self) -> bool:
        """Take over what was committed since the last query; whether there was anything."""
        catalog = self._catalog()
        stamp = _stamp(catalog)
        if catalog == self._attached and stamp == self._stamp:
            return False
        self._opened.take(catalog)
        self._opened.refresh()
        self._attached, self._stamp = catalog, stamp
        return True

    def _again(self, attempt: int, error: duckdb.Error, moved: bool) -> bool:
        """Whether a failed read is worth another try, with DuckDB able to make it.

        *moved*: something was committed between the try before and this one.
        """
        if isinstance(error, BROKEN):
            self._opened.close()
            self._opened = self._open()
            for name, value in self._variables.items():
                self.connection.execute(f'set variable "{name}" = $1', [value])
            if self._checks:
                self._opened.choose()
        return attempt < _TRIES or (attempt < _MAX_TRIES and (moved or self._moves()))

    def _moves(self) -> bool:
        """Whether a commit shows up now."""
        is_snapshot = self._access is opening.Access.SHARED
        until = time.monotonic() + (_SIGN_IN_SNAPSHOT_S if is_snapshot else _SIGN_S)
        while not self._follow():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True

    def _open(self) -> opening.Opened:
        return opening.open_on(self._root, self._attached, self._access, checks=self._checks)

    def _warn_of_many_files(self, sql: str) -> None:
        if self._opened.holdings.files > _MANY_FILES and _VIEW.search(sql):
            warnings.warn(
                f"A view reads the list of all {self._opened.holdings.files:,} files. For some "
                "instruments or a short range use the macro, which opens only what it needs: "
                "from ohlcv('BTCUSDT.BINANCE', '1h', since := '2024-01-01')",
                stacklevel=3,
            )

    def _require_free(self, names: Collection[str]) -> None:
        """Refuse frames that would stand in front of the lake's own tables and views."""
        if not names:
            return
        taken = self.connection.execute(
            "select lower(table_name) from information_schema.tables where table_schema = 'main'"
        ).fetchall()
        for name in names:
            if (name.lower(),) in taken:
                raise InvalidRequest(
                    f"The lake's SQL has something of the name {name} already. Give the frame "
                    f"another one: my_{name}=..."
                )

    def _require_allowed(self, sql: str) -> None:
        if sql in self._allowed:
            return
        if self._trust is Trust.LOCKED:
            require_locked(self.connection, sql)
        else:
            require_own(self.connection, sql)
        if len(self._allowed) >= _MAX_ALLOWED:
            self._allowed.clear()
        self._allowed.add(sql)


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


def _live_catalog(root: Path) -> Path:
    catalog = root / opening.CATALOG
    if not catalog.is_file():
        raise NoLake(
            f"no lake at {root.absolute()}: it has no {opening.CATALOG}. Say where it is with "
            "--data, or create one with `lake backfill`."
        )
    return catalog


def _named_apart(table: pa.Table) -> pa.Table:
    """*table* with columns of one name told apart as ``name``, ``name_1``, ...; none gets lost."""
    taken = set(table.column_names)
    if len(taken) == table.num_columns:
        return table
    names: list[str] = []
    for name in table.column_names:
        unique, number = name, 0
        while unique in names or (number and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
    return table.rename_columns(names)


def _access(trust: Trust, *, shares_process: bool) -> opening.Access:
    if trust is Trust.LOCKED:
        return opening.Access.LOCKED
    return opening.Access.SHARED if shares_process else opening.Access.OWN
