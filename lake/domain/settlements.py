"""The calendar of funding: when a settlement was due, and how long it had been accruing.

Pure. Intervals follow from the settlements themselves, because venues change them (8h, 4h, 1h)
and say only the current one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
# A venue's time within five minutes of an hour is that hour's settlement, late or early.
NEAR_US = 5 * MINUTE_US


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
