"""What is missing from each held series, and why: the catalog's facts, read for one question.

No Parquet file is opened: the runs of missing candles are stored with each partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from lake.domain.gaps import (
    Fact,
    Gap,
    GapReason,
    explain,
    held_ranges,
    listed_from,
    shared_by_all,
)
from lake.domain.identifiers import DataType, Series, expiry_of
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange, intersect, range_or_none, subtract, union
from lake.domain.times import EPOCH, iso

if TYPE_CHECKING:
    from datetime import datetime

    from lake.domain.coverage import Coverage
    from lake.storage.catalog import Catalog
    from lake.storage.lake import Storage


@dataclass(frozen=True, slots=True)
class _Holdings:
    """One series as far as gaps are concerned."""

    series: Series
    examined: list[TimeRange]
    held: list[TimeRange]
    coverage: list[Coverage]
    facts: list[Fact]

    @property
    def missing(self) -> list[TimeRange]:
        return subtract(self.examined, self.held)

    @property
    def promised(self) -> list[TimeRange]:
        return union(each.range for each in self.coverage if each.promises)


def find_gaps(storage: Storage, wanted: Sequence[Series] | None = None) -> list[Gap]:
    """The gaps of the candle series held, by series and time; every one has a reason.

    A series is examined over everything that was ever wanted of it. What the venue left out
    of every other instrument too (same timeframe, two or more held) is a ``venue_outage``.

    Args:
        storage: The lake.
        wanted: The series to report; None for all. The others still serve as evidence.
    """
    catalog = storage.catalog
    # An import's range spans all its files; what lies between them was never asked for.
    done = [
        job
        for job in storage.jobs.list((JobState.COMPLETED,))
        if job.data_type is DataType.OHLCV and job.kind != "import"
    ]
    holdings = [
        _holdings(
            catalog,
            each.series,
            each.wanted,
            each.retained_from,
            asked=[job.range for job in done if job.series == each.series],
        )
        for each in catalog.series()
        if each.series.data_type is DataType.OHLCV
    ]
    gaps: list[Gap] = []
    for one in sorted(holdings, key=lambda each: str(each.series)):
        if wanted is not None and one.series not in wanted:
            continue
        grid = one.series.grid
        assert grid is not None
        found = explain(one.series, grid, examined=one.examined, held=one.held, facts=one.facts)
        gaps.extend(_with_outages(found, one, holdings))
    return gaps


def _holdings(
    catalog: Catalog,
    series: Series,
    wanted: TimeRange | None,
    retained_from: datetime | None,
    *,
    asked: Sequence[TimeRange],
) -> _Holdings:
    grid = series.grid
    assert grid is not None
    bounds = [
        (each.min_ts, each.max_ts, each.gap_runs)
        for each in catalog.partitions(series)
        if each.min_ts is not None and each.max_ts is not None
    ]
    coverage = catalog.coverage(series)
    held = held_ranges(grid, bounds)
    spans = [each.range for each in coverage] + held + ([wanted] if wanted else [])
    hull = (
        [TimeRange(min(each.start for each in spans), max(each.end for each in spans))]
        if spans
        else []
    )
    first = listed_from(catalog.first_available(series), held)
    facts = list(_facts(catalog, series, hull, coverage, retained_from, asked, first))
    return _Holdings(series, hull, held, coverage, facts)


def _facts(
    catalog: Catalog,
    series: Series,
    hull: Sequence[TimeRange],
    coverage: Sequence[Coverage],
    retained_from: datetime | None,
    asked: Sequence[TimeRange],
    first_available: datetime | None,
) -> list[Fact]:
    """What explains missing candles, the most telling first."""
    if not hull:
        return []
    start, end = hull[0].start, hull[-1].end
    grid = series.grid
    assert grid is not None
    facts: list[Fact] = []

    def add(first: datetime, last: datetime, reason: GapReason, evidence: str) -> None:
        if span := range_or_none(max(first, start), min(last, end)):
            facts.append(Fact(span, reason, evidence))

    if retained_from is not None:
        add(EPOCH, retained_from, GapReason.EXPIRED, f"retained from {iso(retained_from)}")
    for row in catalog.rejected(series):
        if row.ts is not None:
            opened = grid.floor(row.ts)
            add(opened, grid.next(opened), GapReason.IN_QUARANTINE, row.reason)
    if first_available is not None:
        why = f"the venue's first candle opens {iso(first_available)}"
        add(EPOCH, first_available, GapReason.BEFORE_LISTING, why)
    expiry = expiry_of(series.instrument_id.symbol)
    if expiry is not None:
        ended = EPOCH.replace(year=expiry.year, month=expiry.month, day=expiry.day)
        add(ended + timedelta(days=1), end, GapReason.AFTER_DELISTING, f"expired on {expiry}")
    for each in coverage:
        if each.promises:
            add(each.range.start, each.range.end, GapReason.VENUE_HAS_NONE, _evidence(each))
    for lost in catalog.failed(series):
        add(lost.range.start, lost.range.end, GapReason.FAILED, lost.error)
    for beyond in catalog.beyond_source(series):
        add(beyond.range.start, beyond.range.end, GapReason.BEYOND_SOURCE, beyond.error)
    # Asked for by a job that ended well and still not covered: younger than the settle lag.
    for window in asked:
        add(window.start, window.end, GapReason.PROVISIONAL, "not settled when last asked for")
    return facts


def _evidence(coverage: Coverage) -> str:
    how = f", {coverage.evidence}" if coverage.evidence else ""
    who = dict.fromkeys((coverage.source, coverage.basis.value))
    return f"{' '.join(who)} of {coverage.confirmed_at:%Y-%m-%d}{how}"


def _with_outages(gaps: Sequence[Gap], one: _Holdings, holdings: Sequence[_Holdings]) -> list[Gap]:
    """*gaps* with those that every other instrument of the venue shares named an outage."""
    told: list[Gap] = []
    for gap in gaps:
        if gap.reason is GapReason.VENUE_HAS_NONE:
            peers = [
                other
                for other in holdings
                if other.series.venue == one.series.venue
                and other.series.timeframe == one.series.timeframe
                and other.series != one.series
                and intersect(other.promised, [gap.range]) == [gap.range]
            ]
            if shared_by_all(gap.range, [peer.missing for peer in peers]):
                evidence = f"{gap.evidence}; absent from all {len(peers) + 1} instruments held"
                told.append(replace(gap, reason=GapReason.VENUE_OUTAGE, evidence=evidence))
                continue
        told.append(gap)
    return told
