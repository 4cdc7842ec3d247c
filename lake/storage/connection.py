"""The one module that opens SQLite files, always through apsw.

Every file it opens is registered by device and inode (:mod:`lake.open_files`), because a second
SQLite library in this process, or a plain ``open()``, would drop apsw's locks on it: commits
that were acknowledged then vanish without an error (DESIGN, section 4). It knows no tables.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import apsw

from lake import open_files
from lake.errors import ReadOnlyLake, StorageError

Bindings = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]

_BUSY_TIMEOUT_MS = 60_000
"""A writer holds the lock for milliseconds; a minute means that one hangs or is frozen."""
_JOURNAL_LIMIT = 64 << 20
_CACHE_KIB = 64 << 10


class DamagedDatabase(StorageError):
    """The file is not a database any more, or its pages contradict one another."""


class Access(Enum):
    """What a database is opened for."""

    WRITE = "write"
    READ = "read"
    ESTIMATES = "estimates"
    """Writing without waiting for the disk: for what may be lost in a power cut."""
    CACHE = "cache"
    """Writing what can be made again: the newest commits may be lost in a power cut, no more."""


class Database:
    """One SQLite file: a connection that writes, one that reads, and one that only watches.

    Threads share it. Reads never wait for a write. A write transaction is always
    ``BEGIN IMMEDIATE``, so whatever it has read stays true until it commits.
    """

    def __init__(self, path: Path, access: Access) -> None:
        """Open *path*; it is created where it is missing and may be written.

        Raises:
            StorageError: It cannot be opened, or is not a database.
        """
        self.path = path
        self.access = access
        self._write_lock = threading.RLock()
        # Estimates are read and written through one connection, hence under one lock.
        self._read_lock: AbstractContextManager[Any] = (
            self._write_lock if access is Access.ESTIMATES else threading.Lock()
        )
        self._watch_lock = threading.Lock()
        self._open: list[apsw.Connection] = []
        self._watcher: apsw.Connection | None = None
        with self._translated():
            try:
                if access is Access.READ:
                    self._reader = self._connect(apsw.SQLITE_OPEN_READONLY)
                    self._writer = None
                else:
                    self._writer = self._connect(
                        apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
                    )
                    # Estimates have no reader that matters; one descriptor is enough.
                    self._reader = (
                        self._connect(apsw.SQLITE_OPEN_READWRITE)
                        if access is not Access.ESTIMATES
                        else self._writer
                    )
                    if access is not Access.ESTIMATES:
                        self._reader.execute("pragma query_only = on")
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close every connection. Closing twice does no harm."""
        with self._write_lock, self._read_lock, self._watch_lock:
            while self._open:
                self._open.pop().close()
                open_files.unregister(self.path)
            self._watcher = None

    def read(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """All rows of one query, from the newest committed state."""
        with self._read_lock, self._translated():
            return self._reader.execute(sql, bindings).fetchall()

    def read_one(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row of a query, or None."""
        rows = self.read(sql, bindings)
        return rows[0] if rows else None

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Several reads of one and the same committed state."""
        with self._read_lock, self._translated():
            self._reader.execute("begin")
            try:
                yield Transaction(self._reader)
            finally:
                self._reader.execute("rollback")

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A write transaction: committed when the block ends, rolled back when it raises."""
        if self._writer is None:
            raise ReadOnlyLake(
                f"{self.path} is open for reading only. "
                "Run as a user who may write the lake, where it is not mounted read-only."
            )
        writer = self._writer
        with self._write_lock, self._translated():
            writer.execute("begin immediate")
            try:
                yield Transaction(writer)
                writer.execute("commit")
            except BaseException:
                # SQLite has rolled back by itself after some errors (a full disk).
                if writer.in_transaction:
                    writer.execute("rollback")
                raise

    def version(self) -> int:
        """A number that changes when any connection, ours or another's, commits.

        It may also change when nothing did (a checkpoint). Costs about 2 µs.
        """
        with self._watch_lock, self._translated():
            self._require_open()
            if self._watcher is None:
                # A connection does not see its own commits in data_version, so it has its own.
                self._watcher = self._connect(apsw.SQLITE_OPEN_READONLY)
            return int(self._watcher.pragma("data_version"))

    def copy_to(self, target: Path) -> None:
        """A consistent copy at *target*, which must not exist; other programs may open that.

        Not fsynced: a copy that must survive a power cut is synced by the caller.
        """
        with self._translated():
            self._require_open()
            copy = apsw.Connection(str(target))
            try:
                copy.execute("pragma synchronous = off")
                with self._read_lock, copy.backup("main", self._reader, "main") as backup:
                    backup.step(-1)
                # Without the WAL mark the copy is one file, and no reader makes a second.
                copy.execute("pragma journal_mode = delete")
            finally:
                copy.close()

    def _require_open(self) -> None:
        if not self._open:
            raise apsw.ConnectionClosedError("closed")

    def damage(self, *, deep: bool) -> list[str]:
        """What SQLite's own check finds wrong; empty when the file is sound."""
        check = "integrity_check" if deep else "quick_check"
        found = [str(row[0]) for row in self.read(f"pragma {check}") if row[0] != "ok"]
        found += [f"foreign key of {row[0]}" for row in self.read("pragma foreign_key_check")]
        return found

    def holds_its_locks(self) -> bool | None:
        """Whether the kernel still knows our lock on the file; None where it does not tell.

        An open WAL connection holds a shared lock all the time. When another SQLite library
        in this process closes the file, that lock is gone without a trace in apsw.
        """
        if self.read_one("pragma journal_mode") != ("wal",):
            return None  # the catalog of a snapshot: locked only while it is read
        try:
            locks = Path("/proc/locks").read_text()
        except OSError:
            return None
        ours = f"{os.getpid()}"
        inode = f"{self.path.stat().st_ino}"
        held = [line.split() for line in locks.splitlines() if " POSIX " in line]
        return any(fields[-4] == ours and fields[-3].rpartition(":")[2] == inode for fields in held)

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(str(self.path), flags=flags)
        self._open.append(connection)
        open_files.register(self.path)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        if self.access is not Access.READ and not flags & apsw.SQLITE_OPEN_READONLY:
            _turn_to_wal(connection)
            connection.execute(f"pragma journal_size_limit = {_JOURNAL_LIMIT}")
            durable = self.access is Access.WRITE
            level = {Access.WRITE: "full", Access.CACHE: "normal"}.get(self.access, "off")
            connection.execute(f"pragma synchronous = {level}")
            if durable and sys.platform == "darwin":
                connection.execute("pragma fullfsync = on")
                connection.execute("pragma checkpoint_fullfsync = on")
        if self.access is Access.CACHE:
            # What is asked for again and again stays at hand, for thousands of series.
            connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        connection.execute("pragma foreign_keys = on")
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise _as_storage_error(error, self.path) from error


class Transaction:
    """What may be done inside one transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, bindings: Bindings = ()) -> int:
        """Execute statements; the number of rows that the last of them changed."""
        self._connection.execute(sql, bindings)
        return self._connection.changes()

    def run_many(self, sql: str, rows: Sequence[Bindings]) -> None:
        """Execute one statement for each of *rows*."""
        self._connection.executemany(sql, rows)

    def rows(self, sql: str, bindings: Bindings = ()) -> list[Row]:
        """All rows of one query."""
        return self._connection.execute(sql, bindings).fetchall()

    def row(self, sql: str, bindings: Bindings = ()) -> Row | None:
        """The first row of a query, or None."""
        found: Row | None = self._connection.execute(sql, bindings).fetchone()
        return found


def is_for_want_of_room(error: StorageError) -> bool:
    """Whether SQLite could not make or grow its files: on a full disk, or by a quota."""
    return isinstance(error.__cause__, apsw.FullError | apsw.IOError)


def _turn_to_wal(connection: apsw.Connection) -> None:
    """WAL mode, also while other processes open or close the same file for the first time.

    Changing the mode needs the file alone for a moment, and SQLite does not call the busy
    handler for it: four processes that made one lake at once failed once in 150 times.
    """
    end = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
        else:
            return


def _as_storage_error(error: apsw.Error, path: Path) -> StorageError:
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StorageError(
            f"{path} has been locked by another process for {_BUSY_TIMEOUT_MS // 1000} s. "
            "Stop the process that hangs (`lake doctor` names the workers), then try again."
        )
    if isinstance(error, apsw.FullError):
        return StorageError(
            f"No space left while writing {path}. What was stored before is complete. "
            "Free some space, then start the same command again."
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError | apsw.AuthError):
        return ReadOnlyLake(
            f"{path} cannot be written ({error}). "
            "Run as a user who may write the lake, where it is not mounted read-only."
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return DamagedDatabase(
            f"{path} is damaged ({error}). Move it and its -wal and -shm out of the lake: the "
            "next command makes it again from the Parquet files, all but the job history."
        )
    if isinstance(error, apsw.CantOpenError):
        return StorageError(
            f"{path} cannot be opened ({error}). Check that its folder exists and is writable."
        )
    if isinstance(error, apsw.ConnectionClosedError):
        return StorageError(f"The lake of {path} was closed here. Open it again to go on.")
    return StorageError(
        f"SQLite failed on {path} ({type(error).__name__}: {error}). "
        "What was stored before is complete. Check the disk, its free space and quota, and "
        "`lake doctor`, then start the same command again."
    )
