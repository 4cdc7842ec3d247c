"""Tells an outage of a venue from one market that was quiet: what other instruments have then."""

from __future__ import annotations

from collections import defaultdict

from lake.domain.coverage import Basis
from lake.domain.gaps import held_ranges
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange, intersect, subtract
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import from_us, to_us
from lake.storage.connection import Database
from lake.storage.records import ranges_from_json

_PROMISED = """
select series.instrument, start_ts, end_ts, basis
from series
inner join coverage using (series_id)
where
    series.data_type = 'ohlcv'
    and series.venue = $venue
    and series.timeframe = $timeframe
    and start_ts < $end
    and end_ts > $start
"""
_HELD = """
select series.instrument, min_ts, max_ts, gap_runs
from series
inner join partitions using (series_id)
where
    series.data_type = 'ohlcv'
    and series.venue = $venue
    and series.timeframe = $timeframe
    and range_start < $end
    and range_end > $start
    and min_ts < $end
    and max_ts >= $start
"""


class Outages:
    """Answers for one run of questions; the same stretch is looked up once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[Venue, TimeFrame, TimeRange], int] = {}

    def absent_from(self, venue: Venue, timeframe: TimeFrame, window: TimeRange) -> int:
        """How many instruments were asked for candles of *window* and have none there at all.

        Returns:
            0 where one of those that were asked has a candle; others say nothing.
        """
        key = (venue, timeframe, window)
        if key not in self._known:
            self._known[key] = self._count(venue, timeframe, window)
        return self._known[key]

    def _count(self, venue: Venue, timeframe: TimeFrame, window: TimeRange) -> int:
        bindings = {
            "venue": venue.name,
            "timeframe": timeframe.value,
            "start": to_us(window.start),
            "end": to_us(window.end),
        }
        promised: dict[str, list[TimeRange]] = defaultdict(list)
        for instrument, start, end, basis in self._database.read(_PROMISED, bindings):
            if Basis(basis) is not Basis.ROWS_ONLY:
                promised[instrument].append(TimeRange(from_us(start), from_us(end)))
        asked = {each for each, spans in promised.items() if not subtract([window], spans)}
        grid = grid_of(venue, timeframe)
        for instrument, low, high, runs in self._database.read(_HELD, bindings):
            if instrument not in asked:
                continue
            held = held_ranges(grid, [(from_us(low), from_us(high), ranges_from_json(runs))])
            if intersect(held, [window]):
                return 0
        return len(asked)
