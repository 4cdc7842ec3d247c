"""When funding was due, and how long it had been accruing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lake.domain.settlements import HOUR_US, intervals_us, scheduled_us
from lake.domain.times import from_us, to_us

NOON = datetime(2024, 1, 1, 12)


@pytest.mark.parametrize(
    ("late", "due"),
    [
        (timedelta(0), NOON),
        (timedelta(milliseconds=47), NOON),
        (timedelta(seconds=-3), NOON),
        (timedelta(minutes=5), NOON),
        (timedelta(minutes=5, seconds=1), NOON + timedelta(minutes=5)),
        (timedelta(minutes=30, seconds=31), NOON + timedelta(minutes=31)),
        (timedelta(minutes=55), NOON + timedelta(hours=1)),
    ],
)
def test_a_settlement_is_due_at_the_hour_near_it_or_else_at_the_minute(
    late: timedelta, due: datetime
) -> None:
    assert from_us(scheduled_us(to_us(NOON + late))) == due


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], []),
        ([5], [None]),
        ([0, 8, 16], [8, 8, 8]),
        # The interval of a settlement is the one it ends.
        ([0, 8, 16, 20, 24, 25, 26], [8, 8, 8, 4, 4, 1, 1]),
        ([0, 1, 2, 6, 10, 18], [1, 1, 1, 4, 4, 8]),
        # One wide step between equal ones is a hole.
        ([0, 8, 24, 32], [8, 8, 8, 8]),
        ([0, 8, 752, 760], [8, 8, 8, 8]),
        # Between unequal ones nobody can say.
        ([0, 8, 24, 28], [8, 8, None, 4]),
    ],
)
def test_intervals_follow_from_the_settlements_around(
    hours: list[int], expected: list[int | None]
) -> None:
    found = intervals_us([each * HOUR_US for each in hours])

    assert [None if each is None else each // HOUR_US for each in found] == expected
