"""Readers while what they read is replaced: no error, and each answer a committed state."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from replacer import MONTHS, ROWS, WHAT

from lake.domain.partitions import Partition
from lake.errors import StorageError
from lake.research import Lake
from lake.storage.lake import Storage
from lake.warehouse import Warehouse
from lake.warehouse.failures import may_pass
from tests.warehouse.lake_kit import series, write

# Prices of each month: one price a month, whichever commit it is of.
Answer = list[tuple[int, int, float, float]]
NAME = str(WHAT.instrument_id)
SQL = (
    "select month(ts) as month, count(*) as n, min(close) as low, max(open) as top "
    "from {source} group by all order by month"
)


@pytest.fixture(params=[5.0, 60.0], ids=["5 a second", "as fast as it goes"])
def replaced(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A lake that another process rewrites all the time."""
    root = tmp_path / "data"
    replacer = Path(__file__).with_name("replacer.py")
    process = subprocess.Popen(
        [sys.executable, str(replacer), str(root), str(request.param)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield root
    assert process.poll() is None, "the writer must outlive the readers"
    process.kill()
    process.communicate()


def summed(frame: pl.DataFrame) -> Answer:
    return (
        frame.group_by(pl.col("ts").dt.month().cast(pl.Int64).alias("month"))
        .agg(
            pl.len().alias("n"),
            pl.col("close").min().alias("low"),
            pl.col("open").max().alias("top"),
        )
        .sort("month")
        .rows()
    )


def by_our_read(lake: Lake) -> Callable[[], Answer]:
    return lambda: summed(lake.ohlcv(NAME, "1h", on_gap="ignore", columns=["ts", "close", "open"]))


def by_our_scan(lake: Lake) -> Callable[[], Answer]:
    lazy = lake.scan_ohlcv(NAME, "1h", on_gap="ignore")
    return lambda: summed(lazy.select("ts", "close", "open").collect())


def by_our_sql(lake: Lake) -> Callable[[], Answer]:
    return lambda: lake.sql(SQL.format(source="ohlcv_1h")).rows()


def by_polars(root: Path) -> Callable[[], Answer]:
    """Polars as we tell people to use it: one descriptor a file."""
    paths = [root / "parquet" / Partition(WHAT, 2024, month).path for month in MONTHS]

    def read() -> Answer:
        frames = []
        for path in paths:
            with path.open("rb") as file:
                frames.append(pl.read_parquet(file, columns=["ts", "close", "open"]))
        return summed(pl.concat(frames))

    return read


def by_sql(root: Path, source: str) -> Callable[[], Answer]:
    warehouse = Warehouse(root)
    sql = SQL.format(source=source)
    return lambda: warehouse.query(sql).rows()


# In a process that never has the lake open, and in one that has.
OUTSIDE: dict[str, Callable[[Path], Callable[[], Answer]]] = {
    "polars": by_polars,
    "sql view": lambda root: by_sql(root, "ohlcv_1h"),
    "sql macro": lambda root: by_sql(root, "ohlcv('BTCUSDT.BINANCE', '1h')"),
}
INSIDE: dict[str, Callable[[Lake], Callable[[], Answer]]] = {
    "read": by_our_read,
    "scan": by_our_scan,
    "sql": by_our_sql,
}


def ask_for(seconds: float, readers: list[Callable[[], Answer]]) -> int:
    """Ask every reader in turn until the time is over; how many different answers there were."""
    seen: set[float] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for ask in readers:
            answer = ask()
            assert [(month, n) for month, n, _, _ in answer] == [(m, ROWS) for m in MONTHS]
            for _, _, low, top in answer:
                assert low == top, "rows of two commits in one file's answer"
                seen.add(low)
    return len(seen)


def test_readers_under_replacement(replaced: Path) -> None:
    assert ask_for(2.0, [make(replaced) for make in OUTSIDE.values()]) > 1


def test_readers_that_have_the_lake_open_under_replacement(replaced: Path) -> None:
    """Each file is opened once, and the list of files comes from the catalog."""
    with Lake(replaced) as lake:
        assert ask_for(2.0, [make(lake) for make in INSIDE.values()]) > 1


def test_a_failure_is_not_believed_before_the_commit_behind_it_can_show(own_root: Path) -> None:
    """The snapshot of the catalog is a second old; three quick tries all fail before it is new."""
    what = series("ETHUSDT.BINANCE")
    path = own_root / "parquet" / Partition(what, 2024, 1).path
    whole = path.read_bytes()
    with (
        Storage.open(own_root) as storage,
        Warehouse(own_root, catalog=storage.snapshot) as warehouse,
    ):
        before = warehouse.query("select count(*) as n from ohlcv_1h")["n"][0]
        path.write_bytes(whole[:1_000])

        def commit() -> None:
            path.write_bytes(whole)
            write(storage, series("BTCUSDT.BINANCE"), datetime(2024, 2, 20), 5)

        later = threading.Timer(0.4, commit)
        later.start()
        after = warehouse.query("select count(*) as n from ohlcv_1h")["n"][0]
        later.join()

    assert after == before + 5


def test_a_file_that_stays_damaged_is_told(own_root: Path) -> None:
    path = own_root / "parquet" / Partition(series("ETHUSDT.BINANCE"), 2024, 1).path
    path.write_bytes(path.read_bytes()[:1_000])

    with Warehouse(own_root) as warehouse, pytest.raises(StorageError, match="lake doctor"):
        warehouse.query("select count(*) from ohlcv_1h")


@pytest.mark.torture
def test_readers_under_replacement_for_a_minute(replaced: Path) -> None:
    assert ask_for(60, [make(replaced) for make in OUTSIDE.values()]) > 50


@pytest.mark.torture
def test_readers_that_have_the_lake_open_for_a_minute(replaced: Path) -> None:
    with Lake(replaced) as lake:
        assert ask_for(60, [make(lake) for make in INSIDE.values()]) > 50


@pytest.mark.parametrize(
    "sql", ["set lock_configuration = false", "select strptime('noon', '%H:%M')"]
)
def test_what_is_wrong_with_the_statement_is_not_waited_for(tmp_path: Path, sql: str) -> None:
    """DuckDB calls it what it calls a torn file, but no commit will mend it."""
    Storage.open(tmp_path / "data", create=True).close()
    with (
        Warehouse(tmp_path / "data") as warehouse,
        pytest.raises(duckdb.InvalidInputException) as caught,
    ):
        warehouse.connection.execute(sql).fetchall()

    assert not may_pass(caught.value)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_torn_file_is_waited_for(tmp_path: Path, kept: float) -> None:
    with Storage.open(tmp_path / "data", create=True) as storage:
        write(storage, WHAT, datetime(2024, 1, 1), 10)
    [path] = (tmp_path / "data").rglob("data.parquet")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])

    with pytest.raises(duckdb.Error) as caught:
        duckdb.sql(f"from read_parquet('{path}')").fetchall()

    assert may_pass(caught.value)
