"""Merges new rows into a partition of any size, slice by slice, in bounded memory.

Slices are cut where ``ts`` changes, so each decides about all rows of its moments. The rows of
one key may have different moments, though (a venue's archive gives microseconds where its API
gave milliseconds), and would be in different slices: those are settled first, by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Coverage
from lake.domain.schemas import RowSpec
from lake.errors import SchemaMismatch
from lake.storage.change import PartitionCommit
from lake.storage.columns import Bools, Ints, key_marks, micros, require_rows, same_keys
from lake.storage.merge import (
    MAX_NOTES,
    Merged,
    Verdict,
    difference_notes,
    fold,
    judge,
    merge,
    replace,
)
from lake.storage.parquet import StoredFile
from lake.storage.slices import slices
from lake.storage.writing import Sizes


@dataclass(frozen=True, slots=True)
class Merging:
    """One change to one partition: which rows meet which, and what then happens to them."""

    change: PartitionCommit
    spec: RowSpec
    coverage: list[Coverage]
    sizes: Sizes

    def whole(self, stored: pa.Table | None) -> Merged:
        """The partition as one table: for rows that fit into memory many times over."""
        assert isinstance(self.change.rows, pa.Table)
        return self._joined(stored, self.change.rows, MAX_NOTES)

    def slice_by_slice(self, file: StoredFile | None) -> Iterator[Merged]:
        """The same of any number of rows: what each span of time comes to, in order."""
        room = MAX_NOTES
        new: Iterator[pa.Table]
        strays = _Strays()
        if isinstance(self.change.rows, pa.Table):
            rows, notes = fold(self.change.rows, self.spec, self._source)
            yield Merged(self.spec.schema.empty_table(), notes=notes)
            room = max(0, room - len(notes))
            if file is not None and rows.num_rows and "ts" not in self.spec.key:
                strays.enters = np.ones(rows.num_rows, np.bool_)
                for found in self._settled(file, rows, strays, room):
                    room = max(0, room - len(found.notes))
                    yield found
                if not strays.enters.all():
                    rows = rows.filter(pa.array(strays.enters))
            new = self._cut(rows)
        else:
            new = self._required(self.change.rows)
        stored = iter(()) if file is None else self._stored(file, strays)
        for here, there in slices(stored, new, self.spec):
            merged = self._joined(here, there, room)
            room = max(0, room - len(merged.notes))
            yield merged

    @property
    def _source(self) -> str:
        return "the replacement" if self.change.replace is not None else self.change.tag.name

    def _joined(self, stored: pa.Table | None, new: pa.Table, room: int) -> Merged:
        if self.change.replace is not None:
            return replace(stored, new, self.spec, self.change.replace, room=room)
        return merge(
            stored,
            new,
            self.spec,
            rank=self.change.tag.rank,
            source=self._source,
            coverage=self.coverage,
            room=room,
        )

    def _settled(
        self, file: StoredFile, new: pa.Table, strays: _Strays, room: int
    ) -> Iterator[Merged]:
        """Decide between stored rows and those of *new* that have their keys at other times.

        Who gives way is noted in *strays*. A stored row that does goes now; the new one enters
        with its slice and is counted there, hence one less here.
        """
        near = [
            group for group in range(file.groups) if _may_share_keys(file, group, new, self.spec)
        ]
        if not near:
            # New ids follow the stored ones as a rule: nothing is to be marked or sorted.
            return
        marks = key_marks(new, self.spec)
        order = np.argsort(marks, kind="stable")
        marks, moments = marks[order], micros(new["ts"])
        for group in near:
            keys = file.columns(group, ("ts", *self.spec.key))
            theirs = key_marks(keys, self.spec)
            place = np.searchsorted(marks, theirs)
            place[place == len(marks)] = 0
            partner = order[place]
            moved = (marks[place] == theirs) & (moments[partner] != micros(keys["ts"]))
            if not moved.any():
                continue
            held, fresh = np.flatnonzero(moved), partner[moved]
            stored, others = file.group(group, self.spec).take(held), new.take(fresh)
            real = same_keys(stored, others, self.spec)
            verdict = self._judged(stored, others)
            goes, noted = verdict.replaces & real, verdict.noted & real
            strays.leave[group] = held[goes]
            strays.enters[fresh[real & ~goes]] = False
            count = int(goes.sum())
            mask = pa.array(noted)
            yield Merged(
                self.spec.schema.empty_table(),
                added=-count,
                changed=count,
                old_rows=stored.filter(pa.array(goes)) if count else None,
                notes=difference_notes(
                    stored.filter(mask), others.filter(mask), self._source, room
                ),
            )

    def _judged(self, stored: pa.Table, new: pa.Table) -> Verdict:
        if self.change.replace is not None:
            return Verdict(np.ones(stored.num_rows, np.bool_), np.zeros(stored.num_rows, np.bool_))
        return judge(stored, new, rank=self.change.tag.rank, coverage=self.coverage)

    def _stored(self, file: StoredFile, strays: _Strays) -> Iterator[pa.Table]:
        for group, rows in enumerate(file.tables(self.spec)):
            leave = strays.leave.get(group)
            if leave is not None and len(leave):
                stays = np.ones(rows.num_rows, np.bool_)
                stays[leave] = False
                rows = rows.filter(pa.array(stays))
            yield rows

    def _cut(self, rows: pa.Table) -> Iterator[pa.Table]:
        step = self.sizes.rows_at_a_time(rows)
        for first in range(0, rows.num_rows, step):
            yield rows.slice(first, step)

    def _required(self, tables: Any) -> Iterator[pa.Table]:
        """What the caller streams, checked table by table."""
        window = self.change.replace or self.change.partition.range
        last: int | None = None
        for table in tables:
            rows = require_rows(table, self.spec, window)
            if rows.num_rows == 0:
                continue
            moments = micros(rows["ts"])
            if (last is not None and moments[0] < last) or (moments[1:] < moments[:-1]).any():
                raise SchemaMismatch(
                    f"The rows streamed for {self.change.partition.path} are not ascending by "
                    "ts. Nothing was stored."
                )
            last = int(moments[-1])
            yield from self._cut(rows)


class _Strays:
    """Rows that have one key at two times: who of them stays. Positions, not rows."""

    def __init__(self) -> None:
        self.leave: dict[int, Ints] = {}
        self.enters: Bools = np.ones(0, np.bool_)


def _may_share_keys(file: StoredFile, group: int, new: pa.Table, spec: RowSpec) -> bool:
    """Whether some row of a group can have a key of *new*, by what the file says of its columns."""
    for name in spec.key:
        column = new[name]
        try:
            told = file.bounds(group, name)
        except LookupError:
            continue
        if told is None:
            if column.null_count == 0:
                return False
        elif column.null_count == len(column):
            if not file.has_nulls(group, name):
                return False
        elif pa.types.is_integer(column.type) and column.null_count == 0:
            low, high = _bounds(column)
            if told[1] < low or high < told[0]:
                return False
    return True


def _bounds(column: pa.ChunkedArray) -> tuple[int, int]:
    values = micros(column)
    return int(values.min()), int(values.max())
