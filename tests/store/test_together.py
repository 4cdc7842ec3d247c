"""A writer, an engine and a DuckDB shell at one lake: no error, nothing lost, each read whole."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lake.store import HistoricalDataStore
from tests.store.writer import SERIES, START, STEP

HERE = Path(__file__).parent
BTC = SERIES[0]


def begin(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def ask(root: Path, writer: subprocess.Popen[str]) -> tuple[int, int]:
    """Ask all kinds of questions while the writer lives: how many, and the newest candle seen."""
    asked = newest = 0
    async with HistoricalDataStore(root) as store:
        while writer.poll() is None:
            told = await store.get_ohlcv_data(BTC.instrument_id, timeframe="1m", limit=50)
            closes = told["close"].to_list()
            assert closes == [float(each) for each in range(int(closes[0]), int(closes[-1]) + 1)]
            assert told["ts"][-1] == START + (int(closes[-1]) - 1) * STEP
            # A file is a moment ahead of the catalog while its commit goes on.
            assert closes[-1] >= newest - 1, "what was seen once is not unseen"
            newest = int(closes[-1])

            whole = await store.read_range(BTC)
            # Files are read one after the other: a month's end may be newer than the one before.
            assert whole["close"].to_list() == [float(each + 1) for each in range(whole.height)]
            newest = max(newest, whole.height)

            counted = await asyncio.to_thread(
                store.sql, "select count(*) as n, max(close) as last from ohlcv_1m"
            )
            assert counted["n"][0] <= 2 * (newest + 1_000)
            asked += 1
    return asked, newest


def together(root: Path, seconds: float) -> tuple[int, int]:
    """How often the engine asked, and how many candles were written."""
    writer = begin("writer.py", str(root), str(seconds))
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n", writer.communicate()[1]
    shell = begin("shell.py", str(root))
    try:
        asked, newest = asyncio.run(ask(root, writer))
        out, errors = writer.communicate()
        assert writer.returncode == 0, errors
        written = int(out)
        assert shell.poll() is None, shell.communicate()[1]
    finally:
        shell.kill()
        answers, _ = shell.communicate()
    assert newest <= written
    for line in answers.splitlines()[:-1]:
        for answer in line.split():
            count, last = answer.split(":")
            assert count == last, "an answer that is no committed state"

    async def look() -> None:
        async with HistoricalDataStore(root) as store:
            for each in SERIES:
                assert store.read(each).height == written, "an acknowledged commit is lost"

    asyncio.run(look())
    return asked, written


def test_a_writer_an_engine_and_a_shell(tmp_path: Path) -> None:
    asked, written = together(tmp_path / "data", 4)

    # How often is the machine's affair.
    assert asked > 0
    assert written > 0


@pytest.mark.torture
def test_a_writer_an_engine_and_a_shell_for_a_minute(tmp_path: Path) -> None:
    asked, written = together(tmp_path / "data", 60)

    assert asked > 60
    assert written > 300
