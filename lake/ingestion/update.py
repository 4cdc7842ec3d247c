"""Brings what a lake holds up to now: tails, holes that can be filled, provisional ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lake.domain.coverage import NOTHING_LATER
from lake.domain.identifiers import DataType, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.ranges import TimeRange, subtract
from lake.domain.rows import DERIVED
from lake.errors import InvalidRequest, SourceError
from lake.ingestion.archive_offers import Wanted
from lake.ingestion.backfill import Backfill, Report
from lake.ingestion.events import Planned
from lake.ingestion.planning import Plan, SeriesPlan, Unreachable

if TYPE_CHECKING:
    from lake.storage.lake import Storage
    from lake.storage.records import SeriesInfo


JOBS_KEPT = timedelta(days=30)


async def plan_update(
    storage: Storage,
    backfill: Backfill,
    *,
    venue: Venue | None = None,
    data_type: DataType | None = None,
    instruments: Sequence[str] = (),
) -> Plan:
    """What would bring the held series up to now; what cannot be had is named in it.

    Those are venues that do not answer, and series that a venue does not give (any more).

    Args:
        storage: The lake.
        backfill: Makes the plans.
        venue: Only this venue's series.
        data_type: Only series of this type.
        instruments: Only these instruments: ids, codes or patterns.
    """
    by_venue: dict[Venue, list[SeriesInfo]] = {}
    for info in await asyncio.to_thread(storage.catalog.series):
        series = info.series
        if (
            # Nobody can bring a book of a moment that is gone.
            series.data_type is not DataType.ORDERBOOK
            and info.origin == backfill.origin
            and (venue is None or series.venue == venue)
            and (data_type is None or series.data_type is data_type)
            and _named(str(series.instrument_id), instruments)
        ):
            by_venue.setdefault(series.venue, []).append(info)
    plans: list[SeriesPlan] = []
    unreachable: list[Unreachable] = []
    for each, held in by_venue.items():
        try:
            planned = await _plan_venue(storage, backfill, each, held)
            plans.extend(planned.series)
            unreachable.extend(planned.unreachable)
        except SourceError as error:
            # One venue that is out of reach must not keep the others from being updated.
            unreachable.append(Unreachable(each, str(error)))
    return Plan(tuple(plans), tuple(unreachable))


async def _plan_venue(
    storage: Storage, backfill: Backfill, venue: Venue, held: Sequence[SeriesInfo]
) -> Plan:
    source = await backfill.venues.source(venue)
    now = await source.server_time()
    known = {each.id: each for each in await asyncio.to_thread(storage.catalog.instruments, venue)}
    if any(info.series.instrument_id not in known for info in held):
        # A catalog that was made again from the files has no instruments yet.
        known = {each.id: each for each in await backfill.venues.instruments(venue)} | known
    wanted: list[Wanted] = []
    lost: list[Unreachable] = []
    for info in held:
        start = _held_from(storage, info)
        instrument = known.get(info.series.instrument_id)
        if instrument is None:
            why = (
                f"{info.series} is held, but {venue} lists no such instrument. If it is gone for "
                "good, leave it out with --instrument."
            )
            lost.append(Unreachable(venue, why))
            continue
        try:
            backfill.planner.require_possible(source, instrument, info.series)
        except InvalidRequest as error:
            if info.wanted is None and _only_built(storage, info.series):
                # Candles out of trades that the venue never had: nobody asked it for them.
                continue
            # What a venue gives no more must not keep its other series from being updated.
            lost.append(Unreachable(venue, f"{info.series} is held. {error}"))
            continue
        if start is not None and start < now:
            wanted.append(Wanted(instrument, info.series, TimeRange(start, now)))
    plan = await backfill.planner.plan_series(venue, wanted)
    return replace(plan, unreachable=tuple(lost))


def _only_built(storage: Storage, series: Series) -> bool:
    """Whether all that is held of it was built here, out of trades."""
    sources = {each.source for each in storage.catalog.coverage(series)}
    return sources == {DERIVED.name}


def _held_from(storage: Storage, info: SeriesInfo) -> datetime | None:
    """Since when the series is wanted: as asked, else since the first row or promise held."""
    if info.wanted is not None:
        return info.wanted.start
    starts = [each.range.start for each in storage.catalog.coverage(info.series)]
    starts += [each.min_ts for each in storage.catalog.partitions(info.series) if each.min_ts]
    return min(starts, default=None)


async def update(
    storage: Storage,
    backfill: Backfill,
    *,
    venue: Venue | None = None,
    data_type: DataType | None = None,
    instruments: Sequence[str] = (),
    max_time_s: float | None = None,
) -> Report:
    """Runs :func:`plan_update`'s plan, for at most *max_time_s* seconds."""
    plan = await plan_update(
        storage, backfill, venue=venue, data_type=data_type, instruments=instruments
    )
    backfill.emit(Planned(plan))
    # A cron job makes thousands of jobs a month, and each keeps its own coverage rows apart.
    await asyncio.to_thread(storage.jobs.clean, storage.clock() - JOBS_KEPT)
    if max_time_s is None:
        return await _run(storage, backfill, plan)
    timer = asyncio.get_running_loop().call_later(max_time_s, backfill.stop_in_time)
    try:
        return await _run(storage, backfill, plan)
    finally:
        timer.cancel()


async def _run(storage: Storage, backfill: Backfill, plan: Plan) -> Report:
    """Does *plan*, and asks again for what its rows have put in doubt: ends of data."""
    active = [each for each in plan.series if each.pieces]
    ends = await asyncio.to_thread(_ends_of_data, storage, active)
    report = await backfill.run(plan)
    left = await asyncio.to_thread(_ends_of_data, storage, active)
    doubted = [each for each in active if subtract(ends[each.series], left[each.series])]
    if not doubted or any(job.state is not JobState.COMPLETED for job in report.jobs):
        return report
    again: list[SeriesPlan] = []
    for venue in dict.fromkeys(each.series.venue for each in doubted):
        wanted = [
            Wanted(each.instrument, each.series, each.wanted)
            for each in doubted
            if each.series.venue == venue
        ]
        again.extend((await backfill.planner.plan_series(venue, wanted)).series)
    second = Plan(tuple(again))
    backfill.emit(Planned(second))
    then = await backfill.run(second)
    return replace(
        then,
        jobs=report.jobs + then.jobs,
        requests=report.requests + then.requests,
        seconds=report.seconds + then.seconds,
        unreachable=report.unreachable,
    )


def _ends_of_data(storage: Storage, plans: Sequence[SeriesPlan]) -> dict[Series, list[TimeRange]]:
    """Where each series is covered only because the venue showed nothing later."""
    return {
        each.series: [
            row.range
            for row in storage.catalog.coverage(each.series)
            if row.evidence == NOTHING_LATER
        ]
        for each in plans
    }


def _named(instrument_id: str, patterns: Sequence[str]) -> bool:
    symbol = instrument_id.rpartition(".")[0]
    return not patterns or any(
        fnmatchcase(instrument_id.upper(), pattern.upper())
        or fnmatchcase(symbol.upper(), pattern.upper())
        for pattern in patterns
    )
