"""Checks of what candles say: prices, volumes, runs that stand still."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.times import to_us
from lake.storage.lake import Storage
from tests.checks import kit
from tests.checks.kit import MINUTE, SEEDS, candle_series, minute

Place = tuple[str, datetime, datetime]
TRADING = [seed for seed in SEEDS if seed % 4 < 2]
"""Markets that trade in every minute."""


@pytest.fixture
def lake(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clean markets, to be damaged."""
    return kit.copy_of(kit.clean_lake(tmp_path_factory), tmp_path / "data")


class Candles:
    """The candles of one market's file, one of which is to be damaged."""

    def __init__(self, root: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.series = candle_series(seed)
        self.path = self.rng.choice(kit.files_of(root, self.series))
        self.columns = kit.columns_of(kit.pq.read_table(self.path, partitioning=None))
        self.name = self.series.instrument_id.symbol

    def pick(self, count: int = 1) -> int:
        """The place of a candle that trades, not near an end, from which *count* go on unbroken."""
        ts, volume = self.columns["ts"], self.columns["volume"]
        while True:
            place = self.rng.randrange(100, len(ts) - 100 - count)
            is_whole = ts[place + count - 1] - ts[place] == (count - 1) * 60_000_000
            if is_whole and volume[place] > 0:
                return place

    def opened(self, place: int) -> datetime:
        return datetime(1970, 1, 1) + timedelta(microseconds=int(self.columns["ts"][place]))

    def span(self, place: int, count: int = 1) -> Place:
        return self.name, self.opened(place), self.opened(place) + count * MINUTE

    def write(self) -> None:
        kit.damage(self.path, lambda rows: kit.table_of(self.columns))


def test_impossible_prices_are_found(lake: Path) -> None:
    """Twenty damages: not a number, nothing, negative, or the wrong way round."""
    expected = set()
    for seed in SEEDS:
        candles = Candles(lake, seed)
        place = candles.pick()
        name, value = candles.rng.choice(
            [
                ("open", math.nan),
                ("high", math.inf),
                ("low", 0.0),
                ("close", -1.0),
                ("volume", -0.5),
                ("high", candles.columns["low"][place] * 0.9),
                ("close", candles.columns["high"][place] * 1.1),
            ]
        )
        candles.columns[name][place] = value
        candles.write()
        expected.add(candles.span(place))

    assert kit.places(kit.violations(lake, "price_bounds")) == expected


def test_contradictions_of_volume_are_found(lake: Path) -> None:
    """Twenty damages: a price that moves without a volume, trades without one, and so on."""
    expected = set()
    for seed in SEEDS:
        candles = Candles(lake, seed)
        place = candles.pick()
        columns = candles.columns
        match candles.rng.randrange(3):
            case 0:
                columns["volume"][place] = 0.0
                columns["trade_count"][place] = 0
                columns["high"][place] = columns["low"][place] * 1.01
            case 1:
                columns["volume"][place] = 0.0
            case 2:
                columns["trade_count"][place] = 0
        candles.write()
        expected.add(candles.span(place))

    assert kit.places(kit.violations(lake, "zero_volume_moves")) == expected


def test_a_market_that_stands_still_is_found(lake: Path) -> None:
    """Twenty damages: 60 to 90 minutes of quiet; in the market that is quiet anyway it is usual."""
    expected = set()
    for seed in SEEDS:
        candles = Candles(lake, seed)
        columns = candles.columns
        # Where quiet minutes are absent there is no row to be quiet.
        whole = candles.rng.randrange(60, 90) if seed % 8 != 3 else 30
        place = candles.pick() if seed % 8 == 3 else candles.pick(whole)
        if seed % 8 == 3:
            start = columns["ts"][place]
            fill = np.arange(start, start + whole * 60_000_000, 60_000_000)
            keep = (columns["ts"] < start) | (columns["ts"] > fill[-1])
            order = np.argsort(np.r_[columns["ts"][keep], fill], kind="stable")
            for name, values in columns.items():
                filled = fill if name == "ts" else np.full(whole, values[place])
                columns[name] = np.r_[values[keep], filled][order]
            place = int(np.flatnonzero(columns["ts"] == start)[0])
        stand_still(columns, place, whole)
        candles.write()
        while columns["volume"][place - 1] == 0 and is_next(columns, place - 1):
            place, whole = place - 1, whole + 1
        while columns["volume"][place + whole] == 0 and is_next(columns, place + whole - 1):
            whole += 1
        expected.add(candles.span(place, whole))

    assert kit.places(kit.violations(lake, "zero_volume_runs")) == expected


def is_next(columns: dict[str, np.ndarray], place: int) -> bool:
    return bool(columns["ts"][place + 1] - columns["ts"][place] == 60_000_000)


def stand_still(columns: dict[str, np.ndarray], place: int, count: int) -> None:
    stop = slice(place, place + count)
    for name in ("volume", "quote_volume", "trade_count"):
        columns[name][stop] = 0
    for name in ("taker_buy_volume", "taker_buy_quote_volume"):
        columns[name][stop] = 0
    for name in ("open", "high", "low", "close"):
        columns[name][stop] = columns["close"][place - 1]


def test_a_stuck_feed_is_found(lake: Path) -> None:
    """Twenty damages: five to forty candles say what the one before them said."""
    expected = set()
    for seed in SEEDS:
        candles = Candles(lake, seed)
        # Where minutes are absent, longer stretches without a hole are rare.
        count = candles.rng.randrange(5, 40) if seed % 8 != 3 else 5
        place = candles.pick(count)
        for name, values in candles.columns.items():
            if name != "ts":
                values[place : place + count] = values[place]
        candles.write()
        expected.add(candles.span(place, count))

    found = kit.violations(lake, "flat_runs")

    assert kit.places(found) == expected
    assert kit.violations(lake, "flat_runs", candles=41) == []


def test_a_flat_run_across_two_files_is_one(lake: Path) -> None:
    """Midnight between two months does not hide it, nor cut it in two."""
    january, february = kit.files_of(lake, candle_series(4))
    last = kit.columns_of(kit.pq.read_table(january, partitioning=None))

    def ends_stuck(rows: pa.Table) -> pa.Table:
        columns = kit.columns_of(rows)
        for name, values in columns.items():
            if name != "ts":
                values[-3:] = last[name][-4]
        return kit.table_of(columns)

    def begins_stuck(rows: pa.Table) -> pa.Table:
        columns = kit.columns_of(rows)
        for name, values in columns.items():
            if name != "ts":
                values[:3] = last[name][-4]
        return kit.table_of(columns)

    kit.damage(january, ends_stuck)
    kit.damage(february, begins_stuck)

    [found] = kit.violations(lake, "flat_runs")

    midnight = datetime(2024, 2, 1)
    assert (found["start_ts"], found["end_ts"]) == (midnight - 4 * MINUTE, midnight + 3 * MINUTE)
    assert found["rows"] == 7


def test_amounts_that_cannot_be_are_found(lake: Path) -> None:
    """Twenty damages: a quote volume in another unit, more bought than traded."""
    expected = set()
    for seed in SEEDS:
        candles = Candles(lake, seed)
        place = candles.pick()
        columns = candles.columns
        name, value = candles.rng.choice(
            [
                ("quote_volume", columns["quote_volume"][place] * candles.rng.choice((0.5, 2, 60))),
                ("taker_buy_volume", columns["volume"][place] * 1.01),
                ("taker_buy_quote_volume", columns["quote_volume"][place] * 1.5),
                ("volume", columns["volume"][place] * candles.rng.choice((0.1, 10))),
            ]
        )
        columns[name][place] = value
        candles.write()
        expected.add(candles.span(place))

    assert kit.places(kit.violations(lake, "vwap_bounds")) == expected


def test_venues_that_say_less_are_not_blamed(tmp_path: Path) -> None:
    """No quote volume, no count of trades, no takers: null is no contradiction."""
    columns = kit.columns_of(kit.market(0, minutes=300))
    known = ("ts", "open", "high", "low", "close", "volume")
    rows = kit.table_of({name: columns[name] for name in known})
    with Storage.open(tmp_path / "data", create=True) as storage:
        kit.store(storage, candle_series(0), rows)

    found = kit.all_violations(
        tmp_path / "data",
        ("price_bounds", "zero_volume_moves", "zero_volume_runs", "flat_runs", "vwap_bounds"),
    )

    assert found == []
    assert to_us(minute(0)) == columns["ts"][0]
