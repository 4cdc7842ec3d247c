"""No check of candles cries wolf: over seeded markets, the simulator, and recorded data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from archive_kit import NOW as IMPORTED
from archive_kit import REAL_DATA, needs_real_data

from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion.imports import import_files
from lake.simulator.market import generate
from lake.sql_files import sql_file
from lake.storage.lake import Storage
from tests.checks import kit

CHECKS = (
    "archive_against_rest",
    "candle_gaps",
    "divergence",
    "duplicates",
    "early_close",
    "edges",
    "flat_runs",
    "freshness",
    "future",
    "gap_runs",
    "misplaced",
    "off_grid",
    "price_bounds",
    "rollup",
    "spikes",
    "trades_against_candles",
    "unit_of_time",
    "vwap_bounds",
    "zero_volume_moves",
    "zero_volume_runs",
)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
KEYS = {
    "check",
    "version",
    "severity",
    "reads",
    "reach",
    "parameters",
    "returns",
    "blind to",
    "why",
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_is(name: str) -> None:
    """Every key at its top, and one line in the docs."""
    file = sql_file("checks", name)

    assert file.header["check"] == name
    assert file.header.keys() >= KEYS
    assert file.header["severity"] in ("error", "warning", "info")
    assert file.header["reach"] in ("series", "instrument", "lake")
    assert f"\n| `{name}` | " in DOCS.read_text(encoding="utf-8")
    assert max(len(line) for line in file.text.splitlines()) <= 110


def test_twenty_seeded_markets_are_clean(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lively and quiet ones, small ticks and large, with crashes, with minutes absent."""
    found = kit.all_violations(kit.clean_lake(tmp_path_factory), CHECKS)

    # Two of the markets leave out minutes without trades: information, and no fault.
    assert {(each["check"], each["severity"]) for each in found} == {("candle_gaps", "info")}
    assert {each["instrument"] for each in found} == {"C03USDT", "C11USDT", "C19USDT"}


def test_a_simulated_market_is_clean(tmp_path: Path) -> None:
    """Trades, candles that are their sums, an outage of all: it is told, and nothing else is."""
    outage = TimeRange(datetime(2024, 1, 31, 10, 0, 30), datetime(2024, 1, 31, 11, 30))
    with Storage.open(tmp_path / "data", create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            start=datetime(2024, 1, 30),
            end=datetime(2024, 2, 2),
            instruments=("BTC/USDT", "ETH/USDT"),
            timeframes=(TimeFrame.MINUTE_1, TimeFrame.HOUR_1),
            rate=0.05,
            outages=[outage],
            store_trades=True,
        )

    found = kit.all_violations(tmp_path / "data", CHECKS)

    assert {each["check"] for each in found} == {"candle_gaps", "early_close"}
    assert {each["severity"] for each in found if each["check"] == "candle_gaps"} == {"info"}


@needs_real_data
def test_recorded_candles_show_what_their_readme_names(tmp_path: Path) -> None:
    """Binance's stop of 2023-03-24, bitcoin's six cents of 2017, and no other alarm."""
    folders = {
        "BINANCE": [
            "binance_vision_spot_daily_klines",
            "lean_binance",
            "freqtrade/XRP_ETH-5m.feather",
        ],
        "COINBASE": ["lean_coinbase"],
        "BYBIT": ["lean_bybit"],
        "KRAKEN": ["nautilus/kraken_rest/http_ohlc.json"],
    }
    more = ["freqtrade/XRP_ETH-1m.feather", "freqtrade/XRP_ETH-trades.json.gz"]
    with Storage.open(tmp_path / "data", create=True) as storage:
        for venue, names in folders.items():
            paths = [REAL_DATA / each for each in names + (more if venue == "BINANCE" else [])]
            for file in import_files(storage, paths, now=IMPORTED, venue=Venue(venue)).files:
                assert file.rejected == 0

    found = kit.all_violations(
        tmp_path / "data", [each for each in CHECKS if each != "candle_gaps"], now=IMPORTED
    )

    told = [
        (each["check"], each["instrument"], each["timeframe"], each["start_ts"], each["end_ts"])
        for each in found
    ]
    end = datetime(2023, 3, 24, 14)
    assert told == [
        ("early_close", "BTCUSDT", "15m", datetime(2023, 3, 24, 12, 30), end),
        ("early_close", "BTCUSDT", "1h", datetime(2023, 3, 24, 12), end),
        ("early_close", "BTCUSDT", "1m", datetime(2023, 3, 24, 12, 39), end),
        ("spikes", "BTCUSD", "1d", datetime(2017, 4, 15), datetime(2017, 4, 16)),
        (
            "zero_volume_runs",
            "BTCUSDT",
            "1m",
            datetime(2023, 3, 24, 11, 28),
            datetime(2023, 3, 24, 12, 40),
        ),
    ]
    assert found[-1]["rows"] == 72
