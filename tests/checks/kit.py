"""Lakes for the tests of checks: seeded markets that are clean, and damage behind the lake's back.

The markets are twenty instruments that differ in price, tick, liveliness and habits, each with
candles of a minute and longer ones that are exactly their aggregate. All of them lie in one lake:
a check that says nothing about it passes twenty seeded clean markets, and one in which each
market is damaged elsewhere must name every single damage.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import from_us, to_us
from lake.sql_files import sql_file
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse import Warehouse

MINUTE = timedelta(minutes=1)
START = datetime(2024, 1, 31, 12)
END = datetime(2024, 2, 2, 12)
NOW = datetime(2024, 3, 1)
SEEDS = range(20)
MINUTES = (END - START) // MINUTE
LONGER = (TimeFrame.MINUTE_15, TimeFrame.HOUR_1, TimeFrame.DAY_1)
TAG = SourceTag("test", 50)
_PRICES = ("open", "high", "low", "close")
_SUMS = ("volume", "quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")

Violation = dict[str, Any]
Damage = Callable[[pa.Table], pa.Table]


def candle_series(seed: int, timeframe: TimeFrame = TimeFrame.MINUTE_1) -> Series:
    """The candles of the market of *seed*."""
    return series_of(f"C{seed:02d}USDT.BINANCE", timeframe)


def series_of(name: str, timeframe: TimeFrame = TimeFrame.MINUTE_1) -> Series:
    return Series(DataType.OHLCV, InstrumentId.from_str(name), timeframe)


def minute(number: int) -> datetime:
    """The *number*-th minute of the clean markets."""
    return START + number * MINUTE


# Markets


def market(seed: int, *, start: datetime = START, minutes: int = MINUTES) -> pa.Table:
    """Candles of a minute of one market: every seed has habits of its own.

    Some trade in every minute, some rarely; the quiet minutes of one venue are rows without a
    volume and of another one absent; some have a tick so large that the price hardly moves, and
    some a crash in which it moves twenty times as fast as before.
    """
    random = np.random.default_rng(seed)
    level = 10.0 ** random.uniform(-4, 4.5)
    tick = level * (0.01 if seed % 7 == 3 else 10.0 ** random.uniform(-6, -4))
    sigma = np.full(minutes, 10.0 ** random.uniform(-4, -3))
    if seed % 5 == 1:
        crash = int(random.integers(minutes // 4, minutes // 2))
        sigma[crash : crash + 600] *= 20
    quiet = random.random(minutes) < (0.0, 0.0, 0.02, 0.4)[seed % 4]
    quiet[0] = False
    steps = np.where(quiet, 0.0, random.standard_normal(minutes) * sigma)
    path = np.log(level) + np.cumsum(steps)
    on_tick = lambda prices: np.maximum(np.round(prices / tick), 1) * tick  # noqa: E731
    close = on_tick(np.exp(path))
    opened = np.r_[close[0], close[:-1]]
    reach = np.abs(random.standard_normal((2, minutes))) * sigma * ~quiet
    high = np.maximum(
        on_tick(np.maximum(opened, close) * np.exp(reach[0])), np.maximum(opened, close)
    )
    low = np.minimum(
        on_tick(np.minimum(opened, close) * np.exp(-reach[1])), np.minimum(opened, close)
    )
    volume = np.where(quiet, 0.0, np.round(random.lognormal(2, 1, minutes), 5) + 0.00001)
    middle = (high + low + close) / 3
    share = random.uniform(0.2, 0.8, minutes)
    columns = {
        "ts": to_us(start) + np.arange(minutes, dtype=np.int64) * 60_000_000,
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "quote_volume": np.round(volume * middle, 8),
        "trade_count": np.where(quiet, 0, random.integers(1, 500, minutes)),
        "taker_buy_volume": np.round(volume * share, 8),
        "taker_buy_quote_volume": np.round(volume * share * middle, 8),
    }
    rows = table_of(columns)
    return rows.filter(pa.array(~quiet)) if seed % 8 == 3 else rows


def table_of(columns: Mapping[str, Any]) -> pa.Table:
    """Candles of *columns*; ``ts`` in microseconds, what is not given is null."""
    count = len(columns["ts"])
    arrays = [
        pa.array(columns[field.name], pa.int64()).cast(field.type)
        if field.name == "ts"
        else pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(count, field.type)
        for field in OHLCV.schema
    ]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def columns_of(rows: pa.Table) -> dict[str, np.ndarray]:
    """The inverse of :func:`table_of`; columns of nulls are left out."""
    return {
        name: (rows[name].cast(pa.int64()) if name == "ts" else rows[name]).to_numpy().copy()
        for name in rows.column_names
        if rows[name].null_count < max(rows.num_rows, 1)
    }


def longer(rows: pa.Table, timeframe: TimeFrame) -> pa.Table:
    """*rows* as candles of *timeframe*: those that lie wholly between their ends."""
    assert timeframe.step_us is not None
    columns = columns_of(rows)
    slots = columns["ts"] // timeframe.step_us
    firsts = np.flatnonzero(np.r_[True, np.diff(slots) > 0])
    made = {
        "ts": slots[firsts] * timeframe.step_us,
        "open": columns["open"][firsts],
        "high": np.maximum.reduceat(columns["high"], firsts),
        "low": np.minimum.reduceat(columns["low"], firsts),
        "close": columns["close"][np.r_[firsts[1:], len(slots)] - 1],
        **{name: np.add.reduceat(columns[name], firsts) for name in _SUMS if name in columns},
    }
    whole = (made["ts"] >= to_us(START)) & (made["ts"] + timeframe.step_us <= to_us(END))
    return table_of({name: values[whole] for name, values in made.items()})


# Lakes


def store(
    storage: Storage,
    series: Series,
    rows: pa.Table,
    *,
    window: TimeRange | None = None,
    basis: Basis = Basis.ANSWER,
    tag: SourceTag = TAG,
    notes: Sequence[Note] = (),
    kind: str = "backfill",
) -> None:
    """Keep *rows* as a backfill of *window* would; by default from the first row to the last."""
    moments = rows["ts"].cast(pa.int64()).to_numpy()
    if window is None:
        assert series.timeframe is not None
        grid = grid_of(series.venue, series.timeframe)
        window = TimeRange(from_us(int(moments[0])), grid.next(from_us(int(moments[-1]))))
    hull = window
    storage.catalog.ensure_series(series, "venue")
    job = storage.jobs.create(series, hull, kind=kind)
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, piece in split(series, hull):
        inside = (moments >= to_us(piece.start)) & (moments < to_us(piece.end))
        change = PartitionCommit(
            partition=partition,
            rows=rows.filter(pa.array(inside)),
            tag=tag,
            claims=(Claim(piece, basis, "test"),),
            notes=tuple(note for note in notes if piece.start <= note.ts < piece.end),
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


_clean: dict[str, Path] = {}


def clean_lake(factory: pytest.TempPathFactory) -> Path:
    """The lake of all markets, made once a process. Nobody may change it: see :func:`copy_of`."""
    if "root" not in _clean:
        root = factory.mktemp("clean") / "data"
        with Storage.open(root, create=True) as storage:
            for seed in SEEDS:
                rows = market(seed)
                store(storage, candle_series(seed), rows, window=TimeRange(START, END))
                for timeframe in LONGER if seed < 4 else (TimeFrame.HOUR_1,):
                    store(storage, candle_series(seed, timeframe), longer(rows, timeframe))
        _clean["root"] = root
    return _clean["root"]


def copy_of(root: Path, to: Path) -> Path:
    """A copy of the lake at *root* to be damaged; unchanged files are shared."""
    shutil.copytree(root, to, copy_function=_link_parquet)
    return to


def _link_parquet(source: str, target: str) -> None:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


# Damage


def files_of(root: Path, series: Series) -> list[Path]:
    """The Parquet files of *series*, the oldest first."""
    marks = [
        f"/{series.data_type.value}/",
        f"/venue={series.venue.name}/",
        f"/instrument={series.instrument_id.symbol}/",
    ]
    if series.timeframe is not None:
        marks.append(f"/timeframe={series.timeframe.value}/")
    found = (root / "parquet").rglob("data.parquet")
    return sorted(path for path in found if all(mark in path.as_posix() for mark in marks))


def file_with(root: Path, series: Series, moment: datetime) -> Path:
    """The file of *series* that holds the row of *moment*."""
    for path in files_of(root, series):
        bounds = pq.read_table(path, columns=["ts"], partitioning=None)["ts"].to_pylist()
        if bounds and bounds[0] <= moment <= bounds[-1]:
            return path
    raise AssertionError(f"no file of {series} holds {moment}")


def damage(path: Path, change: Damage) -> None:
    """Replace the rows of the file at *path* behind the lake's back, and make the catalog agree.

    The footer stays as it was, and so do the runs of gaps that the catalog knows.
    """
    root = path
    while not (root / "lake.json").exists():
        root = root.parent
    held = pq.read_table(path, partitioning=None)
    rows = change(held)
    temporary = path.with_name(".damaged")
    pq.write_table(rows.replace_schema_metadata(held.schema.metadata), temporary)
    temporary.replace(path)
    moments = rows["ts"].cast(pa.int64()).to_numpy()
    told = (
        rows.num_rows,
        int(moments.min()) if len(moments) else None,
        int(moments.max()) if len(moments) else None,
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        path.relative_to(root / "parquet").as_posix(),
    )
    catalog(
        root,
        "update partitions set rows = ?, min_ts = ?, max_ts = ?, bytes = ?, sha256 = ? "
        "where path = ?",
        told,
    )


def damage_at(root: Path, series: Series, moment: datetime, change: Damage) -> None:
    """:func:`damage` of the file of *series* that holds *moment*."""
    damage(file_with(root, series, moment), change)


def tell_gaps(root: Path, path: Path) -> None:
    """Make the catalog's runs of missing candles those of the file at *path*: one of minutes."""
    moments = pq.read_table(path, partitioning=None)["ts"].cast(pa.int64()).to_pylist()
    runs = [
        [before + 60_000_000, after]
        for before, after in pairwise(moments)
        if after > before + 60_000_000
    ]
    missing = sum((after - before) // 60_000_000 for before, after in runs)
    catalog(
        root,
        "update partitions set gap_runs = ?, missing = ? where path = ?",
        (json.dumps(runs), missing, path.relative_to(root / "parquet").as_posix()),
    )


def catalog(root: Path, sql: str, values: Iterable[Any] = ()) -> None:
    """Change the catalog of a lake that nobody has open."""
    connection = sqlite3.connect(root / "catalog.sqlite")
    try:
        with connection:
            connection.execute(sql, tuple(values))
    finally:
        connection.close()


def setting(moment: datetime, **values: float) -> Damage:
    """A damage: columns of the candle that opens at *moment* get other *values*."""

    def change(rows: pa.Table) -> pa.Table:
        columns = columns_of(rows)
        [place] = np.flatnonzero(columns["ts"] == to_us(moment))
        for name, value in values.items():
            columns[name][place] = value
        return table_of(columns)

    return change


def without(*windows: TimeRange) -> Damage:
    """A damage: the candles that open in *windows* are gone."""

    def change(rows: pa.Table) -> pa.Table:
        moments = rows["ts"].cast(pa.int64()).to_numpy()
        keep = np.ones(len(moments), bool)
        for window in windows:
            keep &= (moments < to_us(window.start)) | (moments >= to_us(window.end))
        return rows.filter(pa.array(keep))

    return change


# Looking


def violations(
    root: Path,
    name: str,
    *,
    now: datetime = NOW,
    series: Sequence[int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    **parameters: Any,
) -> list[Violation]:
    """What the check *name* finds in the lake at *root*, as `lake check` would run it."""
    with Warehouse(root, checks=True) as warehouse:
        warehouse.look_at(series, since, until, now=now, **parameters)
        return warehouse.arrow(sql_file("checks", name).text).to_pylist()


def all_violations(root: Path, names: Iterable[str], *, now: datetime = NOW) -> list[Violation]:
    """What the checks *names* find in the lake at *root*; ``check`` says which of them did."""
    found = []
    with Warehouse(root, checks=True) as warehouse:
        warehouse.look_at(now=now)
        for name in names:
            rows = warehouse.arrow(sql_file("checks", name).text).to_pylist()
            found += [{"check": name, **each} for each in rows]
    return found


def places(found: Iterable[Violation]) -> set[tuple[str, datetime, datetime]]:
    """Of which instrument, and when: what a damage is recognised by."""
    return {(each["instrument"], each["start_ts"], each["end_ts"]) for each in found}
