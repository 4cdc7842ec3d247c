"""`lake export`: what other programs read is what the lake holds, and never lies in a lake."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from lake import Lake
from tests.cli.conftest import REPOSITORY, Run

SAMPLE = REPOSITORY.parent / "shared/data/freqtrade"
GENERATE = (
    "generate --seed 3 --start 2024-01-01 --end 2024-01-03 --instruments"
    " BTC/USDT,ETH/USDT,BTC/USDT:USDT --trades --books 10m --funding 8"
    " --outage 2024-01-02T03:00..2024-01-02T05:00 --data"
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of two spot pairs and a perpetual, of every type. None may change it."""
    from lake.cli import main

    root = tmp_path_factory.mktemp("export") / "lake"
    with pytest.raises(SystemExit) as ended:
        main([*GENERATE.split(), str(root)])
    assert ended.value.code == 0
    return root


def test_csv_has_iso_times_and_every_row(run: Run, lake: Path) -> None:
    done = run(
        *("export", "BTC/USDT", "--timeframe", "1h", "--type", "ohlcv", "--venue", "binance"),
        *("--format", "csv", "--output", "btc.csv", "--json", "--data", lake),
    )

    lines = Path("btc.csv").read_text(encoding="utf-8").splitlines()
    back = pl.read_csv("btc.csv").with_columns(pl.col("ts").str.to_datetime(time_unit="us"))
    with Lake(lake) as opened:
        held = opened.ohlcv("BTCUSDT.BINANCE", "1h", on_gap="ignore")
    assert json.loads(done.out) == [{"file": str(Path("btc.csv").absolute()), "rows": 46}]
    assert lines[0].replace('"', "").startswith("ts,open,high,low,close,volume,quote_volume,")
    assert lines[1].replace('"', "").startswith("2024-01-01T00:00:00.000000,")
    assert back.equals(held)


def test_what_is_missing_is_said(run: Run, lake: Path) -> None:
    """A file that leaves the lake takes no warning along with it."""
    done = run(
        *("export", "BTCUSDT.BINANCE", "--timeframe", "1m", "--type", "ohlcv"),
        *("--format", "parquet", "--output", "btc.parquet", "--data", lake),
    )

    assert done.code == 0
    assert "candles of the range are missing: 120 venue_outage." in done.err


def test_several_instruments_are_one_file_that_names_them(run: Run, lake: Path) -> None:
    done = run(
        *("export", "*", "--type", "trades", "--start", "2024-01-01T12:00"),
        *("--end", "2024-01-02T01:00", "--format", "parquet", "--output", "t.parquet"),
        *("--data", lake),
    )

    with Lake(lake) as opened:
        held = opened.trades("*", start="2024-01-01T12:00", end="2024-01-02T01:00", on_gap="ignore")
    assert done.code == 0
    back = pl.read_parquet("t.parquet")
    assert back.columns[:2] == ["venue", "instrument"]
    assert back.equals(held)
    assert pq.read_schema("t.parquet").field("ts").type == pa.timestamp("us")


def test_books_in_csv_have_their_levels_as_json(run: Run, lake: Path) -> None:
    run(
        *("export", "BTCUSDT.BINANCE", "--type", "orderbook", "--format", "csv"),
        *("--output", "books.csv", "--data", lake),
    )

    back = pa_csv.read_csv("books.csv")
    with Lake(lake) as opened:
        held = opened.orderbook("BTCUSDT.BINANCE", on_gap="ignore")
    levels = [json.loads(text) for text in back["bid_prices"].to_pylist()]
    assert levels == held["bid_prices"].to_list()


def test_freqtrade_finds_its_own_names_columns_and_types(run: Run, lake: Path) -> None:
    done = run("export", "*", "--format", "freqtrade", "--output", "ft", "--data", lake)

    assert done.code == 0
    assert sorted(path.relative_to("ft").as_posix() for path in Path("ft").rglob("*.feather")) == [
        "BTC_USDT-1h.feather",
        "BTC_USDT-1m.feather",
        "BTC_USDT-trades.feather",
        "ETH_USDT-1h.feather",
        "ETH_USDT-1m.feather",
        "ETH_USDT-trades.feather",
        "futures/BTC_USDT_USDT-1h-funding_rate.feather",
        "futures/BTC_USDT_USDT-1h-futures.feather",
        "futures/BTC_USDT_USDT-1m-futures.feather",
        "futures/BTC_USDT_USDT-trades.feather",
    ]
    hours = feather.read_table("ft/BTC_USDT-1h.feather")
    rates = feather.read_table("ft/futures/BTC_USDT_USDT-1h-funding_rate.feather")
    trades = feather.read_table("ft/BTC_USDT-trades.feather")
    with Lake(lake) as opened:
        held = opened.ohlcv("BTCUSDT.BINANCE", "1h", on_gap="ignore")
        settled = opened.funding_rates("BTCUSDT-PERP.BINANCEUSDM", on_gap="ignore")
        traded = opened.trades("BTCUSDT.BINANCE", on_gap="ignore")
    assert hours.schema.names == ["date", "open", "high", "low", "close", "volume"]
    assert hours.schema.field("date").type == pa.timestamp("ms", tz="UTC")
    assert hours["close"].to_pylist() == held["close"].to_list()
    assert rates["open"].to_pylist() == settled["funding_rate"].to_list()
    assert set(rates["close"].to_pylist()) == {0.0}
    assert rates["date"].cast(pa.timestamp("us")).to_pylist() == settled["ts"].to_list()
    assert trades.schema.names == ["timestamp", "id", "type", "side", "price", "amount", "cost"]
    assert trades["id"].to_pylist() == traded["trade_id"].cast(pl.String).to_list()
    assert trades["timestamp"][0].as_py() == int(traded["ts"].dt.epoch("ms")[0])


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="freqtrade's test data are not at hand")
def test_the_columns_are_those_of_freqtrades_own_files(run: Run, lake: Path) -> None:
    run("export", "*", "--format", "freqtrade", "--output", "ft", "--data", lake)

    pairs = [
        ("XRP_ETH-1m.feather", "BTC_USDT-1m.feather"),
        (
            "futures/XRP_USDT_USDT-8h-funding_rate.feather",
            "futures/BTC_USDT_USDT-1h-funding_rate.feather",
        ),
    ]
    for theirs, ours in pairs:
        one, other = (
            feather.read_table(SAMPLE / theirs).schema,
            feather.read_table(Path("ft") / ours),
        )
        assert other.schema.names == one.names
        assert other.schema.types[1:] == one.types[1:]
        assert other.schema.types[0].tz == one.types[0].tz == "UTC"


def test_nothing_is_written_over_what_is_there(run: Run, lake: Path) -> None:
    words = ("export", "BTCUSDT.BINANCE", "-t", "1h", "--format", "csv", "--data", lake)
    Path("b.csv").write_text("mine", encoding="utf-8")
    (Path("ft") / "futures").mkdir(parents=True)
    (Path("ft") / "futures/BTC_USDT_USDT-trades.feather").write_text("mine", encoding="utf-8")

    refused = run(*words, "--output", "b.csv")
    folder = run("export", "*", "--format", "freqtrade", "--output", "ft", "--data", lake)
    forced = run(*words, "--output", "b.csv", "--force")

    assert refused.code == 2
    assert "b.csv is there already. Give --force to replace it." in refused.err
    assert folder.code == 2
    assert [path.name for path in Path("ft").rglob("*.feather")] == ["BTC_USDT_USDT-trades.feather"]
    assert forced.code == 0
    assert len(Path("b.csv").read_text(encoding="utf-8").splitlines()) == 47
    assert [path for path in Path().rglob(".*") if path.is_file()] == []


def test_a_link_to_a_file_of_the_lake_is_not_written_through(run: Run, lake: Path) -> None:
    held = next((lake / "parquet").rglob("*.parquet"))
    before = held.read_bytes()
    os.link(held, "mine.parquet")

    run("export", "BTCUSDT.BINANCE", "-t", "1h", "--format", "parquet", "--output", "mine.parquet",
        "--force", "--data", lake)  # fmt: skip

    assert held.read_bytes() == before
    assert Path("mine.parquet").read_bytes() != before


@pytest.mark.parametrize("inside", ["out.csv", "parquet/out.csv", "snapshots/x/out.csv"])
def test_no_lake_is_written_into(run: Run, lake: Path, inside: str) -> None:
    Path("link").symlink_to(lake)

    for place in (lake / inside, Path("link") / inside):
        done = run("export", "BTCUSDT.BINANCE", "-t", "1h", "--format", "csv", "--output", place,
                   "--data", lake)  # fmt: skip
        assert done.code == 2
        assert "where only the lake writes" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["BTCUSDT.BINANCE"], "series of 3 types: ohlcv, orderbook, trades"),
        (["BTCUSDT.BINANCE", "--type", "ohlcv"], "2 timeframes: 1m, 1h"),
        (["DOGE", "--type", "ohlcv"], "fits 'DOGE'"),
        (["BTCUSDT.BINANCE", "-t", "1h", "--start", "2030-01-01"], "Nothing is held of"),
        (["BTCUSDT.BINANCE", "-t", "1h", "--start", "2024", "--end", "2023"], "is not a time"),
        (["BTCUSDT.BINANCE", "-t", "1h", "--start", "20240102", "--end", "20240101"], "is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, lake: Path, words: list[str], told: str) -> None:
    done = run("export", *words, "--format", "csv", "--output", "o.csv", "--data", lake)

    assert done.code == 2
    assert told in done.err
    assert not Path("o.csv").exists()


def test_several_timeframes_that_were_named_say_which_is_which(run: Run, lake: Path) -> None:
    run("export", "BTCUSDT.BINANCE", "-t", "1m,1h", "--type", "ohlcv", "--format", "parquet",
        "--output", "o.parquet", "--data", lake)  # fmt: skip

    counts = pl.read_parquet("o.parquet").group_by("timeframe").len().sort("timeframe")
    assert counts.rows() == [("1h", 46), ("1m", 2760)]


def test_order_books_have_no_place_at_freqtrade(run: Run, lake: Path) -> None:
    done = run("export", "*", "--type", "orderbook", "--format", "freqtrade", "--output", "ft",
               "--data", lake)  # fmt: skip

    assert done.code == 2
    assert "freqtrade has no format for orderbook" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_one_line(run: Run, lake: Path) -> None:
    Path("closed").mkdir()
    Path("closed").chmod(stat.S_IRUSR | stat.S_IXUSR)

    done = run("export", "BTCUSDT.BINANCE", "-t", "1h", "--format", "csv", "--output",
               "closed/o.csv", "--data", lake)  # fmt: skip

    assert done.code == 1
    assert "cannot be written" in done.err


@pytest.mark.skipif(
    importlib.util.find_spec("nautilus_trader") is not None, reason="nautilus_trader is installed"
)
def test_without_its_package_a_nautilus_catalog_is_refused(run: Run, lake: Path) -> None:
    done = run(
        "export", "BTCUSDT.BINANCE", "--format", "nautilus", "--output", "nt", "--data", lake
    )

    assert done.code == 2
    assert "needs the package nautilus_trader" in done.err
    assert not Path("nt").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("nautilus_trader") is None, reason="nautilus_trader is not installed"
)
def test_nautilus_reads_its_catalog_back(run: Run, lake: Path) -> None:
    done = run(
        "export", "BTCUSDT.BINANCE", "--format", "nautilus", "--output", "nt", "--data", lake
    )

    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    catalog = ParquetDataCatalog("nt")
    bars = catalog.bars(bar_types=["BTCUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"])
    assert done.code == 0
    assert len(bars) == 46
    assert bars[0].ts_event == int(
        (datetime(2024, 1, 1, 1) - datetime(1970, 1, 1)) / timedelta(microseconds=1) * 1000
    )


@pytest.mark.skipif(
    importlib.util.find_spec("freqtrade") is None, reason="freqtrade is not installed"
)
def test_freqtrades_own_handler_reads_the_files(run: Run, lake: Path) -> None:
    run("export", "*", "--format", "freqtrade", "--output", "ft", "--data", lake)

    from freqtrade.data.history.datahandlers import get_datahandler
    from freqtrade.enums import CandleType, TradingMode

    handler = get_datahandler(Path("ft"), "feather")
    hours = handler.ohlcv_load("BTC/USDT", "1h", CandleType.SPOT, fill_missing=False)
    rates = handler.ohlcv_load("BTC/USDT:USDT", "1h", CandleType.FUNDING_RATE, fill_missing=False)
    trades = handler.trades_load("BTC/USDT:USDT", TradingMode.FUTURES)
    with Lake(lake) as opened:
        held = opened.ohlcv("BTCUSDT.BINANCE", "1h", on_gap="ignore")
        settled = opened.funding_rates("BTCUSDT-PERP.BINANCEUSDM", on_gap="ignore")
        traded = opened.trades("BTCUSDT-PERP.BINANCEUSDM", on_gap="ignore")
    assert hours["close"].tolist() == held["close"].to_list()
    assert hours["date"].dt.tz_localize(None).tolist() == held["ts"].to_list()
    assert rates["open"].tolist() == settled["funding_rate"].to_list()
    assert trades["price"].tolist() == traded["price"].to_list()
