"""Checks of order books: crossed, out of order, thin, and snapshots that are missing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType
from lake.domain.times import to_us
from tests.checks.market_kit import (
    DAY,
    PERPETUAL,
    SEEDS,
    SPOT,
    START,
    TICK,
    Checked,
    damaged,
    generated,
    names,
    opened,
    with_values,
    without,
)

BOOKS = DataType.ORDERBOOK
EVERY = timedelta(minutes=10)
Book = dict[str, object]
Spoil = Callable[[pa.Table, int], pa.Table]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    yield from opened(generated(tmp_path_factory.mktemp("books") / "lake", seed=21))


@pytest.mark.parametrize("check", ["book_crossed", "book_sequence", "book_thin", "book_gaps"])
def test_books_of_a_clean_market_are_clean(lake: Checked, check: str) -> None:
    assert lake.found(check) == []


# book_crossed


def levels(name: str, change: Callable[[list[float]], list[float]]) -> Spoil:
    """Changes a list of a book, and the best that stands beside it, so that they still agree."""
    best = f"best_{name.removesuffix('s').removesuffix('_price').replace('quantitie', 'quantity')}"

    def spoil(rows: pa.Table, at: int) -> pa.Table:
        after = change(rows[name][at].as_py())
        rows = with_values(rows, name, {at: after})
        return with_values(rows, best, {at: after[0] if after else None})

    return spoil


def crossed(rows: pa.Table, at: int) -> pa.Table:
    """Both sides change places."""
    swapped = rows
    for end in ("prices", "quantities"):
        for one, other in (("bid", "ask"), ("ask", "bid")):
            swapped = with_values(swapped, f"{one}_{end}", {at: rows[f"{other}_{end}"][at].as_py()})
    for end in ("", "_quantity"):
        for one, other in (("bid", "ask"), ("ask", "bid")):
            value = rows[f"best_{other}{end}"][at].as_py()
            swapped = with_values(swapped, f"best_{one}{end}", {at: value})
    return swapped


def other_best(rows: pa.Table, at: int) -> pa.Table:
    return with_values(rows, "best_bid", {at: rows["bid_prices"][at].as_py()[1]})


FAULTS: list[tuple[Spoil, str]] = [
    (levels("bid_prices", lambda told: [*told[:2], told[1], *told[3:]]), "bids do not fall"),
    (levels("ask_prices", lambda told: [told[0], told[2], told[1], *told[3:]]), "asks do not rise"),
    (levels("ask_prices", lambda told: told[::-1]), "asks do not rise"),
    (levels("bid_quantities", lambda told: told[:-1]), "bid prices to 4 quantities"),
    (levels("ask_prices", lambda told: [*told, told[-1] + 1]), "6 ask prices"),
    (levels("bid_quantities", lambda told: [*told[:-1], 0.0]), "a quantity is no"),
    (levels("ask_quantities", lambda told: [float("nan"), *told[1:]]), "a quantity is no"),
    (levels("bid_prices", lambda told: [*told[:-1], -1.0]), "a price is no"),
    (levels("ask_prices", lambda told: [*told[:-1], float("inf")]), "a price is no"),
    (other_best, "best "),
    (crossed, "bid "),
]


@pytest.mark.parametrize("seed", range(len(FAULTS) * 2))
def test_books_that_cannot_be_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    spoil, fault = FAULTS[seed % len(FAULTS)]
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(BOOKS, name))
    at, count = rng.randrange(100), rng.choice((1, 4))

    with damaged(lake):
        times: list[datetime] = []

        def change(rows: pa.Table) -> pa.Table:
            times.extend(rows["ts"][at : at + count].to_pylist())
            for each in range(at, at + count):
                rows = spoil(rows, each)
            return rows

        lake.rewrite(path, change)
        [found] = lake.found("book_crossed")

    assert (names([found]), found["rows"]) == ([name], count)
    assert (found["start_ts"], found["end_ts"]) == (times[0], times[-1] + TICK)
    assert fault in found["detail"]


# book_sequence


@pytest.mark.parametrize("seed", SEEDS)
def test_sequences_that_go_back_repeat_or_jump_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(BOOKS, name))
    kind = ("back", "differ", "jump")[seed % 3]
    at = rng.randrange(2, 100)

    with damaged(lake):
        times: list[datetime] = []

        def change(rows: pa.Table) -> pa.Table:
            numbers = rows["sequence"].to_pylist()
            times.extend(rows["ts"].to_pylist())
            if kind == "jump":
                far = 1_000 * (numbers[-1] - numbers[0])
                moved = {each: numbers[each] + far for each in range(at, len(numbers))}
                return with_values(rows, "sequence", moved)
            value = numbers[at - 2] if kind == "back" else numbers[at - 1]
            return with_values(rows, "sequence", {at: value})

        lake.rewrite(path, change)
        [found] = lake.found("book_sequence")

    severity = "info" if kind == "jump" else "warning"
    assert (names([found]), found["rows"], found["severity"]) == ([name], 1, severity)
    assert (found["start_ts"], found["end_ts"]) == (times[at - 1], times[at] + TICK)


def test_an_unchanged_book_that_is_stored_again_is_information(lake: Checked) -> None:
    with damaged(lake):

        def repeat(rows: pa.Table) -> pa.Table:
            for column in rows.column_names[1:]:
                rows = with_values(rows, column, {6: rows[column][5].as_py()})
            return rows

        lake.rewrite(lake.paths(BOOKS, SPOT)[0], repeat)
        [found] = lake.found("book_sequence")

    assert found["severity"] == "info"
    assert "did not change" in found["detail"]


# book_thin


@pytest.mark.parametrize("seed", SEEDS)
def test_books_with_few_levels_are_found(lake: Checked, seed: int) -> None:
    """A run of them is one violation; a side may be empty."""
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(BOOKS, name))
    side, left = rng.choice(("bid", "ask")), rng.choice((0, 2))
    at, count = rng.randrange(100), rng.choice((1, 4))

    with damaged(lake):
        times: list[datetime] = []

        def thin(rows: pa.Table) -> pa.Table:
            times.extend(rows["ts"][at : at + count].to_pylist())
            for each in range(at, at + count):
                for end, best in (("prices", ""), ("quantities", "_quantity")):
                    kept = rows[f"{side}_{end}"][each].as_py()[:left]
                    rows = with_values(rows, f"{side}_{end}", {each: kept})
                    first = kept[0] if kept else None
                    rows = with_values(rows, f"best_{side}{best}", {each: first})
            return rows

        lake.rewrite(path, thin)
        [found], others = lake.found("book_thin"), lake.found("book_crossed")

    assert (names([found]), found["rows"]) == ([name], count)
    assert (found["start_ts"], found["end_ts"]) == (times[0], times[-1] + TICK)
    assert "where 5 levels are usual" in found["detail"]
    assert others == []


# book_gaps


@pytest.mark.parametrize("seed", SEEDS)
def test_breaks_that_the_catalog_knows_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(BOOKS, name))
    start = START + int(path.split("day=")[1][:2]) * DAY - rng.randrange(20, 120) * EVERY
    count = rng.randrange(1, 15)
    end = start + count * EVERY

    with damaged(lake):
        lake.catalog(
            f"update lake_copies.partitions set rows = rows - {count}, missing = {count}, "
            f"gap_runs = '[[{to_us(start)}, {to_us(end)}]]' where path = '{path}'"
        )
        [found] = lake.found("book_gaps")

    assert (names([found]), found["rows"]) == ([name], count)
    assert (found["start_ts"], found["end_ts"]) == (start, end)


def test_a_break_between_two_files_is_found(lake: Checked) -> None:
    """Also where a whole day is absent."""
    first, second, _ = lake.paths(BOOKS, SPOT)

    with damaged(lake):
        lake.rewrite(second, lambda rows: without(rows, 0, 6))
        [short] = lake.found("book_gaps")
        lake.catalog(f"delete from lake_copies.partitions where path = '{second}'")
        [long] = lake.found("book_gaps")

    assert (short["start_ts"], short["end_ts"], short["rows"]) == (
        START + DAY,
        START + DAY + 6 * EVERY,
        6,
    )
    assert (long["start_ts"], long["end_ts"], long["rows"]) == (START + DAY, START + 2 * DAY, 144)
    assert first.endswith("day=01/data.parquet")


def test_what_was_recorded_without_a_change_is_no_break(lake: Checked) -> None:
    """A book that did not change is not stored again; coverage that promises nothing says so."""
    path = lake.paths(BOOKS, SPOT)[0]
    start, end = START + 40 * EVERY, START + 60 * EVERY

    with damaged(lake):
        lake.catalog(
            f"update lake_copies.partitions set rows = rows - 20, missing = 20, "
            f"gap_runs = '[[{to_us(start)}, {to_us(end)}]]' where path = '{path}'"
        )
        lake.catalog(
            f"insert into lake_copies.coverage select series_id, {to_us(START)} + 1, "
            f"{to_us(start + 5 * EVERY)}, 'rows_only', 'record', 1, 'job', 0, '' "
            f"from lake.partitions where path = '{path}'"
        )
        [rest] = lake.found("book_gaps")

    assert (rest["start_ts"], rest["end_ts"], rest["rows"]) == (start + 5 * EVERY, end, 15)
