"""Polars frames in and out of DuckDB, also of types that polars does not take from Arrow.

It does not ask DuckDB anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lake.errors import InvalidRequest

if TYPE_CHECKING:
    import polars as pl

# How Arrow lays out an interval of DuckDB's (pyarrow's month_day_nano_interval).
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_US_PER_DAY = 86_400_000_000


def frame_of(table: pa.Table) -> pl.DataFrame:
    """*table* as a polars frame; intervals become durations in microseconds.

    Raises:
        InvalidRequest: A column is of a type that polars does not have, or an interval has months,
            whose length nobody knows.
    """
    import polars as pl

    for at, field in enumerate(table.schema):
        if field.type == pa.month_day_nano_interval():
            table = table.set_column(at, field.name, _durations(field.name, table.column(at)))
        elif not _is_known(field.type):
            raise InvalidRequest(
                f"The column {field.name} is of a type that polars does not have: {field.type}. "
                f"Cast it, for example {field.name}::varchar."
            )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def table_of(name: str, frame: object) -> pa.Table:
    """The caller's *frame*, handed over as *name*, as DuckDB takes it.

    Raises:
        InvalidRequest: It is no frame of polars.
    """
    import polars as pl

    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame):
        raise InvalidRequest(
            f"{name} is a {type(frame).__name__}, not a polars frame. Make one of it: "
            f"{name}=polars.DataFrame(...), polars.from_pandas(...) or polars.from_arrow(...)."
        )
    return frame.to_arrow()


def _is_known(kind: pa.DataType) -> bool:
    """Whether polars takes *kind* from Arrow; of some others it panics."""
    if pa.types.is_union(kind) or pa.types.is_interval(kind):
        return False
    return all(_is_known(kind.field(number).type) for number in range(kind.num_fields))


def _durations(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [_chunk(name, chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.duration("us"))


def _chunk(name: str, chunk: pa.Array) -> pa.Array:
    missing = np.asarray(chunk.is_null())
    _, data = chunk.buffers()
    parts = np.frombuffer(data, _INTERVAL, len(chunk), chunk.offset * _INTERVAL.itemsize)
    if np.any(parts["months"][~missing]):
        raise InvalidRequest(
            f"The column {name} holds intervals of months, whose length differs. Cast it "
            "(::varchar), or subtract timestamps, which gives days and less."
        )
    microseconds = parts["days"].astype(np.int64) * _US_PER_DAY + parts["nanoseconds"] // 1_000
    return pa.array(microseconds, mask=missing).cast(pa.duration("us"))
