"""What the rows of the catalog mean as values, and how values are written into rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.domain.coverage import Basis, Coverage
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us, to_us


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A series that the catalog knows. ``wanted`` is the hull of what jobs asked for.

    ``variant`` is what all of its rows have in common and others lack (``aggregate/venue``).
    """

    series: Series
    origin: str
    retained_from: datetime | None
    wanted: TimeRange | None
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """What the catalog knows of one Parquet file. ``gap_runs``: absent candles inside it."""

    partition: Partition
    rows: int
    min_ts: datetime | None
    max_ts: datetime | None
    bytes: int
    sha256: str
    schema_version: int
    generation: int
    gap_runs: tuple[TimeRange, ...]
    missing: int
    job_id: str
    written_at: datetime


@dataclass(frozen=True, slots=True)
class FirstAvailable:
    """The first row that somebody said there is, and who: ``venue``, or a base URL.

    Neither source nor time are known of what was learned before migration 0003.
    """

    moment: datetime
    source: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One span in which an instrument traded; None where an end is not known or not yet."""

    listed_from: datetime | None
    listed_to: datetime | None
    evidence: str


@dataclass(frozen=True, slots=True)
class FailedRange:
    """A range that a job gave up; it stays known until coverage answers it."""

    range: TimeRange
    job_id: str
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CancelledRange:
    """What a job was to bring and was cancelled before, as far as nothing has answered it since."""

    range: TimeRange
    job_id: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BeyondSource:
    """A range that no source of ours could reach when it was wanted, and why."""

    range: TimeRange
    error: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A row as it was in *generation* of its file, before it was changed or taken out."""

    ts: datetime
    key: str
    generation: int
    old_row: dict[str, Any]
    why: str
    job_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RevisionFile:
    """Many rows as they were in *generation* of a partition's file: one Parquet file of them.

    ``path`` is relative to the lake; :func:`lake.storage.revisions.read_revisions` reads it.
    """

    path: str
    partition: Partition
    generation: int
    rows: int
    min_ts: datetime | None
    max_ts: datetime | None
    bytes: int
    sha256: str
    why: str
    job_id: str
    at: datetime


SERIES_COLUMNS = "series.data_type, series.venue, series.instrument, series.timeframe"


def series_of(row: tuple[Any, ...]) -> Series:
    """The series of a row of :data:`SERIES_COLUMNS`."""
    data_type, venue, instrument, timeframe = row
    return Series(
        DataType(data_type),
        InstrumentId(instrument, Venue(venue)),
        None if timeframe is None else TimeFrame(timeframe),
    )


def series_key(series: Series) -> dict[str, str | None]:
    """The bindings that name *series* in a query."""
    return {
        "data_type": series.data_type.value,
        "venue": series.venue.name,
        "instrument": series.instrument_id.symbol,
        "timeframe": series.timeframe.value if series.timeframe else None,
    }


WHERE_SERIES = (
    "series.data_type = $data_type and series.venue = $venue "
    "and series.instrument = $instrument and ifnull(series.timeframe, '') = ifnull($timeframe, '')"
)

COVERAGE_COLUMNS = "start_ts, end_ts, basis, source, source_rank, job_id, confirmed_at, evidence"


def coverage_of(row: tuple[Any, ...]) -> Coverage:
    """The coverage of a row of :data:`COVERAGE_COLUMNS`."""
    start, end, basis, source, rank, job_id, confirmed_at, evidence = row
    return Coverage(
        range=TimeRange(from_us(start), from_us(end)),
        basis=Basis(basis),
        source=source,
        source_rank=rank,
        job_id=job_id,
        confirmed_at=from_us(confirmed_at),
        evidence=evidence,
    )


def coverage_row(coverage: Coverage) -> tuple[Any, ...]:
    """The row of :data:`COVERAGE_COLUMNS` for *coverage*; also its form in a footer."""
    return (
        to_us(coverage.range.start),
        to_us(coverage.range.end),
        coverage.basis.value,
        coverage.source,
        coverage.source_rank,
        coverage.job_id,
        to_us(coverage.confirmed_at),
        coverage.evidence,
    )


def moment_or_none(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def ranges_to_json(ranges: Iterable[TimeRange]) -> str:
    """``[[start, end], ...]`` in microseconds."""
    return json.dumps([[to_us(each.start), to_us(each.end)] for each in ranges])


def ranges_from_json(text: str) -> tuple[TimeRange, ...]:
    """What :func:`ranges_to_json` wrote."""
    if text == "[]":
        return ()
    return tuple(TimeRange(from_us(start), from_us(end)) for start, end in json.loads(text))
