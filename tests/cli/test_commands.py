"""What the commands answer, against the exchange in the box."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lake.storage.exclusive import exclusive
from lake.storage.lake import Storage
from tests.box import BoxServer
from tests.cli.conftest import Finished, Run, clean_environment

LAKE = Path("lake")


def rows(finished: Finished) -> list[dict[str, Any]]:
    assert finished.code == 0, finished.err
    found: list[dict[str, Any]] = json.loads(finished.out)
    return found


def test_a_second_backfill_has_nothing_to_do(backfill: Run, exchange: BoxServer) -> None:
    first = backfill("BTC/USDT", "--data", LAKE)
    asked = len(exchange.requests())

    second = backfill("BTC/USDT", "--data", LAKE)

    assert (first.code, second.code) == (0, 0)
    assert f"new lake at {LAKE.absolute()}" in first.err
    assert "nothing to do" in second.out
    assert second.err == ""
    assert len(exchange.requests()) == asked


@pytest.mark.parametrize(
    "words",
    [
        ("BTC/USDT,ETH/USDT",),
        ("BTC/USDT ETH/USDT",),
        ("BTCUSDT", "ETHUSDT"),
        ("btcusdt.binance", "ETHUSDT.BINANCE"),
        ("--pairs", "BTC/USDT", "--pairs", "ETH/USDT"),
        ("[BE]T[CH]USDT",),
        ("BTC/USDT", "ETH/USDT", "--timerange", "20240101-20240104"),
    ],
    ids=" ".join,
)
def test_instruments_are_understood_however_they_are_written(
    backfill: Run, words: tuple[str, ...]
) -> None:
    stored = rows(backfill(*words, "--data", LAKE, "--json"))

    assert [(row["instrument"], row["rows"]) for row in stored] == [
        ("BTCUSDT", 71),
        ("ETHUSDT", 71),
    ]


def test_a_venue_may_be_named_by_the_instruments_alone(run: Run, exchange: BoxServer) -> None:
    finished = run(
        *("download-data", "BTCUSDT.BINANCE", "--timeframe", "1h", "--data", LAKE),
        *("--start", "2024-01-01", "--end", "2024-01-04", "--base-url", exchange.url),
    )

    assert finished.code == 0
    assert "completed" in finished.out


def test_plain_progress_has_no_control_characters(backfill: Run) -> None:
    finished = backfill("BTC/USDT", "--timeframe", "1m", "--data", LAKE)

    text = finished.out + finished.err
    assert [character for character in text if ord(character) < 32 and character != "\n"] == []


def test_a_plan_makes_no_lake_and_fetches_no_page(run: Run, exchange: BoxServer) -> None:
    words = ("--start", "2024-01-01", "--end", "2024-01-04", "--base-url", exchange.url)

    [planned] = rows(run("plan", "binance", "SOL/USDT", *words, "--data", LAKE, "--json"))

    assert not LAKE.exists()
    assert planned["rows"] == 2340
    assert planned["left_out"] == [
        {
            "start": "2024-01-01T00:00:00",
            "end": "2024-01-02T09:00:00",
            "reason": "before_listing",
            "why": planned["left_out"][0]["why"],
        }
    ]


@pytest.fixture
def long_backfill(market: Path) -> Iterator[str]:
    """A command that would take more than an hour: eight years at a trickle."""
    with BoxServer(market, clock_start="2032-01-01") as box:
        yield (
            f"backfill binance BTC/USDT --timeframe 1m --start 2024-01-01 --data {LAKE}"
            f" --base-url {box.url} --rate-share 0.02"
        )


def test_a_long_backfill_needs_a_yes_where_nobody_can_be_asked(
    run: Run, long_backfill: str
) -> None:
    finished = run(*long_backfill.split())

    assert finished.code == 2
    assert "4,207,680 candles" in finished.out
    assert "--yes" in finished.err


def test_a_long_backfill_asks_on_a_terminal(long_backfill: str) -> None:
    terminal, other_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "lake", *long_backfill.split()],
        stdin=other_end,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=clean_environment(),
        text=True,
    ) as process:
        os.write(terminal, b"n\n")
        _, err = process.communicate(timeout=60)
    os.close(terminal)
    os.close(other_end)

    assert process.returncode == 2
    assert "Go on? [y/N]" in err
    assert "Nothing was fetched" in err


def test_a_terminal_shows_candles_rate_budget_and_time_left(exchange: BoxServer) -> None:
    terminal, other_end = pty.openpty()
    command = (
        f"backfill binance BTC/USDT --start 2024-01-01 --end 2024-01-04 --data {LAKE}"
        f" --base-url {exchange.url} --timeframe 1m"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "lake", *command.split()],
        stderr=other_end,
        stdout=subprocess.DEVNULL,
        env={**clean_environment(), "COLUMNS": "120", "TERM": "xterm"},
    ) as process:
        os.close(other_end)
        shown = b""
        # Linux ends a terminal whose other side is closed with EIO, others with an empty read.
        while True:
            try:
                part = os.read(terminal, 65_536)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(terminal)

    text = shown.decode()
    assert process.returncode == 0
    for figure in ("4,320 of 4,320 candles", "/s", "of BINANCE budget", "left"):
        assert figure in text


def test_status_and_gaps_as_json_have_the_promised_fields(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "SOL/USDT", "--data", LAKE)

    status = rows(run("status", "--data", LAKE, "--instrument", "BTC/USDT", "--json"))
    gaps = rows(run("gaps", "--data", LAKE, "--instrument", "SOLUSDT.BINANCE", "--json"))

    assert [(row["rows"], row["missing"], row["completeness"]) for row in status] == [
        (71, 1, 0.986111)
    ]
    assert status[0]["first_ts"] == "2024-01-01T00:00:00"
    assert list(gaps[0]) == [
        "venue",
        "instrument",
        "timeframe",
        "data_type",
        "gap_start",
        "gap_end",
        "missing_count",
        "reason",
        "evidence",
    ]
    assert [(row["gap_start"], row["gap_end"], row["reason"]) for row in gaps] == [
        ("2024-01-01T00:00:00", "2024-01-02T09:00:00", "before_listing"),
        ("2024-01-03T04:00:00", "2024-01-03T05:00:00", "venue_outage"),
    ]


def test_a_filter_that_fits_nothing_names_what_is_held(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)

    finished = run("gaps", "--data", LAKE, "--timeframe", "1d")

    assert finished.code == 2
    assert "BTCUSDT.BINANCE ohlcv 1h" in finished.err


def test_an_empty_lake_is_not_an_error(run: Run) -> None:
    Storage.open(LAKE, create=True).close()

    assert "nothing is stored yet" in run("status", "--data", LAKE).out
    assert run("gaps", "--data", LAKE).out == "no gaps\n"
    assert rows(run("status", "--data", LAKE, "--json")) == []


def test_jobs_can_be_listed_shown_and_cleaned(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)

    [job] = rows(run("jobs", "--data", LAKE, "--json"))
    [shown] = rows(run("jobs", "show", job["job_id"][:6], "--data", LAKE, "--json"))
    cancel = run("jobs", "cancel", job["job_id"], "--data", LAKE)
    unknown = run("jobs", "show", "nonesuch", "--data", LAKE)
    cleaned = run("jobs", "clean", "--older-than", "0s", "--data", LAKE)

    assert (job["state"], job["progress"], job["rows"]) == ("completed", 1.0, 71)
    assert shown["attempts"] == 1
    assert cancel.code == 2
    assert "already" in cancel.err
    assert unknown.code == 2
    assert cleaned.out.startswith("1 job forgotten;")
    assert rows(run("jobs", "list", "--data", LAKE, "--json")) == []


def test_a_failed_job_is_partly_done_and_can_be_retried(
    run: Run, market: Path, backfill: Run
) -> None:
    """One instrument is refused for good, the other comes: exit 4, then retry brings it."""
    with BoxServer(market, clock_start="2024-01-04T01:00") as box:
        words = ("--start", "2024-01-01", "--end", "2024-01-04", "--timeframe", "1h")
        place = ("--data", LAKE, "--base-url", box.url)
        run(
            "backfill",
            "binance",
            "BTC/USDT",
            "ETH/USDT",
            *words[:3],
            "2024-01-02",
            *words[4:],
            *place,
        )
        box.control("faults", queue=[{"fault": "bad_symbol", "count": 1, "path": "klines"}])

        first = run("backfill", "binance", "BTC/USDT", "ETH/USDT", *words, *place)
        [failed] = rows(run("jobs", "list", "--state", "failed", "--data", LAKE, "--json"))
        gaps = rows(run("gaps", "--data", LAKE, "--reason", "failed", "--json"))
        again = run("jobs", "retry", failed["job_id"], *place)

    assert first.code == 4
    assert "failed" in first.err
    assert "again to continue" in first.err
    assert "Invalid symbol" in failed["error"]
    assert [gap["gap_start"] for gap in gaps] == ["2024-01-02T00:00:00"]
    assert again.code == 0
    assert "completed" in again.out
    assert rows(run("gaps", "--data", LAKE, "--reason", "failed", "--json")) == []


def test_sql_answers_in_every_format(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)
    question = "select ts, open > 0 as positive from ohlcv_1h order by ts limit 2"

    table = run("sql", question, "--data", LAKE)
    csv = run("sql", question, "--data", LAKE, "--format", "csv")
    answer = rows(run("sql", question, "--data", LAKE, "--json"))
    written = run("sql", question, "--data", LAKE, "--output", "answer.parquet")

    assert table.out.splitlines()[1].split() == ["2024-01-01T00:00", "yes"]
    assert csv.out.splitlines()[0] == '"ts","positive"'
    assert answer[1] == {"ts": "2024-01-01T01:00:00", "positive": True}
    assert written.code == 0
    assert pq.read_table("answer.parquet").num_rows == 2


def test_sql_takes_parameters_files_and_refuses_to_write(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)
    Path("question.sql").write_text(
        "select count(*) as n from ohlcv_1h where ts >= $day::timestamp", encoding="utf-8"
    )

    answer = rows(
        run("sql", "-f", "question.sql", "--param", "day=2024-01-03", "--data", LAKE, "--json")
    )
    locked = run("sql", "select count(*) from ohlcv_1h", "--locked", "--data", LAKE)
    wrong = run("sql", "select nothing from ohlcv_1h", "--data", LAKE)
    write = run("sql", "delete from catalog.ingestion_jobs", "--data", LAKE)

    assert answer == [{"n": 23}]
    assert locked.out.split()[-1] == "71"
    assert wrong.code == 2
    assert "Traceback" not in wrong.err
    assert write.code == 2
    assert len(rows(run("jobs", "--data", LAKE, "--json"))) == 1


def test_instruments_come_from_the_venue_or_the_lake(run: Run, exchange: BoxServer) -> None:
    asked = run("instruments", "binance", "B*", "--base-url", exchange.url, "--json")

    [row] = rows(asked)
    assert (row["instrument"], row["symbol"], row["native_id"]) == (
        "BTCUSDT",
        "BTC/USDT",
        "BTCUSDT",
    )
    assert not LAKE.exists()


def test_sources_say_what_limits_a_venue(run: Run) -> None:
    candles, trades, books, funding = rows(run("sources", "kraken", "--json"))
    everything = rows(run("sources", "--json"))
    [binance] = rows(run("sources", "binance", "--type", "trades", "--json"))

    assert (candles["data_type"], candles["reach"]) == ("ohlcv", "newest 720")
    assert candles["limits"].startswith("KRAKEN's REST gives only the newest 720 candles")
    assert (trades["reach"], trades["holds"]) == ("all", "single/venue")
    assert (books["reach"], books["holds"]) == ("now only", "rest/DEPTH")
    assert (funding["way"], funding["page_size"]) == ("none", None)
    assert "Ask KRAKENFUTURES" in funding["limits"]
    assert len({row["venue"] for row in everything}) > 90
    # 6,000 a minute, 80 % of it, 1,000 trades for a weight of 4.
    assert (binance["weight"], binance["rows_per_minute"]) == (4, 1_200_000)


def kline(moment: datetime, price: float) -> str:
    opened = int(moment.replace(tzinfo=UTC).timestamp() * 1_000)
    return f"{opened},{price},{price},{price},{price},1,{opened + 59_999},{price},1,1,{price},0"


def archive(name: str, count: int = 1_440) -> Path:
    start = datetime(2024, 1, 1)
    text = "\n".join(kline(start + timedelta(minutes=each), 100) for each in range(count))
    path = Path(name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(path.with_suffix(".csv").name, text + "\n")
    return path


def test_archives_are_imported_and_what_is_no_archive_is_refused(run: Run) -> None:
    good = archive("BTCUSDT-1m-2024-01-01.zip")
    Path("ETHUSDT-1m-2024-01-01.zip").write_text("<html>404</html>", encoding="utf-8")

    words = ("--venue", "binance", "--data", LAKE)

    first = run("import", good, *words)
    again = run("import", good, *words, "--json")
    mixed = run("import", good, "ETHUSDT-1m-2024-01-01.zip", *words)
    bad = run("import", "ETHUSDT-1m-2024-01-01.zip", *words)

    assert first.code == 0
    assert "1,440 rows added" in first.out
    assert [(row["state"], row["instrument"]) for row in rows(again)] == [("unchanged", "BTCUSDT")]
    assert (mixed.code, bad.code) == (4, 1)
    assert "ETHUSDT-1m-2024-01-01.zip" in bad.err


def test_an_update_is_silent_where_nothing_is_new(
    run: Run, backfill: Run, exchange: BoxServer
) -> None:
    backfill("BTC/USDT", "--data", LAKE)
    run("update", "--data", LAKE, "--base-url", exchange.url)

    again = run("update", "--data", LAKE, "--base-url", exchange.url)

    assert again == Finished(0, "", "")


def test_an_update_brings_tails_and_what_is_to_be_kept(
    run: Run, backfill: Run, exchange: BoxServer
) -> None:
    backfill("BTC/USDT", "--start", "2024-01-01", "--end", "2024-01-02", "--data", LAKE)
    (LAKE / "lake.toml").write_text(
        '[[keep]]\nvenue = "binance"\ninstruments = "ETH/USDT"\ntimeframes = "1h"\n'
        'start = "2024-01-03"\n',
        encoding="utf-8",
    )

    updated = rows(run("update", "--data", LAKE, "--base-url", exchange.url, "--json"))

    assert {(row["instrument"], row["state"]) for row in updated} == {
        ("BTCUSDT", "completed"),
        ("ETHUSDT", "completed"),
    }
    held = rows(run("status", "--data", LAKE, "--json"))
    assert [(row["instrument"], row["first_ts"]) for row in held] == [
        ("BTCUSDT", "2024-01-01T00:00:00"),
        ("ETHUSDT", "2024-01-03T00:00:00"),
    ]


def test_a_wrong_name_that_is_to_be_kept_does_not_stop_an_update(
    run: Run, backfill: Run, exchange: BoxServer
) -> None:
    """It is told, everything else is brought up to now, and cron hears that a part is lacking."""
    backfill("BTC/USDT", "--start", "2024-01-01", "--end", "2024-01-02", "--data", LAKE)
    (LAKE / "lake.toml").write_text(
        '[[keep]]\nvenue = "binance"\ninstruments = ["NO/SUCH", "ETH/USDT"]\ntimeframes = "1h"\n'
        'start = "2024-01-03"\n[[keep]]\nvenue = "binance"\ninstruments = "NEVER/WAS"\n'
        'timeframes = "1h"\nstart = "2024-01-03"\n',
        encoding="utf-8",
    )

    finished = run("update", "--data", LAKE, "--base-url", exchange.url, "--json")

    assert finished.code == 4
    assert {(row["instrument"], row["state"]) for row in json.loads(finished.out)} == {
        ("BTCUSDT", "completed"),
        ("ETHUSDT", "completed"),
    }
    assert "NO/SUCH" in finished.err
    assert "NEVER/WAS" in finished.err


def test_an_update_that_would_skip_everything_says_so(run: Run, backfill: Run) -> None:
    """Rows of a stand-in never join the venue's; silence would mean that all is well."""
    backfill("BTC/USDT", "--data", LAKE)

    finished = run("update", "--data", LAKE)

    assert finished.code == 2
    assert "--base-url" in finished.err


def test_only_one_update_of_a_lake_runs(run: Run, backfill: Run, exchange: BoxServer) -> None:
    backfill("BTC/USDT", "--data", LAKE)

    with exclusive(LAKE, "update") as alone:
        assert alone
        second = run("update", "--data", LAKE, "--base-url", exchange.url)

    assert second.code == 0
    assert "another update" in second.err


def test_an_output_that_is_closed_early_is_no_traceback(backfill: Run) -> None:
    backfill("BTC/USDT", "--data", LAKE)
    command = [sys.executable, "-m", "lake", "sources", "--all"]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()

    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err
