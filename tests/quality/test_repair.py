"""A lake that is damaged in two hundred places is brought back to what the venue says."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.coverage import Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import PartitionCommit, Storage
from tests.box import BoxThread
from tests.checks.kit import copy_of, damage, files_of, tell_gaps
from tests.ingestion import markets

START, END = datetime(2024, 1, 30), datetime(2024, 2, 3)
REPOSITORY = Path(__file__).resolve().parents[2]
MINUTES = {
    name: Series(DataType.OHLCV, InstrumentId.from_str(f"{name}.BINANCE"), TimeFrame.MINUTE_1)
    for name in ("BTCUSDT", "ETHUSDT")
}
TRADES = {
    name: Series(DataType.TRADES, InstrumentId.from_str(f"{name}.BINANCE")) for name in MINUTES
}
Damage = Callable[[pa.Table, list[int]], pa.Table]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=START,
            end=END,
            instruments=("BTC/USDT", "ETH/USDT"),
            timeframes=(TimeFrame.MINUTE_1, TimeFrame.HOUR_1),
            rate=0.05,
            store_trades=True,
        )
    return root


@pytest.fixture(scope="module")
def held(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the market, fetched."""
    root = tmp_path_factory.mktemp("held") / "lake"
    span = ("--start", str(START), "--end", str(END), "--yes")
    with box(market) as exchange:
        for words in (("--timeframe", "1m,1h"), ("--type", "trades")):
            done = lake(
                exchange, root, "backfill", "binance", "BTC/USDT", "ETH/USDT", *words, *span
            )
            assert done.returncode == 0, done.stderr
    return root


def box(market: Path) -> BoxThread:
    return BoxThread(market, clock_start="2024-03-01", clock_rate=0, limits=False)


def lake(exchange: BoxThread, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = ("--base-url", exchange.url, "--source", "rest", "--data", str(root))
    return subprocess.run(
        [sys.executable, "-m", "lake", *words, *line],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def gone(rows: pa.Table, places: list[int]) -> pa.Table:
    return rows.filter(pa.array(~np.isin(np.arange(rows.num_rows), places)))


def twice(rows: pa.Table, places: list[int]) -> pa.Table:
    again = rows.take(pa.array(places))
    return pa.concat_tables([rows, again]).sort_by("ts")


def changed(column: str, change: Callable[[float], float]) -> Damage:
    def apply(rows: pa.Table, places: list[int]) -> pa.Table:
        values = rows[column].to_numpy().copy()
        values[places] = [change(value) for value in values[places]]
        at = rows.schema.get_field_index(column)
        return rows.set_column(at, rows.schema.field(at), pa.array(values))

    return apply


def moved(rows: pa.Table, places: list[int]) -> pa.Table:
    """A second after the minute: on no grid."""
    moments = rows["ts"].cast(pa.int64()).to_numpy().copy()
    moments[places] += 1_000_000
    return rows.set_column(0, rows.schema.field(0), pa.array(moments).cast(pa.timestamp("us")))


VALUES: list[tuple[Damage, int]] = [
    (gone, 25),
    (changed("high", lambda value: value / 2), 15),
    (changed("low", lambda value: -value), 10),
    (changed("close", lambda value: float("nan")), 10),
    (changed("quote_volume", lambda value: value * 3 + 1), 15),
]
ORDER: list[tuple[Damage, int]] = [(twice, 10), (moved, 8)]
TRADE_DAMAGES: list[tuple[Damage, int]] = [
    (gone, 40),
    (changed("price", lambda value: float("nan")), 15),
    (changed("quantity", lambda value: -value), 10),
    (twice, 10),
]


def spoil(root: Path, series: Series, kinds: list[tuple[Damage, int]], seed: int) -> int:
    """Damage rows of *series*, never two that are neighbours; how many."""
    chance = random.Random(seed)
    files = files_of(root, series)
    total = 0
    for kind, count in kinds:
        for number in range(count):
            path = files[number % len(files)]
            damage(
                path, lambda rows, kind=kind: kind(rows, [chance.randrange(5, rows.num_rows - 5)])
            )  # type: ignore[misc]
            total += 1
    for path in files:
        if series.timeframe is not None and chance.random() < 0.5:
            tell_gaps(root, path)
    return total


def mislead(root: Path, series: Series, kinds: list[tuple[Damage, int]], seed: int) -> int:
    """Have the lake itself store what a faulty source might have answered; how many rows differ."""
    chance = random.Random(seed)
    total = 0
    with Storage.open(root) as storage:
        for info in storage.catalog.partitions(series):
            rows = storage.read_partition(info.partition)
            assert rows is not None
            for kind, count in kinds:
                for _ in range(count):
                    rows = kind(rows, [chance.randrange(5, rows.num_rows - 5)])
                    total += 1
            job = storage.jobs.create(series, info.partition.range)
            change = PartitionCommit(
                partition=info.partition,
                rows=rows,
                tag=SourceTag("ccxt", 50, "base-url"),
                replace=info.partition.range,
                claims=tuple(
                    Claim(span, each.basis, each.evidence)
                    for each in storage.catalog.coverage(series)
                    if (span := each.range.intersection(info.partition.range)) is not None
                ),
            )
            lease = storage.jobs.claim(job.job_id, "test")
            storage.commit(change, lease)
            storage.jobs.finish(lease, JobState.COMPLETED)
    return total


def test_two_hundred_damages_are_fetched_again(market: Path, held: Path, tmp_path: Path) -> None:
    """Files that were altered behind the lake's back are moved away and fetched whole; of those
    whose values are wrong, only these are fetched, and the wrong ones are kept.
    """
    root = copy_of(held, tmp_path / "lake")
    count = mislead(root, MINUTES["ETHUSDT"], VALUES, 2)
    with Storage.open(root) as storage:
        before = len(storage.catalog.revisions(MINUTES["ETHUSDT"]))
    count += spoil(root, MINUTES["BTCUSDT"], [*VALUES, *ORDER], 1)
    count += spoil(root, TRADES["BTCUSDT"], TRADE_DAMAGES, 7)
    assert count >= 200
    with box(market) as exchange:
        found = lake(exchange, root, "check", "--deep")
        fixed = lake(exchange, root, "check", "--deep", "--fix", "--yes")

    assert found.returncode == 3
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    with Storage.open(market, read_only=True) as truth, Storage.open(root) as storage:
        for series in (*MINUTES.values(), *TRADES.values()):
            ours = markets.rows_of(storage, series)
            assert ours.equals(markets.rows_of(truth, series)), series
        kept = storage.catalog.revisions(MINUTES["ETHUSDT"])
    # Of the 150 damages 50 took a row away, which leaves nothing to keep.
    assert len(kept) - before >= 90
    assert "ETHUSDT" not in fixed.stderr.partition("fetching")[0]


def test_what_the_venue_is_not_asked_for_is_asked_of_its_archive(
    market: Path, held: Path, tmp_path: Path
) -> None:
    """A day without candles, with --source archive: the month's file, or those of its days."""
    root = copy_of(held, tmp_path / "lake")
    series = MINUTES["BTCUSDT"]
    mislead(root, series, [(gone, 40)], 3)
    with box(market) as exchange:
        words = ("--source", "archive", "--archive-url", f"{exchange.url}/archive", "--yes")
        line = ("--base-url", exchange.url, "--data", str(root))
        fixed = subprocess.run(
            [sys.executable, "-m", "lake", "check", "--fix", *words, *line],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    assert "(archive)" in fixed.stderr, fixed.stderr
    with Storage.open(market, read_only=True) as truth, Storage.open(root) as storage:
        assert markets.rows_of(storage, series).equals(markets.rows_of(truth, series))
        sources = {each.source for each in storage.catalog.coverage(series)}
    assert "archive" in sources
