"""What of a lake is to be fetched again: the ranges in which checks found something. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from lake.domain.checks import CheckRun, Reach, Severity, Violation
from lake.domain.gaps import Gap, GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange, union
from lake.domain.timeframe import TimeFrame

# A moment is a range, too.
_MOMENT = timedelta(microseconds=1)
_TO_FETCH = frozenset(
    {
        GapReason.NOT_FETCHED,
        GapReason.FAILED,
        GapReason.PROVISIONAL,
        GapReason.VENUE_HAS_NONE,
        GapReason.LOST_BY_SOURCE,
        GapReason.IN_QUARANTINE,
    }
)
Damages = dict[Series, list[TimeRange]]


def damages_of(
    runs: Sequence[CheckRun], gaps: Sequence[Gap], held: Sequence[Series], now: datetime
) -> Damages:
    """Where the lake is to be fetched again, by series, ascending.

    Args:
        runs: What checks found. What a check that compares series of an instrument finds may be
            the fault of each of them, of the types that it reads.
        gaps: What is missing. Outages, quiet markets and times before a listing stay as they are.
        held: The series that may be fetched.
        now: What lies after it is not asked for.
    """
    found: dict[Series, list[TimeRange]] = defaultdict(list)
    for run in runs:
        if run.check.repair != "refetch":
            continue
        for violation in run.found:
            window = _window(violation, now)
            if window is None or violation.severity is Severity.INFO:
                continue
            for series in _concerned(run, violation, held):
                found[series].append(window)
    for gap in gaps:
        if gap.reason in _TO_FETCH and gap.series in held:
            found[gap.series].append(gap.range)
    return {
        series: union(ranges)
        for series, ranges in found.items()
        # Nobody keeps books of the past.
        if series.data_type is not DataType.ORDERBOOK
    }


def _window(violation: Violation, now: datetime) -> TimeRange | None:
    if violation.start is None:
        return None
    start = violation.start
    end = max(violation.end or start, start + _MOMENT)
    return TimeRange(start, min(end, now)) if start < min(end, now) else None


def _concerned(run: CheckRun, violation: Violation, held: Sequence[Series]) -> Iterator[Series]:
    if violation.data_type is None or violation.venue is None or violation.instrument is None:
        return
    venue = Venue(violation.venue)
    instrument = InstrumentId(violation.instrument, venue)
    if run.check.reach is Reach.INSTRUMENT:
        for each in held:
            if each.instrument_id == instrument and each.data_type.value in run.check.reads:
                yield each
        return
    timeframe = None if violation.timeframe is None else TimeFrame(violation.timeframe)
    series = Series(DataType(violation.data_type), instrument, timeframe)
    if series in held:
        yield series
