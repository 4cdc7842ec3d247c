"""Gaps: what is missing from a series, and why. Pure arithmetic on ranges.

The reasons are one list for code, SQL and docs. A gap is a maximal run of what is missing with
one reason: candles, settlements, snapshots, or a stretch of trades, whose number nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange, intersect, subtract
from lake.domain.timeframe import Grid
from lake.domain.times import iso


class GapReason(Enum):
    NOT_FETCHED = "not_fetched"
    FAILED = "failed"
    PROVISIONAL = "provisional"
    VENUE_HAS_NONE = "venue_has_none"
    VENUE_OUTAGE = "venue_outage"
    NO_TRADES = "no_trades"
    BEFORE_LISTING = "before_listing"
    AFTER_DELISTING = "after_delisting"
    BEYOND_SOURCE = "beyond_source"
    LOST_BY_SOURCE = "lost_by_source"
    IN_QUARANTINE = "in_quarantine"
    EXPIRED = "expired"

    def __str__(self) -> str:
        return self.value


Count = Callable[[TimeRange], int | None]
"""How many rows are expected in a range; None where that cannot be known (trades)."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A maximal run of missing rows with one reason; ``evidence`` says how that is known.

    ``missing_count`` is None where nobody can know how many there are.
    """

    series: Series
    range: TimeRange
    missing_count: int | None
    reason: GapReason
    evidence: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known about a range that explains why rows are missing in it."""

    range: TimeRange
    reason: GapReason
    evidence: str


def held_ranges(
    grid: Grid, bounds: Iterable[tuple[datetime, datetime, Sequence[TimeRange]]]
) -> list[TimeRange]:
    """The ranges in which every candle is stored.

    Args:
        grid: The grid of the series.
        bounds: Per partition the first and the last open time stored, and its gap runs.
    """
    spans: list[TimeRange] = []
    holes: list[TimeRange] = []
    for first, last, runs in bounds:
        spans.append(TimeRange(first, grid.next(last)))
        holes.extend(runs)
    return subtract(spans, holes)


def first_row_text(series: Series, moment: datetime) -> str:
    """Where the rows of *series* begin, in words."""
    what = {DataType.OHLCV: "candle opens", DataType.TRADES: "trade is of"}
    return f"first {what.get(series.data_type, 'row is of')} {iso(moment)}"


def listed_from(first_available: datetime | None, held: Sequence[TimeRange]) -> datetime | None:
    """Where the venue's candles begin, given what it said and what is held.

    Rows from elsewhere (an archive) that are older than the venue's first candle show that it
    was not the first: before *held* begins nothing is contradicted.
    """
    if first_available is None or not held:
        return first_available
    return min(first_available, held[0].start)


def explain(
    series: Series,
    count: Count,
    *,
    examined: Iterable[TimeRange],
    held: Iterable[TimeRange],
    facts: Sequence[Fact],
) -> list[Gap]:
    """The gaps of *series* inside *examined*, ascending, each with its reason.

    Args:
        series: Which series this is.
        count: How many rows are expected in a range. A range without any is no gap.
        examined: Where rows are wanted.
        held: Where all of them are stored.
        facts: What is known, the most telling first; what no fact explains is ``not_fetched``.
    """
    left = subtract(examined, held)
    gaps: list[Gap] = []
    for fact in facts:
        explained = intersect(left, [fact.range])
        if not explained:
            continue
        gaps.extend(_gaps(series, count, explained, fact.reason, fact.evidence))
        left = subtract(left, explained)
    gaps.extend(_gaps(series, count, left, GapReason.NOT_FETCHED, "never asked for"))
    return _joined(sorted(gaps, key=lambda gap: gap.range))


def _gaps(
    series: Series, count: Count, ranges: Iterable[TimeRange], reason: GapReason, evidence: str
) -> list[Gap]:
    return [
        Gap(series, each, missing, reason, evidence)
        for each in ranges
        if (missing := count(each)) != 0
    ]


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Touching gaps of one reason as one, with all that is known about them."""
    joined: list[Gap] = []
    for gap in gaps:
        last = joined[-1] if joined else None
        if last and last.reason is gap.reason and last.range.end == gap.range.start:
            known = (
                last.evidence
                if gap.evidence in last.evidence
                else f"{last.evidence}; {gap.evidence}"
            )
            joined[-1] = Gap(
                last.series,
                TimeRange(last.range.start, gap.range.end),
                _sum(last.missing_count, gap.missing_count),
                last.reason,
                known,
            )
        else:
            joined.append(gap)
    return joined
