"""Moments: UTC without a zone, microseconds. Nothing here reads a clock; ``now`` is passed in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from lake.errors import InvalidRequest

EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

_RELATIVE = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_EPOCH_DIGITS = re.compile(r"\d{9,17}")


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a naive UTC *moment*, exactly (no float on the way)."""
    return (moment - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The naive UTC datetime of *us* microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)


def utc(moment: datetime) -> datetime:
    """*moment* as a naive UTC datetime: aware ones are converted, naive ones are UTC already."""
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def iso(moment: datetime) -> str:
    """ISO text of a naive UTC *moment*, as JSON output and messages print it."""
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")


def epoch_us(number: int) -> int:
    """Microseconds of an epoch *number* whose unit is recognised by its magnitude.

    Seconds, milliseconds and microseconds do not overlap between 1973 and 2286, the
    span that market data can come from.
    """
    if number < 10**10:
        return number * SECOND_US
    if number < 10**13:
        return number * 1_000
    if number < 10**16:
        return number
    return number // 1_000


def parse_moment(text: str | date | datetime, *, now: datetime) -> datetime:
    """The moment that *text* names, as a naive UTC datetime.

    Args:
        text: A datetime, a date (its midnight), ISO text (``2024-01-01``, with or without
            time and offset), an epoch in s, ms or us, ``now``, or a span back from now
            (``7d``, ``12h``).
        now: What ``now`` means (naive UTC).

    Raises:
        InvalidRequest: *text* is none of these.
    """
    if isinstance(text, datetime):
        return utc(text)
    if isinstance(text, date):
        return datetime(text.year, text.month, text.day)
    word = str(text).strip().lower()
    if word == "now":
        return now
    try:
        if relative := _RELATIVE.fullmatch(word):
            return now - timedelta(seconds=int(relative[1]) * _UNITS[relative[2]])
        # Eight digits are a date (20240101), which fromisoformat reads; more are an epoch.
        if _EPOCH_DIGITS.fullmatch(word):
            return from_us(epoch_us(int(word)))
        return utc(datetime.fromisoformat(str(text).strip()))
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{text!r} is not a time. Write a date (2024-01-01), a time in UTC "
            "(2024-01-01T12:00), a span back from now (7d, 12h), or now."
        ) from error
