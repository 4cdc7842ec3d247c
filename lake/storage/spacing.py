"""Where rows without a grid are missing, by the spacing of those that are there. Pure.

Settlements come at an interval that the venue may change, snapshots at one that whoever takes
them keeps. Trades come when they come: what is missing of them only coverage can say.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lake.domain.identifiers import DataType
from lake.domain.ranges import TimeRange
from lake.domain.settlements import holes_us
from lake.domain.times import from_us

Ints = npt.NDArray[np.int64]
Gaps = tuple[tuple[TimeRange, ...], int]

# A snapshot that comes a little late is none that was left out.
BROKEN = 1.75
# Snapshots of which so few come at the usual spacing have none: a feed that tells of changes.
_REGULAR_SHARE = 0.8
_REGULAR = 1.5
_FEWEST = 3


def settlement_gaps(moments: Ints) -> Gaps:
    """Runs of missing settlements between those at *moments* (us, ascending), and their number."""
    holes = holes_us(moments.tolist())
    runs = tuple(TimeRange(from_us(hole.start_us), from_us(hole.end_us)) for hole in holes)
    return runs, sum(hole.missing for hole in holes)


def snapshot_gaps(moments: Ints) -> Gaps:
    """Runs of missing snapshots between those at *moments* (us, ascending), and their number.

    The usual spacing is the median. A wider one breaks it where another snapshot would have had
    room; where a fifth of all spacings are wider there is no usual one, and no gap is told.
    """
    spacing = np.diff(moments)
    told = spacing[spacing > 0]
    if len(told) < _FEWEST:
        return (), 0
    usual = float(np.median(told))
    if np.mean(told <= _REGULAR * usual) < _REGULAR_SHARE:
        return (), 0
    at = np.flatnonzero(spacing >= BROKEN * usual)
    runs = tuple(
        TimeRange(from_us(int(moments[each] + usual)), from_us(int(moments[each + 1])))
        for each in at
    )
    return runs, sum(round(int(spacing[each]) / usual) - 1 for each in at)


BY_SPACING: dict[DataType, Callable[[Ints], Gaps]] = {
    DataType.FUNDING_RATES: settlement_gaps,
    DataType.ORDERBOOK: snapshot_gaps,
}
