"""Wrong requests: one clear message and the right exit code, before anything is fetched."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.box import BoxServer
from tests.cli.conftest import Finished, Run

LAKE = Path("lake")
NOBODY = 65_534
UNREACHABLE = "http://127.0.0.1:9"


def refused(finished: Finished, *texts: str, code: int = 2) -> None:
    """One line on stderr that says all of *texts*, no traceback, nothing on stdout."""
    assert finished.code == code, finished
    message = finished.err.removeprefix(f"new lake at {LAKE.absolute()}\n")
    assert message.startswith("lake")
    assert message.count("\n") == 1, finished.err
    assert "Traceback" not in finished.err
    assert finished.out == ""
    for text in texts:
        assert text in message, message


def test_a_wrong_symbol_names_near_ones(backfill: Run) -> None:
    finished = backfill("BTC/USTD", "--data", LAKE)

    refused(finished, "no instrument 'BTC/USTD'", "Near: BTCUSDT", "lake instruments BINANCE")


def test_an_unknown_venue_is_refused_without_a_network(run: Run) -> None:
    finished = run("backfill", "binanse", "BTC/USDT", "--days", 1, "--data", LAKE)

    refused(finished, "BINANSE is not a venue", "BINANCE", "lake sources")
    assert not LAKE.exists()


def test_an_end_before_the_start_is_refused_without_a_network(run: Run) -> None:
    finished = run(
        *("backfill", "binance", "BTC/USDT", "--data", LAKE),
        *("--start", "2024-02-01", "--end", "2024-01-01"),
    )

    refused(finished, "from 2024-02-01", "to 2024-01-01", "--end must be after --start")
    assert not LAKE.exists()


def test_a_timeframe_that_the_venue_lacks_is_refused_without_a_network(run: Run) -> None:
    finished = run(
        *("backfill", "binanceusdm", "BTC/USDT:USDT", "--data", LAKE),
        *("--timeframe", "1s", "--days", 1),
    )

    refused(finished, "1s candles", "BINANCEUSDM has only: 1m 3m 5m", "--timeframe")
    assert not LAKE.exists()


def test_a_word_that_is_no_timeframe_is_refused(run: Run) -> None:
    finished = run("backfill", "binance", "BTC/USDT", "--timeframe", "7m", "--days", 1)

    refused(finished, "'7m' is not a timeframe", "Use one of: 1s 1m")


def test_a_range_before_the_listing_says_when_it_was(backfill: Run, exchange: BoxServer) -> None:
    finished = backfill("SOL/USDT", "--start", "2024-01-01", "--end", "2024-01-02", "--data", LAKE)

    refused(finished, "No 1h candle of SOLUSDT.BINANCE", "2024-01-02T09:00", "--start and --end")


def test_kraken_before_its_newest_720_candles_is_refused_without_a_network(run: Run) -> None:
    finished = run(
        *("backfill", "kraken", "BTC/USD", "--data", LAKE),
        *("--start", "2020-01-01", "--end", "2020-02-01", "--timeframe", "1m"),
    )

    refused(finished, "up to 2020-02-01", "newest 720 candles", "lake import")
    assert not LAKE.exists()


def test_no_network_is_a_failure_that_says_what_to_check(run: Run) -> None:
    finished = run(
        *("backfill", "binance", "BTC/USDT", "--data", LAKE, "--days", 1),
        *("--base-url", UNREACHABLE),
    )

    refused(finished, "BINANCE", "no connection", "Check the network", code=1)


def test_a_lake_cannot_be_made_below_a_file(backfill: Run) -> None:
    Path("file").touch()

    finished = backfill("BTC/USDT", "--data", "file/lake")

    refused(finished, f"cannot be made at {Path('file/lake').absolute()}", "--data")


@contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody else than root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_lake_that_cannot_be_written_is_refused_before_anything_is_fetched(
    backfill: Run, exchange: BoxServer
) -> None:
    """Not after an hour of fetching. (pytest's own folders are closed to others.)"""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        backfill("BTC/USDT", "--data", lake)
        asked = len(exchange.requests())
        for path in [lake.parent, lake, *lake.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        with unprivileged():
            finished = backfill("ETH/USDT", "--data", lake)

        for path in [lake.parent, lake, *lake.rglob("*")]:
            path.chmod(0o755)
    refused(finished, f"The lake at {lake} cannot be written", "--data")
    assert len(exchange.requests()) == asked


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("gaps",),
        ("jobs",),
        ("update",),
        ("sql", "select 1"),
        ("doctor",),
        ("serve",),
    ],
    ids=lambda words: words[0],
)
def test_no_lake_there_says_where_it_was_looked_for(run: Run, words: tuple[str, ...]) -> None:
    finished = run(*words, "--data", LAKE)

    refused(finished, f"no lake at {LAKE.absolute()}", "--data")
    assert not LAKE.exists()


@pytest.mark.parametrize("words", [("status",), ("backfill", "BTC/USDT"), ("sql", "select 1")])
def test_a_lake_of_a_newer_version_is_refused(
    run: Run, backfill: Run, words: tuple[str, ...]
) -> None:
    backfill("BTC/USDT", "--data", LAKE)
    with sqlite3.connect(LAKE / "catalog.sqlite") as catalog:
        catalog.execute("insert into migrations values (999, 'later', '', '9.0', '9.0', 0)")
    catalog.close()
    command = backfill if words[0] == "backfill" else run

    finished = command(*(words[1:] if words[0] == "backfill" else words), "--data", LAKE)

    refused(finished, "newer")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("backfil",), "Unknown command"),
        (("backfill", "binance"), "does not say which venue"),
        (("backfill", "binance", "BTC/USDT"), "No start was given"),
        (("backfill", "binance", "BTC/USDT", "--start", "soon"), "'soon' is not a time"),
        (
            ("backfill", "binance", "BTC/USDT", "--days", "1", "--start", "7d", "--end", "1d"),
            "two of --start, --end and --days",
        ),
        (("backfill", "binance", "BTC/USDT", "--days", "0"), "--days 0"),
        (("backfill", "binance", "BTC/USDT", "--days", "x"), "Invalid value"),
        (("backfill", "binance", "BTC/USDT", "--timerange", "2024"), "not a time range"),
        (("backfill", "binance", "BTC/USDT", "--days", "1", "--nope"), "Unknown option"),
        (
            ("backfill", "binance", "BTC/USDT", "--days", "1", "--type", "trades", "-t", "1h"),
            "trades have no timeframe",
        ),
        (
            ("backfill", "binance", "BTC/USDT", "--days", "1", "--every", "10s"),
            "--every was given, but it is for order books only",
        ),
        (
            ("backfill", "binance", "BTC/USDT", "--type", "orderbook", "--start", "2024-01-01"),
            "venues keep no history of their books",
        ),
        (
            ("backfill", "binance", "BTC/USDT", "--type", "orderbook", "--for", "1s"),
            "--for 1s is shorter than --every 10s",
        ),
        (
            ("backfill", "binance", "BTC/USDT", "--type", "orderbook", "--every", "0s"),
            "--every '0s' is no time",
        ),
        (("plan", "binance", "BTC/USDT", "--type", "funding_rates", "--days", "1"), "spot market"),
        (("backfill", "bybit", "BTC/USDT", "--type", "trades", "--days", "1"), "newest 1,000"),
        (("backfill", "binance", "BTC/USDT", "--start", "999999999d"), "is not a time"),
        (("backfill", "binance", "BTC/USDT", "--start", "9999-01-01", "--days", "900"), "calendar"),
        (
            ("backfill", "binance", "BTC/USDT", "--days", "1", "--base-url", "http://[::1"),
            "base_url",
        ),
        (
            ("backfill", "binance", "BTC/USDT", "--days", "1", "--base-url", "http://x:99999"),
            "base_url",
        ),
        (("backfill", "BTCUSDT.BINANCE", "BTCUSDT.OKX", "--days", "1"), "2 venues"),
        (("sql",), "either as text or with -f"),
        (("sql", "select 1", "--param", "x"), "not name=value"),
        (("sql", "select 1", "--format", "parquet"), "--output"),
        (("gaps", "--reason", "magic"), "no reason for a gap"),
        (("jobs", "list", "--state", "lost"), "not a job state"),
        (("generate", "--data", "m", "--rate", "0"), "--rate 0"),
        (("generate", "--data", "m", "--outage", "today"), "not START..END"),
        (("generate", "--data", "m", "--funding", "often"), "not HOURS or TIME=HOURS"),
        (("generate", "--data", "m", "--funding", "7"), "does not divide a day"),
        (("generate", "--data", "m", "--books", "0s"), "no time"),
        (("generate", "--data", "m", "--books", "10s", "--depth", "0"), "evels"),
        (("generate", "--data", "m", "--trade-form", "odd"), "aggregate or single"),
        (("generate", "--data", "m", "-p", "NOPE"), "NOPE"),
        (("serve", "--faults", "2"), "no share"),
        (("serve", "--port", "99999"), "--port 99999 is no port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_words_alone_show_to_be_wrong(run: Run, words: tuple[str, ...], text: str) -> None:
    finished = run(*words)

    refused(finished, text)
    assert list(Path().iterdir()) == []
