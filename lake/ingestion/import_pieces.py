"""Pieces of imported files: cut by partition, compared with what is held, put together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.times import to_us
from lake.sources.archive import Lot


def cut(series: Series, lot: Lot) -> Iterator[tuple[Partition, Lot]]:
    """*lot* by partition. Bad rows without a time go with the first one."""
    windows = list(split(series, lot.window))
    if len(windows) == 1:
        yield windows[0][0], lot
        return
    assert isinstance(lot.rows, pa.Table), "rows that memory cannot hold are of one partition"
    for number, (partition, window) in enumerate(windows):
        claims = [
            replace(claim, range=part)
            for claim in lot.claims
            if (part := claim.range.intersection(window)) is not None
        ]
        yield (
            partition,
            Lot(
                window=window,
                rows=_between(lot.rows, window),
                claims=tuple(claims),
                rejected=tuple(
                    row
                    for row in lot.rejected
                    if (row.ts in window if row.ts is not None else number == 0)
                ),
                notes=tuple(note for note in lot.notes if note.ts in window),
            ),
        )


def _moments(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(rows["ts"].cast(pa.int64()).to_numpy())


def _between(rows: pa.Table, window: TimeRange) -> pa.Table:
    first, end = np.searchsorted(_moments(rows), [to_us(window.start), to_us(window.end)])
    return rows.slice(first, end - first)


def holds(held: pa.Table, rows: pa.Table) -> bool:
    """Whether every one of *rows* is in *held* with the same values; both ascend."""
    stored = _moments(held)
    place = np.searchsorted(stored, _moments(rows))
    if rows.num_rows and place[-1] >= len(stored):
        return False
    return bool(held.take(pa.array(place)).select(rows.column_names).equals(rows))


def newest(tables: Sequence[pa.Table]) -> pa.Table:
    """*tables* as one, ascending; of rows of the same time the last table's stands."""
    rows = pa.concat_tables(tables)
    moments = _moments(rows)
    if (moments[1:] > moments[:-1]).all():
        return rows
    order = np.argsort(moments, kind="stable")
    ascending = moments[order]
    stands = np.concatenate((ascending[1:] != ascending[:-1], [True]))
    return rows.take(pa.array(order[stands]))
