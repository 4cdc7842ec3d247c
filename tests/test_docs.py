"""The documentation is true: README commands run and print what it says, targets are explained."""

from __future__ import annotations

import os
import re
import resource
import shlex
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from lake.cli import app
from lake.config import load

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Example:
    command: str
    expected: str


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def examples() -> list[Example]:
    """The commands of the README's console blocks, in order, with what they print."""
    found: list[Example] = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            found.append(Example(command.strip(), expected))
    return found


def masked(text: str) -> str:
    """*text* without what differs between machines: durations, file sizes, the lake's folder."""
    text = re.sub(r"\b\d+(\.\d)? s\b", "N s", text)
    text = re.sub(r"\b[\d.]+ (bytes|kB|MB)\b", "N kB", text)
    # A window is asked again where a busy machine answers late.
    text = re.sub(r", \d+ requests?$", ", N requests", text, flags=re.MULTILINE)
    text = re.sub(r"(lake at )\S+(: )", r"\1DATA\2", text)
    # The last column of status: bytes.
    text = re.sub(r"^(BINANCE .* )[ ]*[\d,]+$", r"\1N", text, flags=re.MULTILINE)
    return re.sub(r" +", " ", text)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAKE_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def words_of(command: str, port: int) -> list[str]:
    words = shlex.split(command.replace(URL, f"http://127.0.0.1:{port}").removesuffix("&"))
    assert words[0] == "lake"
    chosen = [str(port) if word == "8080" else word for word in words[1:]]
    return [sys.executable, "-m", "lake", *chosen]


def test_the_commands_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    """The golden samples of backfill, status and gaps: one text in README and tests."""
    port = free_port()
    server: subprocess.Popen[str] | None = None
    try:
        for example in examples():
            command = words_of(example.command, port)
            if example.command.endswith("&"):
                server = subprocess.Popen(
                    command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
                )
                assert server.stdout is not None
                printed = server.stdout.readline().replace(str(port), "8080")
            else:
                done = subprocess.run(
                    command,
                    cwd=tmp_path,
                    env=environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                printed = done.stdout

            assert masked(printed).strip() == masked(example.expected).strip(), example.command
    finally:
        if server is not None:
            server.terminate()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


def test_the_examples_of_the_readme_never_write_into_a_users_lake() -> None:
    """Who pastes them has a lake of real rows in data/, perhaps, or means to."""
    named = [re.search(r"--data (\S+)", example.command) for example in examples()]

    assert [found and found[1] for found in named[:2]] == ["market", "market"]
    assert {found and found[1] for found in named[2:]} == {"box"}


def test_the_settings_of_the_readme_are_settings(tmp_path: Path) -> None:
    [text] = blocks("toml")
    (tmp_path / "lake.toml").write_text(text, encoding="utf-8")

    settings = load(tmp_path, environment={}, flags={})

    assert settings.rate_share == tomllib.loads(text)["rate_share"]
    assert settings.keep[0].instruments == ("BTC/USDT", "ETH/USDT")


def test_every_command_is_in_the_readme() -> None:
    names = [name for name in app if not name.startswith("-")]
    aliases = {"download-data", "list-data"}

    assert names
    assert [name for name in names if f"lake {name}" not in README and name not in aliases] == []


def targets() -> list[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return re.findall(r"^([a-z]+):", makefile, re.MULTILINE)


def test_make_alone_explains_every_target() -> None:
    names = "help setup demo backfill update check sql test lint ci bench torture clean"
    wanted = names.split(" ")

    shown = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert targets() == wanted
    assert [name for name in wanted if f"\n  {name} " not in shown] == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            ["START=2024-01-01"],
            "backfill 'binance' 'BTC/USDT' 'ETH/USDT' --timeframe '1h' --start '2024-01-01'",
        ),
        (
            ["VENUE=okx", "INSTRUMENTS=*USDT-PERP", "TIMEFRAME=1m,1h", "DAYS=7", "DATA=/srv/a b"],
            "backfill 'okx' '*USDT-PERP' --timeframe '1m,1h' --days '7' --data '/srv/a b'",
        ),
        (
            ["START=2024-01-01", "END=2024-02-01"],
            "backfill 'binance' 'BTC/USDT' 'ETH/USDT' --timeframe '1h' "
            "--start '2024-01-01' --end '2024-02-01'",
        ),
        ([], "backfill 'binance' 'BTC/USDT' 'ETH/USDT' --timeframe '1h' --days 30"),
        (
            ["TYPE=trades", "START=2024-01-01", "DAYS=2"],
            "backfill 'binance' 'BTC/USDT' 'ETH/USDT' --type 'trades' "
            "--start '2024-01-01' --days '2'",
        ),
        (
            ["TYPE=orderbook", "EVERY=10s", "FOR=1h", "DEPTH=50"],
            "backfill 'binance' 'BTC/USDT' 'ETH/USDT' --type 'orderbook' "
            "--every '10s' --for '1h' --depth '50'",
        ),
    ],
)
def test_make_backfill_passes_its_variables_on(variables: list[str], expected: str) -> None:
    # `make test ARGS=...` hands its own variables down.
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    environment.pop("ARGS", None)

    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "backfill", *variables],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert " ".join(shown.splitlines()[-1].split()).removeprefix(
        ".venv/bin/python -m lake "
    ) == " ".join(expected.split())


def test_make_clean_never_touches_a_lake(tmp_path: Path) -> None:
    """The demo's lakes lie below build/, a user's below data/."""
    (tmp_path / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    lakes = [tmp_path / "data", tmp_path / "build/demo/lake", tmp_path / "build/demo/market"]
    for lake in lakes:
        lake.mkdir(parents=True)
        (lake / "lake.json").touch()
    for name in ("lake", "tests", ".mypy_cache"):
        (tmp_path / name).mkdir()

    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)

    assert all((lake / "lake.json").exists() for lake in lakes)
    assert not (tmp_path / ".mypy_cache").exists()


def test_help_is_printed_at_once() -> None:
    """Under 0.25 s on an idle machine: what it takes of a processor others cannot slow down."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "lake", "--help"],
            env=environment(),
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(times) < 0.5
