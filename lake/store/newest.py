"""The newest rows of a series as a polars frame: from ``hot.sqlite``, else from the files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from lake.domain.identifiers import DataType, Series
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import to_us
from lake.errors import InvalidRequest
from lake.storage.tail import newest_rows
from lake.store.reads import not_found, read

if TYPE_CHECKING:
    from lake.storage.lake import Storage

LIMIT_MAX = 10_000_000
"""Rows of one answer: beyond it, read a range."""


def from_hot(
    storage: Storage,
    series: Series,
    limit: int,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame | None:
    """The newest *limit* rows of ``[start, end)``, ascending, if ``hot.sqlite`` has them.

    Raises:
        InvalidRequest: *limit* is not from 1 to ten million.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidRequest(
            f"limit={limit} was asked for. Ask for 1 to {LIMIT_MAX:,} rows, or read a range."
        )
    low = None if start is None else to_us(start)
    high = None if end is None else to_us(end)
    rows = storage.hot.newest(series, limit, low, high)
    return None if rows is None else frame_of(series.data_type, rows)


def from_files(
    storage: Storage,
    series: Series,
    limit: int,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """As :func:`from_hot`, from the Parquet files.

    Raises:
        SeriesNotFound: The series was never stored.
        StorageError: A file is damaged.
    """
    if start is not None or end is not None:
        return read(storage, [series], start=start, end=end).tail(limit)
    tail = newest_rows(storage, series, limit)
    if tail is None:
        raise not_found(storage, series)
    frame = pl.from_arrow(tail.rows)
    assert isinstance(frame, pl.DataFrame)
    return frame


def frame_of(data_type: DataType, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows of hot, the newest first, as an ascending frame of the data type's columns."""
    types = _types(data_type)
    # By column: polars takes half the time that it needs to take rows apart.
    values = zip(*reversed(rows), strict=True) if rows else [()] * len(types)
    return pl.DataFrame(
        [
            _column(name, kind, column)
            for (name, kind), column in zip(types.items(), values, strict=True)
        ]
    )


def _column(name: str, kind: pl.DataType, values: Sequence[Any]) -> pl.Series:
    if kind.is_nested():
        return _levels(values).alias(name)
    if not values or values[0] is None:
        return pl.Series(name, values, dtype=kind)
    # SQLite's columns are of one type, which polars finds out sooner than it takes it told.
    made = pl.Series(name, values)
    return made if made.dtype == kind else made.cast(kind)


@cache
def _types(data_type: DataType) -> dict[str, pl.DataType]:
    frame = pl.from_arrow(ROW_SPECS[data_type].schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return dict(frame.schema)


def _levels(blobs: Sequence[bytes]) -> pl.Series:
    """Lists of doubles from blobs of them."""
    values = np.frombuffer(b"".join(blobs), dtype="<f8")
    ends = np.cumsum([0, *(len(each) // 8 for each in blobs)])
    levels = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values))
    made = pl.from_arrow(levels)
    assert isinstance(made, pl.Series)
    return made
