"""`lake clean`, `lake drop` and `lake migrate`: what goes is said before, and asked."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from lake import Lake
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV, RowSpec
from lake.domain.timeframe import TimeFrame
from lake.storage.doctor import examine
from lake.storage.footer import Footer
from lake.storage.lake import Storage
from lake.storage.reconcile import roll_forward
from lake.storage.writing import PartitionWriter
from tests.cli.conftest import Run, clean_environment
from tests.warehouse.lake_kit import candles, hour, series, write

BTC = series()
DECEMBER, JANUARY = Partition(BTC, 2023, 12), Partition(BTC, 2024, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two instruments with an hour a row, from December 2023 to January 2024."""
    with Storage.open(tmp_path / "lake", create=True) as storage:
        for name in ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE"):
            write(storage, series(name), datetime(2023, 12, 30), 24 * 10)
        write(storage, series("BTCUSDT.BINANCE", "1d"), datetime(2023, 12, 30), 10)
    return tmp_path / "lake"


def held(run: Run, lake: Path) -> dict[str, int]:
    rows = json.loads(run("status", "--json", "--data", lake).out)
    return {f"{row['instrument']} {row['timeframe']}": row["rows"] for row in rows}


def days_since(moment: datetime) -> str:
    return str((datetime.now() - moment).days - 1)  # noqa: DTZ005 - a day more or less


def test_what_would_go_is_shown_and_stays(run: Run, lake: Path) -> None:
    before = held(run, lake)
    days = days_since(datetime(2024, 1, 2))

    shown = run(
        *("clean", "--days-to-keep", days, "--type", "ohlcv", "--timeframe", "1h"),
        *("--dry-run", "--json", "--data", lake),
    )
    asked = run("clean", "--days-to-keep", days, "--type", "ohlcv", "--data", lake)

    rows = json.loads(shown.out)
    assert [(row["instrument"], row["rows"], row["files"]) for row in rows] == [
        ("BTCUSDT", 48, 1),
        ("ETHUSDT", 48, 1),
    ]
    assert rows[0]["first_ts"] == "2023-12-30T00:00:00"
    assert rows[0]["last_ts"] == "2023-12-31T23:00:00"
    assert rows[0]["kept_from"] == "2024-01-01T00:00:00"
    assert asked.code == 2
    assert "nobody is there to ask. Nothing was changed." in asked.err
    assert held(run, lake) == before


def test_old_files_go_for_good(run: Run, lake: Path) -> None:
    days = days_since(datetime(2024, 1, 2))

    done = run(
        *("clean", "--days-to-keep", days, "--type", "ohlcv", "--timeframe", "1h"),
        *("--instrument", "BTCUSDT.BINANCE", "--yes", "--data", lake),
    )
    again = run("clean", "--days-to-keep", days, "--type", "trades,ohlcv", "-t", "1h",
                "-p", "BTCUSDT", "--data", lake)  # fmt: skip
    gaps = json.loads(run("gaps", "--reason", "expired", "--json", "--data", lake).out)

    assert done.code == 0
    assert "48 rows of 1 series taken out" in done.out
    assert "nothing is older than" in again.out
    assert held(run, lake)["BTCUSDT 1h"] == 192
    assert held(run, lake)["ETHUSDT 1h"] == 240
    assert {gap["gap_end"] for gap in gaps} <= {"2024-01-01T00:00:00"}
    assert run("doctor", "--deep", "--data", lake).code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["clean", "--days-to-keep", "30"], "--type"),
        (["clean", "--type", "ohlcv"], "--days-to-keep"),
        (["clean", "--days-to-keep", "0", "--type", "ohlcv"], "from 1 to 40,000"),
        (["clean", "--days-to-keep", "nan", "--type", "ohlcv"], "from 1 to 40,000"),
        (["clean", "--days-to-keep", "9", "--type", "quotes"], "is not built yet"),
        (["clean", "--days-to-keep", "9", "--type", "ohlcv", "-p", "DOGE"], "fits 'DOGE'"),
        (["drop"], "SERIES"),
        (["drop", "DOGEUSDT.BINANCE"], "fits 'DOGEUSDT.BINANCE'"),
        (["drop", "BTCUSDT", "--type", "trades"], "fits these filters"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, lake: Path, words: list[str], told: str) -> None:
    before = held(run, lake)

    refused = run(*words, "--yes", "--data", lake)

    assert refused.code == 2
    assert told in refused.err
    assert held(run, lake) == before


def test_a_series_is_dropped_alone(run: Run, lake: Path) -> None:
    dropped = run("drop", "btcusdt", "--timeframe", "1d", "--yes", "--json", "--data", lake)

    [row] = json.loads(dropped.out)
    assert (row["timeframe"], row["rows"], row["kept_from"]) == ("1d", 10, None)
    assert held(run, lake) == {"BTCUSDT 1h": 240, "ETHUSDT 1h": 240}


def test_one_word_that_fits_nothing_drops_nothing(run: Run, lake: Path) -> None:
    refused = run("drop", "BTCUSDT", "DOGEUSDT", "--yes", "--data", lake)

    assert refused.code == 2
    assert len(held(run, lake)) == 3


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 2), ("\n", 2, 3)])
def test_on_a_terminal_the_answer_decides(
    run: Run, lake: Path, answer: str, code: int, left: int
) -> None:
    ours, theirs = pty.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "lake", "drop", "ETHUSDT", "--data", str(lake)],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )
        os.write(ours, answer.encode())
        _, said = child.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)

    assert child.returncode == code
    assert "240 rows of 1 series in 2 files" in said
    assert "Go on? [y/N]" in said
    assert len(held(run, lake)) == left


OLD = RowSpec(DataType.OHLCV, pa.schema([OHLCV.schema.field(at) for at in range(8)]), ("ts",), 0)
SOL = Series(DataType.OHLCV, InstrumentId("SOLUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)


def write_old(storage: Storage) -> None:
    """January of SOLUSDT as a version before taker volumes would have written it."""
    partition = Partition(SOL, 2024, 1)
    path = storage.parquet / partition.path
    path.parent.mkdir(parents=True)
    rows = candles([hour(number) for number in range(24)]).select(OLD.schema.names)
    footer = Footer(
        lake_id=storage.lake_id,
        series=SOL,
        schema_version=0,
        generation=1,
        commit_id="old",
        job_id="",
        token=0,
        rows=24,
        min_ts=hour(0),
        max_ts=hour(23),
        source=SourceTag("test", 50),
        origin="venue",
        variant=None,
        written_at=hour(0),
        stored=24,
        progress=None,
        claims=(),
        coverage=(),
    )
    with PartitionWriter(path, OLD) as writer:
        writer.append(rows.cast(OLD.schema))
        writer.finish(footer)
    assert roll_forward(storage, partition)


def read_every_way(run: Run, lake: Path) -> list[object]:
    with Lake(lake) as opened:
        eager = opened.ohlcv("SOLUSDT.BINANCE", "1h", on_gap="ignore")
        panel = opened.ohlcv("*", "1h", columns=["close", "taker_buy_volume"], on_gap="ignore")
        lazy = opened.scan_ohlcv("SOLUSDT.BINANCE", "1h", on_gap="ignore").collect()
        views = opened.sql("select * from ohlcv_1h where instrument = 'SOLUSDT' order by ts")
        macro = opened.sql("from ohlcv('SOLUSDT.BINANCE', '1h') order by ts")
        mixed = opened.sql("from ohlcv(['SOLUSDT', 'BTCUSDT'], '1h') order by instrument, ts")
    wide = run(
        *("sql", "select count(*), count(taker_buy_volume), sum(close) from ohlcv_all"),
        *("--locked", "--json", "--data", lake),
    )
    with Storage.open(lake) as storage:
        whole = storage.read_partition(Partition(SOL, 2024, 1))
        assert whole is not None
    assert eager.equals(lazy)
    assert eager["close"].to_list() == [float(number) for number in range(1, 25)]
    assert eager["taker_buy_volume"].null_count() == 24
    assert whole.schema.names == eager.columns == OHLCV.schema.names
    assert panel.height == 504
    assert views.select(eager.columns).equals(eager)
    assert macro.select(eager.columns).equals(eager)
    assert mixed.height == 264
    assert mixed.filter(mixed["instrument"] == "SOLUSDT").select(eager.columns).equals(eager)
    return [eager.to_dicts(), panel.to_dicts(), json.loads(wide.out)]


def test_files_of_an_older_schema_read_right_and_are_rewritten(run: Run, lake: Path) -> None:
    with Storage.open(lake) as storage:
        write_old(storage)
        before = storage.catalog.coverage(SOL)
    read = read_every_way(run, lake)
    exported = run("export", "SOLUSDT", "--format", "csv", "--output", "old.csv", "--data", lake)

    shown = json.loads(run("migrate", "--dry-run", "--json", "--data", lake).out)
    asked = run("migrate", "--data", lake)
    done = run("migrate", "--yes", "--data", lake)
    again = run("migrate", "--data", lake)
    run("export", "SOLUSDT", "--format", "csv", "--output", "new.csv", "--data", lake)

    assert exported.code == 0
    [row] = shown
    assert (row["instrument"], row["files"], row["rows"]) == ("SOLUSDT", 1, 24)
    assert row["schema_versions"] == "0"
    assert asked.code == 2
    assert done.out.endswith("of 1 series written anew\n")
    assert again.out == "nothing to do: every file has the current schema\n"
    assert read_every_way(run, lake) == read
    assert Path("new.csv").read_bytes() == Path("old.csv").read_bytes()
    with Storage.open(lake) as storage:
        info = storage.catalog.partition(Partition(SOL, 2024, 1))
        assert info is not None
        assert (info.schema_version, info.generation, info.rows) == (OHLCV.version, 2, 24)
        assert storage.catalog.coverage(SOL) == before
        assert storage.database.read("select * from revisions") == []
        assert examine(storage, deep=True) == []


@pytest.mark.parametrize("point", ["temporary.grown", "publish.renamed", "publish.recorded"])
def test_a_migration_that_was_killed_goes_on(run: Run, lake: Path, point: str) -> None:
    with Storage.open(lake) as storage:
        write_old(storage)

    killed = subprocess.run(
        [sys.executable, "-m", "lake", "migrate", "--yes", "--data", str(lake)],
        env={**clean_environment(), "LAKE_TEST_KILL_AT": point},
        capture_output=True,
        check=False,
    )
    read_every_way(run, lake)
    again = run("migrate", "--yes", "--data", lake)

    assert killed.returncode == -9
    assert again.code == 0
    assert run("migrate", "--data", lake).out.startswith("nothing to do")
    assert run("doctor", "--deep", "--data", lake).out.endswith("files and catalog agree\n")
    read_every_way(run, lake)


def test_a_lake_without_old_files_is_left_alone(run: Run, lake: Path) -> None:
    shown = run("migrate", "--json", "--yes", "--data", lake)

    assert shown.code == 0
    assert json.loads(shown.out) == []


def test_what_the_disk_holds_is_told_by_series(run: Run, lake: Path) -> None:
    rows = json.loads(run("status", "--disk", "--json", "--data", lake).out)
    table = run("status", "--disk", "--data", lake).out

    btc = rows[0]
    sizes = [
        path.stat().st_size
        for path in (lake / "parquet").rglob("*BTCUSDT/timeframe=1h/**/*.parquet")
    ]
    assert (btc["instrument"], btc["timeframe"], btc["rows"], btc["files"]) == (
        "BTCUSDT",
        "1h",
        240,
        2,
    )
    assert btc["bytes"] == sum(sizes)
    assert btc["bytes_per_row"] == round(btc["bytes"] / 240, 2)
    assert btc["reduction"] == round(1 - btc["bytes"] / btc["csv_bytes"], 4)
    assert "parquet/" in table
    assert "(room left)" in table
