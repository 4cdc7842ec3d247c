"""A small synthetic market, an exchange over it, and the command line as users call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lake.cli import main
from tests.box import BoxServer

REPOSITORY = Path(__file__).resolve().parents[2]
GENERATE = (
    "generate --data market --seed 7 --start 2024-01-01 --end 2024-01-04"
    " --outage 2024-01-03T03:10..2024-01-03T05:40 --listed SOL/USDT=2024-01-02T09:00"
)
NOW = "2024-01-04T01:00"


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


Run = Callable[..., Finished]


def clean_environment() -> dict[str, str]:
    """The variables without any setting of the lake's or of a proxy."""
    dropped = ("LAKE_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in an empty folder, so that no lake of the developer is found by chance."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("LAKE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process: ``run("status", "--data", folder)``."""

    def run_one(*words: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, said.out, said.err)

    return run_one


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of BTC, ETH and SOL with an outage and a late listing."""
    folder = tmp_path_factory.mktemp("market")
    command = [sys.executable, "-m", "lake", *GENERATE.split()]
    subprocess.run(command, cwd=folder, env=clean_environment(), check=True, capture_output=True)
    return folder / "market"


@pytest.fixture(scope="session")
def exchange(market: Path) -> Iterator[BoxServer]:
    """The market as an exchange whose candles have all settled."""
    with BoxServer(market, clock_start=NOW) as box:
        yield box


@pytest.fixture
def backfill(run: Run, exchange: BoxServer) -> Run:
    """``backfill("BTC/USDT", ...)``: from the exchange, by default all three days of 1h."""

    def fetch(*words: object) -> Finished:
        given = [str(word) for word in words]
        if "--start" not in given and "--timerange" not in given:
            given += ["--start", "2024-01-01", "--end", "2024-01-04"]
        if "--timeframe" not in given:
            given += ["--timeframe", "1h"]
        return run("backfill", "binance", *given, "--base-url", exchange.url)

    return fetch
