"""Where a venue's candles begin, found through longer candles where none can be asked openly.

A venue that takes closed windows only would otherwise be asked about every window before a
listing, several times each: for minutes of five years these are tens of thousands of requests.
All of its months fit one page, and the first month, day and hour lead to the first candle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from lake.domain.identifiers import Series
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.sources.answers import Asker
from lake.sources.capability import Capability

# The month of the first bitcoin; no venue has candles from before it.
_BEGINNING = datetime(2009, 1, 1)
_LADDER = (TimeFrame.MONTH_1, TimeFrame.DAY_1, TimeFrame.HOUR_1)
# Answers that must agree that there is nothing at all.
_EMPTY_ANSWERS = 5


async def first_through_longer(
    entry: Capability, series: Series, asker_of: Callable[[Series], Asker]
) -> datetime | None:
    """A moment before which *series* has no candle, at or shortly before its first one.

    It is the open of the first candle itself where the venue's shorter candles begin with its
    longer ones. None where that cannot be told in a few requests, or nothing has closed yet.

    Args:
        entry: What the venue gives of candles.
        series: Whose beginning is wanted.
        asker_of: Asks for a series of the same instrument and another timeframe.

    Raises:
        SourceError: The venue did not answer.
    """
    target, offered = series.timeframe, entry.timeframes or frozenset()
    assert target is not None
    if entry.raw is None or entry.depth_candles is not None or entry.longest_window is not None:
        return None
    longer = [each for each in _LADDER if each in offered and each.nominal_us > target.nominal_us]
    found = await _narrowed(
        [asker_of(replace(series, timeframe=each)) for each in (*longer, target)]
    )
    grid = asker_of(series).rules.grid
    # A week or three days may begin before the month that they reach into.
    return None if found is None else grid.floor(found)


async def _narrowed(askers: Sequence[Asker]) -> datetime | None:
    """The open of the first candle of the last of *askers* that could tell, longest first."""
    found: datetime | None = None
    window: TimeRange | None = None
    for asker in askers:
        grid, now = asker.rules.grid, await asker.now()
        window = window or TimeRange(_BEGINNING, now)
        window = TimeRange(grid.floor(window.start), window.end)
        if grid.count(window) > asker.rules.page_size - _EMPTY_ANSWERS:
            return found
        first, is_told = await _first_of(asker, window)
        if not is_told or (first is None and found is not None):
            return found
        # Where none has closed yet, the running one is looked into.
        found, start = first, first or grid.floor(now)
        window = TimeRange(start, grid.next(start))
    return found


async def _first_of(asker: Asker, window: TimeRange) -> tuple[datetime | None, bool]:
    """The first candle of *window*, None where it has none; and whether that can be told.

    Believed when two answers with different bounds name it and none names an earlier one. It
    cannot be told where odd rows keep coming, among which the first one may be, nor where not
    even a running candle is shown: the venue may not have any of that length.
    """
    grid, rules = asker.rules.grid, asker.rules
    last, named = grid.previous(window.end), list[datetime]()
    empty, shows_running = 0, False
    for turn in range(rules.retry.attempts):
        shift = turn % _EMPTY_ANSWERS
        first = grid.advance(grid.ceil(window.start), -shift)
        answer = await asker.answer(max(0, to_us(first)), to_us(last), grid.count(window) + shift)
        rows, rejected = answer.checked.rows, answer.checked.rejected
        if rejected:
            continue
        if rows.num_rows:
            named.append(rows["ts"][0].as_py())
            if named.count(min(named)) > 1:
                return min(named), True
        elif not named:
            empty += 1
            shows_running = shows_running or bool(answer.checked.running)
            if empty >= _EMPTY_ANSWERS:
                return None, shows_running
    return None, False
