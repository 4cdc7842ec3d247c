"""Times as files write them: epochs, ISO text, typed columns, zones."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from lake.domain.times import from_us
from lake.errors import InvalidRequest
from lake.sources.archive.moments import Moments, read_moments, zone_of
from lake.sources.units_of_time import NO_TIME

NOON = datetime(2024, 3, 1, 12)


def read(*values: object, zone: str | None = None, time_format: str | None = None) -> Moments:
    return read_moments(pa.chunked_array([pa.array(values)]), zone_of(zone), time_format)


def moments(found: Moments) -> list[datetime | None]:
    return [None if us == NO_TIME else from_us(us) for us in found.us.tolist()]


@pytest.mark.parametrize(
    "text",
    [
        "1709294400",
        "1709294400.0",
        "1709294400000",
        "1709294400000000",
        "1709294400000000000",
        "2024-03-01T12:00:00Z",
        "2024-03-01 12:00:00",
        "2024-03-01 12:00",
        "20240301 12:00:00",
        "2024-03-01T13:00:00+01:00",
        "2024-03-01T06:30:00.000-0530",
        "2024.03.01 12:00",
        " 2024-03-01 12:00:00.000000 UTC ",
    ],
)
def test_noon_in_every_spelling(text: str) -> None:
    assert moments(read(text)) == [NOON]


def test_fractions_are_kept_to_the_microsecond() -> None:
    """A double would round the last digits of a time in seconds."""
    found = read("1709294400.123456", "1709294400.1", "1709294400123.456", "2024-03-01T12:00:00.5")

    assert [each and each.microsecond for each in moments(found)] == [
        123_456,
        100_000,
        123_456,
        500_000,
    ]


@pytest.mark.parametrize(
    "text",
    ["", "noon", "2024-02-30 12:00", "2024-03-01 24:00", "1e18", "-5", "nan", "12:00", "2024-03"],
)
def test_what_is_no_time_has_none(text: str) -> None:
    assert moments(read(text)) == [None]


def test_eight_digits_are_a_day() -> None:
    """As seconds they would be in 1970."""
    assert moments(read("20240301")) == [datetime(2024, 3, 1)]


def test_a_zone_is_that_of_times_without_one() -> None:
    found = read("2024-03-01 13:00", "2024-03-01T12:00Z", "1709294400", zone="Europe/Berlin")

    assert moments(found) == [NOON, NOON, NOON]
    assert found.is_zoneless


def test_an_hour_that_came_twice_or_never_has_no_time() -> None:
    """Berlin's clocks were set back on 2024-10-27, and forward on 2024-03-31."""
    found = read("2024-10-27 02:30", "2024-03-31 02:30", "2024-10-27 03:00", zone="Europe/Berlin")

    assert found.unclear.tolist() == [True, True, False]
    assert moments(found) == [None, None, datetime(2024, 10, 27, 2)]


def test_a_format_of_ones_own() -> None:
    found = read("01.03.2024 13:00", "2024-03-01", zone="+01:00", time_format="%d.%m.%Y %H:%M")

    assert moments(found) == [NOON, None]


def test_typed_columns() -> None:
    local = pa.chunked_array([pa.array([NOON], pa.timestamp("ns"))])
    aware = pa.chunked_array([pa.array([NOON], pa.timestamp("ms", "UTC"))])
    days = pa.chunked_array([pa.array([NOON.date()], pa.date32())])
    seconds = pa.chunked_array([pa.array([1709294400.25], pa.float64())])
    zone = zone_of("+01:00")

    assert moments(read_moments(local, zone)) == [datetime(2024, 3, 1, 11)]
    assert moments(read_moments(aware, zone)) == [NOON]
    assert moments(read_moments(days, None)) == [datetime(2024, 3, 1)]
    assert moments(read_moments(seconds, zone)) == [NOON.replace(microsecond=250_000)]


@pytest.mark.parametrize("text", ["Mars/Phobos", "+25:00", "../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a time zone"):
        zone_of(text)
