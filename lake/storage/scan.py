"""Looks at the rows of a partition as they pass, table by table: count, bounds, gaps, order, keys.

Pure: what commits record, what start-up makes again and what the doctor checks is counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import RowSpec
from lake.storage.columns import (
    Ints,
    absent_runs,
    is_increasing,
    is_sorted,
    key_codes,
    key_marks,
    micros,
)
from lake.storage.spacing import BY_SPACING, Gaps

_CHANCE_AT_MOST = 1_000
"""So many marks never agree by chance."""


class RowScan:
    """Counts rows that come in order.

    Attributes:
        rows: How many came.
        min_us: The first moment, microseconds; None where none came.
        max_us: The last.
    """

    def __init__(self, partition: Partition) -> None:
        self.rows = 0
        self.min_us: int | None = None
        self.max_us: int | None = None
        self._grid = partition.series.grid
        self._by_spacing = BY_SPACING.get(partition.series.data_type)
        self._moments: list[Ints] = []
        self._runs: list[TimeRange] = []
        self._missing = 0

    @property
    def gaps(self) -> Gaps:
        """The runs of missing rows between the first row and the last, and their number.

        Candles by their grid, settlements and snapshots by their spacing; of trades none.
        """
        if self._by_spacing is not None:
            return self._by_spacing(np.concatenate([np.empty(0, np.int64), *self._moments]))
        return tuple(self._runs), self._missing

    def feed(self, rows: pa.Table) -> None:
        """Take in the rows that come next."""
        if rows.num_rows == 0:
            return
        moments = micros(rows["ts"])
        if self._by_spacing is not None:
            self._moments.append(moments.copy())
        if self._grid is not None:
            if self.max_us is not None:
                moments = np.concatenate([[self.max_us], moments])
            runs, missing = absent_runs(moments, self._grid)
            self._runs += runs
            self._missing += missing
        self.rows += rows.num_rows
        self.min_us = int(moments[0]) if self.min_us is None else self.min_us
        self.max_us = int(moments[-1])


class OrderScan:
    """Whether rows are in order, and whether a key comes twice, however far apart.

    Attributes:
        is_sorted: By ``ts``, then key.
        is_unique: Whether no key came twice; None where that takes a second look at all keys
            (:func:`keys_are_unique`), because they do not rise with the time.
    """

    def __init__(self, spec: RowSpec) -> None:
        self.is_sorted = True
        self.is_unique: bool | None = True
        self._spec = spec
        self._last: pa.Table | None = None

    def feed(self, rows: pa.Table) -> None:
        """Take in the rows that come next."""
        if rows.num_rows == 0:
            return
        seen = rows if self._last is None else pa.concat_tables([self._last, rows])
        self._last = rows.slice(rows.num_rows - 1)
        self.is_sorted = self.is_sorted and is_sorted(seen, self._spec)
        if "ts" in self._spec.key:
            # Equal keys of rows in order stand side by side.
            if not is_increasing(np.sort(key_codes(seen, self._spec))):
                self.is_unique = False
        elif self.is_unique and not is_increasing(key_marks(seen, self._spec)):
            self.is_unique = None


def keys_are_unique(tables: Callable[[], Iterator[pa.Table]], rows: int, spec: RowSpec) -> bool:
    """Whether no key comes twice among *rows* rows, in 8 bytes of memory for each.

    Args:
        tables: Gives the rows, each time that it is called.
        rows: How many there are.
        spec: What they are.
    """
    marks = np.empty(rows, np.int64)
    place = 0
    for table in tables():
        marks[place : place + table.num_rows] = key_marks(table, spec)
        place += table.num_rows
    marks.sort()
    suspected = np.unique(marks[1:][marks[1:] == marks[:-1]])
    if len(suspected) == 0 or len(suspected) > _CHANCE_AT_MOST:
        return len(suspected) == 0
    # Texts may have one mark by chance: look at the keys themselves.
    keys = pa.concat_tables(
        table.select(list(spec.key)).filter(pa.array(np.isin(key_marks(table, spec), suspected)))
        for table in tables()
    )
    return is_increasing(np.sort(key_codes(keys, spec)))


def scan(partition: Partition, rows: pa.Table) -> RowScan:
    """The scan of rows that are all at hand."""
    found = RowScan(partition)
    found.feed(rows)
    return found
