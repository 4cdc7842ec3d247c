"""Checks of the catalog: files that drifted from it, refused rows, jobs that stopped, mixtures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType
from lake.domain.times import to_us
from lake.simulator.tables import TradeForm
from lake.storage.lake import Storage
from tests.checks.market_kit import (
    DAY,
    HOUR,
    OURS,
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

NOW = datetime(2024, 6, 1)
KINDS = (DataType.TRADES, DataType.ORDERBOOK, DataType.FUNDING_RATES)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    yield from opened(generated(tmp_path_factory.mktemp("catalog") / "lake", seed=31))


@pytest.mark.parametrize("seed", range(5))
def test_clean_lakes_have_no_violation(tmp_path: Path, seed: int) -> None:
    """Whatever twenty markets do, none of our checks may cry wolf."""
    rng = random.Random(seed)
    lake = Checked(
        generated(
            tmp_path / "lake",
            seed=seed,
            days=rng.choice((1, 2)),
            instruments=("BTC/USDT", "SOL/USDT:USDT", "ETH/USD:ETH", "XRP/USDT"),
            rate=rng.choice((0.001, 0.02)),
            trade_form=rng.choice(tuple(TradeForm)),
            books=rng.choice((timedelta(minutes=15), timedelta(minutes=2))),
            book_levels=rng.choice((1, 20)),
            funding=rng.choice((1, 4, 8)),
        )
    )

    found = {check: lake.found(check, now=NOW) for check in OURS}
    lake.close()

    assert {check: each for check, each in found.items() if each} == {}


def test_an_empty_lake_has_no_violation(tmp_path: Path) -> None:
    with Storage.open(tmp_path / "lake", create=True):
        pass
    lake = Checked(tmp_path / "lake")

    found = [each for check in OURS for each in lake.found(check)]
    lake.close()

    assert found == []


# catalog_drift


@pytest.mark.parametrize("seed", SEEDS)
def test_files_gone_new_or_of_another_size_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    kind = rng.choice(KINDS)
    name = PERPETUAL if kind is DataType.FUNDING_RATES else rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(kind, name))
    what = ("gone", "new", "size")[seed % 3]

    with damaged(lake):
        if what == "gone":
            lake.remove(path)
        elif what == "new":
            lake.write(path.replace("year=2024", "year=2019"), b"PAR1")
        else:
            lake.write(path, (lake.root / "parquet" / path).read_bytes() + b" ")
        [found] = lake.found("catalog_drift")

    words = {"gone": "not on the disk", "new": "not in the catalog:", "size": "the catalog says"}
    assert (found["data_type"], names([found]), found["severity"]) == (kind.value, [name], "error")
    assert words[what] in found["detail"]


@pytest.mark.parametrize(
    "table",
    [
        "removals values ('parquet/{path}', '', 0, 0, '', 0)",
        "intents values ('c', 'j', 0, 'parquet/{path}', '', 1, 0)",
    ],
)
def test_a_file_on_its_way_is_information(lake: Checked, table: str) -> None:
    """It waits to be unlinked, or is ahead of the catalog for a moment."""
    path = lake.paths(DataType.TRADES, SPOT)[0].replace("day=01", "day=21")

    with damaged(lake):
        lake.write(path, b"PAR1")
        lake.catalog(f"insert into lake_copies.{table.format(path=path)}")
        [found] = lake.found("catalog_drift")

    assert found["severity"] == "info"


def test_a_file_of_nobody_is_found_unless_a_part_was_asked_for(lake: Checked) -> None:
    with damaged(lake):
        lake.write("trades/venue=NOBODY/instrument=A%2FB/year=2024/month=01/day=01/x.parquet", b"x")
        [found] = lake.found("catalog_drift")
        narrow = lake.found("catalog_drift", series=[1])

    assert names([found]) == ["A/B.NOBODY"]
    assert narrow == []


# catalog_drift_rows


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_the_catalog_does_not_know_of_are_found(lake: Checked, seed: int) -> None:
    """Rows were cut off or out, or an end moved, and the catalog says what it said."""
    rng = random.Random(seed)
    kind = rng.choice(KINDS)
    name = PERPETUAL if kind is DataType.FUNDING_RATES else rng.choice((SPOT, PERPETUAL))
    path = rng.choice(lake.paths(kind, name))
    what = ("fewer", "more", "first", "last")[seed % 4]
    count = rng.randrange(1, 9)

    def change(rows: pa.Table) -> pa.Table:
        if what == "fewer":
            return without(rows, rng.randrange(rows.num_rows - count), count)
        if what == "more":
            return pa.concat_tables([rows, rows.slice(rows.num_rows - count)])
        at = 0 if what == "first" else rows.num_rows - 1
        moved = rows["ts"][at].as_py() + (-TICK if what == "first" else TICK)
        return with_values(rows, "ts", {at: moved})

    with damaged(lake):
        lake.rewrite(path, change, told=False)
        [found] = lake.found("catalog_drift_rows")

    assert (found["data_type"], names([found])) == (kind.value, [name])
    assert path in found["detail"]
    assert found["rows"] == (count if what in ("fewer", "more") else 0)


def test_files_are_compared_whole_or_not_at_all(lake: Checked) -> None:
    """Half of a file's rows are not fewer than the catalog says."""
    window = {"since": START + 5 * HOUR, "until": START + 2 * DAY + HOUR}

    assert lake.found("catalog_drift_rows", **window) == []


# quarantine


@pytest.mark.parametrize("seed", SEEDS)
def test_refused_rows_are_counted_by_reason(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    series = rng.randrange(1, 6)
    reasons = rng.sample(["price is zero", "side is odd", "from the future"], rng.choice((1, 2)))
    count = rng.randrange(1, 20)

    with damaged(lake):
        for reason in reasons:
            for number in range(count):
                lake.catalog(
                    f"insert into lake_copies.quarantine values ({series}, "
                    f"{to_us(START + number * HOUR)}, '{reason}', '[{number}]', 'job', {number})"
                )
        found = lake.found("quarantine")
        before = lake.found("quarantine", until=START)

    assert sorted(each["detail"].split(": ")[1].split(";")[0] for each in found) == sorted(reasons)
    assert {each["rows"] for each in found} == {count}
    assert {(each["start_ts"], each["end_ts"]) for each in found} == {
        (START, START + (count - 1) * HOUR + TICK)
    }
    assert before == []


def test_a_refused_row_without_a_time_is_told(lake: Checked) -> None:
    with damaged(lake):
        lake.catalog("insert into lake_copies.quarantine values (1, null, 'no time', '', 'job', 0)")
        [found] = lake.found("quarantine")

    assert (found["start_ts"], found["rows"]) == (None, 1)


# stuck_jobs


@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_that_nobody_works_on_and_ranges_that_failed_are_found(
    lake: Checked, seed: int
) -> None:
    rng = random.Random(seed)
    start = START + rng.randrange(100) * HOUR + 30 * DAY
    end = start + DAY

    with damaged(lake):
        [(series, name)] = lake.warehouse.query(
            "select series_id, instrument || '.' || venue from lake.series "
            f"where series_id = {rng.randrange(1, 6)}"
        ).rows()
        if seed % 2:
            lake.catalog(
                f"update lake_copies.ingestion_jobs set status = 'running', "
                f"start_time = {to_us(start)}, end_time = {to_us(end)}, "
                f"lease_until = {to_us(NOW - HOUR)} where series_id = {series}"
            )
            working = lake.found("stuck_jobs", now=NOW - 2 * HOUR)
        else:
            lake.catalog(
                f"insert into lake_copies.failed_ranges values ({series}, {to_us(start)}, "
                f"{to_us(end)}, 'job', 'the venue is down', 0)"
            )
            working = []
        [found] = lake.found("stuck_jobs", now=NOW)

    assert working == []
    assert names([found]) == [name]
    assert (found["start_ts"], found["end_ts"]) == (start, end)
    assert ("runs no more" if seed % 2 else "the venue is down") in found["detail"]


def test_a_failed_range_that_was_answered_since_is_none(lake: Checked) -> None:
    """The storage trims such ranges; a catalog that was rebuilt may not have."""
    with damaged(lake):
        lake.catalog(
            f"insert into lake_copies.failed_ranges values (1, {to_us(START + HOUR)}, "
            f"{to_us(START + DAY)}, 'job', 'the venue is down', 0)"
        )

        assert lake.found("stuck_jobs", now=NOW) == []


# uncovered_rows


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_outside_of_coverage_are_found(lake: Checked, seed: int) -> None:
    """Coverage of a first part, of a last part, or of a whole file was lost."""
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    hours = rng.randrange(1, 24)
    what = ("start", "all", "middle")[seed % 3]

    with damaged(lake):
        [(series,)] = lake.warehouse.query(
            "select series_id from lake.series where data_type = 'orderbook' "
            f"and instrument || '.' || venue = '{name}'"
        ).rows()
        kept = {
            "start": [(START + hours * HOUR, START + 3 * DAY)],
            "all": [],
            "middle": [(START, START + DAY - hours * HOUR), (START + DAY, START + 3 * DAY)],
        }[what]
        lake.catalog(f"delete from lake_copies.coverage where series_id = {series}")
        for first, last in kept:
            lake.catalog(
                f"insert into lake_copies.coverage values ({series}, {to_us(first)}, "
                f"{to_us(last)}, 'answer', 'test', 1, 'job', 0, '')"
            )
        found = lake.found("uncovered_rows")

    assert {*names(found)} == {name}
    assert {each["data_type"] for each in found} == {"orderbook"}
    assert len(found) == (3 if what == "all" else 1)
    if what == "start":
        assert found[0]["end_ts"] == START + hours * HOUR
    if what == "middle":
        assert found[0]["start_ts"] == START + DAY - hours * HOUR


def test_rows_that_had_not_settled_need_no_coverage(lake: Checked) -> None:
    """What is younger than the settle lag is stored and asked for again later."""
    with damaged(lake):
        lake.catalog(
            f"update lake_copies.coverage set end_ts = {to_us(START + 3 * DAY - 20 * HOUR)} "
            f"where end_ts = {to_us(START + 3 * DAY)}"
        )

        assert lake.found("uncovered_rows") == []
        assert len(lake.found("uncovered_rows", settle_hours="1")) >= 4


# mixed_variant


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_their_series_does_not_hold_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((SPOT, PERPETUAL))
    kind = ("single", "lacking", "derived", "numbered", "deep")[seed % 5]
    data_type = DataType.ORDERBOOK if kind == "deep" else DataType.TRADES
    path = rng.choice(lake.paths(data_type, name))
    at, count = rng.randrange(50), rng.randrange(1, 9)
    places = range(at, at + count)

    def change(rows: pa.Table) -> pa.Table:
        if kind == "lacking":
            for column in ("first_trade_id", "last_trade_id"):
                rows = with_values(rows, column, dict.fromkeys(places))
        if kind == "derived":
            refs = {each: f"{each:016x}-1" for each in places}
            rows = with_values(rows, "trade_ref", refs)
            rows = with_values(rows, "trade_id", dict.fromkeys(places))
        if kind == "deep":
            prices = {each: [*rows["bid_prices"][each].as_py(), 0.5] for each in places}
            rows = with_values(rows, "bid_prices", prices)
        return rows

    with damaged(lake):
        lake.rewrite(path, change)
        variant = {"single": "single/venue", "numbered": "aggregate/derived"}.get(kind)
        if variant is not None:
            code = name.partition(".")[0]
            lake.catalog(
                f"update lake_copies.series set variant = '{variant}' "
                f"where instrument = '{code}' and data_type = 'trades'"
            )
        found = lake.found("mixed_variant")

    assert {*names(found)} == {name}
    assert {each["severity"] for each in found} == {"warning" if kind == "lacking" else "error"}
    if variant is None:
        assert [each["rows"] for each in found] == [count]
    else:
        assert len(found) == 3
