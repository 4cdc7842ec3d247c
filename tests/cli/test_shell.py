"""lake shell: DuckDB's own command line, prepared, and the init file for any other client."""

from __future__ import annotations

import csv
import io
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pytest

from lake.cli.shell import _guard, _program
from lake.storage.lake import Storage
from tests.cli.conftest import Run, clean_environment
from tests.warehouse.example_lake import make_example_lake
from tests.warehouse.lake_kit import series, write

BTC = "ohlcv('BTCUSDT.BINANCE', '1h')"


@pytest.fixture
def lake() -> Path:
    return make_example_lake(Path("lake"))


def shell(*words: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lake", "shell", *(str(word) for word in words)]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, input=text
    )


def test_it_answers_like_lake_sql(run: Run, lake: Path) -> None:
    """Statements by -c and from stdin; macros, views, analytics and the catalog are there."""
    questions = (
        f"select ts, close from {BTC}",
        "select ts, twap, candles from twap('BTCUSDT.BINANCE', '5m')",
        "select path, rows from partitions order by path",
        "select data_type, venue from catalog.series order by all",
    )
    told = [run("sql", sql, "--data", lake, "--format", "csv").out for sql in questions]

    by_option = shell("--data", lake, "--", "-csv", "-noheader", "-c", "; ".join(questions))
    by_stdin = shell("--data", lake, "--", "-csv", "-noheader", text=";\n".join(questions) + ";")

    assert by_option.returncode == 0, by_option.stderr
    assert by_stdin.stdout == by_option.stdout
    rows = [row for answer in told for row in list(csv.reader(io.StringIO(answer)))[1:]]
    shown = list(csv.reader(io.StringIO(by_option.stdout)))
    assert [len(row) for row in shown] == [len(row) for row in rows]
    assert shown[0] == ["2024-01-01 00:00:00", "100.0"]


def test_a_wrong_name_says_what_is_held(lake: Path) -> None:
    wrong = shell("--data", lake, "--", "-c", "from ohlcv('BTCUSD.BINANCE', '1h')")

    assert wrong.returncode == 1
    assert "BTCUSDT.BINANCE 1h" in wrong.stderr


def test_the_lake_cannot_be_written_where_the_system_can_mount_it_so(lake: Path) -> None:
    """COPY is DuckDB's own and would overwrite whatever its user may."""
    if not _guard(lake.absolute()):
        pytest.skip("no namespaces here: COPY runs with the user's rights, and the shell says so")
    partition = next(lake.rglob("data.parquet"))
    targets = [partition, lake / "catalog.sqlite", lake / "lake.json", lake / "parquet/new.csv"]
    before = [each.read_bytes() for each in targets[:-1]]
    tries = [f"copy (select 1) to '{each.absolute()}';" for each in targets]
    tries += ["delete from catalog.partitions;", "copy (select 1) to 'outside.csv';"]

    refused = shell("--data", lake, "--", text="\n".join(tries))

    assert refused.stderr.count("Error") == len(tries) - 1, refused.stderr
    assert [each.read_bytes() for each in targets[:-1]] == before
    assert not targets[-1].exists()
    assert Path("outside.csv").exists()


def test_it_follows_a_lake_that_another_process_writes(lake: Path) -> None:
    """Read-only for the shell is not read-only for the writer; its commits are seen."""
    with subprocess.Popen(
        [sys.executable, "-m", "lake", "shell", "--data", str(lake), "--", "-csv", "-noheader"],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        count = f"select count(*) from {BTC};\n"
        child.stdin.write(count)
        child.stdin.flush()
        first = child.stdout.readline()
        with Storage.open(lake) as storage:
            write(storage, series(), datetime(2024, 3, 1), 48)
        [refresh] = Path(tempfile.gettempdir()).glob(f"lake-shell-*/refresh-{child.pid}.sql")
        child.stdin.write(f".read {refresh}\n{count}")
        child.stdin.close()
        second = child.stdout.read()

    assert (first, second) == ("5\n", "53\n")


def test_an_init_file_needs_neither_python_nor_home_nor_network(run: Run, lake: Path) -> None:
    assert run("shell", "--init-file", "init.sql", "--data", lake).code == 0
    Path("home").mkdir()
    environment = {"HOME": str(Path("home").absolute()), "HTTPS_PROXY": "http://127.0.0.1:9"}

    done = subprocess.run(
        [_program(), "-init", "init.sql", "-csv", "-noheader", "-c", f"select count(*) from {BTC}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "5\n"
    assert "Error" not in done.stderr
    assert "select" in Path("init.sql").read_text()
    assert run("shell", "--init-file", lake / "init.sql", "--data", lake).code == 2


def test_an_empty_lake_answers_with_empty_tables(run: Run) -> None:
    with Storage.open(Path("empty"), create=True):
        pass

    empty = shell("--data", "empty", "--", "-csv", "-noheader", "-c", "from ohlcv_1m; from jobs")

    assert (empty.returncode, empty.stdout) == (0, "")


def test_queries_of_the_user_are_there_and_a_broken_one_is_named(lake: Path) -> None:
    (lake / "queries").mkdir()
    (lake / "queries" / "a_good.sql").write_text("create view mine as select 7 as n;\n")
    (lake / "queries" / "b_bad.sql").write_text("select 1;\n\ncreate view x as\nselect 1 as;\n")

    answer = shell("--data", lake, "--", "-csv", "-noheader", "-c", "from mine")

    assert answer.stdout == "7\n"
    assert "b_bad.sql, line 4: Parser Error" in answer.stderr


def test_it_is_interactive_on_a_terminal(lake: Path) -> None:
    """A person sees where they are, types, and leaves."""
    ours, theirs = pty.openpty()
    environment = {**clean_environment(), "HOME": str(Path.cwd()), "TERM": "dumb"}
    child = subprocess.Popen(
        [sys.executable, "-m", "lake", "shell", "--data", str(lake)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    # What is typed once what stands before it has been shown. The first is a terminal's answer.
    typing = [
        (b"\x1b[c", b"\x1b]11;rgb:0000/0000/0000\x07\x1b[?1;0c"),
        (b" D ", b"select 6 * 7 as answer;\n"),
        (b"42", b".exit\n"),
    ]
    shown, deadline = b"", time.monotonic() + 30
    try:
        while time.monotonic() < deadline and child.poll() is None:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 65_536)
                except OSError:
                    break  # the other end is closed
            if typing and typing[0][0] in shown:
                os.write(ours, typing.pop(0)[1])
        assert child.wait(timeout=5) == 0
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        os.close(ours)

    assert f"lake at {lake.absolute()}" in shown.decode(errors="replace")
    assert typing == []


def test_without_the_command_line_of_duckdb_it_says_what_to_install(
    lake: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is optional; another version of the program would not load the extension."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)

    refused = run("shell", "--data", lake)

    assert refused.code == 2
    assert "pip install duckdb-cli==" in refused.err
