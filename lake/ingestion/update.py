"""Brings what a lake holds up to now: tails, holes that can be filled, provisional ranges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Venue
from lake.domain.ranges import TimeRange
from lake.ingestion.backfill import Backfill, Report
from lake.ingestion.events import Planned
from lake.ingestion.planner import Wanted
from lake.ingestion.planning import Plan

if TYPE_CHECKING:
    from lake.storage.lake import Storage


async def plan_update(
    storage: Storage,
    backfill: Backfill,
    *,
    venue: Venue | None = None,
    data_type: DataType | None = None,
    instruments: Sequence[str] = (),
) -> Plan:
    """What would bring the held series up to now.

    Args:
        storage: The lake.
        backfill: Makes the plans.
        venue: Only this venue's series.
        data_type: Only series of this type.
        instruments: Only these instruments: ids, codes or patterns.

    Raises:
        SourceError: A venue could not be asked for its time or its markets.
    """
    by_venue: dict[Venue, list[Wanted]] = {}
    for info in await asyncio.to_thread(storage.catalog.series):
        series = info.series
        if (
            info.wanted is None
            or series.data_type is not DataType.OHLCV
            or info.origin != backfill.origin
            or (venue is not None and series.venue != venue)
            or (data_type is not None and series.data_type is not data_type)
            or not _named(str(series.instrument_id), instruments)
        ):
            continue
        instrument = storage.catalog.instrument(series.instrument_id)
        if instrument is None:
            continue
        source = await backfill.venues.source(series.venue)
        now = await source.server_time()
        window = TimeRange(info.wanted.start, max(now, info.wanted.end))
        by_venue.setdefault(series.venue, []).append(Wanted(instrument, series, window))
    plans = [await backfill.planner.plan_series(each, wanted) for each, wanted in by_venue.items()]
    return Plan(tuple(one for plan in plans for one in plan.series))


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
    if max_time_s is None:
        return await backfill.run(plan)
    timer = asyncio.get_running_loop().call_later(max_time_s, backfill.stop_in_time)
    try:
        return await backfill.run(plan)
    finally:
        timer.cancel()


def _named(instrument_id: str, patterns: Sequence[str]) -> bool:
    symbol = instrument_id.rpartition(".")[0]
    return not patterns or any(
        fnmatchcase(instrument_id.upper(), pattern.upper())
        or fnmatchcase(symbol.upper(), pattern.upper())
        for pattern in patterns
    )
