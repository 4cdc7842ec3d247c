"""Recorded funding: what is missing from four years of it, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.real import readers
from tests.real.kit import assert_held, keep, needs_recordings

pytestmark = needs_recordings
DECEMBER = TimeRange(datetime(2020, 12, 1), datetime(2021, 1, 1))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        yield storage


def funding_of(venue: str) -> Series:
    return Series(DataType.FUNDING_RATES, InstrumentId("BTCUSDT-PERP", Venue(venue)))


@pytest.mark.parametrize(
    ("basis", "reason"),
    [
        (Basis.ROWS_ONLY, GapReason.NOT_FETCHED),
        (Basis.ARCHIVE, GapReason.VENUE_HAS_NONE),
        (Basis.ANSWER, GapReason.VENUE_HAS_NONE),
    ],
)
def test_gates_missing_december_is_one_gap_of_93_settlements(
    storage: Storage, basis: Basis, reason: GapReason
) -> None:
    """A collector's CSV promises nothing, so nobody asked; a promise makes it the venue's."""
    gate = funding_of("GATE")
    rows = readers.funding_history("gate").rows
    years = TimeRange(datetime(2020, 1, 1), datetime(2024, 1, 1))

    keep(storage, gate, rows, claims=[Claim(years, basis, "recorded")])

    [gap] = find_gaps(storage)
    assert (gap.range, gap.missing_count, gap.reason) == (DECEMBER, 93, reason)
    assert_held(storage, gate, rows)


def test_an_answer_for_half_of_it_splits_the_gap(storage: Storage) -> None:
    """Every part has the reason that is known of it; together they are 93."""
    gate = funding_of("GATE")
    answered = Claim(TimeRange(DECEMBER.start, datetime(2020, 12, 15)), Basis.ANSWER, "twice")
    keep(storage, gate, readers.funding_history("gate").rows, claims=[answered])

    gaps = find_gaps(storage, [gate])

    assert [(gap.range.start, gap.missing_count, gap.reason) for gap in gaps] == [
        (DECEMBER.start, 42, GapReason.VENUE_HAS_NONE),
        (datetime(2020, 12, 15), 51, GapReason.NOT_FETCHED),
    ]


@pytest.mark.parametrize(("venue", "late"), [("binance", 1_000), ("bybit", 0)])
def test_a_whole_history_has_no_gap_however_late_settlements_came(
    storage: Storage, venue: str, late: int
) -> None:
    """Binance's come up to 47 ms after the hour; each is stored under the hour that was due."""
    series = funding_of("BINANCEUSDM" if venue == "binance" else "BYBIT")
    rows = readers.funding_history(venue).rows

    keep(storage, series, rows)

    delays = [row["settled_at"] - row["ts"] for row in rows.to_pylist()]
    assert sum(delay > timedelta(0) for delay in delays) >= late
    assert max(delays) <= timedelta(milliseconds=47)
    assert {row["ts"].minute for row in rows.to_pylist()} == {0}
    assert find_gaps(storage) == []
    assert_held(storage, series, rows)
