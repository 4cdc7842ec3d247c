"""Partitions: which file a row belongs to, and what its path says. The one path grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest

FILE_NAME = "data.parquet"
# Readers must give the hive columns these types: guessed, an instrument 1000 is a number.
HIVE_TYPES = {
    "venue": "VARCHAR",
    "instrument": "VARCHAR",
    "timeframe": "VARCHAR",
    "year": "SMALLINT",
    "month": "TINYINT",
    "day": "TINYINT",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One file's worth of a series: a year, a month of it, or a day of that.

    ``month`` is 0 for candles of a day and longer (a file holds the year), None where the
    path has no month; ``day`` likewise.
    """

    series: Series
    year: int
    month: int | None = None
    day: int | None = None

    @property
    def path(self) -> str:
        """The file's path below ``parquet/``, POSIX, values percent-encoded."""
        series = self.series
        parts = [
            series.data_type.value,
            f"venue={_encode(series.venue.name)}",
            f"instrument={_encode(series.instrument_id.symbol)}",
        ]
        if series.timeframe is not None:
            parts.append(f"timeframe={series.timeframe.value}")
        parts.append(f"year={self.year:04}")
        if self.month is not None:
            parts.append(f"month={self.month:02}")
        if self.day is not None:
            parts.append(f"day={self.day:02}")
        return "/".join([*parts, FILE_NAME])

    @property
    def range(self) -> TimeRange:
        """The moments whose rows this file holds."""
        year, month, day = self.year, self.month or 0, self.day
        if month == 0:
            return TimeRange(_midnight(year), _midnight(year + 1))
        if day is None:
            following = (year + 1, 1) if month == 12 else (year, month + 1)
            return TimeRange(_midnight(year, month), _midnight(*following))
        start = _midnight(year, month, day)
        return TimeRange(start, start + timedelta(days=1))

    @classmethod
    def of(cls, series: Series, moment: datetime) -> Partition:
        """The partition of *series* that holds a row of *moment* (naive UTC)."""
        data_type = series.data_type
        if data_type is DataType.OHLCV:
            assert series.timeframe is not None
            month = 0 if series.timeframe.is_yearly_file else moment.month
            return cls(series, moment.year, month)
        if data_type is DataType.FUNDING_RATES:
            return cls(series, moment.year)
        return cls(series, moment.year, moment.month, moment.day)

    @classmethod
    def from_path(cls, path: str) -> Partition:
        """The partition whose file lies at *path* below ``parquet/``.

        Raises:
            InvalidRequest: *path* is not one that the lake writes.
        """
        try:
            partition = _parse(PurePosixPath(path))
        except (ValueError, KeyError, InvalidRequest) as error:
            raise InvalidRequest(f"{path!r} is not the path of a partition: {error}") from error
        if partition.path != path:
            raise InvalidRequest(
                f"{path!r} is not the path of a partition: the lake writes it {partition.path!r}."
            )
        return partition


def split(series: Series, window: TimeRange) -> Iterator[tuple[Partition, TimeRange]]:
    """*window* cut at partition borders, ascending: each piece with the file that holds it."""
    moment = window.start
    while moment < window.end:
        partition = Partition.of(series, moment)
        end = min(window.end, partition.range.end)
        yield partition, TimeRange(moment, end)
        moment = end


def _encode(value: str) -> str:
    """DuckDB's ``url_encode``: everything but unreserved characters, upper-case hex."""
    return quote(value, safe="")


def _midnight(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day)


_KEY_VALUE = re.compile(r"([a-z]+)=(.+)")


def _parse(path: PurePosixPath) -> Partition:
    first, *middle, name = path.parts
    if name != FILE_NAME:
        raise ValueError(f"the file is not called {FILE_NAME}")
    keys: dict[str, str] = {}
    for part in middle:
        pair = _KEY_VALUE.fullmatch(part)
        if pair is None:
            raise ValueError(f"{part!r} is not key=value")
        keys[pair[1]] = unquote(pair[2])
    timeframe = keys.get("timeframe")
    series = Series(
        DataType(first),
        InstrumentId(keys["instrument"], Venue(keys["venue"])),
        None if timeframe is None else TimeFrame(timeframe),
    )
    numbers = {key: int(keys[key]) for key in ("month", "day") if key in keys}
    return Partition(series, int(keys["year"]), numbers.get("month"), numbers.get("day"))
