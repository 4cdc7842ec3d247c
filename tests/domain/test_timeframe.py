"""The grid: fixed steps, Monday weeks, calendar months."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame, grid_of, length_text
from lake.errors import InvalidRequest

BINANCE = Venue("BINANCE")
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1))
TIMEFRAMES = st.sampled_from(list(TimeFrame))


def test_weeks_open_on_mondays_and_months_on_the_first() -> None:
    """Neither is a fixed grid from 1970: that was a Thursday."""
    thursday = datetime(2024, 2, 29, 13, 5)

    assert grid_of(BINANCE, TimeFrame.WEEK_1).floor(thursday) == datetime(2024, 2, 26)
    assert grid_of(BINANCE, TimeFrame.MONTH_1).floor(thursday) == datetime(2024, 2, 1)
    assert grid_of(BINANCE, TimeFrame.MONTH_1).next(datetime(2024, 2, 1)) == datetime(2024, 3, 1)
    assert grid_of(BINANCE, TimeFrame.HOUR_4).floor(thursday) == datetime(2024, 2, 29, 12)


def test_months_and_minutes_do_not_differ_by_case() -> None:
    """On a file system that ignores case 1M and 1m would be one folder."""
    assert TimeFrame.from_str("1M") is TimeFrame.MONTH_1
    assert TimeFrame.from_str("1m") is TimeFrame.MINUTE_1
    assert TimeFrame.MONTH_1.value == "1mo"
    assert TimeFrame.MONTH_1.ccxt == "1M"
    assert TimeFrame.HOUR_1.value == "1h"


def test_an_unknown_timeframe_lists_the_known_ones() -> None:
    """The message is the documentation."""
    with pytest.raises(InvalidRequest, match="1s 1m 3m"):
        TimeFrame.from_str("7m")


@given(TIMEFRAMES, MOMENTS)
def test_floor_and_ceil_stand_on_the_grid_around_the_moment(
    timeframe: TimeFrame, moment: datetime
) -> None:
    """floor <= moment <= ceil, and no candle opens between them but the floor."""
    grid = grid_of(BINANCE, timeframe)
    floor, ceil = grid.floor(moment), grid.ceil(moment)

    assert floor <= moment <= ceil
    assert grid.is_open(floor)
    assert grid.is_open(ceil)
    assert ceil == (moment if floor == moment else grid.next(floor))
    assert grid.previous(grid.next(floor)) == floor


@given(TIMEFRAMES, MOMENTS, st.integers(0, 60))
def test_count_is_the_number_of_open_times(
    timeframe: TimeFrame, start: datetime, steps: int
) -> None:
    """Counting by arithmetic and by walking agree, whatever the bounds."""
    grid = grid_of(BINANCE, timeframe)
    end = grid.advance(grid.floor(start), steps) + timedelta(seconds=1)
    if end <= start:
        return
    window = TimeRange(start, end)

    assert grid.count(window) == len(list(grid.opens(window)))


def test_lengths_read_well() -> None:
    """Gaps are shown to people."""
    assert length_text(timedelta(minutes=80)) == "1h 20m"
    assert length_text(timedelta(days=2, hours=4, minutes=3)) == "2d 4h"
