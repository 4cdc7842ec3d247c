"""Range arithmetic against the obvious model: sets of whole numbers."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.domain.ranges import TimeRange, intersect, subtract, union
from lake.domain.times import EPOCH, epoch_us, from_us, parse_moment, to_us
from lake.errors import InvalidRequest

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=8)


def _ranges(pairs: list[tuple[int, int]]) -> list[TimeRange]:
    return [
        TimeRange(EPOCH + timedelta(hours=start), EPOCH + timedelta(hours=start + length))
        for start, length in pairs
    ]


def _hours(ranges: list[TimeRange]) -> set[int]:
    return {
        hour
        for each in ranges
        for hour in range(to_us(each.start) // 3_600_000_000, to_us(each.end) // 3_600_000_000)
    }


@given(PAIRS, PAIRS)
def test_range_arithmetic_is_set_arithmetic(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    """Union, difference and intersection hold exactly the moments that sets would."""
    ours, theirs = _ranges(one), _ranges(other)

    assert _hours(union(ours)) == _hours(ours)
    assert _hours(subtract(ours, theirs)) == _hours(ours) - _hours(theirs)
    assert _hours(intersect(ours, theirs)) == _hours(ours) & _hours(theirs)


@given(PAIRS, PAIRS)
def test_results_are_ascending_and_apart(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    """Touching ranges are joined, so that equal sets are equal lists."""
    for result in (union(_ranges(one)), subtract(_ranges(one), _ranges(other))):
        assert all(a.end < b.start for a, b in itertools.pairwise(result))


def test_an_empty_range_is_refused() -> None:
    """End before start is the commonest wrong request."""
    with pytest.raises(InvalidRequest, match="end must be after the start"):
        TimeRange(datetime(2024, 1, 2), datetime(2024, 1, 1))


def test_aware_moments_become_naive_utc() -> None:
    """Public functions take aware datetimes; inside there is no zone."""
    start = datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))

    assert TimeRange(start, datetime(2024, 1, 2, tzinfo=UTC)).start == datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-01", datetime(2024, 1, 1)),
        ("20240101", datetime(2024, 1, 1)),
        ("2024-01-01T12:00+02:00", datetime(2024, 1, 1, 10)),
        ("1704067200", datetime(2024, 1, 1)),
        ("1704067200000", datetime(2024, 1, 1)),
        ("1704067200000000", datetime(2024, 1, 1)),
        ("2d", datetime(2024, 5, 30)),
        ("now", datetime(2024, 6, 1)),
    ],
)
def test_times_are_read_as_people_write_them(text: str, moment: datetime) -> None:
    """Dates, ISO text, epochs by magnitude and spans back from now."""
    assert parse_moment(text, now=datetime(2024, 6, 1)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "12"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """A guess here would fetch the wrong years."""
    with pytest.raises(InvalidRequest, match="is not a time"):
        parse_moment(text, now=datetime(2024, 6, 1))


@given(st.integers(10**15, 4 * 10**15))
def test_microseconds_survive_the_round_trip(us: int) -> None:
    """No float may touch a timestamp on its way."""
    assert to_us(from_us(us)) == us
    assert epoch_us(us) == us
