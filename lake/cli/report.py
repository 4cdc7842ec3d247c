"""What a plan and a run look like in print: what would be done, was stored, is missing, failed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lake.cli.output import (
    Row,
    print_error,
    print_rows,
    print_table,
    seconds_text,
    size_text,
)
from lake.domain.jobs import JobState
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.progress import Tally
    from lake.domain.gaps import Gap
    from lake.domain.identifiers import Series
    from lake.ingestion import Plan, Report, SeriesPlan
    from lake.storage.lake import Storage
# What a screen holds.
_GAPS_SHOWN = 24


def plan_line(made: Plan) -> str:
    """The plan in one line."""
    if made.is_empty:
        return "nothing to do: everything that can be had is held"
    count = sum(1 for each in made.series if each.pieces)
    return (
        f"plan: {count} series, {made.rows:,} candles in {made.requests:,} requests, "
        f"about {seconds_text(max(made.seconds, 1.0))} and {size_text(made.bytes)}"
    )


def require_something(made: Plan) -> None:
    """Refuse a request of which nothing can be had.

    Raises:
        InvalidRequest: Every candle wanted lies where the venue has none; the message says why.
    """
    beyond = [each for each in made.series if _is_out_of_reach(each)]
    if not beyond or len(beyond) < len(made.series):
        return
    first = beyond[0]
    reasons = " and ".join(dict.fromkeys(part.why for part in first.excluded))
    others = f" ({len(beyond) - 1:,} other series likewise)" if len(beyond) > 1 else ""
    raise InvalidRequest(
        f"No {first.series.timeframe} candle of {first.series.instrument_id} opens in "
        f"{first.wanted}{others}: {reasons}. Ask for another range with --start and --end."
    )


def _is_out_of_reach(each: SeriesPlan) -> bool:
    grid = each.series.grid
    assert grid is not None
    left_out = sum(grid.count(part.range) for part in each.excluded)
    return not each.pieces and left_out == grid.count(each.wanted)


def print_plan(made: Plan, *, as_json: bool) -> None:
    rows: list[Row] = [
        {
            "venue": each.series.venue.name,
            "instrument": each.series.instrument_id.symbol,
            "timeframe": each.series.timeframe,
            "data_type": each.series.data_type,
            "start": each.wanted.start,
            "end": each.wanted.end,
            "candles": each.rows,
            "requests": each.requests,
            "bytes": each.bytes,
            "seconds": round(each.seconds, 1),
        }
        for each in made.series
    ]
    left_out: list[Row] = [
        {
            "instrument": each.series.instrument_id.symbol,
            "timeframe": each.series.timeframe,
            "start": part.range.start,
            "end": part.range.end,
            "reason": part.reason,
            "why": part.why,
        }
        for each in made.series
        for part in each.excluded
    ]
    if as_json:
        for row, each in zip(rows, made.series, strict=True):
            row["left_out"] = [
                {"start": part.range.start, "end": part.range.end, "reason": part.reason}
                | {"why": part.why}
                for part in each.excluded
            ]
        print_rows(rows, as_json=True, empty="")
        return
    print(plan_line(made))
    if rows:
        print_table(rows)
    if left_out:
        print("\nwill not be asked for:")
        print_table(left_out)


def print_report(
    storage: Storage, made: Plan, report: Report, tally: Tally, *, as_json: bool
) -> None:
    """What was stored, what is missing of what was wanted, and what failed."""
    from lake.cli.progress import stored_text

    if as_json:
        print_rows(job_rows(report), as_json=True, empty="")
    else:
        if report.jobs:
            print(stored_text(tally, report.rows, report.seconds))
            print_table(job_rows(report, for_people=True))
        missing = wanted_gaps(storage, made)
        if missing:
            print("\nmissing:")
            print_table(missing[:_GAPS_SHOWN])
        if len(missing) > _GAPS_SHOWN:
            print(f"... and {len(missing) - _GAPS_SHOWN:,} gaps more; `lake gaps` lists all")
    print_failures(report)


def job_rows(report: Report, *, for_people: bool = False) -> list[Row]:
    rows: list[Row] = []
    for job in report.jobs:
        row: Row = {
            "venue": job.series.venue.name,
            "instrument": job.series.instrument_id.symbol,
            "timeframe": job.series.timeframe,
            "data_type": job.series.data_type,
            "rows": job.rows,
            "state": job.state.value,
        }
        if not for_people:
            row |= {"job_id": job.job_id, "error": job.error}
        rows.append(row)
    return rows


def print_failures(report: Report) -> None:
    for job in report.failed:
        print_error(f"lake: {job.series} failed", job.error or "no reason was given")
    if report.interrupted:
        print("interrupted; run the same command again to continue", file=sys.stderr)
    elif cancelled := sum(job.state is JobState.CANCELLED for job in report.jobs):
        print(
            f"{cancelled:,} of {len(report.jobs):,} series were stopped before their end; run the "
            "same command again to continue",
            file=sys.stderr,
        )
    if report.failed:
        print("What was stored stays. Run the same command again to continue.", file=sys.stderr)


def wanted_gaps(storage: Storage, made: Plan) -> list[Row]:
    """What is missing inside the ranges that a plan was made for."""
    from lake.storage.gaps import find_gaps

    windows = {each.series: each.wanted for each in made.series}
    rows: list[Row] = []
    found = find_gaps(storage, list(windows))
    for gap in sorted(found, key=lambda each: series_order(each.series)):
        part = gap.range.intersection(windows[gap.series])
        if part is not None and gap.series.grid is not None:
            count = gap.series.grid.count(part)
            rows.append(gap_row(gap, start=part.start, end=part.end, count=count))
    return rows


def series_order(series: Series) -> tuple[str, str, str, int]:
    """As people look things up: venue, instrument, type, then timeframes from short to long."""
    frame = series.timeframe
    length = 0 if frame is None else frame.nominal_us
    return series.venue.name, series.instrument_id.symbol, series.data_type.value, length


def gap_row(gap: Gap, *, start: object, end: object, count: int) -> Row:
    """One gap with the names that `lake gaps --json` promises."""
    return {
        "venue": gap.series.venue.name,
        "instrument": gap.series.instrument_id.symbol,
        "timeframe": gap.series.timeframe,
        "data_type": gap.series.data_type,
        "gap_start": start,
        "gap_end": end,
        "missing_count": count,
        "reason": gap.reason,
        "evidence": gap.evidence,
    }
