"""Checks of trades: what is missing, out of order, told twice, or no trade at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType
from lake.domain.ranges import TimeRange
from lake.domain.times import to_us
from lake.simulator.tables import TradeForm
from lake.storage.lake import Storage
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
    ordered,
    series_of,
    store,
    table_of,
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


# trade_twice


@pytest.mark.parametrize("seed", SEEDS)
def test_trades_told_twice_are_found(lake: Checked, seed: int) -> None:
    """In one file beside each other or hours apart, or in the files of two days."""
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    days = lake.paths(TRADES, name)
    first, last = sorted(rng.choices(range(3), k=2))
    count, apart = rng.choice((1, 5)), rng.choice((timedelta(0), timedelta(hours=1)))
    taken: list[pa.Table] = []

    def copy(rows: pa.Table) -> pa.Table:
        at = rng.randrange(rows.num_rows - count)
        taken.append(rows.slice(at, count))
        return rows

    def paste(rows: pa.Table) -> pa.Table:
        copied = taken[0]
        moments = [each + (last - first) * DAY - apart for each in copied["ts"].to_pylist()]
        copied = with_values(copied, "ts", dict(enumerate(moments)))
        return ordered(TRADES, pa.concat_tables([rows, copied]))

    with damaged(lake):
        lake.rewrite(days[first], copy)
        lake.rewrite(days[last], paste)
        [found] = lake.found("trade_twice")

    assert (names([found]), found["rows"]) == ([name], count)
    moments = taken[0]["ts"].to_pylist()
    assert found["start_ts"] <= moments[0]
    assert found["end_ts"] >= moments[-1]
    assert f"one is {taken[0]['trade_id'][0]}" in found["detail"] or count > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_names_told_twice_are_found(kraken: Checked, seed: int) -> None:
    """A trade without a number has a trade_ref."""
    rng = random.Random(seed)
    path = rng.choice(kraken.paths(TRADES))

    with damaged(kraken):
        refs: list[str] = []

        def repeat(rows: pa.Table) -> pa.Table:
            one, other = rng.sample(range(rows.num_rows), 2)
            refs.append(rows["trade_ref"][one].as_py())
            return with_values(rows, "trade_ref", {other: refs[0]})

        kraken.rewrite(path, repeat)
        [found] = kraken.found("trade_twice")

    assert (found["venue"], found["rows"]) == ("KRAKEN", 1)
    assert found["detail"].endswith(f"one is {refs[0]}")


@pytest.fixture(scope="module")
def kraken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    """Two days of trades that have derived names, every minute."""
    root = tmp_path_factory.mktemp("trades") / "kraken"
    rows = [
        {
            "ts": START + number * timedelta(minutes=1),
            "trade_ref": f"{number * 7919:016x}-1",
            "price": 100.0,
            "quantity": 1.0,
        }
        for number in range(2 * 1440)
    ]
    with Storage.open(root, create=True) as storage:
        series = series_of(TRADES, "BCHEUR.KRAKEN")
        store(storage, series, table_of(TRADES, rows), variant="single/derived")
    yield from opened(root)


# trade_bounds

IMPOSSIBLE = [
    ("price", 0.0),
    ("price", -1.0),
    ("price", float("nan")),
    ("price", float("inf")),
    ("quantity", 0.0),
    ("quantity", -0.5),
    ("quantity", float("nan")),
    ("quantity", float("-inf")),
    ("side", "BUY"),
    ("side", ""),
    ("trade_id", None),
    ("first_trade_id", 10**12),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_trades_that_cannot_be_are_found(lake: Checked, seed: int) -> None:
    """A stretch of them is one violation."""
    rng = random.Random(seed)
    column, value = IMPOSSIBLE[seed % len(IMPOSSIBLE)]
    name = rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(TRADES, name))
    count = rng.choice((1, 30))

    with damaged(lake):
        times: list[datetime] = []

        def spoil(rows: pa.Table) -> pa.Table:
            at = rng.randrange(rows.num_rows - count)
            times.extend(rows["ts"][at : at + count].to_pylist())
            return with_values(rows, column, dict.fromkeys(range(at, at + count), value))

        lake.rewrite(path, spoil)
        [found] = lake.found("trade_bounds")

    assert (names([found]), found["rows"]) == ([name], count)
    assert (found["start_ts"], found["end_ts"]) == (times[0], times[-1] + TICK)


def test_an_unknown_side_is_none(lake: Checked) -> None:
    with damaged(lake):
        lake.rewrite(lake.paths(TRADES)[0], lambda rows: with_values(rows, "side", {5: None}))

        assert lake.found("trade_bounds") == []


# trade_coverage


@pytest.mark.parametrize("seed", SEEDS)
def test_a_range_that_nobody_promises_is_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    code = name.partition(".")[0]
    start = START + timedelta(hours=rng.randrange(1, 40))
    end = start + timedelta(hours=rng.randrange(1, 20))
    chosen = (
        "series_id in (select series_id from lake.series "
        f"where data_type = 'trades' and instrument = '{code}')"
    )

    with damaged(lake):
        rest = [(START, start), (end, START + 3 * DAY)]
        [row] = lake.warehouse.query(
            f"select series_id from lake.series where instrument = '{code}' "
            "and data_type = 'trades'"
        ).rows()
        lake.catalog(f"delete from lake_copies.coverage where {chosen}")
        for first, last in rest:
            lake.catalog(
                f"insert into lake_copies.coverage values ({row[0]}, {to_us(first)}, "
                f"{to_us(last)}, 'answer', 'test', 1, 'job', 0, '')"
            )
        [found] = lake.found("trade_coverage")

    assert (names([found]), found["severity"]) == ([name], "warning")
    assert (found["start_ts"], found["end_ts"]) == (start, end)
    assert "never asked for" in found["detail"]


def test_a_failed_range_says_why(lake: Checked) -> None:
    """Whatever lies around it."""
    series = "(select series_id from lake.series where data_type = 'trades' limit 1)"
    with damaged(lake):
        lake.catalog(f"delete from lake_copies.coverage where series_id = {series}")
        lake.catalog(
            f"insert into lake_copies.failed_ranges select {series}, {to_us(START)}, "
            f"{to_us(START + DAY)}, 'job', 'the venue is down', 0"
        )
        [found] = lake.found("trade_coverage")

    assert found["severity"] == "warning"
    assert "fetching failed: the venue is down" in found["detail"]


def test_an_import_that_promises_nothing_is_information(tmp_path: Path) -> None:
    """Nobody was asked; and what retention took is nobody's business."""
    rows = [
        {"ts": START + number * timedelta(hours=1), "trade_id": number, "price": 1.0, "quantity": 1}
        for number in range(24)
    ]
    span = TimeRange(START, START + timedelta(hours=24))
    with Storage.open(tmp_path / "lake", create=True) as storage:
        store(
            storage,
            series_of(TRADES, SPOT),
            table_of(TRADES, rows),
            variant="single/venue",
            claims=[Claim(span, Basis.ROWS_ONLY, "")],
        )
    lake = Checked(tmp_path / "lake")

    [found] = lake.found("trade_coverage")
    lake.catalog(f"update lake_copies.series set retained_from = {to_us(span.end)}")
    after = lake.found("trade_coverage")
    lake.close()

    assert (found["start_ts"], found["end_ts"], found["severity"]) == (*span_of(span), "info")
    assert after == []


def span_of(span: TimeRange) -> tuple[datetime, datetime]:
    return span.start, span.end
