"""What is missing from each held series, and why: the catalog's facts, read for one question.

No Parquet file is opened but those of settlements with holes: the runs of missing rows are
stored with each partition (:mod:`lake.storage.presence` says what is expected of each type).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lake.domain.coverage import QUIET_LEFT_OUT, Coverage
from lake.domain.gaps import (
    Fact,
    Gap,
    GapReason,
    explain,
    first_row_text,
    listed_from,
)
from lake.domain.identifiers import DataType, Series, expiry_of
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import DERIVED
from lake.domain.times import EPOCH, iso
from lake.storage.presence import Presence, presence

if TYPE_CHECKING:
    from lake.storage.catalog import Catalog
    from lake.storage.lake import Storage
    from lake.storage.records import SeriesInfo

# Jobs whose range says nothing about what was asked of a venue: it spans all their files.
_NOT_ASKED = {"import", "generate", "derive"}
# Up to so many series are looked up one by one: a lake may hold many thousands.
_FEW = 50
_NO_PAST_BOOKS = "no snapshot was taken, and venues keep no past books"


@dataclass(frozen=True, slots=True)
class _Holdings:
    """One series as far as gaps are concerned."""

    series: Series
    examined: list[TimeRange]
    present: Presence
    coverage: list[Coverage]
    facts: list[Fact]


def find_gaps(storage: Storage, wanted: Collection[Series] | None = None) -> list[Gap]:
    """The gaps of the series held, by series and time; every one has a reason.

    A series is examined over everything that was ever wanted of it. What other rows show of
    missing candles (an outage, a quiet market, a loss) was found before and is kept in the
    catalog: see :mod:`lake.quality.reasons`. Of trades, a gap is a range that nobody promises to
    be whole; of funding, settlements that those around them lead one to expect; of books, a break
    in the usual spacing of snapshots.

    Args:
        storage: The lake.
        wanted: The series to report; None for all. The others still serve as evidence.

    Raises:
        StorageError: A file of settlements cannot be read.
    """
    asked: dict[Series, list[TimeRange]] = defaultdict(list)
    for job in storage.jobs.list((JobState.COMPLETED,)):
        if job.kind not in _NOT_ASKED:
            asked[job.series].append(job.range)
    infos = _infos(storage.catalog, wanted)
    gaps: list[Gap] = []
    for info in sorted(infos, key=lambda each: str(each.series)):
        series = info.series
        one = _holdings(storage, info, asked[series])
        found = explain(
            series,
            one.present.count,
            examined=one.examined,
            held=one.present.held,
            facts=one.facts,
        )
        gaps.extend(found)
    return gaps


def _infos(catalog: Catalog, wanted: Collection[Series] | None) -> list[SeriesInfo]:
    if wanted is None or len(wanted) > _FEW:
        chosen = None if wanted is None else set(wanted)
        return [each for each in catalog.series() if chosen is None or each.series in chosen]
    found = (catalog.series_info(each) for each in dict.fromkeys(wanted))
    return [each for each in found if each is not None]


def _holdings(storage: Storage, info: SeriesInfo, asked: Sequence[TimeRange]) -> _Holdings:
    catalog, series = storage.catalog, info.series
    partitions = catalog.partitions(series)
    coverage = catalog.coverage(series)
    spans = [each.range for each in coverage] + ([info.wanted] if info.wanted else [])
    spans += [
        TimeRange(each.min_ts, _after(series, each.max_ts))
        for each in partitions
        if each.min_ts is not None and each.max_ts is not None
    ]
    if not spans:
        return _Holdings(series, [], Presence([], lambda window: None, None), coverage, [])
    hull = TimeRange(min(each.start for each in spans), max(each.end for each in spans))
    present = presence(storage, series, partitions, coverage, hull)
    facts = list(_facts(catalog, info, hull, present, coverage, asked))
    return _Holdings(series, [hull], present, coverage, facts)


def _after(series: Series, last: datetime) -> datetime:
    """The end of the range that a row at *last* reaches to."""
    return last + timedelta(microseconds=1) if series.grid is None else series.grid.next(last)


def _facts(
    catalog: Catalog,
    info: SeriesInfo,
    hull: TimeRange,
    present: Presence,
    coverage: Sequence[Coverage],
    asked: Sequence[TimeRange],
) -> list[Fact]:
    """What explains missing rows, the most telling first."""
    series, retained_from, grid = info.series, info.retained_from, info.series.grid
    facts: list[Fact] = []

    def add(first: datetime, last: datetime, reason: GapReason, evidence: str) -> None:
        if span := range_or_none(max(first, hull.start), min(last, hull.end)):
            facts.append(Fact(span, reason, evidence))

    if retained_from is not None:
        add(EPOCH, retained_from, GapReason.EXPIRED, f"retained from {iso(retained_from)}")
    if series.data_type in (DataType.OHLCV, DataType.FUNDING_RATES):
        for row in catalog.rejected(series):
            if row.ts is not None:
                opened = row.ts if grid is None else grid.floor(row.ts)
                add(opened, _after(series, opened), GapReason.IN_QUARANTINE, row.reason)
    for moment, why in _listing(catalog, series, present, coverage):
        add(EPOCH, moment, GapReason.BEFORE_LISTING, why)
    expiry = expiry_of(series.instrument_id.symbol)
    if expiry is not None:
        ended = EPOCH.replace(year=expiry.year, month=expiry.month, day=expiry.day)
        add(ended + timedelta(days=1), hull.end, GapReason.AFTER_DELISTING, f"expired on {expiry}")
    for fact in catalog.gap_facts(series):
        add(fact.range.start, fact.range.end, fact.reason, fact.evidence)
    for each in coverage:
        # Who writes no candle where nothing traded.
        if each.source == DERIVED.name or each.evidence == QUIET_LEFT_OUT:
            add(each.range.start, each.range.end, GapReason.NO_TRADES, _evidence(each))
    for each in coverage:
        if each.promises:
            add(each.range.start, each.range.end, GapReason.VENUE_HAS_NONE, _evidence(each))
    for lost in catalog.failed(series):
        add(lost.range.start, lost.range.end, GapReason.FAILED, lost.error)
    for beyond in catalog.beyond_source(series):
        add(beyond.range.start, beyond.range.end, GapReason.BEYOND_SOURCE, beyond.error)
    if series.data_type is DataType.ORDERBOOK:
        add(hull.start, hull.end, GapReason.BEYOND_SOURCE, _NO_PAST_BOOKS)
    # Asked for by a job that ended well and still not covered: younger than the settle lag.
    for window in asked:
        add(window.start, window.end, GapReason.PROVISIONAL, "not settled when last asked for")
    for left in catalog.cancelled(series):
        why = f"asked for, but the job was cancelled: {left.why}"
        add(left.range.start, left.range.end, GapReason.NOT_FETCHED, why)
    for each in coverage:
        if not each.promises:
            why = f"{_evidence(each)}, which does not promise to be whole"
            add(each.range.start, each.range.end, GapReason.NOT_FETCHED, why)
    return facts


def _listing(
    catalog: Catalog, series: Series, present: Presence, coverage: Sequence[Coverage]
) -> list[tuple[datetime, str]]:
    """Before when the instrument was not there, as the venue said or its answers show."""
    held = present.held
    if first := listed_from(catalog.first_available(series), held):
        return [(first, f"the venue's {first_row_text(series, first)}")]
    if series.grid is not None or present.first is None:
        return []
    for listing in catalog.listings(series.instrument_id):
        if listing.listed_from is not None:
            return [(min(listing.listed_from, present.first), f"listed: {listing.evidence}")]
    # Of settlements nobody asks where they begin: the answers with nothing before them say it.
    if series.data_type is DataType.FUNDING_RATES:
        return [
            (present.first, f"{_evidence(each)} has none before {iso(present.first)}")
            for each in coverage
            if each.promises and present.first in each.range
        ]
    return []


def _evidence(coverage: Coverage) -> str:
    how = f", {coverage.evidence}" if coverage.evidence else ""
    who = dict.fromkeys((coverage.source, coverage.basis.value))
    return f"{' '.join(who)} of {coverage.confirmed_at:%Y-%m-%d}{how}"
