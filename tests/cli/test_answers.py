"""What `lake sql` takes in and gives out, and how tables fit a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from lake.cli.output import Digits, Row, table_lines
from tests.cli.conftest import Run, clean_environment

LAKE = Path("lake")


@pytest.fixture(autouse=True)
def _lake(run: Run) -> None:
    assert run("generate", "--data", LAKE, "--days", 1, "-p", "BTC/USDT", "-t", "1h").code == 0


def test_a_dash_reads_the_sql_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 42 as answer"))

    answer = run("sql", "-", "--data", LAKE, "--json")

    assert json.loads(answer.out) == [{"answer": 42}]


def test_an_option_that_does_not_exist_is_no_sql(run: Run) -> None:
    wrong = run("sql", "--nope", "--data", LAKE)
    comment = run("sql", "-- a comment\nselect 42", "--data", LAKE)

    assert wrong.code == 2
    assert "Unknown option: --nope" in wrong.err
    assert comment.out.split()[-1] == "42"


NESTED = (
    "select [1, 2] as list, {'a': 'nan'::double} as struct, map {'k': 1} as map, "
    "interval 3 days as span, '\\xAA'::blob as bytes, null::int[] as nothing, 'x' as word"
)


def test_types_that_csv_lacks_are_json_text(run: Run) -> None:
    printed = run("sql", NESTED, "--data", LAKE, "--format", "csv")
    written = run("sql", NESTED, "--data", LAKE, "--output", "answer.csv")

    [row] = csv.DictReader(io.StringIO(printed.out))
    assert row == {
        "list": "[1, 2]",
        "struct": '{"a": null}',
        "map": '[["k", 1]]',
        "span": "3 days",
        "bytes": "\\xaa",
        "nothing": "",
        "word": "x",
    }
    assert written.code == 0
    assert Path("answer.csv").read_text(encoding="utf-8") == printed.out


def test_a_type_that_parquet_lacks_is_a_clear_refusal(run: Run) -> None:
    finished = run("sql", NESTED, "--data", LAKE, "--output", "answer.parquet")

    assert finished.code == 2
    assert "Cast the column" in finished.err
    assert not Path("answer.parquet").exists()


def test_json_holds_no_nan_and_no_infinity(run: Run) -> None:
    question = "select 'nan'::double as a, '-inf'::float as b, ['inf'::double] as c, sum(12) as d"

    answer = run("sql", question, "--data", LAKE, "--format", "json")

    assert json.loads(answer.out) == [{"a": None, "b": None, "c": [None], "d": 12}]


def test_integers_of_sql_are_printed_as_they_are(run: Run) -> None:
    """They may be years, ids or prices; only counts of our own tables are grouped."""
    answer = run("sql", "select 2024 as year, 12345678.25 as price", "--data", LAKE)

    assert answer.out.split() == ["year", "price", "2024", "12345678.25"]


MOMENTS = (
    "select 'infinity'::timestamp as a, '-infinity'::date as b, '12000-01-01'::timestamp as c, "
    "['infinity'::timestamp] as d, '2024-01-01'::timestamp as e"
)


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_moments_that_python_does_not_know_are_text(run: Run, form: str) -> None:
    answer = run("sql", MOMENTS, "--data", LAKE, "--format", form)

    assert answer.code == 0, answer.err
    for word in ("infinity", "-infinity", "12000-01-01", "2024-01-01"):
        assert word in answer.out


def test_columns_of_one_name_are_all_there(run: Run) -> None:
    answer = run("sql", "select 1 as a, 2 as a", "--data", LAKE, "--json")

    assert json.loads(answer.out) == [{"a": 1, "a_1": 2}]


def test_an_answer_is_not_written_over_the_lake(run: Run, tmp_path: Path) -> None:
    """Neither by a path into it nor through a link; a hard link's other end stays as it was."""
    partition = next(LAKE.rglob("data.parquet"))
    before = partition.read_bytes()
    Path("link.parquet").symlink_to(partition.absolute())
    os.link(partition, "hard.parquet")

    direct = run("sql", "select 1", "--data", LAKE, "--output", partition)
    linked = run("sql", "select 1", "--data", LAKE, "--output", "link.parquet")
    beside = run("sql", "select 1", "--data", LAKE, "--output", LAKE / "x.csv")
    hard = run("sql", "select 1", "--data", LAKE, "--output", "hard.parquet")

    assert (direct.code, linked.code, beside.code, hard.code) == (2, 2, 2, 0)
    assert "must not overwrite" in linked.err
    assert partition.read_bytes() == before


def test_a_failed_write_leaves_what_was_there(run: Run) -> None:
    Path("answer.parquet").write_bytes(b"before")

    assert run("sql", NESTED, "--data", LAKE, "--output", "answer.parquet").code == 2
    assert Path("answer.parquet").read_bytes() == b"before"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".answer")] == []


def test_a_question_without_end_is_stopped(run: Run) -> None:
    endless = "select sum(a.range * b.range) from range(1000000) a, range(1000000) b"

    stopped = run("sql", endless, "--data", LAKE, "--timeout", "0.3")

    assert stopped.code == 2
    assert "stopped after 0.3 s" in stopped.err


GAP: Row = {
    "venue": "BINANCE",
    "instrument": "BTCUSDT",
    "gap_start": datetime(2024, 1, 3, 4),
    "missing_count": 1_500,
    "reason": "venue_outage",
    "evidence": "ccxt answer of 2024-01-04, later answers reach past it; absent from all held",
}


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("timestamp '2024-01-03T23:00' - timestamp '2024-01-01'", "2 days 23:00:00"),
        ("timestamp '2024-01-01' - timestamp '2024-01-01T00:00:01.5'", "-00:00:01.5"),
        ("interval 14 month", "14 months"),
        ("interval 0 day", "00:00:00"),
    ],
)
def test_an_interval_is_text_of_one_form(run: Run, sql: str, text: str) -> None:
    table = run("sql", f"select {sql} as span", "--data", LAKE).out
    told = json.loads(run("sql", f"select {sql} as span", "--data", LAKE, "--json").out)
    [row] = csv.DictReader(
        io.StringIO(run("sql", f"select {sql} as span", "--data", LAKE, "--format", "csv").out)
    )

    assert table.splitlines()[1].strip() == text
    assert told == [{"span": text}]
    assert row["span"] == text


def test_a_table_too_wide_for_the_terminal_goes_on_in_a_second_line() -> None:
    """A date that breaks in the middle can neither be read nor copied."""
    shown = list(table_lines([GAP], width=60))

    assert shown == [
        "venue    instrument  gap_start         missing_count",
        "    reason",
        "    evidence",
        "BINANCE  BTCUSDT     2024-01-03T04:00          1,500",
        "    venue_outage",
        "    ccxt answer of 2024-01-04, later answers reach past it\N{HORIZONTAL ELLIPSIS}",
    ]


@pytest.mark.parametrize("width", [1, 10, 33, 80, 200])
def test_no_value_is_broken_at_any_width(width: int) -> None:
    words = " ".join(table_lines([GAP], width=width, digits=Digits.PLAIN)).split()

    assert {"BINANCE", "BTCUSDT", "2024-01-03T04:00", "1500", "venue_outage"} <= set(words)


def test_a_pipe_gets_one_line_a_row_and_a_terminal_what_fits() -> None:
    command = [sys.executable, "-m", "lake", "status", "--data", str(LAKE)]
    environment = {**clean_environment(), "COLUMNS": "80"}
    piped = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    terminal, other_end = pty.openpty()
    subprocess.run(command, env=environment, stdout=other_end, check=True)
    os.close(other_end)
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)

    # The first line names the lake's folder, which is as long as it is.
    assert len(piped.stdout.splitlines()) == 3
    assert all(len(line) <= 80 for line in shown.splitlines()[1:])
    assert len(shown.splitlines()) == 5
