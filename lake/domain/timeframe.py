"""Candle lengths and the grid of open times that each venue's candles stand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from lake.domain.times import DAY_US, SECOND_US, from_us, to_us
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.domain.identifiers import Venue
    from lake.domain.ranges import TimeRange

_UNIT_US = {
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": DAY_US,
    "w": 7 * DAY_US,
}
# 1970-01-01 was a Thursday; weekly candles open on Mondays, so the first is 1970-01-05.
_MONDAY_US = 4 * DAY_US


class TimeFrame(Enum):
    """Candle length. The value is the name that paths, SQL and commands use."""

    SECOND_1 = "1s"
    MINUTE_1 = "1m"
    MINUTE_3 = "3m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_2 = "2h"
    HOUR_4 = "4h"
    HOUR_6 = "6h"
    HOUR_8 = "8h"
    HOUR_12 = "12h"
    DAY_1 = "1d"
    DAY_3 = "3d"
    WEEK_1 = "1w"
    MONTH_1 = "1mo"

    @classmethod
    def from_str(cls, text: str) -> TimeFrame:
        """The timeframe named *text*; ccxt's ``1M`` is the month, ``1m`` the minute.

        Raises:
            InvalidRequest: There is no such timeframe.
        """
        word = text.strip()
        if word in ("1M", "1MO", "1Mo"):
            return cls.MONTH_1
        try:
            return cls(word.lower())
        except ValueError:
            names = " ".join(each.value for each in cls)
            raise InvalidRequest(f"{text!r} is not a timeframe. Use one of: {names}.") from None

    def __str__(self) -> str:
        return self.value

    @property
    def ccxt(self) -> str:
        """ccxt's spelling."""
        return "1M" if self is TimeFrame.MONTH_1 else self.value

    @property
    def step_us(self) -> int | None:
        """Microseconds from one candle to the next; None for calendar months."""
        if self is TimeFrame.MONTH_1:
            return None
        return int(self.value[:-1]) * _UNIT_US[self.value[-1]]

    @property
    def nominal_us(self) -> int:
        """Microseconds of the longest candle: for months 31 days. Good for bounds only."""
        return self.step_us or 31 * DAY_US

    @property
    def is_yearly_file(self) -> bool:
        """Whether partitions hold a year (``1d`` and longer) instead of a month."""
        return self.nominal_us >= DAY_US


@dataclass(frozen=True, slots=True)
class Grid:
    """The open times that candles of one timeframe can have.

    Fixed lengths stand on multiples of their step from ``anchor_us``; weeks on Mondays;
    months on the first of the calendar month.
    """

    timeframe: TimeFrame
    anchor_us: int = 0

    def floor_us(self, us: int) -> int:
        """Open time of the candle that contains *us*."""
        step = self.timeframe.step_us
        if step is not None:
            return us - (us - self.anchor_us) % step
        moment = from_us(us)
        return to_us(datetime(moment.year, moment.month, 1))

    def next_us(self, open_us: int) -> int:
        """Open time of the candle after the one that opens at *open_us*."""
        step = self.timeframe.step_us
        if step is not None:
            return open_us + step
        return self.floor_us(open_us + 32 * DAY_US)

    def ceil_us(self, us: int) -> int:
        """The first open time at or after *us*."""
        floored = self.floor_us(us)
        return floored if floored == us else self.next_us(floored)

    def floor(self, moment: datetime) -> datetime:
        """Open time of the candle that contains *moment* (naive UTC)."""
        return from_us(self.floor_us(to_us(moment)))

    def ceil(self, moment: datetime) -> datetime:
        """The first open time at or after *moment* (naive UTC)."""
        return from_us(self.ceil_us(to_us(moment)))

    def next(self, open_time: datetime) -> datetime:
        """Open time of the following candle; also the moment *open_time*'s candle closes."""
        return from_us(self.next_us(to_us(open_time)))

    def previous(self, open_time: datetime) -> datetime:
        """Open time of the candle before the one that opens at *open_time*."""
        return from_us(self.floor_us(to_us(open_time) - 1))

    def advance(self, open_time: datetime, count: int) -> datetime:
        """Open time *count* candles after *open_time* (before it, where *count* is negative)."""
        open_us = to_us(open_time)
        step = self.timeframe.step_us
        if step is not None:
            return from_us(open_us + count * step)
        months = open_time.year * 12 + open_time.month - 1 + count
        return datetime(months // 12, months % 12 + 1, 1)

    def count(self, window: TimeRange) -> int:
        """How many candles open inside ``[start, end)``."""
        first, end = self.ceil_us(to_us(window.start)), to_us(window.end)
        if first >= end:
            return 0
        step = self.timeframe.step_us
        if step is not None:
            return (end - first + step - 1) // step
        last = from_us(self.floor_us(end - 1))
        opened = from_us(first)
        return (last.year - opened.year) * 12 + last.month - opened.month + 1

    def opens(self, window: TimeRange) -> Iterator[datetime]:
        """Every open time inside the window, ascending."""
        moment, end = self.ceil_us(to_us(window.start)), to_us(window.end)
        while moment < end:
            yield from_us(moment)
            moment = self.next_us(moment)

    def is_open(self, moment: datetime) -> bool:
        """Whether a candle can open at *moment*."""
        us = to_us(moment)
        return self.floor_us(us) == us


def grid_of(venue: Venue, timeframe: TimeFrame) -> Grid:
    """The grid of *venue*'s candles of this length."""
    if timeframe is TimeFrame.WEEK_1:
        return Grid(timeframe, _MONDAY_US)
    if timeframe is TimeFrame.DAY_3:
        return Grid(timeframe, _THREE_DAY_ANCHOR_US.get(venue.name, 0))
    return Grid(timeframe)


# Where a venue's 3d candles are not counted from 1970-01-01. Unlisted venues are assumed to
# count from there; a row off that grid goes to quarantine, so a wrong assumption is loud.
# Binance: one opens on 2024-01-01, which others checked against its spot and USD-M klines, and
# the first of BTCUSDT on 2017-08-17, its first day. COIN-M is taken to be alike.
_THREE_DAY_ANCHOR_US: dict[str, int] = {
    "BINANCE": DAY_US,
    "BINANCEUSDM": DAY_US,
    "BINANCECOINM": DAY_US,
}


def length_text(span: timedelta) -> str:
    """*span* for people: ``80m``, ``3h``, ``2d 4h``."""
    seconds = int(span.total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (secs, "s")]
    shown = [f"{number}{unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0s"
