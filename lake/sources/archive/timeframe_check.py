"""Notices candles that are longer than they are said to be: all of them on a coarser grid. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.timeframe import Grid, TimeFrame
from lake.errors import InvalidRequest

# Fewer say nothing: a quiet market's minutes may well be five apart for a while.
_LEAST_ROWS = 50


class Spacing:
    """Looks at the open times of one file."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._rows = 0
        step = grid.timeframe.step_us
        self._coarser = {
            each: each.step_us
            for each in TimeFrame
            if step and each.step_us and each.step_us > step and each.step_us % step == 0
        }

    def look(self, rows: pa.Table) -> None:
        """Take note of the next rows."""
        if not rows.num_rows or not self._coarser:
            return
        self._rows += rows.num_rows
        moments = rows["ts"].cast(pa.int64()).to_numpy() - self._grid.anchor_us
        self._coarser = {
            each: step for each, step in self._coarser.items() if not (moments % step).any()
        }

    def require(self, path: Path) -> None:
        """
        Raises:
            InvalidRequest: All rows stand on a coarser grid.
        """
        if self._rows < _LEAST_ROWS or not self._coarser:
            return
        longest = max(self._coarser, key=lambda each: self._coarser[each])
        raise InvalidRequest(
            f"{path.name}: all {self._rows:,} candles open at multiples of {longest}, so they are "
            f"not {self._grid.timeframe} candles. Say --timeframe {longest}."
        )


def commonest_step(moments: np.ndarray[Any, np.dtype[np.int64]]) -> int | None:
    """The commonest distance between neighbours; None where there are fewer than two."""
    if len(moments) < 2:
        return None
    steps, counts = np.unique(np.diff(moments), return_counts=True)
    return int(steps[counts.argmax()])
