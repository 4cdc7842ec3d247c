"""Turns columns of times, as files of any origin write them, into microseconds of UTC.

Epochs (unit by magnitude, fractions kept), ISO text with or without an offset, typed timestamps,
or text of a given format. Text that says no zone is UTC, unless a zone is told. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.times import DAY_US, SECOND_US, from_us, to_us, utc
from lake.errors import InvalidRequest
from lake.sources.units_of_time import NO_TIME, Array, times_us

_EPOCH = r"^\s*(?P<whole>\d{9,19})(?:\.(?P<part>\d*))?\s*$"
_ISO = (
    r"^\s*(?P<year>\d{4})[-./]?(?P<month>\d{2})[-./]?(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_OFFSET = re.compile(r"([+-])(\d{2})(?::?(\d{2}))?")
_MINUTE_US = 60 * SECOND_US
_HOUR_US = 60 * _MINUTE_US
# Clocks are changed at quarters of an hour only.
_QUARTER_US = 15 * _MINUTE_US
_MICRO_DIGITS = 6
_LAST_US = 10**16


@dataclass(frozen=True, slots=True)
class Moments:
    """Microseconds of UTC, ``NO_TIME`` where a row has none.

    Attributes:
        unclear: Rows whose local time came twice or never, because clocks were changed.
        is_zoneless: Whether some row said no zone itself.
    """

    us: Array
    unclear: Array
    is_zoneless: bool


def zone_of(text: str | None) -> tzinfo | None:
    """The zone that *text* names: ``Europe/Berlin``, ``UTC``, ``+03:00``.

    Raises:
        InvalidRequest: There is no such zone.
    """
    if text is None:
        return None
    word = text.strip()
    if word.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if found := _OFFSET.fullmatch(word.upper().removeprefix("UTC")):
        span = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if span < timedelta(hours=24):
            return timezone(-span if found[1] == "-" else span)
    try:
        return ZoneInfo(word)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"{text!r} is not a time zone. Write a name such as Europe/Berlin, an offset such as "
            "+03:00, or UTC."
        ) from error


def read_moments(
    column: pa.ChunkedArray, zone: tzinfo | None, time_format: str | None = None
) -> Moments:
    """The moments of *column*.

    Args:
        column: Integers, doubles, timestamps, dates or text.
        zone: Of what says none itself; None means UTC.
        time_format: How text is written (``strptime``); None: an epoch or ISO text.
    """
    column = _plain(column)
    kind = column.type
    none = np.zeros(len(column), dtype=bool)
    if pa.types.is_timestamp(kind):
        us = times_us(column.cast(pa.timestamp("us", kind.tz), safe=False))
        return Moments(us, none, False) if kind.tz else _in_zone(us, ~none, zone)
    if pa.types.is_date(kind):
        return _in_zone(times_us(column.cast(pa.timestamp("us"))), ~none, zone)
    if pa.types.is_integer(kind):
        return Moments(times_us(column.cast(pa.int64())), none, False)
    if pa.types.is_floating(kind):
        return Moments(_of_doubles(column), none, False)
    if time_format is not None:
        return _formatted(column, zone, time_format)
    return _of_text(column, zone)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _of_doubles(column: pa.ChunkedArray) -> Array:
    """Seconds, or finer units, with fractions; a double holds microseconds of our century."""
    values = np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
    scale = np.select(
        [values < 10**10, values < 10**13, values < 10**16], [1e6, 1e3, 1.0], default=1e-3
    )
    fine = np.isfinite(values) & (values > 0) & (values < 10**19)
    us = np.full(len(values), NO_TIME, dtype=np.int64)
    us[fine] = np.round(values[fine] * scale[fine]).astype(np.int64)
    us[us >= _LAST_US] = NO_TIME
    return us


def _of_text(column: pa.ChunkedArray, zone: tzinfo | None) -> Moments:
    text = column.cast(pa.string()).combine_chunks()
    us = np.full(len(text), NO_TIME, dtype=np.int64)
    unclear = np.zeros(len(text), dtype=bool)
    epochs = pc.extract_regex(text, _EPOCH)
    numbers = np.flatnonzero(np.asarray(epochs.is_valid()))
    if len(numbers):
        us[numbers] = _epochs(epochs.take(pa.array(numbers)))
    left = np.flatnonzero(us == NO_TIME)
    iso = pc.extract_regex(text.take(pa.array(left, pa.int64())), _ISO)
    fine = np.flatnonzero(np.asarray(iso.is_valid()))
    if not len(fine):
        return Moments(us, unclear, False)
    rows = left[fine]
    local, offsets, has_none = _iso(iso.take(pa.array(fine)))
    timed = local != NO_TIME
    found = _in_zone(local, has_none, zone)
    us[rows] = np.where(timed & ~has_none, local - offsets, found.us)
    us[rows[us[rows] <= 0]] = NO_TIME
    unclear[rows] = found.unclear
    return Moments(us, unclear, found.is_zoneless)


def _epochs(found: pa.StructArray) -> Array:
    """Epochs whose unit is recognised by magnitude, with what stands behind the point."""
    part = pc.fill_null(found.field("part"), "")
    whole = np.asarray(_integers(found.field("whole")).fill_null(0).to_numpy())
    us = times_us(pa.chunked_array([pa.array(whole)]))
    has_part = np.asarray(pc.greater(pc.utf8_length(part), 0))
    if has_part.any():
        micros = _integers(_micro_digits(part)).fill_null(0).to_numpy()
        # Behind seconds stand microseconds; behind milliseconds thousandths of one.
        share = np.select([whole < 10**10, whole < 10**13], [1, 1_000], default=SECOND_US)
        us = np.where(has_part & (us != NO_TIME), us + micros // share, us)
    return us


def _micro_digits(part: Any) -> Any:
    """The first six digits behind a point, filled up; what is finer is cut."""
    filled = pc.utf8_rpad(part, _MICRO_DIGITS, "0")
    return pc.utf8_slice_codeunits(filled, start=0, stop=_MICRO_DIGITS)


def _iso(found: pa.StructArray) -> tuple[Array, Array, Array]:
    """Local microseconds (NO_TIME where there is no such day), offsets, and who has none."""

    def number(name: str) -> Array:
        text = found.field(name)
        empty = pc.equal(pc.utf8_length(text), 0)
        return np.asarray(_integers(pc.if_else(empty, "0", text)).fill_null(0).to_numpy())

    keys = number("year") * 10_000 + number("month") * 100 + number("day")
    unique, place = np.unique(keys, return_inverse=True)
    days = np.array([_day_us(int(key)) for key in unique], dtype=np.int64)[place]
    hour, minute, second = number("hour"), number("minute"), number("second")
    micros = np.asarray(_integers(_micro_digits(found.field("part"))).fill_null(0).to_numpy())
    fine = (days != NO_TIME) & (hour < 24) & (minute < 60) & (second < 60)
    of_day = hour * _HOUR_US + minute * _MINUTE_US + second * SECOND_US + micros
    local = np.where(fine, np.where(fine, days, 0) + of_day, NO_TIME)
    zones = found.field("zone").dictionary_encode()
    words = [_offset_us(word) for word in zones.dictionary.to_pylist()]
    place = zones.indices.to_numpy()
    offsets = np.array([each or 0 for each in words], dtype=np.int64)[place]
    has_none = np.array([each is None for each in words], dtype=bool)[place]
    return local, offsets, has_none


def _day_us(key: int) -> int:
    try:
        day = date(key // 10_000, key // 100 % 100, key % 100)
    except ValueError:
        return int(NO_TIME)
    return (day - date(1970, 1, 1)).days * DAY_US


def _offset_us(word: str) -> int | None:
    if not word:
        return None
    found = _OFFSET.fullmatch(word)
    if found is None:
        return 0
    us = int(found[2]) * _HOUR_US + int(found[3] or 0) * _MINUTE_US
    return -us if found[1] == "-" else us


def _formatted(column: pa.ChunkedArray, zone: tzinfo | None, time_format: str) -> Moments:
    words = column.cast(pa.string()).combine_chunks().dictionary_encode()
    parsed = [_parsed(word, time_format) for word in words.dictionary.to_pylist()]
    local = np.array([us for us, _ in parsed] + [NO_TIME], dtype=np.int64)
    aware = np.array([is_aware for _, is_aware in parsed] + [False], dtype=bool)
    place = words.indices.fill_null(len(parsed)).to_numpy()
    found = _in_zone(local[place], ~aware[place], zone)
    us = np.where(aware[place], local[place], found.us)
    return Moments(us, found.unclear, found.is_zoneless)


def _parsed(word: str | None, time_format: str) -> tuple[int, bool]:
    try:
        moment = datetime.strptime(word or "", time_format)  # noqa: DTZ007 - the zone comes later
    except ValueError:
        return int(NO_TIME), False
    return to_us(utc(moment)), moment.tzinfo is not None


def _in_zone(local: Array, has_none: Array, zone: tzinfo | None) -> Moments:
    """UTC of *local* microseconds; rows that have a zone of their own are left alone."""
    unclear = np.zeros(len(local), dtype=bool)
    timed = has_none & (local != NO_TIME)
    if zone is None or zone is UTC or not timed.any():
        return Moments(local, unclear, bool(timed.any()))
    quarters, place = np.unique(local[timed] // _QUARTER_US, return_inverse=True)
    early, late = (
        np.array([_utc_offset(int(quarter), zone, fold) for quarter in quarters], dtype=np.int64)
        for fold in (0, 1)
    )
    us = local.copy()
    us[timed] -= early[place]
    unclear[timed] = (early != late)[place]
    us[unclear] = NO_TIME
    return Moments(us, unclear, True)


def _utc_offset(quarter: int, zone: tzinfo, fold: int) -> int:
    moment = from_us(quarter * _QUARTER_US).replace(tzinfo=zone, fold=fold)
    offset = moment.utcoffset()
    return 0 if offset is None else offset // timedelta(microseconds=1)


def _integers(text: Any) -> Any:
    """Whole numbers of 64 bits; nanoseconds have nineteen digits."""
    fine = pc.match_substring_regex(text, r"^(\d{1,18}|[1-8]\d{18})$")
    return pc.cast(pc.if_else(fine, text, pa.scalar(None, pa.string())), pa.int64())
