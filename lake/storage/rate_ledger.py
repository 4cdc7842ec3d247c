"""The rate budget that processes of one lake share: an estimate in a small file of its own.

Apart from the catalog, because it is written at every request and may be lost: a window lasts a
minute, and the venue's own header corrects the rest.
"""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

from lake.domain.times import from_us, to_us
from lake.storage.connection import Access, DamagedDatabase, Database, Row, Transaction

_TABLE = """
create table if not exists rates (
    account text not null primary key,
    window integer not null,
    used integer not null,
    outstanding integer not null,
    banned_until integer
) strict
"""


class RateLedger:
    """How much of a venue's allowance is used in the current window, by everyone we know of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: Database | None = None
        self._lock = threading.Lock()

    def take(self, account: str, *, window: int, want: int, ceiling: int) -> int:
        """Reserve up to *want* of the window's allowance before a request is sent.

        Args:
            account: What the venue counts together: venue, kind of limit, address or key.
            window: The number of the window; a later one starts from nothing.
            want: The weight wished for.
            ceiling: What all of us together may use in one window.

        Returns:
            The weight granted, from 0 to *want*.
        """
        with self._opened().writing() as transaction:
            known, used, outstanding, _ = _row(transaction, account)
            if window < known:
                # Another process is in the next window already: ours has nothing left.
                return 0
            if window > known:
                used = outstanding = 0
            granted: int = max(0, min(want, ceiling - used))
            _write(transaction, account, window, used + granted, outstanding + granted)
            return granted

    def observe(self, account: str, *, window: int, used: int, answered: int) -> None:
        """Believe the venue's own count, which includes strangers on the same address.

        Args:
            account: As for :meth:`take`.
            window: The window in which the weight was taken.
            used: What the answer's header says was used in it.
            answered: The weight of the requests that are now answered.
        """
        with self._opened().writing() as transaction:
            known, total, outstanding, _ = _row(transaction, account)
            if window < known:
                return
            if window > known:
                total = outstanding = 0
            outstanding = max(0, outstanding - answered)
            _write(transaction, account, window, max(total, used + outstanding), outstanding)

    def ban(self, account: str, until: datetime) -> None:
        """Note that the venue answers nothing before *until*; the latest end counts."""
        with self._opened().writing() as transaction:
            known, used, outstanding, banned = _row(transaction, account)
            _write(transaction, account, known, used, outstanding)
            transaction.run(
                "update rates set banned_until = ? where account = ?",
                (max(to_us(until), banned or 0), account),
            )

    def banned_until(self, account: str) -> datetime | None:
        """The end of the last ban that was noted; None when there was none."""
        row = self._opened().read_one(
            "select banned_until from rates where account = ?", (account,)
        )
        return None if row is None or row[0] is None else from_us(row[0])

    def close(self) -> None:
        """Close the file. Closing twice does no harm."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _opened(self) -> Database:
        with self._lock:
            if self._database is None:
                self._database = _open(self._path)
            return self._database


def _open(path: Path) -> Database:
    try:
        return _prepared(path)
    except DamagedDatabase:
        # A power cut may leave nonsense behind, since nothing waits for the disk.
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> Database:
    database = Database(path, Access.ESTIMATES)
    try:
        with database.writing() as transaction:
            transaction.run(_TABLE)
    except BaseException:
        database.close()
        raise
    return database


def _row(transaction: Transaction, account: str) -> Row:
    row = transaction.row(
        "select window, used, outstanding, banned_until from rates where account = ?", (account,)
    )
    return (-1, 0, 0, None) if row is None else row


def _write(
    transaction: Transaction, account: str, window: int, used: int, outstanding: int
) -> None:
    transaction.run(
        "insert into rates (account, window, used, outstanding) values (?, ?, ?, ?) "
        "on conflict (account) do update set window = excluded.window, used = excluded.used, "
        "outstanding = excluded.outstanding",
        (account, window, used, outstanding),
    )
