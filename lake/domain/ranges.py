"""Half-open ranges of time and their arithmetic. Everything the planner does is made of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.domain.times import iso, utc
from lake.errors import InvalidRequest


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """``[start, end)``, naive UTC. Never empty: an empty range is the absence of one."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.start >= self.end:
            raise InvalidRequest(
                f"The range from {iso(self.start)} to {iso(self.end)} is empty: "
                "the end must be after the start (ranges are half-open, UTC)."
            )

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"{iso(self.start)} .. {iso(self.end)}"

    def overlaps(self, other: TimeRange) -> bool:
        return self.start < other.end and other.start < self.end

    def intersection(self, other: TimeRange) -> TimeRange | None:
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeRange(start, end) if start < end else None


def range_or_none(start: datetime, end: datetime) -> TimeRange | None:
    """The range, or None where it would be empty."""
    return TimeRange(start, end) if start < end else None


def union(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """The same moments as *ranges*, ascending, with touching and overlapping ones joined."""
    joined: list[TimeRange] = []
    for each in sorted(ranges):
        if joined and each.start <= joined[-1].end:
            if each.end > joined[-1].end:
                joined[-1] = TimeRange(joined[-1].start, each.end)
        else:
            joined.append(each)
    return joined


def subtract(wanted: Iterable[TimeRange], taken: Iterable[TimeRange]) -> list[TimeRange]:
    """The moments of *wanted* that are in none of *taken*, ascending and joined."""
    left: list[TimeRange] = []
    holes = union(taken)
    first = 0
    for each in union(wanted):
        start = each.start
        while first < len(holes) and holes[first].end <= start:
            first += 1
        for hole in holes[first:]:
            if hole.start >= each.end:
                break
            if hole.start > start:
                left.append(TimeRange(start, hole.start))
            start = max(start, hole.end)
        if start < each.end:
            left.append(TimeRange(start, each.end))
    return left


def intersect(one: Iterable[TimeRange], other: Iterable[TimeRange]) -> list[TimeRange]:
    """The moments that are in both, ascending and joined."""
    ours, theirs = union(one), union(other)
    shared: list[TimeRange] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if both := ours[i].intersection(theirs[j]):
            shared.append(both)
        if ours[i].end <= theirs[j].end:
            i += 1
        else:
            j += 1
    return shared
