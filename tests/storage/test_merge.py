"""Merging is compared with a merge written row by row, on random tables of every data type."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from storage_kit import START, Row, answered, candles, closes, hour, hours, random_rows

from lake.domain.coverage import Basis, Coverage
from lake.domain.ranges import TimeRange
from lake.domain.schemas import FUNDING_RATES, OHLCV, ORDERBOOK, TRADES, RowSpec
from lake.storage.merge import UNRANKED, Merged, merge, replace


def covered(first: int, end: int, rank: int, basis: Basis = Basis.ANSWER) -> Coverage:
    return Coverage(hours(first, end), basis, "source", rank, "job", START)


def merged(stored: pa.Table | None, new: pa.Table, *coverage: Coverage, rank: int = 20) -> Merged:
    return merge(stored, new, OHLCV, rank=rank, source="other", coverage=coverage)


def without(rows: pa.Table, column: str) -> pa.Table:
    """*rows* with nulls in *column*."""
    place = rows.schema.get_field_index(column)
    return rows.set_column(
        place, rows.schema.field(place), pa.nulls(rows.num_rows, rows.schema.field(place).type)
    )


def test_rows_of_an_equal_source_replace_and_are_revised() -> None:
    """A correction by the source that gave the row; the old row is handed on."""
    stored, new = candles({0: 1.0, 1: 2.0, 2: 3.0}), candles({1: 2.0, 2: 9.0, 3: 4.0})

    result = merged(stored, new, covered(0, 3, 20))

    assert closes(result.rows) == {0: 1.0, 1: 2.0, 2: 9.0, 3: 4.0}
    assert (result.added, result.changed, result.removed) == (1, 1, 0)
    assert closes(result.old_rows) == {2: 3.0}
    assert result.notes == ()


def test_a_lower_ranked_source_never_replaces_and_its_words_are_noted() -> None:
    """An import must not overwrite what the venue answered; what it says is not lost either."""
    stored, new = candles({0: 1.0, 1: 2.0}), candles({0: 1.0, 1: 9.0})

    result = merged(stored, new, covered(0, 2, 20), rank=5)

    assert closes(result.rows) == {0: 1.0, 1: 2.0}
    assert not result.alters
    [note] = result.notes
    assert (note.ts, note.kind) == (hour(1), "differs")
    assert note.text.startswith("other says open 9.0 where 2.0 is kept, high 10.0")


def test_a_lower_ranked_source_fills_what_is_absent() -> None:
    """Ranks decide between two rows, not between a row and a hole."""
    result = merged(candles({0: 1.0, 2: 3.0}), candles({1: 2.0}), covered(0, 3, 20), rank=5)

    assert closes(result.rows) == {0: 1.0, 1: 2.0, 2: 3.0}
    assert (result.added, result.changed) == (1, 0)


def test_a_row_with_a_null_does_not_replace_a_row_with_a_value() -> None:
    """The unified answer knows no quote volume; it must not erase the archive's."""
    stored = candles({0: 1.0, 1: 2.0})
    poorer = without(candles({0: 1.0, 1: 9.0}), "quote_volume")

    result = merged(stored, poorer, covered(0, 2, 10))

    assert result.rows.equals(stored)
    [note] = result.notes
    assert note.ts == hour(1)
    assert "quote_volume" not in note.text


def test_a_row_with_a_value_replaces_a_row_with_a_null() -> None:
    """The richer row of an equal source wins."""
    stored = without(candles({0: 1.0}), "quote_volume")

    result = merged(stored, candles({0: 1.0}), covered(0, 1, 20))

    assert result.changed == 1
    assert result.rows["quote_volume"].to_pylist() == [1.0]


def test_rows_that_nobody_vouches_for_may_be_replaced_by_any_source() -> None:
    """Provisional rows: what was running, or too young to be final."""
    result = merged(candles({0: 1.0}), candles({0: 2.0}), rank=0)

    assert closes(result.rows) == {0: 2.0}


@pytest.mark.parametrize(("rank", "close"), [(59, 1.0), (60, 2.0)])
def test_rows_of_an_import_that_promises_nothing_have_its_rank(rank: int, close: float) -> None:
    """A vendor's own rows are not overwritten by what somebody else made of them."""
    coverage = [covered(0, 1, 60, Basis.ROWS_ONLY), covered(0, 1, 20, Basis.ROWS_ONLY)]
    result = merged(candles({0: 1.0}), candles({0: 2.0}), *coverage, rank=rank)

    assert closes(result.rows) == {0: close}
    assert len(result.notes) == (close == 1.0)


def test_a_promise_outweighs_rows_that_lie_there_too() -> None:
    coverage = [covered(0, 1, 50), covered(0, 1, 60, Basis.ROWS_ONLY)]

    result = merged(candles({0: 1.0}), candles({0: 2.0}), *coverage, rank=50)

    assert closes(result.rows) == {0: 2.0}


def test_the_last_of_several_rows_with_one_key_counts() -> None:
    """Two pages may overlap; where they contradict, the loser is noted."""
    twice = pa.concat_tables([candles({1: 2.0, 0: 1.0}), candles({1: 5.0})])

    result = merged(None, twice)

    assert closes(result.rows) == {0: 1.0, 1: 5.0}
    assert result.added == 2
    [note] = result.notes
    assert (note.ts, note.kind) == (hour(1), "differs")


def test_notes_of_many_differing_rows_are_summed_up() -> None:
    """A source that rounds otherwise must not write a note for every candle there ever was."""
    stored = candles(range(1500), close=1.0)

    result = merged(stored, candles(range(1500), close=2.0), covered(0, 1500, 90))

    assert len(result.notes) == 1001
    assert "500 more rows" in result.notes[-1].text
    assert result.notes[-1].ts == hour(1000)


def test_a_replaced_range_becomes_exactly_the_given_rows() -> None:
    """For repair and revised archives; rows outside of the range stay as they are."""
    stored = candles({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0})

    result = replace(stored, candles({1: 2.0, 2: 9.0}), OHLCV, hours(1, 4))

    assert closes(result.rows) == {0: 1.0, 1: 2.0, 2: 9.0, 4: 5.0}
    assert (result.added, result.changed, result.removed) == (0, 1, 1)
    assert closes(result.old_rows) == {2: 3.0, 3: 4.0}


def test_a_range_replaced_by_nothing_is_empty() -> None:
    result = replace(candles({0: 1.0, 1: 2.0}), candles({}), OHLCV, hours(0, 2))

    assert result.rows.num_rows == 0
    assert result.rows.schema.equals(OHLCV.schema)
    assert result.removed == 2


# Against a merge written row by row.


def reference(
    stored: list[Row], new: list[Row], spec: RowSpec, rank: int, coverage: list[Coverage]
) -> tuple[list[Row], int, int, list[Row]]:
    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in spec.key)

    held = {key(row): row for row in stored}
    old: list[Row] = []
    added = changed = 0
    for each in {key(row): row for row in new}.values():
        before = held.get(key(each))
        if before is None:
            held[key(each)] = each
            added += 1
            continue
        there = [row for row in coverage if before["ts"] in row.range]
        promised = [row for row in there if row.promises]
        ranks = [row.source_rank for row in promised or there]
        loses = any(each[name] is None and before[name] is not None for name in each)
        if each != before and rank >= max(ranks, default=UNRANKED) and not loses:
            held[key(each)] = each
            old.append(before)
            changed += 1

    def order(row: Row) -> tuple[Any, ...]:
        return tuple((row[name] is None, row[name]) for name in spec.sort_order)

    return sorted(held.values(), key=order), added, changed, old


@pytest.mark.parametrize(
    "spec", [OHLCV, TRADES, ORDERBOOK, FUNDING_RATES], ids=lambda spec: spec.data_type.value
)
@pytest.mark.parametrize("seed", range(25))
def test_merging_equals_a_merge_row_by_row(spec: RowSpec, seed: int) -> None:
    """Keys with nulls, lists, duplicates, ranks and losses, as one by one they must come out."""
    rng = random.Random(seed)
    unique = {tuple(row[name] for name in spec.key): row for row in random_rows(rng, spec, 25)}
    stored, *_ = reference([], list(unique.values()), spec, 0, [])
    new = random_rows(rng, spec, rng.choice((0, 1, 25)))
    rank = rng.randrange(3)
    coverage = [covered(0, 8, 1), covered(8, 16, 2), covered(16, 24, 2, Basis.ROWS_ONLY)]
    coverage += [covered(0, 12, 2, Basis.ROWS_ONLY), covered(20, 30, 1, Basis.ROWS_ONLY)]

    result = merge(
        pa.Table.from_pylist(stored, spec.schema),
        pa.Table.from_pylist(new, spec.schema),
        spec,
        rank=rank,
        source="other",
        coverage=coverage,
    )

    rows, added, changed, old = reference(stored, new, spec, rank, coverage)
    assert result.rows.to_pylist() == rows
    assert (result.added, result.changed, result.removed) == (added, changed, 0)
    found = [] if result.old_rows is None else result.old_rows.to_pylist()
    assert sorted(map(str, found)) == sorted(map(str, old))


@pytest.mark.parametrize("seed", range(20))
def test_pages_of_any_size_in_any_order_merge_to_the_same_rows(seed: int) -> None:
    """And merging a page a second time changes nothing."""
    rng = random.Random(seed)
    truth = {each: float(each) for each in range(200) if rng.random() < 0.8}
    size = rng.randrange(1, 60)
    pages = [
        {each: truth[each] for each in range(first, min(first + size, 200)) if each in truth}
        for first in range(0, 200, size)
    ]
    pages += rng.sample(pages, len(pages) // 2)
    rng.shuffle(pages)
    held: pa.Table | None = None

    for page in pages:
        held = merged(held, candles(page)).rows
    again = merged(held, candles(pages[0]))

    assert closes(held) == truth
    assert not again.alters


@pytest.mark.parametrize("seed", range(20))
def test_replacing_equals_taking_out_and_putting_in(seed: int) -> None:
    rng = random.Random(seed)
    stored = {each: float(rng.randrange(3)) for each in range(50) if rng.random() < 0.7}
    first, end = sorted(rng.sample(range(51), 2))
    new = {each: float(rng.randrange(3)) for each in range(first, end) if rng.random() < 0.7}

    result = replace(candles(stored), candles(new), OHLCV, hours(first, end))

    outside = {each: close for each, close in stored.items() if not first <= each < end}
    assert closes(result.rows) == outside | new
    inside = {each: close for each, close in stored.items() if first <= each < end}
    assert closes(result.old_rows) == {
        each: close for each, close in inside.items() if new.get(each) != close
    }


def test_claims_of_the_kit_say_what_the_tests_mean() -> None:
    """The helpers above are hours of 2024."""
    assert answered(0, 2).range == TimeRange(datetime(2024, 1, 1), datetime(2024, 1, 1, 2))
