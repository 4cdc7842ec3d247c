"""Makes plans: asks the catalog what is known, and the venue what it has, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from lake.domain.coverage import NOTHING_LATER
from lake.domain.gaps import GapReason, held_ranges, listed_from
from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.jobs import Job, JobState
from lake.domain.ranges import TimeRange, intersect, range_or_none, subtract, union
from lake.domain.times import EPOCH, iso
from lake.errors import InvalidRequest
from lake.ingestion.archive_offers import Archives, Wanted
from lake.ingestion.estimates import Sureness, count_rows, size_of
from lake.ingestion.planning import (
    Excluded,
    Known,
    Plan,
    Request,
    SeriesPlan,
    outline,
    slots,
)
from lake.ingestion.venues import Venues
from lake.sources.archive.binance_tree import Choice

if TYPE_CHECKING:
    from lake.sources.source import Source
    from lake.storage.lake import Storage

_TICK = timedelta(microseconds=1)
# Counting trades takes some ten requests for each range: worth it for a few, not for hundreds.
_MOST_COUNTED = 5
# Requests that an estimate by what is held nearby must come to before it is counted instead.
_WORTH_COUNTING = 50
_REFETCH_LASTS = timedelta(days=1)
_JUST_NOW = timedelta(minutes=5)
_NO_FILE = "the archive has no file of it yet, and only archives were asked for"


class Planner:
    """Plans for one lake and the venues of a run."""

    def __init__(self, storage: Storage, venues: Venues, archives: Archives) -> None:
        self._storage = storage
        self._archives = archives
        self._venues = venues

    async def plan(self, request: Request) -> Plan:
        """What a run would do for *request*: series by series, with the reasons for omissions.

        Raises:
            InvalidRequest: An instrument or timeframe that the venue lacks, or a range that
                is empty or lies in the future.
            SourceError: The venue could not be asked what it has.
        """
        if request.data_type is DataType.ORDERBOOK:
            raise InvalidRequest(
                f"A backfill of {request.data_type} was asked for, but venues keep no history of "
                "their books: snapshots can only be taken now."
            )
        source = await self._venues.source(request.venue)
        named = await self._venues.names(request.venue)
        chosen = {each.code: each for text in request.instruments for each in named(text)}
        now = await source.server_time()
        window = _window(request, now)
        wanted = [
            Wanted(instrument, Series(request.data_type, instrument.id, timeframe), window)
            for instrument in chosen.values()
            for timeframe in (request.timeframes if request.data_type is DataType.OHLCV else [None])
        ]
        return await self.plan_series(request.venue, wanted, refetch=request.refetch)

    async def plan_series(
        self, venue: Venue, wanted: Sequence[Wanted], *, refetch: bool = False
    ) -> Plan:
        """The plan for ranges of series of one venue."""
        source = await self._venues.source(venue)
        # Everything is checked before anything is asked for.
        for each in wanted:
            self.require_possible(source, each.instrument, each.series)
        now = await source.server_time()
        planned = await asyncio.gather(
            *(
                self._plan_one(
                    source,
                    each,
                    now=now,
                    refetch=refetch,
                    may_count=len(wanted) <= _MOST_COUNTED,
                )
                for each in wanted
            )
        )
        return Plan(tuple(each for each in planned if each is not None))

    def require_possible(self, source: Source, instrument: Instrument, series: Series) -> None:
        """Refuse what the venue cannot give, or what would share a folder with another.

        Raises:
            InvalidRequest: Saying which, and what to do.
        """
        self._venues.require_unique(instrument)
        source.check(instrument, series)

    async def _plan_one(
        self,
        source: Source,
        each: Wanted,
        *,
        now: datetime,
        refetch: bool,
        may_count: bool,
    ) -> SeriesPlan | None:
        instrument, series, window = each.instrument, each.series, each.range
        wanted = _wanted(series, window, now)
        if wanted is None:
            return None
        known = await asyncio.to_thread(self._known, source, series, now)
        if (shown := _last_shown(series, known, source.tag.name)) is not None:
            source.remember(series, shown)
        if series.data_type in (DataType.OHLCV, DataType.TRADES):
            known = await self._with_first(source, instrument, series, wanted, known, refetch)
        job_id = await asyncio.to_thread(self._refetch_job, series, wanted) if refetch else None
        covered_by = (job_id or "") if refetch else None
        pieces, excluded = outline(series, wanted, known, covered_by=covered_by)
        offer = await asyncio.to_thread(self._archives.offer, each, pieces, now)
        left_out = subtract(pieces, list(offer.pieces))
        excluded += [Excluded(part, GapReason.NOT_FETCHED, _NO_FILE) for part in left_out]
        if left_out and left_out[-1].end == wanted.end and window.end > now - _JUST_NOW:
            # Who wants everything up to now does not miss what is not published yet.
            wanted = TimeRange(wanted.start, left_out[-1].start)
        pieces = list(offer.pieces)
        work = sum(slots(series, piece) for piece in pieces)
        measure = partial(
            size_of,
            source,
            self._storage.catalog,
            series,
            offer.asked,
            max_workers=self._venues.max_workers,
        )
        size = await asyncio.to_thread(measure)
        is_vague = size.sureness is Sureness.UNKNOWN or (
            size.sureness is Sureness.ESTIMATE and size.requests > _WORTH_COUNTING
        )
        if is_vague and may_count and len(offer.asked) <= _MOST_COUNTED:
            rows = await count_rows(source, instrument, series, offer.asked)
            size = await asyncio.to_thread(measure, counted=rows)
        return SeriesPlan(
            series,
            instrument,
            wanted,
            tuple(pieces),
            tuple(excluded),
            rows=size.rows + offer.rows,
            requests=size.requests,
            bytes=size.bytes + offer.bytes,
            seconds=size.seconds + offer.seconds,
            sureness=offer.sureness or size.sureness,
            slots=work,
            refetch=refetch,
            first_available=known.first_available,
            files=offer.files,
            variant=offer.variant,
            asks_venue=self._archives.choice is not Choice.ARCHIVE,
        )

    async def _with_first(
        self,
        source: Source,
        instrument: Instrument,
        series: Series,
        wanted: TimeRange,
        known: Known,
        refetch: bool,
    ) -> Known:
        """*known* with the first candle there is, asked for where nobody who counts has said it.

        What another address said (a stand-in) does not count for this one, and who wants
        everything again wants to know this again, too.
        """
        told = await asyncio.to_thread(self._storage.catalog.first_told, series)
        moment = None if told is None else told.moment
        is_answered = _covers_start(known, wanted)
        if self._venues.is_mirror:
            first = None if is_answered else await source.first_available(instrument, series)
            return _behind_mirror(known, first, self._venues.speaker)
        is_told = told is not None and told.source == self._venues.speaker
        if refetch or not (is_told or is_answered):
            moment = await source.first_available(instrument, series)
        return replace(known, first_available=listed_from(moment, known.held))

    def _known(self, source: Source, series: Series, now: datetime) -> Known:
        catalog = self._storage.catalog
        info = catalog.series_info(series)
        obtainable, why = source.obtainable(series, now=now)
        grid = series.grid
        bounds = [
            (each.min_ts, each.max_ts, each.gap_runs)
            for each in catalog.partitions(series)
            if each.min_ts is not None and each.max_ts is not None
        ]
        held = [] if grid is None else held_ranges(grid, bounds)
        return Known(
            coverage=catalog.coverage(series),
            held=held,
            first_available=listed_from(catalog.first_available(series), held),
            retained_from=info.retained_from if info else None,
            obtainable=obtainable,
            obtainable_why=why,
        )

    def _refetch_job(self, series: Series, wanted: TimeRange) -> str | None:
        job = self.unfinished(series, wanted, refetch=True)
        return job.job_id if job else None

    def unfinished(self, series: Series, wanted: TimeRange, *, refetch: bool) -> Job | None:
        """A job for the same range that ended early and can be continued.

        A refetch that was left a day ago is not: who asks for everything again does not mean
        what was fetched then.
        """
        states = (JobState.PENDING, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED)
        oldest = self._storage.clock() - _REFETCH_LASTS
        for job in reversed(self._storage.jobs.list(states)):
            if job.series == series and job.range == wanted and job.refetch == refetch:
                return job if not refetch or job.updated_at > oldest else None
        return None


def _covers_start(known: Known, wanted: TimeRange) -> bool:
    """Whether the start of *wanted* was answered before, so that listing is no question."""
    return any(wanted.start in span for span in union(each.range for each in known.coverage))


def _last_shown(series: Series, known: Known, source: str) -> datetime | None:
    """The last candle held that *source* has vouched for; None where there is none."""
    told = [each for each in known.coverage if each.promises and each.source == source]
    spans = [each.range for each in told if each.evidence != NOTHING_LATER]
    held = intersect(known.held, spans)
    return None if series.grid is None or not held else series.grid.previous(held[-1].end)


def _behind_mirror(known: Known, first: datetime | None, mirror: str) -> Known:
    """*known* without what lies before the *first* candle of a mirror: the venue may have it."""
    first = listed_from(first, known.held)
    reach = known.obtainable
    if first is None or reach is None or first <= reach.start:
        return known
    return replace(
        known,
        obtainable=TimeRange(first, max(reach.end, first + _TICK)),
        obtainable_why=f"{mirror} has nothing before {iso(first)}",
    )


def _wanted(series: Series, window: TimeRange, now: datetime) -> TimeRange | None:
    """*window* as far as it lies in the past, on the grid where there is one.

    Nobody traded before 1970, and no venue counts time from before: nothing is missing there.
    """
    if window.end <= EPOCH:
        return None
    window = TimeRange(max(window.start, EPOCH), window.end)
    if (grid := series.grid) is None:
        return range_or_none(window.start, min(window.end, now))
    # The candle that is open now closes after the plan is made: it is never asked for.
    return range_or_none(grid.ceil(window.start), min(grid.ceil(window.end), grid.floor(now)))


def _window(request: Request, now: datetime) -> TimeRange:
    if request.start >= now:
        raise InvalidRequest(
            f"The start {iso(request.start)} lies in the future: at {request.venue} it is "
            f"{iso(now.replace(microsecond=0))} UTC. Choose an earlier start."
        )
    end = now if request.end is None else request.end
    if end <= EPOCH:
        raise InvalidRequest(
            f"A range up to {iso(end)} was asked for, but nothing was traded before 1970. "
            "Choose a later end."
        )
    return TimeRange(request.start, min(end, max(now, request.start + _TICK)))
