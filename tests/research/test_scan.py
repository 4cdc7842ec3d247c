"""Lazy reads: what a plan does not need is not opened; files are listed at each collect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from lake import InvalidRequest, Lake, StorageError
from lake.domain.times import to_us
from lake.warehouse.scan import Bounds, bounds_of
from tests.warehouse.lake_kit import hour, make_lake, series, write

TS = pl.col("ts")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    with Lake(make_lake(tmp_path / "data")) as opened:
        yield opened


def spoil(lake: Lake, pattern: str) -> None:
    """Break the files that must not be opened."""
    found = list((lake.path / "parquet/ohlcv").glob(pattern))
    assert found
    for path in found:
        path.write_bytes(b"broken")


def test_a_scan_collects_to_what_a_read_gives(lake: Lake) -> None:
    read = lake.ohlcv(["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"], "1h", start=hour(-5), end=hour(9))

    scanned = lake.scan_ohlcv(["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"], "1h", hour(-5), hour(9))

    assert scanned.collect_schema() == read.schema
    assert scanned.collect().equals(read)


def test_conditions_on_time_decide_which_files_are_opened(lake: Lake) -> None:
    spoil(lake, "venue=BINANCE/instrument=BTCUSDT/**/month=12/*")
    lazy = lake.scan_ohlcv("BTCUSDT.BINANCE", "1h")

    kept = lazy.filter((datetime(2024, 1, 2) <= TS) & (pl.col("close") > 30)).collect()

    assert kept["ts"][0] == hour(30)
    with pytest.raises((StorageError, pl.exceptions.ComputeError), match="lake doctor"):
        lazy.filter(datetime(2023, 12, 31) <= TS).collect()


def test_conditions_on_names_decide_which_files_are_opened(lake: Lake) -> None:
    spoil(lake, "venue=BINANCE/instrument=BTCUSDT/**/data.parquet")

    kept = (
        lake.scan_ohlcv("*", "1h", start=hour(0), end=hour(1))
        .filter(pl.col("instrument").is_in(["ETHUSDT", "BTCUSDT-PERP"]), pl.col("close") < 5)
        .select("venue", "close")
        .collect()
    )

    assert kept.rows() == [("BINANCE", 1.0), ("BINANCEUSDM", 1.0)]


def test_files_are_listed_when_it_is_collected(lake: Lake) -> None:
    """A LazyFrame made before a backfill sees what came with it."""
    lazy = lake.scan_ohlcv("BTCUSDT.BINANCE", "1h").select(pl.len())
    before = lazy.collect().item()

    write(lake._storage, series("BTCUSDT.BINANCE"), datetime(2024, 2, 8), 48)

    assert (before, lazy.collect().item()) == (960, 1_008)


def test_a_limit_stops_the_reading(lake: Lake) -> None:
    assert lake.scan_ohlcv("*", "1h").head(3).collect()["close"].to_list() == [1.0, 2.0, 3.0]


def test_grouping_and_joining_see_every_row(lake: Lake) -> None:
    daily = (
        lake.scan_ohlcv("BTCUSDT.BINANCE", "1h", start="2024-01-01", end="2024-01-03")
        .group_by_dynamic("ts", every="1d")
        .agg(pl.col("close").last())
        .collect()
    )

    assert daily.rows() == [(datetime(2024, 1, 1), 24.0), (datetime(2024, 1, 2), 48.0)]


def test_a_scan_of_nothing_is_typed(lake: Lake) -> None:
    frame = lake.scan_ohlcv("BTCUSDT.BINANCE", "1h", columns=["ts", "close"], on_gap="ignore")

    empty = frame.filter(datetime(2030, 1, 1) < TS).collect()

    assert empty.schema == {"ts": pl.Datetime("us"), "close": pl.Float64}
    with pytest.raises(InvalidRequest, match="does not fill"):
        lake.scan_ohlcv("BTCUSDT.BINANCE", "1h", on_gap="fill")


MOMENT = datetime(2024, 1, 2)
US = to_us(MOMENT)


@pytest.mark.parametrize(
    ("predicate", "bounds"),
    [
        (MOMENT <= TS, Bounds(US, None)),
        (MOMENT < TS, Bounds(US + 1, None)),
        (TS.is_between(MOMENT, MOMENT), Bounds(US, US + 1)),
        ((date(2024, 1, 2) <= TS) & (pl.col("close") > 1) & (TS < MOMENT), Bounds(US, US)),
        (MOMENT == TS, Bounds(US, US + 1)),
        ((MOMENT <= TS) | (pl.col("close") > 1), Bounds()),
        (~(MOMENT <= TS), Bounds()),
        (TS.dt.hour() > 3, Bounds()),
        (pl.lit(datetime(2024, 1, 2), pl.Datetime("ms")) <= TS, Bounds(US, None)),
    ],
    ids=str,
)
def test_only_what_is_certain_is_pruned(predicate: pl.Expr, bounds: Bounds) -> None:
    import json

    tree = json.loads(predicate.meta.serialize(format="json"))

    assert bounds_of(tree) == bounds
