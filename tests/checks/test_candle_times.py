"""Checks of when candles open: gaps, runs of gaps, duplicates, the grid, the right file."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.ranges import TimeRange
from lake.domain.schemas import FUNDING_RATES
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import Storage
from tests.checks import kit
from tests.checks.kit import MINUTE, SEEDS, candle_series, minute

HOUR = TimeFrame.HOUR_1


@pytest.fixture
def lake(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clean markets, to be damaged."""
    return kit.copy_of(kit.clean_lake(tmp_path_factory), tmp_path / "data")


def held(root: Path, seed: int) -> list[datetime]:
    """When the candles of a market open, but those near the ends of its files."""
    moments = [
        moment
        for path in kit.files_of(root, candle_series(seed))
        for moment in kit.columns_of(kit.pq.read_table(path, partitioning=None))["ts"][20:-20]
    ]
    return [datetime(1970, 1, 1) + timedelta(microseconds=int(each)) for each in moments]


def test_gap_runs_finds_candles_that_went_behind_the_catalogs_back(lake: Path) -> None:
    """Twenty damages: one to nine candles go, and the catalog still tells of the old runs."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        at = rng.choice(held(lake, seed))
        lost = TimeRange(at, at + rng.randrange(1, 10) * MINUTE)
        kit.damage_at(lake, candle_series(seed), at, kit.without(lost))
        expected.add((f"C{seed:02d}USDT", "1m", f"{at.month:02d}"))

    found = kit.violations(lake, "gap_runs")

    assert {
        (each["instrument"], each["timeframe"], f"{each['start_ts'].month:02d}") for each in found
    } == expected
    assert len(found) == len(SEEDS)


def test_gap_runs_says_what_differs(lake: Path) -> None:
    at = minute(100)
    path = kit.file_with(lake, candle_series(0), at)
    kit.damage(path, kit.without(TimeRange(at, at + 3 * MINUTE)))
    kit.catalog(lake, "update partitions set rows = rows + 3 where path like '%C00%1m%month=01%'")

    [found] = kit.violations(lake, "gap_runs")

    assert found["detail"] == (
        "rows: 717, the catalog says 720; runs of missing candles: 1, the catalog says 0, "
        "the first difference 2024-01-31 13:40:00"
    )
    assert (found["start_ts"], found["end_ts"]) == (kit.START, datetime(2024, 2, 1))
    kit.catalog(lake, "update partitions set rows = 717 where path like '%C00%1m%month=01%'")
    kit.tell_gaps(lake, path)
    assert kit.violations(lake, "gap_runs") == []


def test_candle_gaps_tells_reasons_and_their_weight(lake: Path) -> None:
    """What was asked for and is not there is no fault of the lake's; what failed is."""
    at = minute(200)
    path = kit.file_with(lake, candle_series(5), at)
    kit.damage(path, kit.without(TimeRange(at, at + 5 * MINUTE)))
    kit.tell_gaps(lake, path)
    kit.catalog(lake, "delete from coverage where series_id in " + series_id(6))
    kit.catalog(
        lake,
        "insert into failed_ranges select series_id, ?, ?, 'j', 'HTTP 500', 0 from series "
        "where instrument = 'C06USDT' and timeframe = '1m'",
        (to_us(kit.END), to_us(kit.END + 9 * MINUTE)),
    )
    kit.catalog(
        lake,
        "update series set wanted_start = ?, wanted_end = ? where instrument = 'C06USDT' "
        "and timeframe = '1m'",
        (to_us(kit.START), to_us(kit.END + 9 * MINUTE)),
    )

    found = kit.violations(lake, "candle_gaps")

    mine = [each for each in found if each["instrument"] in ("C05USDT", "C06USDT")]
    told = [(each["instrument"], each["start_ts"], each["rows"], each["severity"]) for each in mine]
    assert told == [
        ("C05USDT", at, 5, "info"),
        ("C06USDT", kit.END, 9, "error"),
    ]
    assert mine[1]["detail"].startswith("failed: HTTP 500")
    until = kit.violations(lake, "candle_gaps", since=at + 5 * MINUTE)
    assert "C05USDT" not in {each["instrument"] for each in until}


def series_id(seed: int) -> str:
    return f"(select series_id from series where instrument = 'C{seed:02d}USDT')"


def test_duplicates_are_found_wherever_they_lie(lake: Path) -> None:
    """Twenty damages: one to five candles stand twice, side by side or at the end of the file."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        moments = held(lake, seed)
        at = rng.choice(moments)
        count = rng.randrange(1, 6)
        is_sorted = rng.random() < 0.5

        def twice(
            rows: pa.Table, at: datetime = at, count: int = count, is_sorted: bool = is_sorted
        ) -> pa.Table:
            place = rows["ts"].to_pylist().index(at)
            doubled = pa.concat_tables([rows, rows.slice(place, count)])
            return doubled.sort_by("ts") if is_sorted else doubled

        kit.damage_at(lake, candle_series(seed), at, twice)
        doubled = [each for each in moments if each >= at][:count]
        for first, end in runs_of(doubled):
            expected.add((f"C{seed:02d}USDT", first, end))

    found = kit.violations(lake, "duplicates")

    assert kit.places(found) == expected
    assert {each["timeframe"] for each in found} == {"1m"}


def runs_of(moments: list[datetime]) -> list[tuple[datetime, datetime]]:
    runs: list[tuple[datetime, datetime]] = []
    for each in moments:
        if runs and runs[-1][1] == each:
            runs[-1] = (runs[-1][0], each + MINUTE)
        else:
            runs.append((each, each + MINUTE))
    return runs


def test_duplicates_in_two_files_are_one_run(lake: Path) -> None:
    january, february = kit.files_of(lake, candle_series(8))
    added = kit.pq.read_table(february, partitioning=None).slice(60, 30)
    kit.damage(january, lambda rows: pa.concat_tables([rows, added]))

    [found] = kit.violations(lake, "duplicates")

    assert (found["start_ts"], found["rows"]) == (datetime(2024, 2, 1, 1), 30)
    assert found["detail"] == "30 candles are held twice in 2 files"


def test_off_grid_candles_are_found(lake: Path) -> None:
    """Twenty damages: candles open some seconds late, of minutes and of hours."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        timeframe = rng.choice((TimeFrame.MINUTE_1, HOUR))
        late = timedelta(seconds=rng.randrange(1, 60))
        series = candle_series(seed, timeframe)
        at = rng.choice(held(lake, seed)).replace(minute=0)
        if timeframe is TimeFrame.MINUTE_1:
            at = rng.choice(held(lake, seed))
        kit.damage_at(lake, series, at, kit.setting(at, ts=to_us(at + late)))
        length = MINUTE if timeframe is TimeFrame.MINUTE_1 else timedelta(hours=1)
        expected.add((f"C{seed:02d}USDT", at + late, at + late + length))

    found = kit.violations(lake, "off_grid")

    assert kit.places(found) == expected


def test_a_file_that_is_shifted_is_one_violation(lake: Path) -> None:
    """Somebody took the time a candle closes for the time it opens."""

    def shifted(rows: pa.Table) -> pa.Table:
        columns = kit.columns_of(rows)
        columns["ts"] += 59_999_000
        return kit.table_of(columns)

    kit.damage(kit.files_of(lake, candle_series(2))[0], shifted)

    [found] = kit.violations(lake, "off_grid")

    assert found["rows"] == 720
    assert "719 more like it; the next one opens 00:00:00.001 later" in found["detail"]


def test_weeks_months_and_three_days_stand_on_their_venues_grid(tmp_path: Path) -> None:
    """Weeks on Monday, months on the first, Binance's 3d candles on 2024-01-01."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        for name, timeframe, opens in (
            ("AUSDT.BINANCE", TimeFrame.WEEK_1, ["2024-01-01", "2024-01-08"]),
            ("AUSDT.BINANCE", TimeFrame.MONTH_1, ["2024-01-01", "2024-02-01", "2024-03-01"]),
            ("AUSDT.BINANCE", TimeFrame.DAY_3, ["2024-01-01", "2024-01-04"]),
            ("AUSDT.KRAKEN", TimeFrame.DAY_3, ["2024-01-03", "2024-01-06"]),
        ):
            moments = [to_us(datetime.fromisoformat(each)) for each in opens]
            prices = dict.fromkeys(("open", "high", "low", "close"), np.ones(len(opens)))
            rows = kit.table_of({"ts": moments, **prices, "volume": np.ones(len(opens))})
            kit.store(storage, kit.series_of(name, timeframe), rows)

    assert kit.all_violations(tmp_path / "data", TIME_CHECKS) == []

    [path] = kit.files_of(tmp_path / "data", kit.series_of("AUSDT.BINANCE", TimeFrame.WEEK_1))
    kit.damage(path, kit.setting(datetime(2024, 1, 8), ts=to_us(datetime(2024, 1, 7))))
    [found] = kit.violations(tmp_path / "data", "off_grid")
    assert (found["timeframe"], found["start_ts"]) == ("1w", datetime(2024, 1, 7))


TIME_CHECKS = ("off_grid", "misplaced", "duplicates", "gap_runs")


def test_misplaced_candles_are_found(lake: Path) -> None:
    """Twenty damages: a candle in the file of another month, or behind a later one."""
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        at = rng.choice(held(lake, seed))
        if rng.random() < 0.5:
            other = at + timedelta(days=rng.choice((-60, 60, 366)))
            kit.damage_at(lake, candle_series(seed), at, kit.setting(at, ts=to_us(other)))
            expected.add((f"C{seed:02d}USDT", other))
        else:
            kit.damage_at(lake, candle_series(seed), at, to_the_end(at))
            expected.add((f"C{seed:02d}USDT", at))

    found = kit.violations(lake, "misplaced")

    assert {(each["instrument"], each["start_ts"]) for each in found} >= expected
    assert {each["instrument"] for each in found} == {f"C{seed:02d}USDT" for seed in SEEDS}


def to_the_end(at: datetime) -> kit.Damage:
    def change(rows: pa.Table) -> pa.Table:
        place = rows["ts"].to_pylist().index(at)
        kept = [rows.slice(0, place), rows.slice(place + 1), rows.slice(place, 1)]
        return pa.concat_tables(kept)

    return change


def test_misplaced_funding_rates_are_found(tmp_path: Path) -> None:
    """Of other data types too: out of the year of the path, and out of order."""
    root = funding_lake(tmp_path / "data")
    [path] = (root / "parquet").rglob("data.parquet")
    before = kit.violations(root, "misplaced")

    def change(rows: pa.Table) -> pa.Table:
        moments = rows["ts"].to_pylist()
        moments[7], moments[50] = moments[6] - timedelta(hours=4), datetime(2025, 1, 1)
        return rows.set_column(0, rows.schema.field(0), pa.array(moments, pa.timestamp("us")))

    kit.damage(path, change)
    found = kit.violations(root, "misplaced")

    assert before == []
    assert [(each["data_type"], each["start_ts"], each["rows"]) for each in found] == [
        ("funding_rates", datetime(2024, 1, 2, 20), 1),
        ("funding_rates", datetime(2024, 1, 17, 8), 1),
        ("funding_rates", datetime(2025, 1, 1), 1),
    ]
    assert found[2]["detail"] == "in the file of year=2024 from its row 50 on"


def funding_lake(root: Path) -> Path:
    series = Series(DataType.FUNDING_RATES, InstrumentId.from_str("AUSDT-PERP.BYBIT"), None)
    moments = [datetime(2024, 1, 1) + number * timedelta(hours=8) for number in range(90)]
    rows = pa.Table.from_arrays(
        [
            pa.array(moments, field.type)
            if field.name == "ts"
            else pa.array([0.0001] * 90, field.type)
            if field.name == "funding_rate"
            else pa.nulls(90, field.type)
            for field in FUNDING_RATES.schema
        ],
        schema=FUNDING_RATES.schema,
    )
    with Storage.open(root, create=True) as storage:
        kit.store(storage, series, rows, window=TimeRange(moments[0], moments[-1] + MINUTE))
    return root
