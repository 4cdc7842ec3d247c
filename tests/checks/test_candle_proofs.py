"""Checks that compare candles: with longer ones, trades, other venues, neighbours, the clock."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange
from lake.domain.schemas import TRADES
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import Storage
from tests.checks import kit
from tests.checks.kit import MINUTE, SEEDS, candle_series, minute

HOUR, QUARTER = TimeFrame.HOUR_1, TimeFrame.MINUTE_15
EPOCH = datetime(1970, 1, 1)


@pytest.fixture
def lake(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clean markets, to be damaged."""
    return kit.copy_of(kit.clean_lake(tmp_path_factory), tmp_path / "data")


def minutes_of(root: Path, seed: int) -> dict[str, np.ndarray]:
    """The candles of a minute of the second file of a market: of February."""
    return kit.columns_of(kit.pq.read_table(february(root, seed), partitioning=None))


def february(root: Path, seed: int, timeframe: TimeFrame = TimeFrame.MINUTE_1) -> Path:
    return kit.files_of(root, candle_series(seed, timeframe))[1]


def at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(us))


def name(seed: int) -> str:
    return f"C{seed:02d}USDT"


# Longer candles


def test_longer_candles_that_are_no_sum_are_found(lake: Path) -> None:
    """Twenty damages of the hours' prices and amounts, in hours whose minutes are all held."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        path = february(lake, seed, HOUR)
        columns = kit.columns_of(kit.pq.read_table(path, partitioning=None))
        place = rng.randrange(len(columns["ts"]))
        # Where minutes are absent, more than the sum may be right; less never is.
        column, factor = rng.choice(
            [("open", 1.01), ("close", 1.01), ("low", 0.99), ("volume", 1.001), ("high", 1.01)]
        )
        if seed % 8 == 3:
            column, factor = rng.choice([("high", 0.9), ("low", 1.1), ("volume", 0.9)])
        columns[column][place] *= factor
        if column == "volume":
            columns["trade_count"][place] -= 1
        kit.damage(path, lambda rows, columns=columns: kit.table_of(columns))
        opened = at(columns["ts"][place])
        expected.add((name(seed), opened, opened + timedelta(hours=1)))

    found = kit.violations(lake, "rollup")

    assert kit.places(found) == expected
    assert {(each["timeframe"], each["severity"]) for each in found} == {("1h", "error")}


def test_minutes_that_the_source_lost_are_found(lake: Path) -> None:
    """Twenty damages: a longer volume says that there were trades in the minutes that went."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        columns = minutes_of(lake, seed)
        lost = rng.randrange(1, 10)
        while True:
            place = rng.randrange(len(columns["ts"]) - lost)
            ts, volume = (
                columns["ts"][place : place + lost],
                columns["volume"][place : place + lost],
            )
            is_whole = ts[-1] - ts[0] == (lost - 1) * 60_000_000
            is_inside = ts[0] // 900_000_000 == ts[-1] // 900_000_000
            if is_whole and is_inside and volume[0] > 0 and volume[-1] > 0:
                break
        window = TimeRange(at(ts[0]), at(ts[-1]) + MINUTE)
        kit.damage(february(lake, seed), kit.without(window))
        expected.add((name(seed), window.start, window.end))

    found = kit.violations(lake, "rollup")

    assert {each["severity"] for each in found} == {"warning"}
    assert {each["timeframe"] for each in found} == {"1m"}
    by_name = {each["instrument"]: each for each in found}
    assert len(found) == len(SEEDS)
    for instrument, start, end in expected:
        each = by_name[instrument]
        if instrument not in (name(3), name(11), name(19)):
            assert (each["start_ts"], each["end_ts"]) == (start, end)
        # Minutes without a trade are absent there, too: the hour does not tell them apart.
        assert each["start_ts"] <= start < end <= each["end_ts"]


def test_lost_minutes_show_once_for_all_longer_candles(lake: Path) -> None:
    """A quarter, an hour and a day all lack them; the quarter is the nearest witness."""
    lost = TimeRange(minute(1000), minute(1040))
    kit.damage_at(lake, candle_series(0), lost.start, kit.without(lost))

    found = kit.violations(lake, "rollup")

    told = [(each["start_ts"], each["end_ts"], each["rows"]) for each in found]
    assert told == [(lost.start, lost.end, 40)]
    assert "the candles of 15m hold a volume of" in found[0]["detail"]


def test_a_part_that_is_looked_at_is_no_loss(lake: Path) -> None:
    """Rows outside of the range that was chosen are not missing."""
    since, until = minute(1000) + 7 * MINUTE, minute(2000) + 11 * MINUTE

    assert kit.violations(lake, "rollup", since=since, until=until) == []


# Trades


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty markets of three hours, each with the trades that its candles are made of."""
    root = tmp_path_factory.mktemp("traded") / "data"
    with Storage.open(root, create=True) as storage:
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            us = np.sort(rng.integers(0, 180 * 60_000_000, 1200)) + to_us(kit.START)
            price = np.round(100 * np.exp(np.cumsum(rng.standard_normal(1200) * 0.001)), 2)
            quantity = np.round(rng.lognormal(0, 1, 1200), 4) + 0.0001
            firsts = np.flatnonzero(np.r_[True, np.diff(us // 60_000_000) > 0])
            columns = {
                "ts": us[firsts] // 60_000_000 * 60_000_000,
                "open": price[firsts],
                "high": np.maximum.reduceat(price, firsts),
                "low": np.minimum.reduceat(price, firsts),
                "close": price[np.r_[firsts[1:], len(us)] - 1],
                "volume": np.add.reduceat(quantity, firsts),
            }
            kit.store(storage, candle_series(seed), kit.table_of(columns))
            known = {"ts": us, "trade_id": np.arange(1200), "price": price, "quantity": quantity}
            arrays = [
                pa.array(known[field.name], pa.int64()).cast(field.type)
                if field.name == "ts"
                else pa.array(known[field.name], field.type)
                if field.name in known
                else pa.nulls(1200, field.type)
                for field in TRADES.schema
            ]
            series = Series(DataType.TRADES, candle_series(seed).instrument_id, None)
            window = TimeRange(kit.START, kit.START + timedelta(hours=3))
            rows = pa.Table.from_arrays(arrays, schema=TRADES.schema)
            kit.store(storage, series, rows, window=window)
    return root


def test_candles_that_trades_do_not_make_are_found(traded: Path, tmp_path: Path) -> None:
    """Twenty damages of candles' prices, volumes, and candles that went."""
    root = kit.copy_of(traded, tmp_path / "data")
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        [path] = kit.files_of(root, candle_series(seed))
        columns = kit.columns_of(kit.pq.read_table(path, partitioning=None))
        place = rng.randrange(5, len(columns["ts"]) - 5)
        opened = at(columns["ts"][place])
        column = rng.choice(("open", "high", "low", "close", "volume", None))
        if column is None:
            kit.damage(path, kit.without(TimeRange(opened, opened + MINUTE)))
        else:
            columns[column][place] *= 1.001
            kit.damage(path, lambda rows, columns=columns: kit.table_of(columns))
        expected.add((name(seed), opened, opened + MINUTE))

    assert kit.places(kit.violations(root, "trades_against_candles")) == expected
    assert kit.violations(traded, "trades_against_candles") == []
    part = {"since": minute(10) + MINUTE / 2, "until": minute(90) + MINUTE / 2}
    assert kit.violations(traded, "trades_against_candles", **part) == []


# Venues


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty instruments, each at two or three venues that agree to a thousandth."""
    root = tmp_path_factory.mktemp("venues") / "data"
    with Storage.open(root, create=True) as storage:
        for seed in SEEDS:
            columns = kit.columns_of(kit.market(4 * seed, minutes=240))
            names = ("BINANCE", "BYBIT", "OKX")[: 2 + seed % 2]
            for number, venue in enumerate(names):
                here = dict(columns)
                for each in ("open", "high", "low", "close"):
                    here[each] = here[each] * (1 + number / 1000)
                kit.store(storage, kit.series_of(f"{name(seed)}.{venue}"), kit.table_of(here))
    return root


def test_a_venue_that_is_elsewhere_is_found(venues: Path, tmp_path: Path) -> None:
    """Twenty damages: for ten to sixty candles one venue's price is 10 % off, or a thousandfold."""
    root = kit.copy_of(venues, tmp_path / "data")
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        series = kit.series_of(f"{name(seed)}.BYBIT")
        [path] = kit.files_of(root, series)
        columns = kit.columns_of(kit.pq.read_table(path, partitioning=None))
        place, count = rng.randrange(0, 180), rng.randrange(10, 60)
        factor = rng.choice((1.1, 0.9, 1000.0))
        for each in ("open", "high", "low", "close"):
            columns[each][place : place + count] *= factor
        kit.damage(path, lambda rows, columns=columns: kit.table_of(columns))
        opened = at(columns["ts"][place])
        # Of two venues nobody knows which is right; of three one stands alone.
        venue = "BYBIT" if seed % 2 else "BINANCE"
        expected.add((venue, name(seed), opened, opened + count * MINUTE))

    found = kit.violations(root, "divergence")

    assert {
        (each["venue"], each["instrument"], each["start_ts"], each["end_ts"]) for each in found
    } == expected
    assert kit.violations(venues, "divergence") == []


# Surroundings


def test_prices_that_jump_and_come_back_are_found(lake: Path) -> None:
    """Twenty damages: a close 40 % off and more, or a shifted point. The crashes are no spikes."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        columns = minutes_of(lake, seed)
        while True:
            place = rng.randrange(100, len(columns["ts"]) - 100)
            ts = columns["ts"]
            if ts[place + 1] - ts[place - 1] == 120_000_000:
                break
        factor = rng.choice((1.4, 1.6, 10.0, 0.1))
        for each in ("open", "high", "low", "close"):
            columns[each][place] *= factor
        kit.damage(february(lake, seed), lambda rows, columns=columns: kit.table_of(columns))
        expected.add((name(seed), at(columns["ts"][place]), at(columns["ts"][place]) + MINUTE))

    found = kit.violations(lake, "spikes")

    # Where the tick is a hundredth of the price, one step is the usual move: not enough to say.
    sure = {each for each in expected if int(each[0][1:3]) % 7 != 3}
    assert sure <= kit.places(found) <= expected
    assert {each["severity"] for each in found} == {"warning"}


def test_a_wick_alone_is_information(lake: Path) -> None:
    """It may have been traded: in 2017 one bitcoin went for six cents at Coinbase."""
    opened = minute(1500)
    kit.damage_at(lake, candle_series(0), opened, kit.setting(opened, low=0.000001))

    [found] = kit.violations(lake, "spikes")

    assert (found["start_ts"], found["severity"]) == (opened, "info")


# The clock


def test_rows_later_than_now_are_found(lake: Path) -> None:
    """Candles that have not closed, and those that have not even opened: one row a series."""
    found = kit.violations(lake, "future", now=datetime(2024, 2, 2, 11, 29, 30), slack_s=0)

    assert len([each for each in found if each["timeframe"] == "1m" and each["rows"] == 31]) >= 15
    hours = [each for each in found if each["timeframe"] == "1h"]
    assert {(each["start_ts"], each["rows"]) for each in hours} == {(datetime(2024, 2, 2, 11), 1)}
    assert len(hours) == len(SEEDS)
    assert kit.violations(lake, "future", now=kit.END) == []
    assert kit.violations(lake, "future", now=kit.END - timedelta(seconds=59)) == []


@pytest.mark.parametrize("check", ["future", "unit_of_time"])
def test_times_in_a_wrong_unit_are_found(lake: Path, check: str) -> None:
    """Twenty damages each: rows of 1970, or of the far future."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        columns = minutes_of(lake, seed)
        place = rng.randrange(len(columns["ts"]))
        wrong = int(columns["ts"][place])
        wrong = wrong * 7 if check == "future" else rng.choice((wrong // 1000, wrong * 7))
        opened = at(columns["ts"][place])
        kit.damage(february(lake, seed), kit.setting(opened, ts=wrong))
        expected.add((name(seed), at(wrong)))

    found = kit.violations(lake, check)

    assert {(each["instrument"], each["start_ts"]) for each in found} == expected


def test_the_likely_unit_is_named(lake: Path) -> None:
    opened = datetime(2024, 2, 1, 6)
    kit.damage_at(lake, candle_series(0), opened, kit.setting(opened, ts=to_us(opened) // 1000))

    [found] = kit.violations(lake, "unit_of_time")

    assert found["detail"] == (
        "1 row is of a time that cannot be; 1000 times later it could: 2024-02-01 06:00:00"
    )


def test_candles_that_nobody_promised_are_not_missed_in_longer_ones(tmp_path: Path) -> None:
    """A year of days and a single day of minutes: the other days' minutes were never wanted."""
    columns = kit.columns_of(kit.market(0))
    days = kit.longer(kit.market(0, start=datetime(2024, 2, 1)), TimeFrame.DAY_1)
    with Storage.open(tmp_path / "data", create=True) as storage:
        kit.store(
            storage, candle_series(0), kit.table_of(columns).slice(0, 60), basis=Basis.ROWS_ONLY
        )
        kit.store(storage, candle_series(0, TimeFrame.DAY_1), days)

    assert kit.violations(tmp_path / "data", "rollup") == []
