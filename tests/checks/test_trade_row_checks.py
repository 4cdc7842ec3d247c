"""Checks of trades: what is told twice, cannot be, or was promised by nobody."""

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
)

TRADES = DataType.TRADES


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    yield from opened(generated(tmp_path_factory.mktemp("trades") / "lake", seed=11))


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
