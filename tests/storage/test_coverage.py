"""Stored coverage and failed ranges, compared with a model that knows every hour."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from storage_kit import HOURLY, START, Clock, answered, begin, candles, hour, hours, store

from lake.domain.coverage import NOTHING_LATER, Basis, Claim, Coverage, overlay
from lake.domain.ranges import TimeRange
from lake.storage import coverage
from lake.storage.catalog import series_id_of
from lake.storage.lake import Storage


@pytest.mark.parametrize("seed", range(15))
def test_laying_a_claim_touches_only_what_it_meets(storage: Storage, seed: int) -> None:
    """Only the rows at hand are read and written, and the whole is as if all had been."""
    rng = random.Random(seed)
    storage.catalog.ensure_series(HOURLY, "venue")
    model: list[Coverage] = []
    for number in range(60):
        first = rng.randrange(100)
        claim = Coverage(
            hours(first, first + rng.randrange(1, 30)),
            rng.choice(list(Basis)),
            "source",
            rng.randrange(3),
            f"job {rng.randrange(2)}",
            hour(number),
        )
        model = overlay(model, claim)

        with storage.database.writing() as transaction:
            coverage.lay(transaction, series_id_of(transaction, HOURLY), [claim])

        # The age of a confirmation depends on what was joined when; the ranges must not.
        found = storage.catalog.coverage(HOURLY)
        assert [each.range for each in found] == [each.range for each in model]
        assert all(mine.same_evidence(theirs) for mine, theirs in zip(found, model, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_cutting_coverage_leaves_the_rest(storage: Storage, seed: int) -> None:
    rng = random.Random(seed)
    lease = begin(storage)
    covered = set()
    for _ in range(20):
        first = rng.randrange(600)
        store(storage, lease, candles([]), answered(first, first + 20))
        covered |= set(range(first, first + 20))
    first, end = sorted(rng.sample(range(620), 2))

    with storage.database.writing() as transaction:
        coverage.cut(transaction, series_id_of(transaction, HOURLY), hours(first, end))

    left = {
        each
        for each in range(700)
        if any(hour(each) in row.range for row in storage.catalog.coverage(HOURLY))
    }
    assert left == covered - set(range(first, end))


def test_coverage_of_other_series_is_not_touched(storage: Storage) -> None:
    from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
    from lake.domain.partitions import Partition
    from lake.domain.timeframe import TimeFrame

    other = Series(DataType.OHLCV, InstrumentId("ETHUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)
    one, two = begin(storage), begin(storage, other)
    store(storage, one, candles([]), answered(0, 9))

    store(storage, two, candles([]), answered(3, 5), partition=Partition(other, 2024, 1))

    assert [each.range for each in storage.catalog.coverage(HOURLY)] == [hours(0, 9)]
    assert [each.range for each in storage.catalog.coverage(other)] == [hours(3, 5)]


def test_an_answer_removes_the_failure_that_it_answers(storage: Storage, clock: Clock) -> None:
    """Also a part of it, and what no source reached; an import's word answers nothing."""
    lease = begin(storage)
    storage.catalog.add_failed(HOURLY, hours(0, 10), "job", "timeout")
    storage.catalog.set_beyond_source(HOURLY, hours(10, 20), "720 candles only")

    store(storage, lease, candles([]), answered(0, 20, Basis.ROWS_ONLY))
    untouched = [each.range for each in storage.catalog.failed(HOURLY)]
    store(storage, lease, candles([]), answered(4, 12))

    assert untouched == [hours(0, 10)]
    assert [each.range for each in storage.catalog.failed(HOURLY)] == [hours(0, 4)]
    [beyond] = storage.catalog.beyond_source(HOURLY)
    assert (beyond.range, beyond.error) == (hours(12, 20), "720 candles only")


def test_the_newest_failure_of_a_moment_is_the_one_kept(storage: Storage, clock: Clock) -> None:
    begin(storage)
    storage.catalog.add_failed(HOURLY, hours(0, 10), "old", "timeout")
    clock.advance(60)

    storage.catalog.add_failed(HOURLY, hours(4, 6), "new", "bad answer")

    failed = [(each.range, each.job_id, each.at) for each in storage.catalog.failed(HOURLY)]
    before = Clock().now
    assert failed == [
        (hours(0, 4), "old", before),
        (hours(4, 6), "new", clock.now),
        (hours(6, 10), "old", before),
    ]


def test_wanted_is_the_hull_of_what_was_asked(storage: Storage) -> None:
    storage.catalog.ensure_series(HOURLY, "venue")

    for window in (hours(10, 20), hours(0, 5), hours(12, 30)):
        storage.catalog.note_wanted(HOURLY, window)

    info = storage.catalog.series_info(HOURLY)
    assert info is not None
    assert info.wanted == TimeRange(START, hour(30))


def test_later_rows_put_the_end_of_data_in_doubt(storage: Storage) -> None:
    """With the candle before it: a copy that stood still took that one for the running one."""
    lease = begin(storage)
    end = Claim(hours(10, 20), Basis.ANSWER, NOTHING_LATER)
    store(storage, lease, candles(range(10)), answered(0, 10), end)
    before = [each.range for each in storage.catalog.coverage(HOURLY)]

    store(storage, lease, candles(range(22, 24)), answered(22, 24))

    assert before == [hours(0, 10), hours(10, 20)]
    assert [each.range for each in storage.catalog.coverage(HOURLY)] == [hours(0, 9), hours(22, 24)]


def test_an_end_that_was_asked_for_again_stands(storage: Storage) -> None:
    """Venues that cannot be asked past a long hole would be asked for it for ever."""
    lease = begin(storage)
    end = Claim(hours(10, 20), Basis.ANSWER, NOTHING_LATER)
    store(storage, lease, candles(range(22, 24)), answered(22, 24))

    store(storage, lease, candles([]), end)
    store(storage, lease, candles(range(24, 26)), answered(24, 26))

    assert hours(10, 20) in [each.range for each in storage.catalog.coverage(HOURLY)]


def test_a_rebuilt_catalog_doubts_the_same_ends(tmp_path: Path) -> None:
    """Footers remember the claims that were given up after they were written."""
    end = Claim(hours(10, 20), Basis.ANSWER, NOTHING_LATER)
    with Storage.open(tmp_path, create=True) as storage:
        lease = begin(storage)
        store(storage, lease, candles(range(10)), answered(0, 10), end)
        store(storage, lease, candles(range(22, 24)), answered(22, 24))
        known = [each.range for each in storage.catalog.coverage(HOURLY)]
    for each in tmp_path.glob("catalog.sqlite*"):
        each.unlink()

    with Storage.open(tmp_path) as storage:
        rebuilt = [each.range for each in storage.catalog.coverage(HOURLY)]

    assert rebuilt == known == [hours(0, 9), hours(22, 24)]
