"""Pieces of imported files: cut by partition, compared with what is held, put together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, intersect, subtract
from lake.domain.times import to_us
from lake.sources.archive import Lot, SpooledRows


def cut(series: Series, lot: Lot) -> Iterator[tuple[Partition, Lot]]:
    """*lot* by partition. Bad rows without a time go with the first one."""
    windows = list(split(series, lot.window))
    if len(windows) == 1:
        yield windows[0][0], lot
        return
    assert isinstance(lot.rows, pa.Table), "rows that memory cannot hold are of one partition"
    for number, (partition, window) in enumerate(windows):
        yield partition, _part(lot, window, has_untimed=number == 0)


def by_promise(lot: Lot) -> Iterator[tuple[Lot, TimeRange | None]]:
    """*lot* of a file that was published again, with the ranges that are to become its rows.

    Those are the ranges that it promises. Of the rest, where it ends before its time is over or
    has holes that mean nothing, it takes no row away (None).
    """
    promised = intersect(
        [claim.range for claim in lot.claims if claim.basis.promises], [lot.window]
    )
    rest = subtract([lot.window], promised)
    windows = sorted([*((each, True) for each in promised), *((each, False) for each in rest)])
    if len(windows) == 1:
        yield lot, lot.window if promised else None
        return
    for number, (window, is_promised) in enumerate(windows):
        part = _part(lot, window, has_untimed=number == 0)
        if is_promised or part.rows.num_rows or part.claims or part.rejected or part.notes:
            yield part, window if is_promised else None


def _part(lot: Lot, window: TimeRange, *, has_untimed: bool) -> Lot:
    """What of *lot* lies in *window*; *has_untimed*: bad rows without a time, too."""
    return Lot(
        window=window,
        rows=_between(lot.rows, window),
        claims=tuple(
            replace(claim, range=part)
            for claim in lot.claims
            if (part := claim.range.intersection(window)) is not None
        ),
        rejected=tuple(
            row for row in lot.rejected if (row.ts in window if row.ts is not None else has_untimed)
        ),
        notes=tuple(note for note in lot.notes if note.ts in window),
    )


def _moments(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(rows["ts"].cast(pa.int64()).to_numpy())


def _between(rows: pa.Table | SpooledRows, window: TimeRange) -> pa.Table | SpooledRows:
    if isinstance(rows, pa.Table):
        first, end = np.searchsorted(_moments(rows), [to_us(window.start), to_us(window.end)])
        return rows.slice(first, end - first)

    def tables() -> Iterator[pa.Table]:
        for table in rows:
            part = _between(table, window)
            if part.num_rows:
                yield part

    return SpooledRows(sum(table.num_rows for table in tables()), tables)


def holds(held: pa.Table, rows: pa.Table) -> bool:
    """Whether every one of *rows* is in *held* with the same values; both ascend."""
    stored = _moments(held)
    place = np.searchsorted(stored, _moments(rows))
    if rows.num_rows and place[-1] >= len(stored):
        return False
    return bool(held.take(pa.array(place)).select(rows.column_names).equals(rows))


def without_held(lot: Lot, held: pa.Table | None) -> Lot:
    """*lot* without rows whose time is held: what nobody vouches for replaces nothing.

    The last candle of a file that was cut is such a row: it may have been running.
    """
    if held is None or not isinstance(lot.rows, pa.Table):
        return lot
    is_new = ~np.isin(_moments(lot.rows), _moments(held))
    return replace(lot, rows=lot.rows.filter(pa.array(is_new)))


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
