"""Requests that a user gets wrong: what was meant, what is held and what can be done is said."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from lake.cli.update import PARTLY_DONE
from tests.box import BoxServer
from tests.cli.conftest import Run
from tests.cli.test_commands import archive, kline

LAKE = Path("lake")


@pytest.mark.parametrize("words", [("--instrument", "NOPE"), ("--venue", "kraken")], ids=" ".join)
def test_an_update_of_what_is_not_held_names_what_is(
    run: Run, backfill: Run, exchange: BoxServer, words: tuple[str, str]
) -> None:
    """Silence would mean that all is up to date."""
    backfill("BTC/USDT", "--data", LAKE)

    finished = run("update", *words, "--data", LAKE, "--base-url", exchange.url)

    assert finished.code == 2
    assert "BTCUSDT.BINANCE ohlcv 1h" in finished.err


def test_an_update_takes_several_instruments_however_they_are_written(
    run: Run, backfill: Run, exchange: BoxServer
) -> None:
    backfill("BTC/USDT", "ETH/USDT", "SOL/USDT", "--end", "2024-01-03", "--data", LAKE, "--start",
             "2024-01-02")  # fmt: skip

    updated = run(
        *("update", "--pairs", "BTC/USDT", "ETHUSDT.BINANCE", "--data", LAKE, "--json"),
        *("--base-url", exchange.url),
    )

    assert {row["instrument"] for row in json.loads(updated.out)} == {"BTCUSDT", "ETHUSDT"}


def test_an_update_that_ran_out_of_time_is_partly_done(
    run: Run, backfill: Run, market: Path
) -> None:
    """A wrapper that looks at the exit code must learn that there is more to fetch."""
    with BoxServer(market, clock_start="2024-01-04T01:00") as box:
        words = ("--data", LAKE, "--base-url", box.url)
        run("backfill", "binance", "BTC/USDT", "-t", "1m", "--start", "2024-01-01", "--end",
            "2024-01-02", *words)  # fmt: skip
        box.control("faults", queue=[{"fault": "http_429", "count": 2, "retry_after_s": 2}])

        finished = run("update", "--max-time", "1s", *words)

    assert finished.code == PARTLY_DONE
    assert "1 of 1 series were stopped before their end" in finished.err


def test_spans_are_asked_for_as_spans(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)

    update = run("update", "--max-time", "5x", "--data", LAKE)
    none = run("update", "--max-time", "0s", "--data", LAKE)
    clean = run("jobs", "clean", "--older-than", "zzz", "--data", LAKE)

    assert (update.code, none.code, clean.code) == (2, 2, 2)
    assert "--max-time '5x' is not a span" in update.err
    assert "leaves no time" in none.err
    assert "--older-than 'zzz' is not a span" in clean.err
    forgotten = run("jobs", "clean", "--older-than", "99999d", "--data", LAKE).out
    assert forgotten == "0 jobs forgotten; those that ended within 99999d stay\n"


def test_pairs_takes_several(backfill: Run) -> None:
    stored = backfill("--pairs", "BTC/USDT", "ETH/USDT", "--data", LAKE, "--json")

    assert [row["instrument"] for row in json.loads(stored.out)] == ["BTCUSDT", "ETHUSDT"]


def test_rows_of_another_origin_are_refused_with_what_can_be_done(run: Run, backfill: Run) -> None:
    """Neither archives nor synthetic markets have a base URL that could be accepted."""
    backfill("BTC/USDT", "--timeframe", "1m", "--data", LAKE)
    run("generate", "--data", "synthetic", "--days", 1, "-p", "BTC/USDT", "--seed", 1)

    imported = run("import", archive("BTCUSDT-1m-2024-01-01.zip"), "--venue", "binance", "-d", LAKE)
    generated = run("generate", "--data", "synthetic", "--days", 1, "-p", "BTC/USDT", "--seed", 2)

    assert imported.code == 1
    assert "BTCUSDT-1m-2024-01-01.zip" in imported.err
    assert generated.code == 2
    for finished in (imported, generated):
        assert "Use another lake (--data)" in finished.err
        assert "--accept-base-url" not in finished.err


def test_a_folder_of_unknown_files_is_refused_file_by_file(run: Run) -> None:
    Path("folder").mkdir()
    for name in ("a.csv", "b.csv"):
        (Path("folder") / name).write_text("x,y\n1,2\n", encoding="utf-8")

    finished = run("import", "folder", "--data", LAKE)

    assert finished.code == 1
    lines = [line for line in finished.err.splitlines() if line.startswith("lake import: ")]
    assert [line.split()[2] for line in lines] == ["a.csv", "b.csv"]


def test_the_notes_of_an_import_are_told_as_text(run: Run) -> None:
    line = kline(datetime(2024, 1, 1), 100)
    opened = int(line.split(",")[0])
    early = line.replace(str(opened + 59_999), str(opened + 30_000))
    path = Path("BTCUSDT-1m-2024-01-01.csv")
    path.write_text(f"{early}\n{kline(datetime(2024, 1, 1, 0, 1), 100)}\n", encoding="utf-8")

    [row] = json.loads(run("import", path, "--venue", "binance", "-d", LAKE, "--json").out)

    assert [text for text in row["notes"] if "2024-01-01" in text or "clos" in text]


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("backfill", "VENUE INSTRUMENT... [OPTIONS]"),
        ("plan", "VENUE INSTRUMENT... [OPTIONS]"),
        ("import", "PATH... [OPTIONS]"),
        ("sources", "[VENUE...] [OPTIONS]"),
        ("instruments", "VENUE [PATTERN...] [OPTIONS]"),
        ("sql", "STATEMENT|- [OPTIONS]"),
    ],
)
def test_help_says_what_may_be_given_several_times(run: Run, command: str, usage: str) -> None:
    shown = run(command, "--help").out

    assert shown.splitlines()[0] == f"Usage: lake {command} {usage}"
    assert "[default: ()]" not in shown
    assert "[default: False]" not in shown


def test_doctor_offers_no_flags_of_fetching(run: Run) -> None:
    assert "--base-url" not in run("doctor", "--help").out


def test_sources_promises_no_import_that_is_not_there(run: Run) -> None:
    shown = run("sources", "kraken").out

    assert "`lake import` cannot read yet" in shown


def test_an_unknown_venue_is_told_how_to_see_them_all(run: Run) -> None:
    finished = run("sources", "nosuch")

    assert finished.code == 2
    assert "`lake sources --all` lists all of them" in finished.err
