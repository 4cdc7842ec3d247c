"""What a plan and a run look like in print: what would be done, was stored, is missing, failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from lake.cli.output import (
    Row,
    counted,
    noun,
    print_error,
    print_rows,
    print_table,
    rows_text,
    seconds_text,
    size_text,
    span_text,
)
from lake.domain.jobs import JobState
from lake.domain.ranges import subtract
from lake.domain.times import iso
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.progress import Tally
    from lake.domain.gaps import Gap
    from lake.domain.identifiers import Series
    from lake.domain.ranges import TimeRange
    from lake.ingestion import Plan, Report, Request, SeriesPlan
    from lake.storage.lake import Storage

# What a screen holds.
_GAPS_SHOWN = 24
_SURE = {"exact": "", "estimate": "about ", "at_most": "at most "}


def plan_line(made: Plan) -> str:
    """The plan in one line."""
    if made.is_empty:
        return _nothing_to_do(made)
    todo = [each for each in made.series if each.pieces]
    kind = todo[0].series.data_type
    series = f"{len(todo):,} series"
    if not made.is_size_known:
        span = sum((piece.duration for each in todo for piece in each.pieces), timedelta())
        known = f"{rows_text(made.rows, kind)} and " if made.rows else ""
        return (
            f"plan: {series}, {known}{span_text(span.total_seconds())} of {noun(kind)}"
            f"{_from_files(made)}; how "
            "many there are, and so how long it takes and how large it is, shows when they come"
        )
    return (
        f"plan: {series}, {_SURE[made.sureness.value]}{rows_text(made.rows, kind)} in "
        f"{_files_and_requests(made)}, about {seconds_text(max(made.seconds, 1.0))} and "
        f"{size_text(made.bytes)}"
    )


def _files_and_requests(made: Plan) -> str:
    """How rows come: ``3 archive files and 12 requests``."""
    requests = counted(made.requests, "request")
    if not made.files:
        return requests
    files = counted(made.files, "archive file")
    return f"{files} and {requests}" if made.requests else files


def _from_files(made: Plan) -> str:
    return f" from {counted(made.files, 'archive file')}" if made.files else ""


def _nothing_to_do(made: Plan) -> str:
    """Why nothing is to be fetched: what can be had is held, and what cannot be had."""
    lacking = [each for each in made.series if each.excluded]
    if not lacking:
        return "nothing to do: all of it is held"
    return (
        "nothing to do: what can be had of it is held; the rest cannot be had: "
        f"{_reasons(lacking[0])}{_others(lacking)}"
    )


def _reasons(each: SeriesPlan) -> str:
    return " and ".join(dict.fromkeys(part.why for part in each.excluded))


def _others(plans: Sequence[SeriesPlan]) -> str:
    return f" ({len(plans) - 1:,} other series likewise)" if len(plans) > 1 else ""


def require_something(made: Plan, asked: Request) -> None:
    """Refuse a request of which nothing can be had.

    Raises:
        InvalidRequest: Everything wanted lies where the venue has none; the message says why.
    """
    if not made.series:
        names = " or ".join(str(each) for each in asked.timeframes)
        raise InvalidRequest(
            f"No {names} candle opens and closes from {iso(asked.start)} to "
            f"{'now' if asked.end is None else iso(asked.end)}, so there is nothing to fetch. "
            "Ask for a longer range or a shorter timeframe."
        )
    beyond = [each for each in made.series if _is_out_of_reach(each)]
    if not beyond or len(beyond) < len(made.series):
        return
    first = beyond[0]
    instrument = first.series.instrument_id
    what = (
        f"No {first.series.timeframe} candle of {instrument} opens"
        if first.series.timeframe
        else f"No {noun(first.series.data_type)} of {instrument} can be had"
    )
    raise InvalidRequest(
        f"{what} in {first.wanted}{_others(beyond)}: {_reasons(first)}. Ask for another range "
        "with --start and --end."
    )


def _is_out_of_reach(each: SeriesPlan) -> bool:
    left = subtract([each.wanted], [part.range for part in each.excluded])
    grid = each.series.grid
    return not each.pieces and sum(1 if grid is None else grid.count(part) for part in left) == 0


def print_plan(made: Plan, *, as_json: bool) -> None:
    rows: list[Row] = []
    for each in made.series:
        known = each.is_size_known
        rows.append(
            {
                "venue": each.series.venue.name,
                "instrument": each.series.instrument_id.symbol,
                "timeframe": each.series.timeframe,
                "data_type": each.series.data_type,
                "start": each.wanted.start,
                "end": each.wanted.end,
                "rows": each.rows if known else None,
                "files": len(each.files),
                "requests": each.requests,
                "bytes": each.bytes if known else None,
                "seconds": round(each.seconds, 1) if known else None,
                "size_is": each.sureness,
            }
        )
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
            print(stored_text(tally, report))
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
    from lake.quality import explained_gaps

    windows = {each.series: each.wanted for each in made.series}
    rows: list[Row] = []
    found = explained_gaps(storage, list(windows))
    for gap in sorted(found, key=lambda each: series_order(each.series)):
        part = gap.range.intersection(windows[gap.series])
        if part is not None:
            rows.append(gap_row(gap, start=part.start, end=part.end, count=_missing(gap, part)))
    return rows


def _missing(gap: Gap, part: TimeRange) -> int | None:
    """How many rows *part* of the gap lacks; None where only the whole gap's are known."""
    if gap.series.grid is not None:
        return gap.series.grid.count(part)
    return gap.missing_count if part == gap.range else None


def series_order(series: Series) -> tuple[str, str, str, int]:
    """As people look things up: venue, instrument, type, then timeframes from short to long."""
    frame = series.timeframe
    length = 0 if frame is None else frame.nominal_us
    return series.venue.name, series.instrument_id.symbol, series.data_type.value, length


def gap_row(gap: Gap, *, start: object, end: object, count: int | None) -> Row:
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
