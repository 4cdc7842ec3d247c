"""What of a range is not held of a series, and why: the catalog's word, cut to what was asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lake.domain.gaps import Gap, GapReason, held_ranges
from lake.domain.held import HeldFile, SeriesFiles
from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange, intersect, range_or_none, subtract, union
from lake.domain.times import from_us
from lake.storage.held import held_files
from lake.storage.records import ranges_from_json

if TYPE_CHECKING:
    from lake.storage.lake import Storage


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for: bounds, None where everything held is meant."""

    start: datetime | None
    end: datetime | None


def missing(storage: Storage, files: Sequence[SeriesFiles], window: Window) -> list[Gap]:
    """What of *window* is not held of each series, ascending, with reasons.

    Where nothing is missing only the file lists and the coverage are looked at.
    """
    now = storage.clock()
    lacking: dict[Series, list[TimeRange]] = {}
    for each in files:
        if each.series.grid is not None:
            lacking[each.series] = _candles_missing(each, window, now)
        else:
            lacking[each.series] = _doubtful(storage, each, window, now)
    lacking = {series: ranges for series, ranges in lacking.items() if ranges}
    return _explained(storage, lacking) if lacking else []


def _candles_missing(each: SeriesFiles, window: Window, now: datetime) -> list[TimeRange]:
    grid = each.series.grid
    assert grid is not None
    bounds = [
        (from_us(file.min_us), from_us(file.max_us), ranges_from_json(file.gap_runs))
        for file in each.files
        if file.min_us is not None and file.max_us is not None
    ]
    start = window.start if window.start is not None else min((b[0] for b in bounds), default=None)
    last = max((b[1] for b in bounds), default=None)
    end = window.end if window.end is not None else (last and grid.next(last))
    if start is None:
        return []
    # A candle that is still open is not missing.
    wanted = range_or_none(grid.ceil(start), min(grid.ceil(end or now), grid.floor(now)))
    return subtract([wanted], held_ranges(grid, bounds)) if wanted else []


def _doubtful(
    storage: Storage, each: SeriesFiles, window: Window, now: datetime
) -> list[TimeRange]:
    """Where rows without a grid may be missing: all of the window, or nothing of it."""
    held = _hull(each.files)
    coverage = storage.catalog.coverage(each.series)
    spans = [row.range for row in coverage] + ([held] if held else [])
    start = window.start or min((span.start for span in spans), default=None)
    end = window.end or max((span.end for span in spans), default=None)
    wanted = range_or_none(start, min(end, now)) if start and end else None
    if wanted is None:
        return []
    answered = [row.range for row in coverage if row.promises]
    if each.series.data_type is DataType.ORDERBOOK and held:
        # Nobody promises books: they count as held from the first snapshot to the last.
        answered.append(held)
    has_runs = any(file.gap_runs != "[]" for file in each.files)
    return [wanted] if has_runs or subtract([wanted], union(answered)) else []


def _explained(storage: Storage, lacking: dict[Series, list[TimeRange]]) -> list[Gap]:
    from lake.quality import explained_gaps

    found: dict[Series, list[Gap]] = defaultdict(list)
    for gap in explained_gaps(storage, list(lacking), newest=False):
        found[gap.series].append(gap)
    told: list[Gap] = []
    for series, ranges in lacking.items():
        inside = [
            Gap(series, each, count, gap.reason, gap.evidence)
            for gap in found[series]
            for each in intersect([gap.range], ranges)
            if (count := _count(gap, each)) != 0
        ]
        for each in _never_wanted(storage, series, ranges):
            count = None if series.grid is None else series.grid.count(each)
            if count != 0:
                inside.append(Gap(series, each, count, GapReason.NOT_FETCHED, "never asked for"))
        told += sorted(inside, key=lambda gap: gap.range)
    return told


def _count(gap: Gap, part: TimeRange) -> int | None:
    """How many rows are missing in a part of *gap*; None where nobody knows."""
    if part == gap.range:
        return gap.missing_count
    return None if gap.series.grid is None else gap.series.grid.count(part)


def _never_wanted(storage: Storage, series: Series, ranges: Sequence[TimeRange]) -> list[TimeRange]:
    """The parts of *ranges* outside of all that was ever asked for, answered or stored."""
    catalog = storage.catalog
    spans = [row.range for row in catalog.coverage(series)]
    info = catalog.series_info(series)
    if info is not None and info.wanted is not None:
        spans.append(info.wanted)
    if held := _hull(held_files(storage.database, series) or []):
        end = held.end if series.grid is None else series.grid.ceil(held.end)
        spans.append(TimeRange(held.start, end))
    if not spans:
        return list(ranges)
    hull = TimeRange(min(each.start for each in spans), max(each.end for each in spans))
    return subtract(ranges, [hull])


def _hull(files: Sequence[HeldFile]) -> TimeRange | None:
    lows = [file.min_us for file in files if file.min_us is not None]
    highs = [file.max_us for file in files if file.max_us is not None]
    return TimeRange(from_us(min(lows)), from_us(max(highs) + 1)) if lows and highs else None
