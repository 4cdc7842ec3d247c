"""Lakes for the report's tests: a small one whose every gap is known, and ones of many series."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Series,
)
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange, subtract
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.report import gather, make_page
from lake.report.facts import Facts
from lake.storage.lake import PartitionCommit, Storage

NOW = datetime(2025, 3, 1, 12)
HOUR = timedelta(hours=1)
TAG = SourceTag("test", 50)
YEAR = TimeRange(datetime(2024, 1, 1), datetime(2025, 1, 1))


def series(name: str, timeframe: str = "1h") -> Series:
    return Series(DataType.OHLCV, InstrumentId.from_str(name), TimeFrame(timeframe))


def hours(first: datetime, count: int) -> TimeRange:
    return TimeRange(first, first + count * HOUR)


def write(
    storage: Storage,
    one: Series,
    window: TimeRange,
    *,
    holes: Sequence[TimeRange] = (),
    unasked: Sequence[TimeRange] = (),
    error: str | None = None,
    seed: int = 7,
) -> str:
    """Store the candles of *window* as a backfill would; the id of its job.

    Args:
        storage: The lake.
        one: The series.
        window: What was wanted.
        holes: What was asked for and answered without candles.
        unasked: What was not asked for.
        error: What the job failed with; None: it ended well.
        seed: Of the prices.
    """
    if storage.catalog.instrument(one.instrument_id) is None:
        code = one.instrument_id.symbol
        base = code.removesuffix("USDT")
        spot = InstrumentKind.SPOT
        storage.catalog.upsert_instruments(
            [Instrument(one.venue, code, f"{base}/USDT", code, spot, base, "USDT")]
        )
    storage.catalog.ensure_series(one, "venue")
    storage.catalog.note_wanted(one, window)
    job = storage.jobs.create(one, window, kind="import")
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, piece in split(one, window):
        asked = subtract([piece], unasked)
        claims = [Claim(each, Basis.ANSWER, "asked twice") for each in asked]
        change = PartitionCommit(
            partition=partition,
            rows=_candles(one, piece, [*holes, *unasked], seed),
            tag=TAG,
            claims=tuple(claims),
            progress=1.0,
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.FAILED if error else JobState.COMPLETED, error)
    return job.job_id


def _candles(one: Series, window: TimeRange, left_out: Sequence[TimeRange], seed: int) -> pa.Table:
    assert one.grid is not None
    opens = np.array([to_us(each) for each in one.grid.opens(window)], dtype=np.int64)
    keep = np.ones(len(opens), dtype=bool)
    for each in left_out:
        keep &= (opens < to_us(each.start)) | (opens >= to_us(each.end))
    opens = opens[keep]
    noise = np.random.default_rng(seed)
    steps = noise.normal(0, 0.004, len(opens) + 1)
    closes = np.round(100 * (1 + seed % 50) * np.exp(np.cumsum(steps)), 2)
    before, after = closes[:-1], closes[1:]
    wick = np.abs(noise.normal(0, 0.002, len(opens)))
    columns = {
        "ts": pa.array(opens).cast(pa.timestamp("us")),
        "open": before,
        "high": np.round(np.maximum(before, after) * (1 + wick), 2),
        "low": np.round(np.minimum(before, after) * (1 - wick), 2),
        "close": after,
        "volume": np.round(noise.gamma(2, 10, len(opens)), 3),
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(len(opens), field.type)
        for field in OHLCV.schema
    ]
    return pa.Table.from_arrays(arrays, schema=OHLCV.schema)


def add_runs(
    storage: Storage,
    name: str,
    counts: Sequence[int],
    *,
    severity: str = "error",
    error: str | None = None,
    found: Sequence[tuple[object, ...]] = (),
) -> None:
    """Runs of one check, a day apart, with so many violations each; the last one *found* these.

    Args:
        storage: The lake.
        name: Of the check.
        counts: Violations of each run.
        severity: Of the check.
        error: What the last run failed with.
        found: severity, type, venue, instrument, timeframe, start, end (us), rows, detail.
    """
    with storage.database.writing() as transaction:
        for number, count in enumerate(counts):
            is_last = number == len(counts) - 1
            started = to_us(NOW - timedelta(days=len(counts) - number))
            status = "failed" if error and is_last else "violated" if count else "passed"
            kept = len(found) if is_last else 0
            transaction.run(
                "insert into check_runs "
                "values (?, ?, ?, 1, 'sha', ?, '{}', '{}', ?, ?, ?, ?, ?, ?)",
                (
                    f"{name}-{number}",
                    f"batch-{number}",
                    name,
                    severity,
                    status,
                    count,
                    kept,
                    error if is_last else None,
                    started,
                    started + 1_500_000,
                ),
            )
        for position, row in enumerate(found):
            transaction.run(
                "insert into check_results values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (f"{name}-{len(counts) - 1}", position, *row),
            )


def make_small(root: Path) -> Path:
    """A year of hours of two instruments, with a gap of each kind."""
    btc, eth = series("BTCUSDT.BINANCE"), series("ETHUSDT.BINANCE")
    outage = hours(datetime(2024, 3, 24, 11), 5)
    with Storage.open(root, create=True) as storage:
        write(storage, btc, YEAR, holes=[outage], unasked=[hours(datetime(2024, 5, 31, 20), 8)])
        write(storage, eth, YEAR, holes=[outage, hours(datetime(2024, 7, 2), 3)], seed=3)
        write(storage, series("BTCUSDT.BINANCE", "1d"), YEAR)
        add_runs(
            storage,
            "spikes",
            [0, 4, 1, 2],
            severity="warning",
            found=[
                (
                    *("warning", "ohlcv", "BINANCE", "BTCUSDT", "1h"),
                    *(to_us(datetime(2024, 2, 2, 5)), to_us(datetime(2024, 2, 2, 6)), 1),
                    "close 99 where 42 was to be expected",
                ),
                ("warning", "ohlcv", "BINANCE", "ETHUSDT", "1h", None, None, None, "no range"),
            ],
        )
        add_runs(storage, "price_bounds", [0, 0, 0])
        add_runs(storage, "broken", [0], error="the check itself is wrong")
        failed = storage.jobs.create(eth, hours(YEAR.end, 24))
        lease = storage.jobs.claim(failed.job_id, "test")
        storage.jobs.finish(lease, JobState.FAILED, "BINANCE answered 503 for a minute")
        waiting = storage.jobs.create(btc, hours(YEAR.end, 24))
        storage.jobs.claim(waiting.job_id, "test")
    return root


def make_many(root: Path, count: int, *, months: int = 36, seed: int = 11) -> Path:
    """*count* series of different age, with holes; a tenth of them of hours, the rest of days."""
    rng = random.Random(seed)
    venues = ("BINANCE", "BINANCEUSDM", "BYBIT", "KRAKEN", "OKX")
    end = datetime(2025, 1, 1)
    with Storage.open(root, create=True) as storage:
        for number in range(count):
            venue = venues[number % len(venues)]
            timeframe = "1h" if number % 10 == 0 else "1d"
            one = series(f"COIN{number:03d}USDT.{venue}", timeframe)
            first = 2024 * 12 + 12 - rng.choice((months, months, rng.randrange(6, months)))
            window = TimeRange(datetime(first // 12, first % 12 + 1, 1), end)
            holes, unasked = [], []
            for place in range(rng.choice((0, 0, 1, 3, 12))):
                start = window.start + rng.randrange(window.duration // HOUR // 24) * 24 * HOUR
                hole = TimeRange(start, min(end, start + rng.choice((24, 48, 240, 1500)) * HOUR))
                (holes if place % 3 else unasked).append(hole)
            write(storage, one, window, holes=holes, unasked=unasked, seed=number)
            if first > 2024 * 12 + 12 - months:
                storage.catalog.set_first_available(one, window.start, "probe")
                storage.catalog.note_wanted(one, TimeRange(datetime(2022, 1, 1), end))
        names = ("gaps", "spikes", "price_bounds", "roll_up", "duplicates", "freshness")
        for number, name in enumerate(names):
            counts = [rng.choice((0, 0, 3, 40, 900)) * (number % 2) for _ in range(20)]
            add_runs(storage, name, counts, severity="error" if number % 3 else "warning")
    return root


def page_of(root: Path) -> str:
    """The page about the whole lake at *root*."""
    with Storage.open(root) as storage:
        held = sorted((each.series for each in storage.catalog.series()), key=str)
        return make_page(gather(storage, held, now=NOW))


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    [packed] = re.findall(r'<script type="text/plain" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return data


def many(root: Path, count: int) -> Facts:
    """What a page would say of a lake like the small one at *root* with *count* series.

    Each has three years of months; two of three series have gaps, in many of them.
    """
    with Storage.open(root) as storage:
        facts = gather(storage, [series("BTCUSDT.BINANCE")], now=NOW)
    rng = random.Random(5)
    names = [series(f"COIN{number:04}USDT.BINANCE") for number in range(count)]
    months, listed = [], []
    for number in range(count):
        for month in range(2022 * 12, 2025 * 12):
            lacking = rng.choice((0, 0, 0, 0, 0, 1, 9, 100)) if number % 3 else 0
            reason = rng.choice(("not_fetched", "venue_has_none"))
            told = {"expected": 720, "attention": 0, "explained": 0, "not_expected": 0}
            told["attention" if reason == "not_fetched" else "explained"] = lacking
            months.append({"number": number, "month": month, "gaps": int(lacking > 0), **told})
            if lacking:
                start = datetime(month // 12, month % 12 + 1, 1 + rng.randrange(20))
                listed.append(
                    {
                        "gap": len(listed),
                        "number": number,
                        "gap_start": start,
                        "gap_end": start + lacking * HOUR,
                        "missing_count": lacking,
                        "reason": reason,
                        "evidence": f"asked on 2024-01-{1 + rng.randrange(28):02}",
                    }
                )
    return replace(
        facts,
        series=names,
        held=[{**facts.held[0], "number": number} for number in range(count)],
        months=months,
        listed=listed,
        gaps=len(listed),
        charts=[replace(each, gap=place) for place, each in enumerate(facts.charts[: len(listed)])],
    )
