"""`lake trades-to-ohlcv` as users call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.box import BoxServer
from tests.cli.conftest import Run


@pytest.fixture
def market(run: Run) -> Path:
    """Two days of trades, without candles of five minutes."""
    made = run(
        *("generate", "--data", "market", "--seed", 3, "--start", "2024-01-01"),
        *("--end", "2024-01-03", "--instruments", "BTC/USDT", "--timeframe", "1h"),
        *("--trades", "--rate", 0.02),
    )
    assert made.code == 0, made.err
    return Path("market")


def test_candles_are_built_and_shown_as_derived(run: Run, market: Path) -> None:
    """Made where trades are, left to the venue where it has its own, and marked."""
    words = ("trades-to-ohlcv", "BTC/USDT", "--timeframe", "5m,1h", "--data", market)

    done = run(*words, "--json")

    assert done.code == 0, done.err
    five, hour = json.loads(done.out)
    assert (five["timeframe"], five["new"]) == ("5m", five["made"])
    assert five["made"] + five["without_trades"] == 576
    assert (hour["made"], hour["left_to_venue"], hour["not_covered"]) == (0, 48, 0)
    status = json.loads(run("status", "--timeframe", "5m", "--data", market, "--json").out)
    assert [row["source"] for row in status] == ["derived"]
    gaps = json.loads(run("gaps", "--timeframe", "5m", "--data", market, "--json").out)
    assert {gap["reason"] for gap in gaps} <= {"no_trades"}
    assert json.loads(run(*words, "--json").out)[0]["new"] == 0


def test_what_cannot_be_made_is_said(run: Run, market: Path) -> None:
    """A month of which two days are there; a lake without such trades; no timeframe."""
    base = ("--data", market)

    month = run("trades-to-ohlcv", "BTCUSDT.BINANCE", "-t", "1mo", *base)
    none = run("trades-to-ohlcv", "ETH/USDT", "-t", "1m", *base)
    wrong = run("trades-to-ohlcv", "BTCUSDT", "-t", "7m", *base)
    empty = run(
        *("trades-to-ohlcv", "BTCUSDT", "-t", "1m", "--start", "2024-01-03", "--end", "2024-01-02"),
        *base,
    )

    assert (month.code, none.code, wrong.code, empty.code) == (1, 2, 2, 2)
    assert "1 candle was not made: 2024-01-01T00:00:00 .. 2024-02-01T00:00:00" in month.err
    assert "no whole trades of 2024-01-03T00:00:00" in month.err
    assert "'7m' is not a timeframe" in wrong.err
    assert "--end must be after --start" in empty.err


def test_an_update_leaves_candles_alone_that_the_venue_never_had(run: Run) -> None:
    """A cron job would mail every hour that Binance's futures have no candles of a second."""
    made = run(
        *("generate", "--data", "perps", "--start", "2024-01-01", "--end", "2024-01-02"),
        *("-p", "BTC/USDT:USDT", "-t", "1h", "--trades", "--rate", 0.002),
    )
    assert made.code == 0, made.err
    with BoxServer(Path("perps"), clock_start="2024-01-02T06:00") as box:
        line = ("--base-url", box.url, "--data", "lake")
        run("backfill", "binanceusdm", "BTC/USDT:USDT", "--type", "trades", "--start",
            "2024-01-01", "--end", "2024-01-02", *line)  # fmt: skip
        built = run("trades-to-ohlcv", "BTCUSDT-PERP", "-t", "1s", "--data", "lake")

        updated = run("update", *line)

    assert built.code == 0, built.err
    assert (updated.code, updated.err) == (0, "")
