"""One partition, read by the libraries of another environment: the rows that we stored.

Name that environment's interpreter in LAKE_TEST_INTEROP; it needs any of ``pandas pyarrow polars
duckdb>=2 pyspark>=4`` (Spark wants Java). Without it only our own libraries are asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.interop.foreign import READERS

SCRIPT = Path(__file__).with_name("foreign.py")
SERIES = Series(DataType.OHLCV, InstrumentId.from_str("BTCUSDT.BINANCE"), TimeFrame.MINUTE_1)


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[object]]]:
    """A file of two days of minutes, and its rows as our own reader gives them."""
    root = tmp_path_factory.mktemp("interop") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        start, end = datetime(2024, 1, 1), datetime(2024, 1, 3)
        timeframes = (TimeFrame.MINUTE_1,)
        generate(
            storage, seed=1, start=start, end=end, instruments=("BTC/USDT",), timeframes=timeframes
        )
        [info] = storage.catalog.partitions(SERIES)
        table = storage.read_partition(info.partition)
    assert table is not None
    rows = [[each["ts"].isoformat(), each["close"], each["volume"]] for each in table.to_pylist()]
    return root / "parquet" / info.partition.path, rows


def told(python: str, reader: str, path: Path) -> dict[str, object]:
    # Spark reads a time without a zone in that of the machine.
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(
        [python, str(SCRIPT), reader, str(path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("reader", ["pyarrow", "polars", "duckdb"])
def test_our_own_libraries_read_the_file_without_us(
    partition: tuple[Path, list[list[object]]], reader: str
) -> None:
    """By its path alone, and without a word from the catalog."""
    path, rows = partition

    assert told(sys.executable, reader, path)["rows"] == rows


@pytest.mark.parametrize("reader", list(READERS))
def test_another_environment_reads_the_same_rows(
    partition: tuple[Path, list[list[object]]], reader: str
) -> None:
    """pandas, pyarrow, polars, DuckDB 2 and Spark 4, where they are at hand."""
    python = os.environ.get("LAKE_TEST_INTEROP")
    if python is None:
        pytest.skip("LAKE_TEST_INTEROP names no interpreter of another environment")
    package = {"spark": "pyspark"}.get(reader, reader)
    found = subprocess.run([python, "-c", f"import {package}"], capture_output=True)
    if found.returncode:
        pytest.skip(f"{package} is not installed there")
    path, rows = partition

    answer = told(python, reader, path)

    assert answer["rows"] == rows
    print(f"{package} {answer['version']}: {len(rows)} rows equal")
