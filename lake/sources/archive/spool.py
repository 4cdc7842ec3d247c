"""Keeps the rows of a file, cut by partition, until the whole of it was found intact.

Small files stay in memory; what is more goes to a folder as Arrow files, which are read again as
often as a commit needs them. It knows nothing of formats, and checks no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.times import from_us, to_us
from lake.errors import SourceError

# Some 70 MB of trades.
MEMORY_ROWS = 1_000_000
# Some 350 MB of them.
MOST_UNSORTED_ROWS = 5_000_000
# Rows of one table of an answer: what a commit works on at a time.
TABLE_ROWS = 250_000
# A feed's rows follow the matching engine, their times are taken a little later: so far apart
# rows may be swapped. They are held back so long, and put into order.
SWAP_US = 1_000_000

_Ts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(slots=True)
class SpooledRows:
    """The rows of one partition, ascending; they can be iterated again and again."""

    num_rows: int
    tables: Callable[[], Iterator[pa.Table]]

    def __iter__(self) -> Iterator[pa.Table]:
        return self.tables()


@dataclass(slots=True)
class _Store:
    """What has come for one partition."""

    window: TimeRange
    rows: int = 0
    last_us: int | None = None
    is_ascending: bool = True
    last_id: int | None = None
    ids_rise: bool = True
    tables: list[pa.Table] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    writer: pa.ipc.RecordBatchFileWriter | None = None


class Spool:
    """Takes the rows of one file in the order of the file, and gives them back by partition.

    Args:
        series: What the rows are of.
        scratch: Where rows go that memory should not hold.
        columns: Those that the file has, all where nothing is said: the others are null, and
            cost nothing on the disk.
        memory_rows: Rows kept in memory before all of them go to the disk.
        most_unsorted_rows: Rows of a partition in no order that may be sorted in memory.
        table_rows: Rows of one table of what is given back.

    Attributes:
        seen: Rows taken.
        rows: Rows that there are, once it was finished: what stood in the file twice counts once.
    """

    def __init__(
        self,
        series: Series,
        scratch: Path,
        *,
        columns: Sequence[str] | None = None,
        memory_rows: int = MEMORY_ROWS,
        most_unsorted_rows: int = MOST_UNSORTED_ROWS,
        table_rows: int = TABLE_ROWS,
    ) -> None:
        self._series = series
        self._memory_rows = memory_rows
        self._most_unsorted_rows = most_unsorted_rows
        self._table_rows = table_rows
        self._spec: RowSpec = ROW_SPECS[series.data_type]
        self._scratch = scratch
        self._stores: dict[Partition, _Store] = {}
        self._in_memory = 0
        self._opened = 0
        self._spills = False
        names = self._spec.schema.names
        self._columns = [name for name in names if columns is None or name in columns]
        self._empty = self._spec.schema.empty_table().select(self._columns)
        self._held_back = self._empty
        self._id = next((name for name in self._spec.key if _is_integer(self._empty, name)), None)
        self.seen = 0
        self.rows = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def add(self, rows: pa.Table) -> None:
        """Take rows in the data type's schema, as they follow one another in the file."""
        if not rows.num_rows:
            return
        self.seen += rows.num_rows
        rows = rows.select(self._columns)
        if self._held_back.num_rows:
            rows = pa.concat_tables([self._held_back, rows])
        moments = _moments(rows)
        if not self._is_in_order(rows, moments):
            rows = self._sorted(rows)
            moments = _moments(rows)
        ready = int(np.searchsorted(moments, moments[-1] - SWAP_US))
        self._held_back = rows.slice(ready)
        self._keep(rows.slice(0, ready), moments[:ready])

    def finish(self) -> None:
        """Take no more; what was held back follows, and what is in no order is sorted.

        Raises:
            SourceError: Rows are in no order, too many to be sorted in memory, or rows of one
                key differ.
        """
        rest, self._held_back = self._held_back, self._empty
        self._keep(rest, _moments(rest))
        self._close()
        for store in self._stores.values():
            if not store.is_ascending:
                self._sort(store)
            if not store.ids_rise:
                self._require_ids_once(store)
        self.rows = sum(store.rows for store in self._stores.values())

    def parts(self) -> Iterator[tuple[Partition, TimeRange, pa.Table | SpooledRows]]:
        """Each partition that has rows, ascending, with its range and its rows."""
        for partition, store in sorted(self._stores.items(), key=lambda each: each[1].window):
            yield partition, store.window, self._rows(store)
            _forget(store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Of a file that failed nothing is left."""
        if error is not None:
            self._close()
            for store in self._stores.values():
                _forget(store)

    def _keep(self, rows: pa.Table, moments: _Ts) -> None:
        if not rows.num_rows:
            return
        first, last = int(moments[0]), int(moments[-1])
        self.first_us = first if self.first_us is None else min(self.first_us, first)
        self.last_us = last if self.last_us is None else max(self.last_us, last)
        for partition, window in split(self._series, TimeRange(from_us(first), from_us(last + 1))):
            borders = [to_us(window.start), to_us(window.end)]
            start, end = np.searchsorted(moments, borders)
            if start < end:
                self._store(partition, rows.slice(start, end - start), moments[start:end])

    def _store(self, partition: Partition, rows: pa.Table, moments: _Ts) -> None:
        store = self._stores.get(partition)
        if store is None:
            store = self._stores[partition] = _Store(partition.range)
        # Equal ones may be the same rows again: those before were handed on already.
        if store.last_us is not None and moments[0] <= store.last_us:
            store.is_ascending = False
        store.last_us = max(store.last_us or 0, int(moments[-1]))
        self._look_at_ids(store, rows)
        store.rows += rows.num_rows
        if self._spills:
            self._spill(store, rows)
            return
        store.tables.append(rows)
        self._in_memory += rows.num_rows
        if self._in_memory > self._memory_rows:
            self._spills = True
            for each in self._stores.values():
                for table in each.tables:
                    self._spill(each, table)
                each.tables.clear()

    def _spill(self, store: _Store, rows: pa.Table) -> None:
        if store.writer is None:
            # Files follow time, so all others are as good as done: one open file at a time.
            self._close()
            self._opened += 1
            path = self._scratch / f"{self._opened}.arrow"
            store.files.append(path)
            store.writer = pa.ipc.new_file(str(path), self._empty.schema)
        store.writer.write_table(rows)

    def _close(self) -> None:
        for store in self._stores.values():
            if store.writer is not None:
                store.writer.close()
                store.writer = None

    def _rows(self, store: _Store) -> pa.Table | SpooledRows:
        if not store.files:
            return self._whole(pa.concat_tables(store.tables).combine_chunks())
        return SpooledRows(store.rows, lambda: map(self._whole, self._tables(store.files)))

    def _whole(self, rows: pa.Table) -> pa.Table:
        """*rows* with the columns that the file has not."""
        if rows.num_columns == len(self._spec.schema):
            return rows
        columns = [
            rows[field.name] if field.name in self._columns else pa.nulls(len(rows), field.type)
            for field in self._spec.schema
        ]
        return pa.Table.from_arrays(columns, schema=self._spec.schema)

    def _is_in_order(self, rows: pa.Table, moments: _Ts) -> bool:
        """Whether *rows* ascend, those of one moment by their id."""
        rises = moments[1:] > moments[:-1]
        if rises.all():
            return True
        if self._id is None or rows[self._id].null_count:
            return bool((moments[1:] >= moments[:-1]).all())
        ids = rows[self._id].to_numpy()
        return bool((rises | ((moments[1:] == moments[:-1]) & (ids[1:] > ids[:-1]))).all())

    def _sorted(self, rows: pa.Table) -> pa.Table:
        """*rows* in order; content that stands in it twice is taken once."""
        names = [name for name in self._spec.sort_order if name in self._columns]
        rows = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in names]))
        return without_repeats(rows.combine_chunks(), names)

    def _sort(self, store: _Store) -> None:
        if store.rows > self._most_unsorted_rows:
            raise SourceError(
                f"{store.rows:,} rows of {store.window} are in no order, too many to be "
                "sorted in memory. Sort the file by time, or cut it by day.",
                retryable=False,
            )
        rows = self._sorted(pa.concat_tables([*store.tables, *self._tables(store.files)]))
        is_spilled = bool(store.files)
        _forget(store)
        store.rows, store.is_ascending = rows.num_rows, True
        store.last_id, store.ids_rise = None, True
        self._look_at_ids(store, rows)
        if is_spilled:
            self._spill(store, rows)
            self._close()
        else:
            store.tables.append(rows)

    def _look_at_ids(self, store: _Store, rows: pa.Table) -> None:
        if self._id is None or "ts" in self._spec.key or not store.ids_rise:
            return
        if rows[self._id].null_count:
            # Names of another kind are compared when the rows are written.
            self._id = None
            return
        ids = rows[self._id].to_numpy()
        before = store.last_id is None or ids[0] > store.last_id
        store.ids_rise = before and bool((ids[1:] > ids[:-1]).all())
        store.last_id = int(ids[-1])

    def _require_ids_once(self, store: _Store) -> None:
        """
        Raises:
            SourceError: Two rows have one id, at different times.
        """
        if self._id is None:
            return
        found = [table[self._id].to_numpy() for table in store.tables]
        found += [np.array(table[self._id].to_numpy()) for table in self._tables(store.files)]
        ids = np.concatenate(found)
        ids.sort()
        twice = np.flatnonzero(ids[1:] == ids[:-1])
        if len(twice):
            raise SourceError(
                f"It has rows of one key at different times ({self._id} {ids[twice[0]]}).",
                retryable=False,
            )

    def _tables(self, files: Sequence[Path]) -> Iterator[pa.Table]:
        """The rows of *files*, in tables of a useful size."""
        batches: list[pa.RecordBatch] = []
        rows = 0
        for path in files:
            # Mapped, every page that was read would count as ours: 1 GB for 15 million trades.
            with pa.OSFile(str(path)) as source:
                reader = pa.ipc.open_file(source)
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    batches.append(batch)
                    rows += batch.num_rows
                    if rows >= self._table_rows:
                        yield _joined(batches, self._empty.schema)
                        batches, rows = [], 0
                if batches:
                    yield _joined(batches, self._empty.schema)
                    batches, rows = [], 0


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(batches, schema).combine_chunks()


def _forget(store: _Store) -> None:
    store.tables.clear()
    for path in store.files:
        with suppress(FileNotFoundError):
            path.unlink()
    store.files.clear()


def _is_integer(rows: pa.Table, name: str) -> bool:
    return name in rows.column_names and pa.types.is_integer(rows[name].type)


def without_repeats(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Sorted *rows* without those that repeat the one before them whole.

    Rows whose key is null beside ``ts`` are told apart by nothing, and all kept.

    Raises:
        SourceError: Two rows of one key differ.
    """
    if rows.num_rows < 2:
        return rows
    one, other = rows.slice(0, rows.num_rows - 1), rows.slice(1)
    named = [name for name in key if name != "ts"] or ["ts"]
    same_key = _all_equal(one, other, key)
    has_name = np.zeros(rows.num_rows - 1, dtype=bool)
    for name in named:
        has_name |= np.asarray(pc.is_valid(other[name]))
    repeated = np.flatnonzero(same_key & has_name)
    if not len(repeated):
        return rows
    picked = pa.array(repeated)
    differs = ~_all_equal(one.take(picked), other.take(picked), rows.column_names)
    if differs.any():
        row = other.take(picked).slice(int(np.flatnonzero(differs)[0]), 1).to_pylist()[0]
        names = ", ".join(f"{name} {row[name]}" for name in key if row[name] is not None)
        raise SourceError(f"It has different rows of one key ({names}).", retryable=False)
    kept = np.ones(rows.num_rows, dtype=bool)
    kept[repeated + 1] = False
    return rows.filter(pa.array(kept)).combine_chunks()


def _all_equal(one: pa.Table, other: pa.Table, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """Row by row, whether all of *names* are equal; nulls are."""
    same = np.ones(one.num_rows, dtype=bool)
    for name in names:
        left, right = one[name], other[name]
        if pa.types.is_list(left.type):
            same &= np.array(
                [a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)]
            )
            continue
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        same &= np.asarray(pc.or_(pc.fill_null(pc.equal(left, right), False), both_null))
    return same


def _moments(rows: pa.Table) -> _Ts:
    return np.asarray(rows["ts"].cast(pa.int64()).to_numpy())
