"""Plans a repair: the damaged ranges of held series are fetched again, and become what comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from lake.domain.identifiers import Series, Venue
from lake.domain.ranges import TimeRange, intersect, union
from lake.errors import InvalidRequest, SourceError
from lake.ingestion.archive_offers import Wanted
from lake.ingestion.planning import Plan, SeriesPlan, Unreachable, slots

if TYPE_CHECKING:
    from lake.ingestion.backfill import Backfill

# Ranges so near to one another cost one request together and two alone.
_NEAR_SLOTS = 400
_NEAR = timedelta(seconds=2)


async def plan_repair(backfill: Backfill, damages: Mapping[Series, Sequence[TimeRange]]) -> Plan:
    """What is asked for to bring *damages* back to what their venues say.

    Of a venue that cannot be reached, or an instrument that it no longer knows, nothing is
    planned; the plan says so.
    """
    planned: list[SeriesPlan] = []
    unreachable: list[Unreachable] = []
    by_venue: dict[Venue, list[Series]] = defaultdict(list)
    for series in damages:
        by_venue[series.venue].append(series)
    for venue, mine in by_venue.items():
        try:
            named = await backfill.venues.names(venue)
        except (SourceError, InvalidRequest) as error:
            unreachable.append(Unreachable(venue, str(error)))
            continue
        for series in mine:
            ranges = _coalesced(series, damages[series])
            hull = TimeRange(ranges[0].start, ranges[-1].end)
            try:
                [instrument] = named(series.instrument_id.symbol)
                wanted = [Wanted(instrument, series, hull)]
                plan = await backfill.planner.plan_series(venue, wanted, refetch=True)
            except (SourceError, InvalidRequest) as error:
                unreachable.append(Unreachable(venue, f"{series}: {error}"))
                continue
            planned += [_only(each, ranges) for each in plan.series]
    return Plan(tuple(each for each in planned if each.pieces), tuple(unreachable))


def _coalesced(series: Series, ranges: Sequence[TimeRange]) -> list[TimeRange]:
    """*ranges* on the grid of *series*, near ones as one."""
    grid = series.grid
    if grid is None:
        wide = [TimeRange(each.start - _NEAR, each.end + _NEAR) for each in ranges]
        return union(wide)
    length = grid.next(grid.floor(ranges[0].start)) - grid.floor(ranges[0].start)
    reach = _NEAR_SLOTS * length
    wide = [TimeRange(grid.floor(each.start), grid.ceil(each.end) + reach) for each in ranges]
    return [TimeRange(each.start, grid.floor(each.end - reach)) for each in union(wide)]


def _only(plan: SeriesPlan, ranges: Sequence[TimeRange]) -> SeriesPlan:
    """*plan* cut down to *ranges*, which are to become exactly what is fetched."""
    pieces = tuple(intersect(plan.pieces, ranges))
    whole = slots(plan.series, plan.wanted)
    work = sum(slots(plan.series, each) for each in pieces)
    share = work / whole if whole else 0.0
    return replace(
        plan,
        pieces=pieces,
        rows=round(plan.rows * share),
        bytes=round(plan.bytes * share),
        requests=max(len(pieces), round(plan.requests * share)),
        seconds=max(plan.seconds * share, 0.01 * len(pieces)),
        slots=work,
        replaces=True,
    )
