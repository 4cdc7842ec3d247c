"""Checks of funding: settlements missing, shifted or extreme, and intervals that change."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_kit import NOW, REAL_DATA, needs_real_data

from lake.domain.identifiers import DataType
from lake.domain.settlements import holes_us
from lake.domain.times import from_us, to_us
from lake.ingestion.imports import import_files
from lake.storage.lake import Storage
from tests.checks.market_kit import (
    HOUR,
    SEEDS,
    START,
    TICK,
    Checked,
    damaged,
    names,
    opened,
    series_of,
    settlements,
    store,
    with_values,
    without,
)

FUNDING = DataType.FUNDING_RATES
EIGHT, HOURLY = "BTCUSDT-PERP.BYBIT", "BTCUSDT-PERP.HYPERLIQUID"
COUNT = 600
CHECKS = ("funding_gaps", "funding_interval", "funding_extreme", "funding_off_hour")


def stored(root: Path, **series: Sequence[int]) -> Path:
    """A lake of one series a word, with settlements at these hours."""
    with Storage.open(root, create=True) as storage:
        for name, hours in series.items():
            code = f"{name.upper()}USDT-PERP.BYBIT"
            store(storage, series_of(FUNDING, code), settlements(hours))
    return root


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    """Settlements every eight hours, and every hour."""
    root = tmp_path_factory.mktemp("funding") / "lake"
    with Storage.open(root, create=True) as storage:
        for name, hours in ((EIGHT, 8), (HOURLY, 1)):
            rows = settlements(range(0, COUNT * hours, hours))
            store(storage, series_of(FUNDING, name), rows)
    yield from opened(root)


@pytest.mark.parametrize("check", CHECKS)
def test_steady_funding_is_clean(lake: Checked, check: str) -> None:
    assert lake.found(check) == []


# funding_gaps


@pytest.mark.parametrize("seed", SEEDS)
def test_settlements_that_are_gone_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((EIGHT, HOURLY))
    path = lake.paths(FUNDING, name)[0]
    first, count = rng.randrange(1, 200), rng.choice((1, 2, 50))

    with damaged(lake):
        lost: list[Any] = []

        def cut(rows: pa.Table) -> pa.Table:
            lost.extend(rows["ts"][first : first + count + 1].to_pylist())
            return without(rows, first, count)

        lake.rewrite(path, cut)
        [found] = lake.found("funding_gaps")

    assert (names([found]), found["rows"]) == ([name], count)
    assert (found["start_ts"], found["end_ts"]) == (lost[0], lost[-1])


def test_intervals_that_change_are_no_gap_but_told(tmp_path: Path) -> None:
    """8h, then 4h, then 1h, and back: venues do so when a market runs hot."""
    hours = [*range(0, 160, 8), *range(160, 240, 4), *range(240, 300), *range(300, 504, 8)]
    lake = Checked(stored(tmp_path / "lake", hot=hours))

    gaps, changes = lake.found("funding_gaps"), lake.found("funding_interval")
    shifts = lake.found("funding_off_hour")
    lake.close()

    assert gaps == []
    told = [(each["start_ts"] - START) // HOUR for each in changes]
    assert told == [164, 241, 308]
    assert [each["detail"].split(",")[0] for each in changes] == [
        "the interval changed from 8.0 h to 4.0 h",
        "the interval changed from 4.0 h to 1.0 h",
        "the interval changed from 1.0 h to 8.0 h",
    ]
    # 300 = 12 * 24 + 12: from then on at 12:00, 20:00, 04:00.
    assert [(each["start_ts"] - START) // HOUR for each in shifts] == [308]


def test_holes_are_those_that_the_lake_counts(tmp_path: Path) -> None:
    """The same rule in SQL and in lake/domain/settlements.py, whatever the spacings."""
    odd: dict[str, list[int]] = {}
    for seed in range(40):
        rng = random.Random(seed)
        steps = rng.choices((1, 1, 4, 4, 8, 8, 8, 8, 16, 24, 100), k=rng.randrange(1, 60))
        odd[f"odd{seed:02d}"] = [0, *accumulate(steps)]
    lake = Checked(stored(tmp_path / "lake", **odd))

    found = lake.found("funding_gaps")
    lake.close()

    expected = [
        (f"{name.upper()}USDT-PERP", from_us(hole.start_us), from_us(hole.end_us), hole.missing)
        for name, hours in odd.items()
        for hole in holes_us([to_us(START + each * HOUR) for each in hours])
    ]
    assert len(expected) > 100
    assert [
        (each["instrument"], each["start_ts"], each["end_ts"], each["rows"]) for each in found
    ] == expected


# funding_interval


@pytest.mark.parametrize("seed", SEEDS)
def test_a_change_of_the_interval_is_told(lake: Checked, seed: int) -> None:
    """Of the settlements from some place on every second one is left."""
    rng = random.Random(seed)
    at = rng.randrange(2, COUNT - 20)
    name = rng.choice((EIGHT, HOURLY))

    with damaged(lake):

        def thin(rows: pa.Table) -> pa.Table:
            kept = [*range(at), *range(at, rows.num_rows, 2)]
            return rows.take(pa.array(kept))

        path = lake.paths(FUNDING, name)[0]
        lake.rewrite(path, thin)
        [found] = lake.found("funding_interval")

    hours = 8 if name == EIGHT else 1
    assert names([found]) == [name]
    assert found["start_ts"] == START + (at + 2) * hours * HOUR
    assert f"from {hours}.0 h to {2 * hours}.0 h" in found["detail"]


# funding_extreme


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_that_are_extreme_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice((EIGHT, HOURLY))
    # A rate of one hour is eight times as extreme.
    extreme = rng.choice((0.011, -0.05, 0.004)) / (1 if name == EIGHT else 8)
    value = rng.choice((extreme, extreme, float("nan"), float("-inf")))
    at, count = rng.randrange(COUNT - 5), rng.choice((1, 3))

    with damaged(lake):
        path = lake.paths(FUNDING, name)[0]
        changed = dict.fromkeys(range(at, at + count), value)
        lake.rewrite(path, lambda rows: with_values(rows, "funding_rate", changed))
        [found] = lake.found("funding_extreme")

    step = (8 if name == EIGHT else 1) * HOUR
    assert (names([found]), found["rows"]) == ([name], count)
    assert found["start_ts"] == START + at * step
    assert found["end_ts"] == START + (at + count - 1) * step + TICK
    assert found["severity"] == ("warning" if value == extreme else "error")


def test_a_parameter_says_what_is_extreme(lake: Checked) -> None:
    found = lake.found("funding_extreme", most_per_8h="0.0003")

    assert {*names(found)} == {EIGHT, HOURLY}


# funding_off_hour


@pytest.mark.parametrize("seed", SEEDS)
def test_times_of_another_zone_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    at, count = rng.randrange(1, COUNT - 60), rng.randrange(6, 50)
    hours = rng.choice((1, 2, 3, -2, -3))

    with damaged(lake):

        def shift(rows: pa.Table) -> pa.Table:
            times = rows["ts"].to_pylist()
            moved = {each: times[each] + hours * HOUR for each in range(at, at + count)}
            return with_values(rows, "ts", moved)

        lake.rewrite(lake.paths(FUNDING, EIGHT)[0], shift)
        [found] = lake.found("funding_off_hour")

    assert names([found]) == [EIGHT]
    # At the end of the stretch that is nearer to what follows a spacing says nothing.
    assert count - 1 <= found["rows"] <= count
    assert abs(found["start_ts"] - (START + (8 * at + hours) * HOUR)) <= 8 * HOUR
    assert f"--timezone {'+' if hours > 0 else '-'}0{abs(hours)}:00" in found["detail"]


@pytest.mark.parametrize("seed", range(5))
def test_times_off_the_hour_are_found(lake: Checked, seed: int) -> None:
    rng = random.Random(seed)
    at, name = rng.randrange(COUNT), rng.choice((EIGHT, HOURLY))
    off = timedelta(minutes=rng.randrange(6, 54))

    with damaged(lake):

        def shift(rows: pa.Table) -> pa.Table:
            return with_values(rows, "ts", {at: rows["ts"][at].as_py() + off})

        lake.rewrite(lake.paths(FUNDING, name)[0], shift)
        [found] = lake.found("funding_off_hour")

    assert (names([found]), found["rows"]) == ([name], 1)
    assert "not at a full hour" in found["detail"]


def test_a_venue_may_begin_its_day_at_another_hour(tmp_path: Path) -> None:
    """BitMEX settles at 04:00, 12:00 and 20:00 UTC."""
    with Storage.open(tmp_path / "lake", create=True) as storage:
        series = series_of(FUNDING, "BTCUSD-PERP-BTC.BITMEX")
        store(storage, series, settlements(range(4, 400, 8)))
    lake = Checked(tmp_path / "lake")

    as_it_is, otherwise = (
        lake.found("funding_off_hour"),
        lake.found("funding_off_hour", first_hours="KRAKEN 4"),
    )
    lake.close()

    assert as_it_is == []
    assert [each["rows"] for each in otherwise] == [50]


# Recorded


@needs_real_data
def test_recorded_funding_is_as_its_readme_says(tmp_path: Path) -> None:
    """Gate lacks December 2020; two histories are in local time if nobody says so."""
    with Storage.open(tmp_path / "lake", create=True) as storage:
        folder = REAL_DATA / "funding_history_csv"
        list(import_files(storage, [folder], now=NOW, timezone="UTC").files)
    lake = Checked(tmp_path / "lake")

    found = {check: lake.found(check) for check in CHECKS}
    lake.close()

    [gap] = found["funding_gaps"]
    assert (gap["venue"], gap["rows"]) == ("GATE", 93)
    assert (f"{gap['start_ts']:%Y-%m-%d}", f"{gap['end_ts']:%Y-%m-%d}") == (
        "2020-12-01",
        "2021-01-01",
    )
    shifted = {each["venue"]: each for each in found["funding_off_hour"]}
    assert {venue: each["rows"] for venue, each in shifted.items()} == {
        "BINANCEUSDM": 4_383,
        "BYBIT": 3_285,
    }
    assert all("--timezone +03:00" in each["detail"] for each in shifted.values())
    assert found["funding_interval"] == found["funding_extreme"] == []
