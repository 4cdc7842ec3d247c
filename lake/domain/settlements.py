"""The calendar of funding: when a settlement was due, and how long it had been accruing.

Pure. Intervals follow from the settlements themselves, because venues change them (8h, 4h, 1h)
and say only the current one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
# A venue's time within five minutes of an hour is that hour's settlement, late or early.
NEAR_US = 5 * MINUTE_US
# A spacing that comes so often in a row is an interval, however wide.
_TOO_OFTEN_FOR_HOLES = 3
# So many spacings on each side say what the interval is around one.
_NEIGHBOURS = 3


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch without the settlements that those around it lead one to expect.

    ``start_us`` is the first that is missing, ``end_us`` the settlement that comes next.
    """

    start_us: int
    end_us: int
    interval_us: int
    missing: int


def scheduled_us(settled_us: int) -> int:
    """The scheduled moment (microseconds) of a settlement that came at *settled_us*.

    The hour where one is within five minutes, else the minute.
    """
    hour = (settled_us + HOUR_US // 2) // HOUR_US * HOUR_US
    if abs(settled_us - hour) <= NEAR_US:
        return hour
    return (settled_us + MINUTE_US // 2) // MINUTE_US * MINUTE_US


def intervals_us(moments: Sequence[int]) -> list[int | None]:
    """How long each settlement had been accruing; None where its neighbours do not say.

    It is the time since the settlement before. A spacing that is wider than those on both
    sides of it is a hole and not an interval: there the neighbours' holds, where they agree.
    The first settlement has none before it and takes the next one's.

    Args:
        moments: Scheduled moments in microseconds, strictly ascending.
    """
    if len(moments) < 2:
        return [None] * len(moments)
    spacing = [after - before for before, after in pairwise(moments)]
    found: list[int | None] = [spacing[0], *spacing]
    for at in range(1, len(spacing) - 1):
        before, here, after = spacing[at - 1 : at + 2]
        if here > before and here > after:
            found[at + 1] = before if before == after else None
    return found


def holes_us(moments: Sequence[int]) -> list[Hole]:
    """Where settlements are missing between those held, ascending.

    A spacing is a hole and not an interval where it is wider than what the three spacings
    before it and the three after it show, and does not come three times in a row: venues that
    change their interval keep to the new one. At both ends it has to be wider than all three.
    How many are missing follows from the wider of the intervals on both sides, so it is the
    least that can be. Two settlements alone, and spacings that grow wider for good, hold none.

    Args:
        moments: Scheduled moments in microseconds, strictly ascending.
    """
    spacing = [after - before for before, after in pairwise(moments)]
    if len(set(spacing)) < 2:
        return []
    found = []
    least = min(spacing)
    for at, here in enumerate(spacing):
        if 2 * here < 3 * least:
            continue
        sides = (spacing[max(0, at - _NEIGHBOURS) : at], spacing[at + 1 : at + 1 + _NEIGHBOURS])
        # At an end there is nothing on the other side that could deny a change of the interval.
        interval = max(min(side) for side in sides) if all(sides) else max(sides[0] + sides[1])
        missing = (2 * here + interval) // (2 * interval) - 1
        if missing > 0 and not _is_kept_to(spacing, at):
            start = moments[at] + interval
            found.append(Hole(start, moments[at + 1], interval, missing))
    return found


def last_interval_us(moments: Sequence[int]) -> int | None:
    """The interval that holds after the last of *moments*; None where two do not say."""
    return _interval_at_the_end(list(moments[-2 * _NEIGHBOURS - 2 :]))


def first_interval_us(moments: Sequence[int]) -> int | None:
    """The interval that held before the first of *moments*; None where two do not say."""
    return _interval_at_the_end([-each for each in reversed(moments[: 2 * _NEIGHBOURS + 2])])


def _interval_at_the_end(moments: Sequence[int]) -> int | None:
    holes = {hole.end_us for hole in holes_us(moments)}
    for before, after in reversed(list(pairwise(moments))):
        if after not in holes:
            return after - before
    return None


def _is_kept_to(spacing: Sequence[int], at: int) -> bool:
    """Whether the spacing at *at* comes so often in a row that it is an interval."""
    first = last = at
    while first > 0 and spacing[first - 1] == spacing[at]:
        first -= 1
    while last + 1 < len(spacing) and spacing[last + 1] == spacing[at]:
        last += 1
    return last - first + 1 >= _TOO_OFTEN_FOR_HOLES
