"""Checks of trades by their ids: what is missing, and what is out of order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType
from lake.simulator.tables import TradeForm
from tests.checks.market_kit import (
    PERPETUAL,
    SEEDS,
    SPOT,
    TICK,
    Checked,
    damaged,
    generated,
    names,
    opened,
    with_values,
    without,
)

TRADES = DataType.TRADES


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    yield from opened(generated(tmp_path_factory.mktemp("trades") / "lake", seed=11))


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    root = tmp_path_factory.mktemp("trades") / "singles"
    yield from opened(generated(root, seed=12, trade_form=TradeForm.SINGLE))


# trade_gaps


@pytest.mark.parametrize("seed", SEEDS)
def test_ids_that_are_gone_are_found(lake: Checked, singles: Checked, seed: int) -> None:
    """Also where they go at the start of a day: the day before has the trade beside them."""
    rng = random.Random(seed)
    chosen = rng.choice((lake, singles))
    path = rng.choice(chosen.paths(TRADES, SPOT)[1:])
    count = rng.choice((1, 2, 70, 300))

    with damaged(chosen):
        at = 0
        gone: list[int] = []

        def cut(rows: pa.Table) -> pa.Table:
            nonlocal at
            at = rng.choice((0, rng.randrange(1, rows.num_rows - count - 1)))
            gone.extend(rows["trade_id"][at : at + count].to_pylist())
            return without(rows, at, count)

        chosen.rewrite(path, cut)
        [found] = chosen.found("trade_gaps")

    assert names([found]) == [SPOT]
    assert (found["rows"], found["severity"]) == (count, "error")
    assert f"ids {min(gone)} to {max(gone)} are not held" in found["detail"]


def test_a_hole_has_the_time_between_its_neighbours(lake: Checked) -> None:
    path = lake.paths(TRADES, SPOT)[1]

    with damaged(lake):
        times: list[datetime] = []

        def cut(rows: pa.Table) -> pa.Table:
            times.extend(rows["ts"].to_pylist())
            return without(rows, 100, 3)

        lake.rewrite(path, cut)
        [found] = lake.found("trade_gaps")

    assert (found["start_ts"], found["end_ts"]) == (times[99], times[103])


def test_a_day_that_is_gone_is_one_hole(lake: Checked) -> None:
    """Its rows are gone and its coverage promises them still."""
    path = lake.paths(TRADES, SPOT)[1]

    with damaged(lake):
        lake.catalog(f"delete from lake_copies.partitions where path = '{path}'")
        lake.remove(path)
        [found] = lake.found("trade_gaps")

    assert (names([found]), found["severity"]) == ([SPOT], "error")
    assert found["rows"] > 500


def test_ids_out_of_order_are_no_hole(lake: Checked) -> None:
    """Neighbours may be swapped in time, also over the end of a day."""
    first, second, _ = lake.paths(TRADES, SPOT)

    def swapped(one: int, other: int) -> None:
        for path, before, after in ((first, one, other), (second, other, one)):
            lake.rewrite(
                path,
                lambda rows, before=before, after=after: with_values(
                    rows, "trade_id", {rows["trade_id"].to_pylist().index(before): after}
                ),
            )

    with damaged(lake):
        last = lake.warehouse.query(
            "select max(trade_id) as id from checked_trades where instrument = 'BTCUSDT' "
            "and ts < timestamp '2024-01-02'"
        )["id"][0]
        swapped(last, last + 1)

        assert lake.found("trade_gaps") == []


@pytest.mark.parametrize(
    ("statement", "severity", "reason"),
    [
        ("delete from lake_copies.coverage", "info", "nobody promises"),
        ("update lake_copies.coverage set basis = 'rows_only'", "warning", "an import"),
        (
            "insert into lake_copies.notes select series_id, min_ts, 'absent_ids', "
            "'the venue has no trade ids 1 to 99999999', 'job', 0 from lake.partitions",
            "info",
            "the venue confirmed",
        ),
    ],
)
def test_a_hole_is_as_bad_as_what_was_promised(
    lake: Checked, statement: str, severity: str, reason: str
) -> None:
    with damaged(lake):
        lake.rewrite(lake.paths(TRADES, SPOT)[0], lambda rows: without(rows, 50, 1))
        lake.catalog(statement)
        [found] = lake.found("trade_gaps")

    assert found["severity"] == severity
    assert reason in found["detail"]


def test_fills_that_no_aggregate_has_are_told_once_a_file(lake: Checked) -> None:
    """Futures leave the insurance fund's trades out of their aggregates."""
    path = lake.paths(TRADES, PERPETUAL)[0]

    def shift(rows: pa.Table) -> pa.Table:
        for name in ("first_trade_id", "last_trade_id"):
            ids = rows[name].to_pylist()
            rows = with_values(rows, name, {at: ids[at] + 4 for at in range(40, rows.num_rows)})
        return rows

    with damaged(lake):
        lake.rewrite(path, shift)
        [found] = lake.found("trade_gaps")

    assert (names([found]), found["rows"], found["severity"]) == ([PERPETUAL], 4, "info")


def test_ids_of_other_venues_prove_nothing(lake: Checked) -> None:
    with damaged(lake):
        lake.rewrite(lake.paths(TRADES, SPOT)[0], lambda rows: without(rows, 50, 1))

        assert lake.found("trade_gaps", dense_venues="BYBIT") == []


# trade_order


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_out_of_order_are_found(lake: Checked, seed: int) -> None:
    """Two rows of a file change places, so that time goes back once or twice."""
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(TRADES, name))

    with damaged(lake):
        moved: list[datetime] = []

        def swap(rows: pa.Table) -> pa.Table:
            times = rows["ts"].to_pylist()
            one = rng.randrange(1, rows.num_rows - 60)
            other = next(at for at in range(one + 1, rows.num_rows) if times[at] > times[one])
            order = list(range(rows.num_rows))
            order[one], order[other] = other, one
            moved.extend((times[one], times[other]))
            return rows.take(pa.array(order))

        lake.rewrite(path, swap)
        [found] = [each for each in lake.found("trade_order") if each["severity"] == "error"]

    assert names([found]) == [name]
    assert "times go back" in found["detail"]
    assert (found["start_ts"], found["end_ts"]) == (moved[0], moved[1] + TICK)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_id_far_from_its_time_is_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(TRADES, name))

    with damaged(lake):
        times: list[datetime] = []

        def swap(rows: pa.Table) -> pa.Table:
            ids = rows["trade_id"].to_pylist()
            times.extend(rows["ts"].to_pylist())
            one = rng.randrange(1, rows.num_rows - 101)
            times[:] = [times[one], times[one + 100 + 1]]
            return with_values(rows, "trade_id", {one: ids[one + 100], one + 100: ids[one]})

        lake.rewrite(path, swap)
        [found] = lake.found("trade_order")

    assert (names([found]), found["severity"]) == ([name], "warning")
    assert "ids go back" in found["detail"]
    assert times[0] <= found["start_ts"] < found["end_ts"] <= times[1] + TICK


def test_ids_that_tell_no_order_are_information(lake: Checked) -> None:
    """Some venues number trades of all instruments, or not in order of time."""
    path = lake.paths(TRADES, SPOT)[0]

    def shuffle(rows: pa.Table) -> pa.Table:
        ids = rows["trade_id"].to_pylist()
        random.Random(1).shuffle(ids)
        return with_values(rows, "trade_id", dict(enumerate(ids)))

    with damaged(lake):
        lake.rewrite(path, shuffle)
        found = lake.found("trade_order")

    assert [each["severity"] for each in found] in (["info"], ["info", "warning"])
