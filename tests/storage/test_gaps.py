"""Every missing candle has a reason, and the reason is what the catalog knows."""

from __future__ import annotations

from datetime import datetime

from lake.domain.coverage import Basis
from lake.domain.gaps import GapReason
from lake.domain.identifiers import Series
from lake.domain.jobs import JobState
from lake.domain.rows import Rejected
from lake.storage.gaps import find_gaps
from lake.storage.lake import PartitionCommit, Storage
from tests.storage.storage_kit import (
    HOURLY,
    IMPORT,
    JANUARY,
    VENUE,
    answered,
    begin,
    candles,
    hour,
    hours,
    store,
)


def reasons(storage: Storage, series: Series = HOURLY) -> list[tuple[object, int, GapReason]]:
    return [(gap.range, gap.missing_count, gap.reason) for gap in find_gaps(storage, [series])]


def test_a_hole_in_an_answer_is_the_venues(storage: Storage) -> None:
    """Asked, answered, confirmed: the venue has none."""
    store(storage, begin(storage), candles([0, 1, 4, 5]), answered(0, 6))

    assert reasons(storage) == [(hours(2, 4), 2, GapReason.VENUE_HAS_NONE)]


def test_a_hole_in_an_import_that_promises_nothing_was_never_fetched(storage: Storage) -> None:
    """Rows of unknown completeness say nothing about what lies between them."""
    store(storage, begin(storage), candles([0, 4]), answered(0, 5, Basis.ROWS_ONLY), tag=IMPORT)

    assert reasons(storage) == [(hours(1, 4), 3, GapReason.NOT_FETCHED)]


def test_an_import_of_files_far_apart_asks_for_nothing_between_them(storage: Storage) -> None:
    """Its job spans all its files; the months between were never wanted of a venue."""
    storage.catalog.ensure_series(HOURLY, "venue")
    job = storage.jobs.create(HOURLY, hours(0, 9), kind="import")
    lease = storage.jobs.claim(job.job_id, "test")
    store(storage, lease, candles([0, 8]), answered(0, 1), answered(8, 9))
    storage.jobs.finish(lease, JobState.COMPLETED)

    assert reasons(storage) == [(hours(1, 8), 7, GapReason.NOT_FETCHED)]


def test_what_was_asked_for_and_had_not_settled_is_provisional(storage: Storage) -> None:
    """The next run asks again; until then nobody knows."""
    lease = begin(storage)
    store(storage, lease, candles([0, 1]), answered(0, 2))
    storage.jobs.finish(lease, JobState.COMPLETED)
    storage.catalog.note_wanted(HOURLY, hours(0, 4))

    assert reasons(storage) == [(hours(2, 4), 2, GapReason.PROVISIONAL)]


def test_a_failed_range_says_so_until_it_is_answered(storage: Storage) -> None:
    """Also after the job itself was cleaned away."""
    lease = begin(storage)
    store(storage, lease, candles([0]), answered(0, 1))
    storage.catalog.add_failed(HOURLY, hours(1, 3), lease.job_id, "no network")
    storage.jobs.finish(lease, JobState.FAILED, "no network")
    storage.jobs.clean(datetime(2100, 1, 1))
    storage.catalog.note_wanted(HOURLY, hours(0, 3))

    [gap] = find_gaps(storage)
    assert (gap.range, gap.reason, gap.evidence) == (hours(1, 3), GapReason.FAILED, "no network")

    store(storage, begin(storage), candles([1, 2]), answered(1, 3))
    assert find_gaps(storage) == []


def test_a_cancelled_range_says_who_asked_for_it(storage: Storage) -> None:
    """ "Never asked for" would be untrue."""
    lease = begin(storage)
    store(storage, lease, candles([0]), answered(0, 1))
    storage.jobs.finish(lease, JobState.CANCELLED, "stopped on request")
    storage.catalog.note_wanted(HOURLY, hours(0, 3))

    [gap] = find_gaps(storage)

    assert (gap.range, gap.reason) == (hours(1, 3), GapReason.NOT_FETCHED)
    assert gap.evidence == "asked for, but the job was cancelled: stopped on request"


def test_the_years_before_the_listing_and_what_the_source_lost_are_told_apart(
    storage: Storage,
) -> None:
    """Neither is worth a request; only one of them ever was data."""
    store(storage, begin(storage), candles([6]), answered(6, 7))
    storage.catalog.note_wanted(HOURLY, hours(0, 7))
    storage.catalog.set_first_available(HOURLY, hour(2), "probe")
    storage.catalog.set_beyond_source(HOURLY, hours(0, 5), "only the last 720 candles")

    assert reasons(storage) == [
        (hours(0, 2), 2, GapReason.BEFORE_LISTING),
        (hours(2, 5), 3, GapReason.BEYOND_SOURCE),
        (hours(5, 6), 1, GapReason.NOT_FETCHED),
    ]


def test_a_candle_in_quarantine_is_not_called_absent(storage: Storage) -> None:
    """The venue has one; it is nonsense, and it is kept."""
    storage.commit(
        PartitionCommit(
            partition=JANUARY,
            rows=candles([0, 2]),
            tag=VENUE,
            claims=(answered(0, 3),),
            rejected=(Rejected(hour(1), "high below low", "[...]"),),
        ),
        begin(storage),
    )

    [gap] = find_gaps(storage)
    assert (gap.range, gap.reason) == (hours(1, 2), GapReason.IN_QUARANTINE)
    assert "high below low" in gap.evidence


def test_rows_older_than_the_venues_first_candle_contradict_the_listing(
    storage: Storage,
) -> None:
    """An archive may hold what the venue no longer gives; then it was not the first candle."""
    store(storage, begin(storage), candles([1, 3]), answered(1, 4, Basis.ARCHIVE))
    storage.catalog.set_first_available(HOURLY, hour(6), "probe")
    storage.catalog.note_wanted(HOURLY, hours(0, 8))

    assert reasons(storage) == [
        (hours(0, 1), 1, GapReason.BEFORE_LISTING),
        (hours(2, 3), 1, GapReason.VENUE_HAS_NONE),
        (hours(4, 8), 4, GapReason.NOT_FETCHED),
    ]
