"""Fills candles that are missing, and marks them: for computations that need every step.

A filled candle is flat at the close before it; its volumes are null, because whether nobody
traded or nobody wrote it down is not known. Nothing looks ahead, and nothing filled is stored.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from lake.domain.ranges import TimeRange
from lake.domain.timeframe import Grid
from lake.domain.times import to_us

FLAG = "is_filled"
_PRICES = ("open", "high", "low")


def filled(rows: pl.DataFrame, grid: Grid, end: datetime | None) -> pl.DataFrame:
    """*rows* with a candle at every grid point from the first of them up to *end*.

    Args:
        rows: Candles of one series with ``ts`` and ``close``, ascending; other columns may be
            absent.
        grid: The grid of the series.
        end: The first moment not wanted; None for the last candle's close.

    Returns:
        The columns of *rows* and ``is_filled``. Before the first candle nothing can be filled.
    """
    if rows.is_empty():
        return rows.with_columns(pl.lit(False).alias(FLAG).slice(0, 0))
    first, last = rows["ts"][0], rows["ts"][-1]
    until = max(grid.next(last), grid.ceil(end) if end is not None else first)
    step = grid.timeframe.step_us
    if step is not None:
        opens = np.arange(to_us(first), to_us(until), step)
    else:
        opens = np.array([to_us(each) for each in grid.opens(TimeRange(first, until))])
    every = pl.DataFrame({"ts": pl.Series(opens).cast(pl.Datetime("us"))})
    marked = rows.with_columns(pl.lit(False).alias(FLAG))
    joined = every.join(marked, on="ts", how="left", maintain_order="left")
    joined = joined.with_columns(pl.col(FLAG).fill_null(True), pl.col("close").forward_fill())
    return joined.with_columns(
        pl.col(name).fill_null(pl.col("close")) for name in _PRICES if name in rows.columns
    ).select(*rows.columns, FLAG)
