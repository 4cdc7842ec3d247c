"""``hot.sqlite``: the newest rows of each series, for look-ups in far less than a millisecond.

A copy of what the Parquet files hold, written after them and after the catalog. Each series
carries the generation and digest of the files that its rows are from; where the catalog says
otherwise by now, the rows are not used. So a copy that was not brought up to date, for whatever
reason, costs a reader time and never gives a wrong answer. Nothing here is waited for by the
disk, and all of it can be made again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Series
from lake.domain.partitions import Partition
from lake.domain.times import to_us
from lake.errors import StorageError
from lake.storage.connection import Database, Transaction
from lake.storage.held import held_files
from lake.storage.hot_file import open_hot
from lake.storage.hot_rows import hot_table
from lake.storage.points import reached
from lake.storage.records import WHERE_SERIES, series_key
from lake.storage.tail import Tail, newest_rows

if TYPE_CHECKING:
    from lake.storage.lake import Storage

HOT = "hot.sqlite"
# A backfill publishes many files of a series in a row, and only the last one's rows count: after
# this long they are written again.
_AGAIN_S = 1.0
_FIRST = -(1 << 62)
_KNOWN_MAX = 50_000

_SERIES = (
    "select series_id, rows, is_whole, range_start, files from hot_series as series "
    f"where {WHERE_SERIES}"
)
_CATALOG = (
    "select path, generation, sha256 from series inner join partitions using (series_id) "
    f"where {WHERE_SERIES} and range_start >= $range_start order by range_start"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A commit that is in the Parquet file and in the catalog.

    Attributes:
        rows: All rows of the file, where they are at hand.
        added: How many of them are new; None where rows were changed or taken out.
    """

    partition: Partition
    base: tuple[int, str | None]
    now: tuple[int, str]
    rows: pa.Table | None
    added: int | None


@dataclass(frozen=True, slots=True)
class _State:
    series_id: int
    rows: int
    is_whole: bool
    range_start: int
    files: str


class Hot:
    """The hot rows of one lake. Threads share it; it is opened when first used."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._opening = threading.Lock()
        self._database: Database | None = None
        self._is_off = False
        self._kept: int | None = None
        self._written_at: dict[Series, float] = {}
        self._due: dict[Series, float] = {}
        self._bookkeeping = threading.Lock()
        # What the catalog was found to say of a series' files, and at which version of it.
        self._known: dict[Series, tuple[str, int]] = {}

    @property
    def path(self) -> Path:
        return self._storage.root / HOT

    @property
    def kept(self) -> int:
        """How many rows are kept of each series."""
        if self._kept is None:
            database = self._opened()
            row = None if database is None else database.read_one("select rows from hot_settings")
            self._kept = 0 if row is None else int(row[0])
        return self._kept

    def keep(self, rows: int) -> None:
        """Keep *rows* of each series from now on, in this process and those opened later.

        What is kept already is brought to that number when it is next written.
        """
        database = self._opened()
        if database is None or self._storage.read_only or self.kept == rows:
            return
        with database.writing() as transaction:
            transaction.run("update hot_settings set rows = ?", (rows,))
            transaction.run("delete from hot_series")
            for data_type in DataType:
                transaction.run(f"delete from {hot_table(data_type).name}")
        self._kept = rows

    def newest(
        self,
        series: Series,
        limit: int,
        start_us: int | None = None,
        end_us: int | None = None,
    ) -> list[tuple[Any, ...]] | None:
        """The newest *limit* rows of ``[start_us, end_us)``, the newest first.

        Returns:
            Rows with the columns of the data type (moments in microseconds, lists as blobs);
            None where they cannot be had from here: too many, or not up to date.
        """
        database = self._opened()
        if database is None:
            return None
        table = hot_table(series.data_type)
        try:
            with database.reading() as transaction:
                state = _state(transaction, series)
                if state is None or (limit > state.rows and not state.is_whole):
                    return None
                if start_us is None and end_us is None:
                    rows = transaction.rows(table.newest, (state.series_id, limit))
                else:
                    low = _FIRST if start_us is None else start_us
                    high = -_FIRST if end_us is None else end_us
                    rows = transaction.rows(
                        table.newest_before, (state.series_id, low, high, limit)
                    )
                    if len(rows) < limit and not state.is_whole:
                        # Older ones may lie in the range; of the oldest moment here, too.
                        oldest = transaction.row(
                            f"select min(ts) from {table.name} where series_id = ?",
                            (state.series_id,),
                        )
                        if oldest is None or low <= oldest[0]:
                            return None
        except StorageError:
            return None
        # The catalog after the rows: it may have moved on since, but not back.
        return rows if self._is_current(series, state) else None

    def is_current(self, series: Series) -> bool:
        """Whether the rows kept of *series* are those of the catalog's files."""
        database = self._opened()
        if database is None:
            return False
        with database.reading() as transaction:
            state = _state(transaction, series)
        return state is not None and self._is_current(series, state)

    def published(self, commit: Published) -> None:
        """Take over what was just published, where it touches the newest rows.

        Never raises: rows that could not be written here are read from the files.
        """
        series, now = commit.partition.series, time.monotonic()
        try:
            database = self._opened()
            if database is None or not self.kept:
                return
            with database.reading() as transaction:
                state = _state(transaction, series)
            start_us = to_us(commit.partition.range.start)
            if state is not None and not state.is_whole and start_us < state.range_start:
                return
            if state is not None and self._append(database, series, state, commit):
                return
            with self._bookkeeping:
                last = self._written_at.get(series)
                if last is not None and now - last < _AGAIN_S:
                    self._due.setdefault(series, last + _AGAIN_S)
                    return
            self._write(database, series, commit)
            self._catch_up(now)
        except StorageError:
            # The commit stands. A reader finds that generations differ and goes to the files.
            return

    def refresh(self, series: Series) -> bool:
        """Make the rows of *series* again from its files; whether they are up to date now.

        Raises:
            StorageError: A file is damaged.
        """
        database = self._opened()
        if database is None or self._storage.read_only or not self.kept:
            return False
        return self._write(database, series, None)

    def refresh_due(self, series: Series) -> bool:
        """As :meth:`refresh`, unless that was just tried."""
        with self._bookkeeping:
            last = self._written_at.get(series)
            if last is not None and time.monotonic() - last < _AGAIN_S:
                return False
        return self.refresh(series)

    def counts(self) -> dict[str, int]:
        """How many rows are kept, by data type."""
        database = self._opened()
        rows = (
            []
            if database is None
            else database.read("select data_type, sum(rows) from hot_series group by data_type")
        )
        return dict(rows)

    def rebuild(self) -> int:
        """Make everything again from the files; how many series there are."""
        held = [each.series for each in self._storage.catalog.series()]
        return sum(self.refresh(series) for series in held)

    def forget(self, series: Series) -> None:
        """Drop the rows of *series*: they are not to be found here any more."""
        if (database := self._opened()) is None or self._storage.read_only:
            return
        table = hot_table(series.data_type)
        with database.writing() as transaction:
            state = _state(transaction, series)
            if state is not None:
                transaction.run(table.delete, (state.series_id,))
                transaction.run("delete from hot_series where series_id = ?", (state.series_id,))

    def close(self) -> None:
        """Write what is due, and close. Closing twice does no harm."""
        if self._database is not None:
            # What is not written here is read from the files.
            with suppress(StorageError):
                self._catch_up(None)
        with self._opening:
            if self._database is not None:
                self._database.close()
            self._database = None
            self._is_off = True

    def _opened(self) -> Database | None:
        if self._database is not None or self._is_off:
            return self._database
        with self._opening:
            if self._database is None and not self._is_off:
                try:
                    self._database = open_hot(self.path, read_only=self._storage.read_only)
                except StorageError:
                    # Without it everything works, from the files.
                    self._is_off = True
                self._is_off = self._is_off or self._database is None
            return self._database

    def _is_current(self, series: Series, state: _State) -> bool:
        # Before the look: a commit in between makes the next one look again.
        version = self._storage.database.version()
        if self._known.get(series) == (state.files, version):
            return True
        known = self._storage.database.read(
            _CATALOG,
            {
                **series_key(series),
                "range_start": _FIRST if state.is_whole else state.range_start,
            },
        )
        if _files_text(known) != state.files:
            return False
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[series] = (state.files, version)
        return True

    def _append(self, database: Database, series: Series, state: _State, commit: Published) -> bool:
        """Add the rows of a commit that only went on where the rows here end; whether it did."""
        if commit.rows is None or commit.added is None or commit.added > self.kept:
            return False
        path = commit.partition.path
        before = f"{path}:{commit.base[0]}:{commit.base[1]}"
        *others, last = state.files.split("\n")
        is_next = commit.base[0] == 0 and to_us(commit.partition.range.start) > state.range_start
        if last != before and not (is_next and last < path):
            return False
        files = others if last == before else [*others, last]
        files.append(f"{path}:{commit.now[0]}:{commit.now[1]}")
        table = hot_table(series.data_type)
        new = commit.rows.slice(commit.rows.num_rows - commit.added)
        with database.writing() as transaction:
            reached("hot.begun")
            if _state(transaction, series) != state:
                return False
            newest = transaction.row(table.newest_key, (state.series_id,))
            if newest is None or (new.num_rows and to_us(new["ts"][0].as_py()) <= newest[0]):
                return False
            rows = table.encoded(state.series_id, new, newest[1] + 1)
            transaction.run_many(table.insert, rows)
            reached("hot.written")
            count = state.rows + len(rows)
            if count > self.kept:
                transaction.run(table.trim, (state.series_id, self.kept))
            transaction.run(
                "update hot_series set rows = ?, is_whole = ?, files = ? where series_id = ?",
                (
                    min(count, self.kept),
                    int(state.is_whole and count <= self.kept),
                    "\n".join(files),
                    state.series_id,
                ),
            )
        reached("hot.committed")
        return True

    def _write(self, database: Database, series: Series, commit: Published | None) -> bool:
        """Replace the rows of *series* by the newest ones; whether they are those listed."""
        with self._bookkeeping:
            self._written_at[series] = time.monotonic()
            self._due.pop(series, None)
        tail = self._tail(series, commit)
        if tail is None or not tail.as_listed or not tail.files:
            return False
        table = hot_table(series.data_type)
        files = _files_text([(file.path, file.generation, file.sha256) for file in tail.files])
        with database.writing() as transaction:
            reached("hot.begun")
            state = _state(transaction, series)
            if state is not None:
                transaction.run(table.delete, (state.series_id,))
                transaction.run("delete from hot_series where series_id = ?", (state.series_id,))
            transaction.run(
                "insert into hot_series (data_type, venue, instrument, timeframe, rows, is_whole, "
                "range_start, files) values ($data_type, $venue, $instrument, $timeframe, $rows, "
                "$is_whole, $range_start, $files)",
                {
                    **series_key(series),
                    "rows": tail.rows.num_rows,
                    "is_whole": int(tail.is_whole),
                    "range_start": tail.files[0].start_us,
                    "files": files,
                },
            )
            made = _state(transaction, series)
            assert made is not None
            transaction.run_many(table.insert, table.encoded(made.series_id, tail.rows, 0))
            reached("hot.written")
        reached("hot.committed")
        return True

    def _tail(self, series: Series, commit: Published | None) -> Tail | None:
        """The newest rows: from the commit where it holds them all, else from the files."""
        if commit is not None and commit.rows is not None:
            listed = held_files(self._storage.database, series, to_us(commit.partition.range.start))
            if (
                listed is not None
                and len(listed) == 1
                and (listed[0].generation, listed[0].sha256) == commit.now
                and commit.rows.num_rows >= self.kept
            ):
                rows = commit.rows.slice(commit.rows.num_rows - self.kept)
                return Tail(rows, listed, is_whole=False, as_listed=True)
        return newest_rows(self._storage, series, self.kept)

    def _catch_up(self, now: float | None) -> None:
        """Write the series whose turn has come; without *now* all that wait for it."""
        with self._bookkeeping:
            ready = [series for series, at in self._due.items() if now is None or at <= now]
        for series in ready:
            self.refresh(series)


def _state(transaction: Transaction, series: Series) -> _State | None:
    row = transaction.row(_SERIES, series_key(series))
    return None if row is None else _State(row[0], row[1], bool(row[2]), row[3], row[4])


def _files_text(files: Sequence[tuple[Any, ...]]) -> str:
    return "\n".join(f"{path}:{generation}:{sha256}" for path, generation, sha256 in files)
