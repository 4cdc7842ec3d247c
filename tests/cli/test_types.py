"""Trades, funding rates and order books through the commands, against the exchange in the box."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.box import BoxServer
from tests.cli.conftest import Finished, Run, clean_environment

LAKE = Path("lake")
GENERATE = (
    "generate --data market --seed 5 --start 2024-01-01 --days 3 -p BTC/USDT,BTC/USDT:USDT"
    " --timeframe 1h --trades --books 1m --depth 50 --funding 8"
)
NOW = "2024-01-04T01:00"
SHORT = ("--every", "100ms", "--for", "500ms")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of BTC, spot and perpetual, of every data type."""
    folder = tmp_path_factory.mktemp("types")
    command = [sys.executable, "-m", "lake", *GENERATE.split()]
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), check=True, capture_output=True, text=True
    )
    assert "trades, " in done.stdout
    assert "settlements of 7 series" in done.stdout
    return folder / "market"


@pytest.fixture(scope="module")
def exchange(market: Path) -> Iterator[BoxServer]:
    with BoxServer(market, clock_start=NOW) as box:
        yield box


@pytest.fixture
def fetch(run: Run, exchange: BoxServer) -> Run:
    """``fetch("backfill", "binance", ...)`` into the lake, from the exchange."""

    def one(*words: object) -> Finished:
        return run(*words, "--data", LAKE, "--base-url", exchange.url)

    return one


def rows(finished: Finished) -> list[dict[str, Any]]:
    assert finished.code == 0, finished.err
    found: list[dict[str, Any]] = json.loads(finished.out)
    return found


def count(market: Path, kind: str, venue: str = "BINANCE", until: str = "") -> int:
    """Rows that the market holds, up to a day."""
    files = sorted((market / "parquet" / kind / f"venue={venue}").rglob("data.parquet"))
    return sum(
        pq.ParquetFile(file).metadata.num_rows
        for file in files
        if not until or file.parent.name <= f"day={until}"
    )


def test_trades_of_two_days_from_a_start_on(fetch: Run, market: Path) -> None:
    """As the issue says it; the day after the first trade, so that nothing is missing."""
    words = ("backfill", "BINANCE", "BTC/USDT", "--type", "trades", "--start", "2024-01-02")

    first = fetch(*words, "--days", "2")
    again = fetch(*words, "--days", "2")

    expected = count(market, "trades") - count(market, "trades", until="01")
    assert first.code == 0
    assert f"plan: 1 series, about {expected:,} trades in" in first.out
    assert f"stored {expected:,} trades" in first.out
    assert "candle" not in first.out + first.err
    assert (again.code, again.out) == (0, "nothing to do: all of it is held\n")


def test_a_plan_of_trades_is_estimated_by_the_venue_s_ids_or_by_what_is_held(
    fetch: Run, market: Path
) -> None:
    words = ("binance", "BTC/USDT", "--type", "trades", "--start", "2024-01-01")
    [by_ids] = rows(fetch("plan", *words, "--days", "1", "--json"))
    fetch("backfill", *words, "--days", "1", "--yes")

    [by_density] = rows(fetch("plan", *words, "--days", "3", "--json"))

    held = count(market, "trades", until="01")
    assert (by_ids["rows"], by_ids["size_is"]) == (held, "estimate")
    assert by_density["rows"] == pytest.approx(2 * held, rel=0.01)


def test_trades_before_the_first_one_are_not_asked_for(fetch: Run) -> None:
    """A year of asking for nothing took a thousand requests."""
    words = ("binance", "BTC/USDT", "--type", "trades", "--start", "2023-01-01")

    [plan] = rows(fetch("plan", *words, "--end", "2024-01-02", "--json"))
    nothing = fetch("backfill", *words, "--end", "2023-02-01")

    [left_out] = plan["left_out"]
    assert (left_out["start"], left_out["reason"]) == ("2023-01-01T00:00:00", "before_listing")
    assert nothing.code == 2
    assert "No trades of BTCUSDT.BINANCE can be had" in nothing.err
    assert "the first trade is of 2024-01-01" in nothing.err


def test_funding_rates_of_a_perpetual(fetch: Run, run: Run, market: Path) -> None:
    words = ("binanceusdm", "BTC/USDT:USDT", "--type", "funding", "--start", "2024-01-01")

    finished = fetch("backfill", *words, "--days", "3")

    assert "plan: 1 series, at most 72 settlements in 1 request" in finished.out
    assert f"stored {count(market, 'funding_rates', 'BINANCEUSDM')} settlements" in finished.out
    [status] = rows(run("status", "--data", LAKE, "--json"))
    assert (status["data_type"], status["timeframe"]) == ("funding_rates", None)


def test_an_update_brings_trades_and_funding_and_leaves_books(
    fetch: Run, run: Run, market: Path
) -> None:
    """Books of the past cannot be had, so they are no failure."""
    start = ("--start", "2024-01-01", "--days", "1", "--yes")
    fetch("backfill", "binance", "BTC/USDT", "--type", "trades", *start)
    fetch("backfill", "binanceusdm", "BTC/USDT:USDT", "--type", "funding_rates", *start)
    fetch("backfill", "binance", "BTC/USDT", "--type", "orderbook", *SHORT)

    updated = rows(fetch("update", "--json"))
    again = fetch("update")

    assert {row["data_type"] for row in updated} == {"trades", "funding_rates"}
    assert again == Finished(0, "", "")
    status = rows(run("status", "-d", LAKE, "--json"))
    held = {row["data_type"]: row["rows"] for row in status}
    assert [row["variant"] for row in status] == ["rest/20", "aggregate/venue", None]
    assert held["trades"] == count(market, "trades")
    [books] = rows(run("status", "-d", LAKE, "--type", "orderbook", "--json"))
    assert books["rows"] == held["orderbook"]
    assert len(rows(run("jobs", "-d", LAKE, "--type", "funding_rates", "--json"))) == 3
    # A busy machine may have missed one: then it is named.
    gaps = rows(run("gaps", "-d", LAKE, "--type", "orderbook", "--json"))
    assert {row["reason"] for row in gaps} <= {"beyond_source"}
    assert held["funding_rates"] == count(market, "funding_rates", "BINANCEUSDM")


def test_books_are_recorded_and_what_was_missed_is_told(fetch: Run, run: Run) -> None:
    finished = fetch("backfill", "binance", "BTC/USDT", "--type", "orderbook", *SHORT)
    [report] = rows(
        fetch("backfill", "binance", "BTCUSDT", "--type", "orderbook", *SHORT, "--json")
    )
    jobs = rows(run("jobs", "--data", LAKE, "--json"))
    retried = run("jobs", "retry", jobs[0]["job_id"], "--data", LAKE)

    assert finished.code == 0
    assert (
        "plan: 1 book of 20 levels a side every 0.1 s from now on for 0.5 s: 5 snapshots"
        in finished.out
    )
    assert report["snapshots"] + report["unchanged"] + report["missed"] == 5
    assert [(job["data_type"], job["state"], job["progress"]) for job in jobs] == [
        ("orderbook", "completed", 1.0)
    ] * 2
    status = {row["data_type"]: row for row in rows(run("status", "--data", LAKE, "--json"))}
    assert status["orderbook"]["rows"] == sum(job["rows"] for job in jobs)
    assert retried.code == 2


def test_a_depth_other_than_the_one_held_says_which(fetch: Run) -> None:
    fetch("backfill", "binance", "BTC/USDT", "--type", "orderbook", *SHORT, "--depth", "5")

    other = fetch("backfill", "binance", "BTC/USDT", "--type", "orderbook", *SHORT)

    assert other.code == 2
    assert "Say --depth 5" in other.err


def test_a_plan_of_a_recording_takes_nothing(fetch: Run) -> None:
    words = ("plan", "binance", "BTC/USDT", "--type", "orderbook", "--every", "10s")

    [plan] = rows(fetch(*words, "--for", "1h", "--json"))
    endless = fetch(*words)

    assert (plan["snapshots"], plan["every_s"], plan["variant"]) == (360, 10.0, "rest/20")
    assert "until Ctrl-C: 8,640 snapshots and about" in endless.out
    assert not LAKE.exists()


def test_ctrl_c_stores_what_was_taken(run: Run, exchange: BoxServer) -> None:
    command = (
        f"backfill binance BTC/USDT --type orderbook --every 200ms --data {LAKE}"
        f" --base-url {exchange.url}"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "lake", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        assert "until Ctrl-C" in process.stdout.readline()
        asked = len(exchange.requests("depth"))
        while len(exchange.requests("depth")) < asked + 5:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "interrupted; what was taken is stored" in err
    assert "Traceback" not in err
    [held] = rows(run("status", "--data", LAKE, "--json"))
    assert held["rows"] >= 4
    assert f"stored {held['rows']:,} snapshots" in out


@pytest.mark.parametrize(
    "words",
    [
        ("backfill", "binance", "NOPE/USDT", "--days", "1"),
        ("backfill", "binance", "NOPE/USDT", "--type", "trades", "--days", "1"),
        ("backfill", "binance", "NOPE/USDT", "--type", "orderbook"),
        ("backfill", "binance", "BTC/USDT", "--type", "orderbook", "--depth", "9999"),
        ("backfill", "binance", "BTC/USDT", "-t", "1h", "--start", "2024-01-03T05:10", "--end",
         "2024-01-03T05:50"),
        ("backfill", "binance", "BTC/USDT", "--start", "2035-01-01"),
        ("plan", "binance", "BTC/USDT", "--type", "trades", "--start", "2024-01-01"),
        ("plan", "binance", "BTC/USDT", "--type", "orderbook"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_stores_nothing_leaves_no_lake_behind(fetch: Run, words: tuple[str, ...]) -> None:
    finished = fetch(*words)

    assert finished.code == (0 if words[0] == "plan" else 2), finished
    assert "new lake" not in finished.err
    assert not LAKE.exists()


def test_a_range_without_a_closed_candle_is_not_all_held(fetch: Run) -> None:
    words = ("backfill", "binance", "BTC/USDT", "-t", "1h", "--start", "2024-01-03T05:10")

    finished = fetch(*words, "--end", "2024-01-03T05:50")

    assert "No 1h candle opens and closes from 2024-01-03T05:10:00" in finished.err


def test_an_import_of_refused_files_makes_no_lake(run: Run) -> None:
    Path("BTCUSDT-1m-2024-01-01.zip").write_text("<html>404</html>", encoding="utf-8")

    finished = run("import", "BTCUSDT-1m-2024-01-01.zip", "--venue", "binance", "--data", LAKE)

    assert finished.code == 1
    assert "new lake" not in finished.err
    assert not LAKE.exists()


def test_a_closed_stdout_is_one_line_and_nothing_is_written_into(run: Run) -> None:
    """Its number would go to the next file that is opened."""
    run("generate", "--data", LAKE, "--days", "1", "-p", "BTC/USDT", "-t", "1h")
    command = f"{sys.executable} -m lake status --data {LAKE} >&-"

    done = subprocess.run(
        command, shell=True, env=clean_environment(), stderr=subprocess.PIPE, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "lake: stdout is closed, so nothing can be answered. Leave it open.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_an_answer_that_cannot_be_written_is_a_failure(run: Run) -> None:
    run("generate", "--data", LAKE, "--days", "1", "-p", "BTC/USDT", "-t", "1h")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lake", "status", "--data", str(LAKE)],
            env=clean_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_kept_trades_and_funding_are_brought_and_kept_books_are_refused(
    fetch: Run, run: Run
) -> None:
    fetch("backfill", "binance", "BTC/USDT", "-t", "1h", "--start", "2024-01-01", "--days", "1")
    keep = '[[keep]]\nvenue = "{}"\ninstruments = "{}"\nstart = "2024-01-03"\ntype = "{}"\n'
    (LAKE / "lake.toml").write_text(
        keep.format("binance", "BTC/USDT", "trades")
        + keep.format("binanceusdm", "BTC/USDT:USDT", "funding_rates"),
        encoding="utf-8",
    )

    updated = rows(fetch("update", "--json"))
    (LAKE / "lake.toml").write_text(
        keep.format("binance", "BTC/USDT", "orderbook"), encoding="utf-8"
    )
    books = fetch("update")

    assert {row["data_type"] for row in updated} == {"ohlcv", "trades", "funding_rates"}
    # Whatever else is kept was brought all the same.
    assert books.code == 4
    assert "--type orderbook" in books.err
