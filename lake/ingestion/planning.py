"""Plan before fetch: wanted minus covered, minus what is known not to be there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.domain.coverage import Coverage
from lake.domain.gaps import GapReason, first_row_text
from lake.domain.identifiers import DataType, Instrument, Series, Venue, expiry_of
from lake.domain.ranges import TimeRange, intersect, range_or_none, subtract
from lake.domain.rows import DERIVED
from lake.domain.timeframe import TimeFrame
from lake.domain.times import iso
from lake.ingestion.estimates import Sureness
from lake.sources.archive.binance_tree import RemoteFile


@dataclass(frozen=True, slots=True)
class Request:
    """What a user wants of one venue. ``end`` None means now, by the venue's clock."""

    venue: Venue
    instruments: tuple[str, ...]
    timeframes: tuple[TimeFrame, ...]
    start: datetime
    end: datetime | None = None
    data_type: DataType = DataType.OHLCV
    refetch: bool = False


@dataclass(frozen=True, slots=True)
class Excluded:
    """A part of what was wanted that will not be asked for, and why."""

    range: TimeRange
    reason: GapReason
    why: str


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """What will be asked for one series. ``seconds`` is its share of the venue's allowance.

    ``slots`` measures the work: candles, or seconds of time for types without a grid. How well
    the size is known says ``sureness``; where that is not at all, ``rows`` and ``bytes`` are 0.
    ``files`` of the venue's archive come first; what they do not give of ``pieces`` is asked of the
    venue, unless ``asks_venue`` is false. Where it ``replaces``, what is answered becomes exactly
    the answer: stored rows that it lacks go to ``revisions``.
    """

    series: Series
    instrument: Instrument
    wanted: TimeRange
    pieces: tuple[TimeRange, ...]
    excluded: tuple[Excluded, ...]
    rows: int
    requests: int
    bytes: int
    seconds: float
    slots: int
    refetch: bool = False
    first_available: datetime | None = None
    sureness: Sureness = Sureness.EXACT
    files: tuple[RemoteFile, ...] = ()
    variant: str | None = None
    asks_venue: bool = True
    replaces: bool = False

    @property
    def is_size_known(self) -> bool:
        """Whether anything is known of how many rows there are."""
        return self.sureness is not Sureness.UNKNOWN


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A venue that could not be asked what it has, so that nothing of it is planned."""

    venue: Venue
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. Nothing was fetched to make it but market lists and where rows begin."""

    series: tuple[SeriesPlan, ...]
    unreachable: tuple[Unreachable, ...] = ()

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.series)

    @property
    def slots(self) -> int:
        return sum(each.slots for each in self.series)

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.series)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.series)

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.series)

    @property
    def files(self) -> int:
        """How many files of archives are downloaded first."""
        return sum(len(each.files) for each in self.series)

    @property
    def sureness(self) -> Sureness:
        """How well its size is known: as well as that of the series known least."""
        order = list(Sureness)
        return max((each.sureness for each in self.series), key=order.index, default=order[0])

    @property
    def is_size_known(self) -> bool:
        """Whether anything is known of how many rows each series has."""
        return all(each.is_size_known for each in self.series)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not any(each.pieces for each in self.series)


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog and the venue say about one series, as far as planning needs it."""

    coverage: Sequence[Coverage] = ()
    held: Sequence[TimeRange] = ()
    first_available: datetime | None = None
    first_evidence: str = ""
    retained_from: datetime | None = None
    obtainable: TimeRange | None = None
    obtainable_why: str = ""


def slots(series: Series, window: TimeRange) -> int:
    """How much work *window* is: candles, or seconds of time for types without a grid."""
    grid = series.grid
    return math.ceil(window.duration.total_seconds()) if grid is None else grid.count(window)


def outline(
    series: Series, wanted: TimeRange, known: Known, *, covered_by: str | None = None
) -> tuple[list[TimeRange], list[Excluded]]:
    """What to ask for of *wanted*, and what not, with the reason.

    Args:
        series: The series.
        wanted: The range wanted, on the grid.
        known: What is known of it.
        covered_by: A refetch: only what this job itself covered is not asked for again.
    """
    excluded: list[Excluded] = []
    left = subtract([wanted], _answered(known, covered_by))

    def leave_out(start: datetime, end: datetime, reason: GapReason, why: str) -> None:
        nonlocal left
        span = range_or_none(max(start, wanted.start), min(end, wanted.end))
        if span is None:
            return
        excluded.extend(Excluded(each, reason, why) for each in intersect(left, [span]))
        left = subtract(left, [span])

    if known.retained_from is not None:
        why = f"retention dropped what lies before {iso(known.retained_from)}"
        leave_out(wanted.start, known.retained_from, GapReason.EXPIRED, why)
    if known.first_available is not None:
        why = known.first_evidence or (f"the {first_row_text(series, known.first_available)}")
        leave_out(wanted.start, known.first_available, GapReason.BEFORE_LISTING, why)
    expiry = expiry_of(series.instrument_id.symbol)
    if expiry is not None:
        ended = datetime(expiry.year, expiry.month, expiry.day) + timedelta(days=1)
        leave_out(ended, wanted.end, GapReason.AFTER_DELISTING, f"expired on {expiry}")
    if known.obtainable is not None:
        leave_out(
            wanted.start, known.obtainable.start, GapReason.BEYOND_SOURCE, known.obtainable_why
        )
    return left, excluded


def _answered(known: Known, covered_by: str | None) -> Iterable[TimeRange]:
    """The ranges that need not be asked for (again)."""
    if covered_by is not None:
        return [each.range for each in known.coverage if each.job_id == covered_by]
    # Candles that we built out of trades stand in for the venue's own until those are asked for.
    told = [each for each in known.coverage if each.source != DERIVED.name]
    promised = [each.range for each in told if each.promises]
    imported = [each.range for each in told if not each.promises]
    # An import that promises nothing vouches for its rows, not for its holes.
    return [*promised, *intersect(imported, known.held)]
