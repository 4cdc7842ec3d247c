"""When funding was due, and how long it had been accruing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from lake.domain.settlements import (
    HOUR_US,
    first_interval_us,
    holes_us,
    intervals_us,
    last_interval_us,
    scheduled_us,
)
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


def settlements(*hours: int) -> list[int]:
    return [hour * HOUR_US for hour in hours]


def missing(*hours: int) -> list[tuple[int, int, int]]:
    """First hour missing, hour of the next settlement, how many."""
    return [
        (hole.start_us // HOUR_US, hole.end_us // HOUR_US, hole.missing)
        for hole in holes_us(settlements(*hours))
    ]


def test_an_interval_that_changes_leaves_no_hole() -> None:
    """8h, 4h, 1h and back to 8h: nothing is assumed about how often a venue settles."""
    eights, fours, ones = range(0, 49, 8), range(52, 73, 4), range(73, 85)

    assert missing(*eights, *fours, *ones, *range(92, 140, 8)) == []


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ((0, 8, 16, 32, 40, 48), [(24, 32, 1)]),
        ((0, 8, 16, 40, 64, 72, 80), [(24, 40, 2), (48, 64, 2)]),
        ((0, 8, 16, 40, 44, 48, 52), [(24, 40, 2)]),
        ((0, 1, 2, 9, 10, 11), [(3, 9, 6)]),
        # One at either end of what is held: seen once, a wider spacing is no interval.
        ((0, 24, 32, 40), [(8, 24, 2)]),
        ((0, 8, 16, 40), [(24, 40, 2)]),
        # Two settlements alone, and an extra one in between, tell of no hole.
        ((0, 24), []),
        ((0, 8, 24), [(16, 24, 1)]),
        ((0, 8, 16, 20, 24, 32, 40), []),
    ],
)
def test_a_spacing_wider_than_those_around_it_is_a_hole(
    hours: tuple[int, ...], expected: list[tuple[int, int, int]]
) -> None:
    """As many are missing as the wider of the intervals on both sides leaves room for."""
    assert missing(*hours) == expected


def test_an_interval_that_is_kept_to_is_no_row_of_holes() -> None:
    """Three times in a row 8h between 4h: the venue changed its mind and changed it back."""
    assert missing(0, 4, 8, 16, 24, 32, 36, 40) == []
    assert missing(0, 4, 8, 16, 24, 28, 32) == [(12, 16, 1), (20, 24, 1)]


def test_the_interval_at_each_end_looks_past_holes() -> None:
    moments = settlements(0, 24, 32, 40, 44, 48, 52, 72)

    assert first_interval_us(moments) == 8 * HOUR_US
    assert last_interval_us(moments) == 4 * HOUR_US
    assert first_interval_us(moments[:1]) is last_interval_us([]) is None
