"""Cuts two sources of rows, each ordered by ``ts``, into slices that can be merged one by one.

Pure. Rows that share a ``ts`` are never in two slices, whatever page or row group they came in.
Where a row is known by an id, neither are rows of one millisecond: a venue's archive gives
microseconds where its API gave milliseconds, and both rows of one id have to meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from lake.domain.schemas import RowSpec
from lake.storage.columns import micros

_MILLISECOND_US = 1_000


def slices(
    stored: Iterable[pa.Table], new: Iterable[pa.Table], spec: RowSpec
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """What both sources hold of one span of time after the other, in order.

    No more is held than the tables at hand, and all rows of one ``ts`` (or millisecond).
    """
    grain = 1 if "ts" in spec.key else _MILLISECOND_US
    feeds = (_Feed(stored, spec), _Feed(new, spec))
    while True:
        for feed in feeds:
            feed.fill()
        open_ends = [feed.last_us for feed in feeds if not feed.is_done]
        if not open_ends:
            rest = tuple(feed.rows for feed in feeds)
            if any(rows.num_rows for rows in rest):
                yield rest[0], rest[1]
            return
        # What comes next is no earlier than the last rows seen; those may have equals to come.
        border = min(open_ends) // grain * grain
        one, other = (feed.take_before(border) for feed in feeds)
        if one.num_rows or other.num_rows:
            yield one, other
        for feed in feeds:
            if not feed.is_done and feed.last_us // grain * grain == border:
                feed.more()


class _Feed:
    """One source, and the rows of it that were not handed on yet."""

    def __init__(self, tables: Iterable[pa.Table], spec: RowSpec) -> None:
        self.rows: pa.Table = spec.schema.empty_table()
        self.is_done = False
        self._tables = iter(tables)

    @property
    def last_us(self) -> int:
        last: int = self.rows["ts"].slice(self.rows.num_rows - 1).cast(pa.int64())[0].as_py()
        return last

    def fill(self) -> None:
        while self.rows.num_rows == 0 and not self.is_done:
            self.more()

    def more(self) -> None:
        table = next(self._tables, None)
        if table is None:
            self.is_done = True
        elif self.rows.num_rows:
            self.rows = pa.concat_tables([self.rows, table])
        else:
            self.rows = table

    def take_before(self, border: int) -> pa.Table:
        count = int(np.searchsorted(micros(self.rows["ts"]), border)) if self.rows.num_rows else 0
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        return taken
