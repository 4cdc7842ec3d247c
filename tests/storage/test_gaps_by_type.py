"""Trades, funding and books have gaps too: what each type can know of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected, SourceTag
from lake.domain.schemas import ROW_SPECS
from lake.storage.gaps import find_gaps
from lake.storage.lake import PartitionCommit, Storage
from tests.storage.storage_kit import Row, hour, hours

PERPETUAL = InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM"))
TRADES = Series(DataType.TRADES, PERPETUAL)
FUNDING = Series(DataType.FUNDING_RATES, PERPETUAL)
BOOKS = Series(DataType.ORDERBOOK, PERPETUAL)
TAG = SourceTag("ccxt", 50)
LEVELS = ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities")


def keep(
    storage: Storage,
    series: Series,
    moments: Iterable[datetime],
    *claims: Claim,
    rejected: tuple[Rejected, ...] = (),
    state: JobState = JobState.COMPLETED,
    asked: TimeRange | None = None,
) -> None:
    """Store one row at each moment, with the claims, under a job of its own."""
    times = list(moments)
    spans = [claim.range for claim in claims]
    spans += [TimeRange(ts, ts + timedelta(microseconds=1)) for ts in times]
    spans += [asked] if asked else []
    hull = TimeRange(min(each.start for each in spans), max(each.end for each in spans))
    storage.catalog.ensure_series(series, "venue")
    job = storage.jobs.create(series, asked or hull, kind="backfill" if asked else "import")
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, _ in split(series, hull):
        inside = [ts for ts in times if ts in partition.range]
        parts = [
            Claim(both, claim.basis, claim.evidence)
            for claim in claims
            if (both := claim.range.intersection(partition.range))
        ]
        rows = [row(series, ts) for ts in inside]
        storage.commit(
            PartitionCommit(
                partition=partition,
                rows=pa.Table.from_pylist(rows, ROW_SPECS[series.data_type].schema),
                tag=TAG,
                claims=tuple(parts),
                rejected=rejected,
            ),
            lease,
        )
    storage.jobs.finish(lease, state)


def row(series: Series, ts: datetime) -> Row:
    if series.data_type is DataType.TRADES:
        return {"ts": ts, "trade_ref": ts.isoformat(), "price": 1.0, "quantity": 1.0}
    if series.data_type is DataType.ORDERBOOK:
        return {"ts": ts, **{name: [1.0] for name in LEVELS}}
    return {"ts": ts, "funding_rate": 0.0001}


def answer(window: TimeRange, basis: Basis = Basis.ANSWER) -> Claim:
    return Claim(window, basis, "second answer")


def found(storage: Storage, series: Series) -> list[tuple[TimeRange, int | None, GapReason]]:
    return [(gap.range, gap.missing_count, gap.reason) for gap in find_gaps(storage, [series])]


def every(step: float, first: float, end: float) -> list[datetime]:
    """Moments every *step* hours of 2024."""
    return [hour(0) + timedelta(hours=first + step * n) for n in range(int((end - first) / step))]


# Trades


def test_trades_that_nobody_asked_for_are_a_gap_of_unknown_size(storage: Storage) -> None:
    """Between two answers nothing is known, not even how many there are."""
    keep(storage, TRADES, [hour(1)], answer(hours(0, 2)))
    keep(storage, TRADES, [hour(5)], answer(hours(5, 6)))

    assert found(storage, TRADES) == [(hours(2, 5), None, GapReason.NOT_FETCHED)]


def test_hours_without_a_trade_are_no_gap_where_the_venue_answered(storage: Storage) -> None:
    """Nobody traded: that is an answer."""
    keep(storage, TRADES, [hour(1)], answer(hours(0, 40)))

    assert found(storage, TRADES) == []


def test_each_part_of_a_gap_in_trades_has_its_reason(storage: Storage) -> None:
    """Given up, out of reach, too young: told apart, and in order."""
    keep(storage, TRADES, [hour(1)], answer(hours(0, 2)), asked=hours(0, 8))
    storage.catalog.add_failed(TRADES, hours(2, 3), "job", "no network")
    storage.catalog.set_beyond_source(TRADES, hours(3, 5), "only the newest 1,000 trades")
    storage.catalog.note_wanted(TRADES, hours(0, 9))

    assert found(storage, TRADES) == [
        (hours(2, 3), None, GapReason.FAILED),
        (hours(3, 5), None, GapReason.BEYOND_SOURCE),
        (hours(5, 8), None, GapReason.PROVISIONAL),
        (hours(8, 9), None, GapReason.NOT_FETCHED),
    ]


def test_trades_of_an_import_that_promises_nothing_may_lack_some(storage: Storage) -> None:
    """A cut file looks like a whole one: what nobody vouches for is not called complete."""
    keep(storage, TRADES, [hour(0), hour(3)], answer(hours(0, 4), Basis.ROWS_ONLY))

    [gap] = find_gaps(storage, [TRADES])
    assert (gap.range, gap.reason) == (hours(0, 4), GapReason.NOT_FETCHED)
    assert "does not promise" in gap.evidence


def test_trades_before_the_listing_were_never_there(storage: Storage) -> None:
    keep(storage, TRADES, [hour(6)], answer(hours(6, 8)))
    storage.catalog.set_listing(PERPETUAL, hour(4), None, "the venue's market list")
    storage.catalog.note_wanted(TRADES, hours(0, 8))

    assert found(storage, TRADES) == [
        (hours(0, 4), None, GapReason.BEFORE_LISTING),
        (hours(4, 6), None, GapReason.NOT_FETCHED),
    ]


# Funding


def test_a_settlement_that_the_answers_lack_is_the_venues_gap(storage: Storage) -> None:
    """One is missing between others: it begins when it was due and ends at the next."""
    moments = [ts for ts in every(8, 0, 80) if ts != hour(24)]
    keep(storage, FUNDING, moments, answer(hours(0, 80)))

    assert found(storage, FUNDING) == [(hours(24, 32), 1, GapReason.VENUE_HAS_NONE)]
    [partition] = storage.catalog.partitions(FUNDING)
    assert (partition.gap_runs, partition.missing) == ((hours(24, 32),), 1)


def test_intervals_that_change_are_followed(storage: Storage) -> None:
    """8h, then 4h, then 1h; one missing in each stretch is one of that stretch's settlements."""
    moments = [*every(8, 0, 96), *every(4, 96, 144), *every(1, 144, 168)]
    keep(storage, FUNDING, moments, answer(hours(0, 168)))
    assert found(storage, FUNDING) == []

    lacking = [ts for ts in moments if ts not in (hour(48), hour(120), hour(124), hour(150))]
    other = Series(DataType.FUNDING_RATES, InstrumentId("ETHUSDT-PERP", PERPETUAL.venue))
    keep(storage, other, lacking, answer(hours(0, 168)))

    assert found(storage, other) == [
        (hours(48, 56), 1, GapReason.VENUE_HAS_NONE),
        (hours(120, 128), 2, GapReason.VENUE_HAS_NONE),
        (hours(150, 151), 1, GapReason.VENUE_HAS_NONE),
    ]


def test_a_hole_over_new_year_is_one_gap_although_no_file_has_it(storage: Storage) -> None:
    """Its two ends are in two files, and its parts have the reasons of their ranges."""
    year = datetime(2025, 1, 1)
    before = [year - timedelta(hours=8 * n) for n in range(30, 5, -1)]
    after = [year + timedelta(hours=8 * n) for n in range(3, 30)]
    window = TimeRange(before[0], year)
    keep(storage, FUNDING, [*before, *after], answer(window))

    assert found(storage, FUNDING) == [
        (TimeRange(year - timedelta(hours=40), year), 5, GapReason.VENUE_HAS_NONE),
        (TimeRange(year, year + timedelta(hours=24)), 3, GapReason.NOT_FETCHED),
    ]
    assert all(each.missing == 0 for each in storage.catalog.partitions(FUNDING))


def test_settlements_due_after_the_last_are_missed_only_where_they_were_due(
    storage: Storage,
) -> None:
    """Seven hours on nothing was due; a day on three were, of which one was never asked for."""
    keep(storage, FUNDING, every(8, 0, 48), answer(hours(0, 47)))
    assert found(storage, FUNDING) == []

    keep(storage, FUNDING, [], answer(hours(47, 60)))
    storage.catalog.note_wanted(FUNDING, hours(0, 72))

    assert found(storage, FUNDING) == [
        (hours(48, 60), 2, GapReason.VENUE_HAS_NONE),
        (hours(60, 72), 1, GapReason.NOT_FETCHED),
    ]


def test_answers_with_nothing_before_the_first_settlement_tell_the_listing(
    storage: Storage,
) -> None:
    """The venue was asked for the weeks before and had nothing: the contract was not there."""
    keep(storage, FUNDING, every(8, 80, 160), answer(hours(0, 160)))

    [gap] = find_gaps(storage, [FUNDING])
    assert (gap.range, gap.missing_count, gap.reason) == (
        hours(0, 80),
        10,
        GapReason.BEFORE_LISTING,
    )


def test_a_settlement_in_quarantine_is_not_called_absent(storage: Storage) -> None:
    """The venue has one; its rate is nonsense, and it is kept."""
    moments = [ts for ts in every(8, 0, 80) if ts != hour(24)]
    refused = Rejected(hour(24), "funding_rate is not a fraction", "[...]")
    keep(storage, FUNDING, moments, answer(hours(0, 80)), rejected=(refused,))

    [gap] = find_gaps(storage, [FUNDING])
    assert (gap.missing_count, gap.reason) == (1, GapReason.IN_QUARANTINE)
    assert "not a fraction" in gap.evidence


def test_what_was_never_stored_is_a_gap_of_unknown_size(storage: Storage) -> None:
    """Without a single settlement nobody knows how often there should be one."""
    storage.catalog.ensure_series(FUNDING, "venue")
    storage.catalog.add_failed(FUNDING, hours(0, 80), "job", "no network")
    storage.catalog.note_wanted(FUNDING, hours(0, 80))

    assert found(storage, FUNDING) == [(hours(0, 80), None, GapReason.FAILED)]


# Books


def test_a_break_in_the_usual_spacing_of_snapshots_is_a_gap(storage: Storage) -> None:
    """Every ten seconds, a little late now and then; two were not taken, and never can be."""
    moments = [
        hour(0) + timedelta(seconds=10 * n + (n % 7) * 0.2) for n in range(200) if n not in (90, 91)
    ]
    keep(storage, BOOKS, moments)

    [gap] = find_gaps(storage, [BOOKS])
    assert (gap.missing_count, gap.reason) == (2, GapReason.BEYOND_SOURCE)
    assert gap.range.start - moments[89] == timedelta(seconds=10.2)  # the median
    assert gap.range.end == moments[90]
    assert "no past books" in gap.evidence


def test_recordings_of_two_days_have_the_time_between_them_missing(storage: Storage) -> None:
    """The gap spans midnight and files; its size is that of the snapshots there would be."""
    first = [hour(22) + timedelta(seconds=10 * n) for n in range(360)]
    second = [hour(30) + timedelta(seconds=10 * n) for n in range(360)]
    keep(storage, BOOKS, [*first, *second])

    assert found(storage, BOOKS) == [(hours(23, 30), 2_520, GapReason.BEYOND_SOURCE)]


def test_a_recording_through_midnight_has_no_gap_there(storage: Storage) -> None:
    keep(storage, BOOKS, [hour(23) + timedelta(seconds=10 * n) for n in range(720)])

    assert len(storage.catalog.partitions(BOOKS)) == 2
    assert found(storage, BOOKS) == []


def test_snapshots_that_come_when_they_come_have_no_usual_spacing(storage: Storage) -> None:
    """A feed tells of changes: silence is none of its snapshots missing."""
    pauses = [1, 30, 2, 2, 90, 1, 45, 3, 60, 1, 2, 120, 1, 40, 5, 200, 1, 1, 80, 2]
    moments, at = [], hour(0)
    for pause in pauses * 4:
        at += timedelta(seconds=pause)
        moments.append(at)
    keep(storage, BOOKS, moments)

    assert found(storage, BOOKS) == []


def test_a_book_that_did_not_change_was_taken_all_the_same(storage: Storage) -> None:
    """It is not stored again; who took the snapshots says from when to when none was left out."""
    moments = [hour(0) + timedelta(seconds=10 * n) for n in range(100) if n not in (30, 31, 60)]
    run = TimeRange(moments[0], moments[45])
    keep(storage, BOOKS, moments, answer(run, Basis.ROWS_ONLY))

    assert found(storage, BOOKS) == [
        (
            TimeRange(hour(0) + timedelta(seconds=600), hour(0) + timedelta(seconds=610)),
            1,
            GapReason.BEYOND_SOURCE,
        )
    ]


# All of them


@pytest.mark.parametrize("series", [TRADES, FUNDING, BOOKS], ids=lambda each: each.data_type.value)
def test_gaps_are_the_same_after_the_catalog_was_lost(tmp_path: Path, series: Series) -> None:
    """The catalog can be made again from the files: so can what it says is missing."""
    root = tmp_path / "lake"
    with Storage.open(root, create=True) as storage:
        moments = [ts for ts in every(8, 0, 240) if ts not in (hour(80), hour(160))]
        keep(storage, series, moments, answer(hours(0, 100)), answer(hours(160, 240)))
        before = find_gaps(storage)
    (root / "catalog.sqlite").unlink()

    with Storage.open(root) as storage:
        after = find_gaps(storage)

    assert before
    assert [(gap.range, gap.missing_count) for gap in after] == [
        (gap.range, gap.missing_count) for gap in before
    ]
