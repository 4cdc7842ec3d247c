"""What is to be recorded of order books, whether the venue allows it, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.jobs import JobState
from lake.errors import InvalidRequest
from lake.ingestion.estimates import BYTES_PER_ROW, DEPTH_MEASURED

if TYPE_CHECKING:
    from lake.ingestion.venues import Venues
    from lake.sources.ccxt_source import CcxtSource
    from lake.storage.catalog import Catalog

KIND = "record"
# So many rounds show what the venue's limit allows in the long run.
_ROUNDS = 1_000
_SHORTEST = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Recording:
    """What a user wants recorded.

    Attributes:
        every: Between two snapshots, which are due at its multiples of the clock.
        duration: None goes on until it is stopped.
        depth: Levels of each side.
        patience: How long one snapshot may take, or *every* where that is longer: a book that
            was asked for again and again is not that of the moment it was due at.
    """

    venue: Venue
    instruments: tuple[str, ...]
    every: timedelta
    duration: timedelta | None
    depth: int
    patience: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Book:
    """One book to be recorded, as its venue knows it."""

    series: Series
    instrument: Instrument
    variant: str | None


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """What a recording would do: ``ticks`` snapshots of each book (None: until it is stopped)."""

    recording: Recording
    books: tuple[Book, ...]
    budget_share: float

    @property
    def ticks(self) -> int | None:
        duration = self.recording.duration
        return None if duration is None else duration // self.recording.every

    @property
    def per_day(self) -> int:
        """Snapshots a day of all books."""
        return len(self.books) * (timedelta(days=1) // self.recording.every)

    @property
    def bytes_per_snapshot(self) -> float:
        """About what one takes on disk."""
        return BYTES_PER_ROW[DataType.ORDERBOOK] * max(0.2, self.recording.depth / DEPTH_MEASURED)


@dataclass(frozen=True, slots=True)
class BookEnded:
    """How the recording of one book ended."""

    series: Series
    job_id: str
    state: JobState
    stored: int
    unchanged: int
    refused: int
    missed: dict[str, int]
    error: str | None


@dataclass(frozen=True, slots=True)
class RecordReport:
    """How a recording ended. ``interrupted`` says that it was asked to stop."""

    books: tuple[BookEnded, ...]
    requests: int
    seconds: float
    interrupted: bool = False

    @property
    def stored(self) -> int:
        return sum(each.stored for each in self.books)

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 4 partly done, 130 interrupted (DESIGN, section 9)."""
        if self.interrupted:
            return 130
        bad = [each for each in self.books if each.state is not JobState.COMPLETED]
        if not bad:
            return 0
        return 1 if all(each.state is JobState.FAILED for each in self.books) else 4


async def plan_recording(venues: Venues, catalog: Catalog, recording: Recording) -> RecordingPlan:
    """What recording *recording* would do. One book is asked for, to see that it can be had.

    Raises:
        InvalidRequest: The venue lacks an instrument, its books or the depth, or its rate limit
            does not allow so many snapshots.
        SourceError: The venue could not be asked.
    """
    if recording.every < _SHORTEST:
        raise InvalidRequest(
            f"Snapshots every {span_text(recording.every)} were asked for. Over REST the shortest "
            f"interval is {span_text(_SHORTEST)}."
        )
    source = await venues.exchange(recording.venue)
    named = await venues.names(recording.venue)
    chosen = {each.code: each for text in recording.instruments for each in named(text)}
    books = []
    for each in chosen.values():
        series = Series(DataType.ORDERBOOK, each.id)
        venues.require_unique(each)
        source.check(each, series)
        variant = source.variant(series, depth=recording.depth)
        _require_variant(catalog, series, variant)
        books.append(Book(series, each, variant))
    share = _budget_share(source, recording, len(books))
    if share > 1:
        raise InvalidRequest(
            f"Books of {len(books):,} instrument{'' if len(books) == 1 else 's'} every "
            f"{span_text(recording.every)} were asked for, but the part "
            f"of {recording.venue}'s rate limit that may be used allows one round in "
            f"{recording.every.total_seconds() * share:,.2g} s. Say a longer --every, fewer "
            "instruments, or a larger --rate-share."
        )
    await source.book(books[0].instrument, recording.depth)
    return RecordingPlan(recording, tuple(books), share)


def _require_variant(catalog: Catalog, series: Series, variant: str | None) -> None:
    """Depth and kind belong to a series: another one is refused before anything is taken."""
    held = catalog.series_info(series)
    if held is not None and held.variant is not None and held.variant != variant:
        _, _, depth = held.variant.partition("/")
        raise InvalidRequest(
            f"{series} is held as {held.variant}; snapshots that are {variant} would not be "
            f"comparable with them. Say --depth {depth}, or use another lake (--data)."
        )


def _budget_share(source: CcxtSource, recording: Recording, books: int) -> float:
    """The part of what we may use of the venue's limit that the recording takes."""
    from lake.sources.capabilities import capability
    from lake.sources.costs import weight_of

    entry = capability(recording.venue, DataType.ORDERBOOK)
    if recording.depth > entry.page_size:
        return 0.0  # refused by the source, which says what there is
    levels = [each for each in entry.rows.levels if each >= recording.depth] if entry.rows else []
    weight = weight_of(entry, min(levels, default=recording.depth))
    seconds = source.seconds(_ROUNDS * books * weight) / _ROUNDS
    return seconds / recording.every.total_seconds()


def span_text(span: timedelta) -> str:
    """*span* for people: ``10 s``, ``1:00:00``."""
    seconds = span.total_seconds()
    return f"{seconds:g} s" if seconds < 120 else str(span)
