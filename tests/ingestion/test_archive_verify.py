"""Files that a vendor publishes again: noticed by their checksums, taken in by replacing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import NOW, lines, zip_of

from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Backfill
from lake.ingestion.archive_verify import Mended, Standing, mend, verify
from lake.ingestion.imports import import_files
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import series

START, END = datetime(2023, 12, 1), datetime(2024, 1, 3)
BITCOIN = series("BTCUSDT", TimeFrame.MINUTE_1)
MONTH, DAY = "BTCUSDT-1m-2023-12.zip", "BTCUSDT-1m-2024-01-02.zip"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=3,
            start=START,
            end=END,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.02,
        )
    return root


def lake(url: str, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = ("--base-url", url, "--archive-url", f"{url}/archive", "--data", str(root))
    return subprocess.run(
        [sys.executable, "-m", "lake", *words, *line],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_clock_that_is_wrong_here_refuses_no_row(tmp_path: Path) -> None:
    """The venue is years ahead; by the clock of this machine all of its rows lie in the future."""
    truth, root = tmp_path / "market", tmp_path / "lake"
    days = ("--start", "2061-01-01", "--end", "2061-01-03")
    with Storage.open(truth, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=3,
            start=datetime(2061, 1, 1),
            end=datetime(2061, 1, 3),
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.02,
        )

    with BoxThread(truth, clock_start="2061-01-20", clock_rate=0, limits=False) as box:
        got = lake(box.url, root, "backfill", "binance", "BTC/USDT", *days, "--source", "archive")
        box.control("archive", revised=["BTCUSDT-1m-2061-01-02.zip"])
        mended = lake(box.url, root, "archive", "verify", "--fix")

    assert got.returncode == 0, got.stderr
    assert mended.returncode == 0, mended.stdout
    assert "2 files compared, 1 taken in again" in mended.stdout
    with Storage.open(root) as storage:
        assert markets.rows_of(storage, BITCOIN).num_rows == 2 * 1440
        confirmed = {row.confirmed_at.date() for row in storage.catalog.coverage(BITCOIN)}
    assert confirmed == {date(2061, 1, 20)}


def test_a_revised_file_is_noticed_and_replaces_its_range(market: Path, tmp_path: Path) -> None:
    """The first candle's volume is doubled since; the old row is kept in `revisions`."""
    root = tmp_path / "lake"
    with BoxThread(market, clock_start="2024-01-20", clock_rate=0, limits=False) as box:
        span = ("--start", "2023-12-01", "--end", "2024-01-03")
        first = lake(box.url, root, "backfill", "binance", "BTC/USDT", *span, "--source", "archive")
        calm = lake(box.url, root, "archive", "verify", "--changed")
        box.control("archive", revised=[MONTH, DAY])
        noticed = lake(box.url, root, "archive", "verify", "--changed", "--json")
        mended = lake(box.url, root, "archive", "verify", "--fix")
        after = lake(box.url, root, "archive", "verify", "--changed")

    assert first.returncode == 0, first.stderr
    assert (calm.returncode, calm.stdout) == (
        0,
        "no file has changed\n3 files compared, 0 changed\n",
    )
    assert noticed.returncode == 3
    told = [(each["file"], each["state"], each["rows"]) for each in json.loads(noticed.stdout)]
    assert told == [(MONTH, "changed", 44640), (DAY, "changed", 1440)]
    assert mended.returncode == 0, mended.stderr
    assert "3 files compared, 2 taken in again" in mended.stdout
    assert (after.returncode, after.stdout.splitlines()[0]) == (0, "no file has changed")
    with Storage.open(market, read_only=True) as storage:
        truth = markets.rows_of(storage, BITCOIN).to_pylist()
    with Storage.open(root) as storage:
        rows = markets.rows_of(storage, BITCOIN).to_pylist()
        old = [each.old_row for each in storage.catalog.revisions(BITCOIN)]
        files = {name: file.rows for name, file in storage.archives.of(BITCOIN).items()}
    changed = [new["ts"] for new, was in zip(rows, truth, strict=True) if new != was]
    assert [(ts.month, ts.day) for ts in changed] == [(12, 1), (1, 2)]
    assert [row["volume"] for row in rows if row["ts"] in changed] == [
        2 * row["volume"] for row in truth if row["ts"] in changed
    ]
    assert sorted(each["volume"] for each in old) == sorted(
        row["volume"] for row in truth if row["ts"] in changed
    )
    assert files == {MONTH: 44640, "BTCUSDT-1m-2024-01-01.zip": 1440, DAY: 1440}


def test_only_files_that_were_taken_in_again_are_counted_as_such(
    market: Path, tmp_path: Path
) -> None:
    """One of two revised files cannot be had whole: the other goes in, and both are told of."""
    root = tmp_path / "lake"
    with BoxThread(market, clock_start="2024-01-20", clock_rate=0, limits=False) as box:
        span = ("--start", "2023-12-01", "--end", "2024-01-03")
        lake(box.url, root, "backfill", "binance", "BTC/USDT", *span, "--source", "archive")
        box.control("archive", revised=[MONTH, DAY], corrupted=[MONTH])
        mended = lake(box.url, root, "archive", "verify", "--fix")
        after = lake(box.url, root, "archive", "verify", "--changed")

    assert mended.returncode == 4
    assert "3 files compared, 1 taken in again, 1 could not be" in mended.stdout
    assert f"{MONTH} differs from its .CHECKSUM, twice" in mended.stderr
    assert (after.returncode, after.stdout.splitlines()[-1]) == (3, "3 files compared, 1 changed")


def test_a_file_that_vanished_after_it_was_compared_is_told_of(
    market: Path, tmp_path: Path
) -> None:
    """Its checksum differed a moment ago; nothing of the lake changes, and that is said."""

    async def compare_and_mend(storage: Storage, box: BoxThread) -> list[Mended]:
        async with Backfill(
            storage, base_url=box.url, archive_url=f"{box.url}/archive", min_free=0
        ) as backfill:
            found = await verify(storage, backfill.archives)
            box.control("archive", revised=[MONTH, DAY], missing=[DAY])
            changed = [each for each in found if each.standing is Standing.CHANGED]
            return await mend(storage, backfill.archives, changed)

    root = tmp_path / "lake"
    with BoxThread(market, clock_start="2024-01-20", clock_rate=0, limits=False) as box:
        span = ("--start", "2023-12-01", "--end", "2024-01-03")
        lake(box.url, root, "backfill", "binance", "BTC/USDT", *span, "--source", "archive")
        box.control("archive", revised=[MONTH, DAY])
        with Storage.open(root) as storage:
            mended = asyncio.run(compare_and_mend(storage, box))
            rows = markets.rows_of(storage, BITCOIN)

    told = {each.verdict.file.name: each.problem for each in mended}
    assert told[MONTH] is None
    assert told[DAY] is not None
    assert f"{DAY} is not there any more" in told[DAY]
    assert rows.num_rows == (END - START) // timedelta(minutes=1)


def test_rows_that_a_revised_file_lacks_go(market: Path, tmp_path: Path) -> None:
    """A merge would keep what the vendor has withdrawn; the range becomes what the file holds."""
    path = tmp_path / "BTCUSDT-1m-2024-03-01.zip"
    day = datetime(2024, 3, 1)
    with Storage.open(tmp_path / "lake", create=True) as storage:
        for absent in ((), (100, 101, 102)):
            zip_of(path, lines(day, 1440, without=absent))
            import_files(storage, [path], venue=markets.BINANCE, now=NOW)
        rows = markets.rows_of(storage, BITCOIN)
        window = TimeRange(day, datetime(2024, 3, 2))
        gone = [each for each in storage.catalog.revisions(BITCOIN) if each.key]

    assert rows.num_rows == 1437
    assert len(gone) == 3
    assert all(day <= ts < window.end for ts in rows["ts"].to_pylist())


def test_files_are_listed_with_what_became_of_them(market: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with BoxThread(market, clock_start="2024-01-20", clock_rate=0, limits=False) as box:
        box.control("archive", missing=[MONTH])
        span = ("--start", "2023-12-30", "--end", "2024-01-02")
        lake(box.url, root, "backfill", "binance", "BTC/USDT", *span, "--source", "archive")
    listed = subprocess.run(
        [sys.executable, "-m", "lake", "archive", "list", "--json", "--data", str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )

    files = {each["file"]: (each["state"], each["rows"]) for each in json.loads(listed.stdout)}
    assert files == {
        MONTH: ("absent", 0),
        "BTCUSDT-1m-2023-12-30.zip": ("stored", 1440),
        "BTCUSDT-1m-2023-12-31.zip": ("stored", 1440),
        "BTCUSDT-1m-2024-01-01.zip": ("stored", 1440),
    }
