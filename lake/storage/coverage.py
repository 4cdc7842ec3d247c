"""Coverage and failed ranges as the catalog stores them: disjoint intervals per series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lake.domain.coverage import NOTHING_LATER, Coverage, overlay
from lake.domain.coverage import merge as joined
from lake.domain.ranges import TimeRange, subtract
from lake.domain.timeframe import Grid
from lake.domain.times import from_us, to_us
from lake.storage.connection import Transaction
from lake.storage.records import COVERAGE_COLUMNS, coverage_of, coverage_row

# Rows of a series do not overlap, so the only one that starts before the window and reaches
# it is the last that starts before: the index answers, however long the history is.
_TOUCHING = f"""
select {COVERAGE_COLUMNS}
from coverage
where
    series_id = $series_id
    and start_ts <= $end_ts
    and start_ts >= ifnull(
        (
            select max(before.start_ts)
            from coverage as before
            where before.series_id = $series_id and before.start_ts < $start_ts
        ),
        $start_ts
    )
    and end_ts >= $start_ts
order by start_ts
"""


_ALL = f"select {COVERAGE_COLUMNS} from coverage where series_id = ? order by start_ts"


# The evidence is written out for the sake of its partial index.
_ENDINGS = f"""
select start_ts, end_ts
from coverage
where
    series_id = $series_id
    and evidence = '{NOTHING_LATER}'
    and start_ts >= $before
    and start_ts < $latest
"""


@dataclass(frozen=True, slots=True)
class _Ranges:
    """The statements of a table of disjoint ranges that coverage answers."""

    overlapping: str
    delete: str
    insert: str


_FAILED = _Ranges(
    "select start_ts, end_ts, job_id, error, failed_at from failed_ranges "
    "where series_id = ? and start_ts < ? and end_ts > ?",
    "delete from failed_ranges where series_id = ? and start_ts = ?",
    "insert into failed_ranges values (?, ?, ?, ?, ?, ?)",
)
_BEYOND = _Ranges(
    "select start_ts, end_ts, why, noted_at from beyond_source "
    "where series_id = ? and start_ts < ? and end_ts > ?",
    "delete from beyond_source where series_id = ? and start_ts = ?",
    "insert into beyond_source values (?, ?, ?, ?, ?)",
)
_CANCELLED = _Ranges(
    "select start_ts, end_ts, job_id, why, cancelled_at from cancelled_ranges "
    "where series_id = ? and start_ts < ? and end_ts > ?",
    "delete from cancelled_ranges where series_id = ? and start_ts = ?",
    "insert into cancelled_ranges values (?, ?, ?, ?, ?, ?)",
)


def touching(transaction: Transaction, series_id: int, window: TimeRange) -> list[Coverage]:
    """The stored coverage that overlaps *window* or touches its ends, ascending."""
    rows = transaction.rows(
        _TOUCHING,
        {
            "series_id": series_id,
            "start_ts": to_us(window.start),
            "end_ts": to_us(window.end),
        },
    )
    return [coverage_of(row) for row in rows]


def lay(transaction: Transaction, series_id: int, coverage: Iterable[Coverage]) -> None:
    """Lay each of *coverage* over what is stored; what failed there before is answered now."""
    for each in coverage:
        old = touching(transaction, series_id, each.range)
        new = overlay(old, each)
        if new != old:
            _replace(transaction, series_id, old, new)
        if each.promises:
            _trim(transaction, _FAILED, series_id, each.range)
            _trim(transaction, _BEYOND, series_id, each.range)
            _trim(transaction, _CANCELLED, series_id, each.range)


def cut(transaction: Transaction, series_id: int, window: TimeRange) -> None:
    """Forget all coverage of *window*: the next run asks for it again."""
    old = touching(transaction, series_id, window)
    kept = [
        Coverage(
            rest,
            row.basis,
            row.source,
            row.source_rank,
            row.job_id,
            row.confirmed_at,
            row.evidence,
        )
        for row in old
        for rest in subtract([row.range], [window])
    ]
    if kept != old:
        _replace(transaction, series_id, old, kept)


def last_row_us(transaction: Transaction, series_id: int) -> int | None:
    """When the last row held of a series is, microseconds."""
    row = transaction.row("select max(max_ts) from partitions where series_id = ?", (series_id,))
    return None if row is None else row[0]


def doubt_endings(
    transaction: Transaction, series_id: int, grid: Grid | None, before_us: int | None
) -> None:
    """Forget the claims that data ends that rows stored now contradict: they are asked again.

    A copy of the venue's data that stands still looks like the end of data, until it moves on.
    A claim made while later rows are held already rests on more than that, and stays.

    Args:
        transaction: The one that stored the rows.
        series_id: Whose they are.
        grid: That of the series: the candle before such an end may have been a running one.
        before_us: The last row that was held before.
    """
    latest_us = last_row_us(transaction, series_id)
    if latest_us is None or latest_us == before_us:
        return
    # A claim about trades begins at the last one, whose siblings of that moment may come later.
    found = transaction.rows(
        _ENDINGS,
        {"series_id": series_id, "before": before_us or 0, "latest": latest_us},
    )
    for start, end in found:
        first = from_us(start) if grid is None else grid.previous(from_us(start))
        cut(transaction, series_id, TimeRange(first, from_us(end)))


def forget_jobs(transaction: Transaction) -> None:
    """Take the ids of jobs that are no longer known out of all coverage, and join what then
    has equal evidence: a lake that is brought up to date every few minutes for years would
    otherwise keep a row for each time."""
    touched = transaction.rows(
        "select distinct series_id from coverage where job_id <> '' "
        "and job_id not in (select job_id from ingestion_jobs)"
    )
    for (series_id,) in touched:
        transaction.run(
            "update coverage set job_id = '' where series_id = ? "
            "and job_id not in (select job_id from ingestion_jobs)",
            (series_id,),
        )
        old = [coverage_of(row) for row in transaction.rows(_ALL, (series_id,))]
        new = joined(old)
        if len(new) < len(old):
            transaction.run("delete from coverage where series_id = ?", (series_id,))
            _replace(transaction, series_id, [], new)


def add_failed(
    transaction: Transaction,
    series_id: int,
    window: TimeRange,
    job_id: str,
    error: str,
    at: datetime,
) -> None:
    """Note that *window* was given up; the newest failure of a moment is the one kept."""
    _trim(transaction, _FAILED, series_id, window)
    transaction.run(
        _FAILED.insert,
        (series_id, to_us(window.start), to_us(window.end), job_id, error, to_us(at)),
    )


def add_cancelled(
    transaction: Transaction, series_id: int, window: TimeRange, job_id: str, why: str, at: datetime
) -> None:
    """Note what of *window* a job was cancelled before it was answered."""
    answered = [row.range for row in touching(transaction, series_id, window) if row.promises]
    for left in subtract([window], answered):
        _trim(transaction, _CANCELLED, series_id, left)
        transaction.run(
            _CANCELLED.insert,
            (series_id, to_us(left.start), to_us(left.end), job_id, why, to_us(at)),
        )


def forget_cancelled(transaction: Transaction, series_id: int, window: TimeRange) -> None:
    """A job for *window* ended well: what it left open, it was not cancelled before."""
    _trim(transaction, _CANCELLED, series_id, window)


def set_beyond_source(
    transaction: Transaction, series_id: int, window: TimeRange, why: str, at: datetime
) -> None:
    """Note that no source reaches *window*."""
    _trim(transaction, _BEYOND, series_id, window)
    transaction.run(
        _BEYOND.insert, (series_id, to_us(window.start), to_us(window.end), why, to_us(at))
    )


def _replace(
    transaction: Transaction, series_id: int, old: list[Coverage], new: list[Coverage]
) -> None:
    for row in old:
        transaction.run(
            "delete from coverage where series_id = ? and start_ts = ?",
            (series_id, to_us(row.range.start)),
        )
    transaction.run_many(
        f"insert into coverage (series_id, {COVERAGE_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(series_id, *coverage_row(row)) for row in new],
    )


def _trim(transaction: Transaction, table: _Ranges, series_id: int, answered: TimeRange) -> None:
    """Leave of each row of *table* only what lies outside of *answered*."""
    found = transaction.rows(
        table.overlapping, (series_id, to_us(answered.end), to_us(answered.start))
    )
    for start, end, *rest in found:
        transaction.run(table.delete, (series_id, start))
        for left in subtract([TimeRange(from_us(start), from_us(end))], [answered]):
            transaction.run(table.insert, (series_id, to_us(left.start), to_us(left.end), *rest))
