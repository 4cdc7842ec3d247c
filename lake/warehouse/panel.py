"""Puts several series side by side: one row a moment, one column an instrument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from lake.domain.identifiers import Series
from lake.warehouse.reader import Rows


def wide(rows: Rows, series: Sequence[Series], columns: Sequence[str]) -> pl.DataFrame:
    """The rows of several series as one frame, ascending by ``ts``.

    Args:
        rows: With the columns ``ts`` and *columns*; each series ascends and has a ``ts`` once.
        series: Those read, in order.
        columns: What goes side by side.

    Returns:
        ``ts``, then for each series in order a column named by its id (``BTCUSDT.BINANCE``),
        or, where several *columns* are wanted, ``close_BTCUSDT.BINANCE`` and so on. Null where
        a series has no row of that moment.
    """
    moments = rows.frame["ts"].to_physical().to_numpy()
    every = np.unique(moments)
    frame = rows.frame.rechunk()
    made = [pl.Series("ts", every).cast(pl.Datetime("us"))]
    offset = 0
    for each, count in zip(series, rows.counts, strict=True):
        part = frame.slice(offset, count)
        # Where each moment's row lies in the part; null where there is none.
        places = np.full(len(every), -1, dtype=np.int64)
        places[np.searchsorted(every, moments[offset : offset + count])] = np.arange(count)
        is_whole = count == len(every)
        chosen = pl.Series(places).replace(-1, None)
        for name in columns:
            values = part[name] if is_whole else part[name].gather(chosen)
            label = str(each.instrument_id)
            made.append(values.alias(label if len(columns) == 1 else f"{name}_{label}"))
        offset += count
    return pl.DataFrame(made)
