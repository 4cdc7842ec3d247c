"""backfill --type orderbook: snapshots from now on, what was taken of them and what was missed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lake.cli.arguments import Place, announce
from lake.cli.fetch import confirm, engine, run_in_passing
from lake.cli.output import (
    Row,
    counted,
    print_error,
    print_rows,
    print_table,
    rows_text,
    seconds_text,
    size_text,
    span_text,
)
from lake.domain.identifiers import DataType
from lake.domain.jobs import JobState

if TYPE_CHECKING:
    from lake.cli.interrupt import Interrupts
    from lake.cli.progress import Tally
    from lake.config import Settings
    from lake.ingestion.recording import Recording, RecordingPlan, RecordReport
    from lake.storage.lake import Storage

_ASK_ABOVE_BYTES = 10_000_000_000


def record(
    recording: Recording, place: Place, settings: Settings, *, yes: bool, as_json: bool
) -> int:
    """Take snapshots until the time is over, or Ctrl-C."""
    from lake.cli import interrupt

    with place.open_or_create() as storage:
        return interrupt.run(
            lambda interrupts: _record(storage, settings, recording, interrupts, yes, as_json)
        )


def plan_only(recording: Recording, place: Place, settings: Settings, *, as_json: bool) -> int:
    """Say what would be recorded."""

    async def work(storage: Storage) -> RecordingPlan:
        async with engine(storage, settings) as backfill:
            return await backfill.plan_recording(recording)

    made = run_in_passing(place, work)
    if not as_json:
        print(plan_line(made))
    rows: list[Row] = [
        {
            "venue": each.series.venue.name,
            "instrument": each.series.instrument_id.symbol,
            "data_type": each.series.data_type,
            "variant": each.variant,
            "every_s": recording.every.total_seconds(),
            "snapshots": made.ticks,
            "budget_share": round(made.budget_share, 4),
        }
        for each in made.books
    ]
    print_rows(rows, as_json=as_json, empty="")
    return 0


def plan_line(made: RecordingPlan) -> str:
    """The recording in one line."""
    recording = made.recording
    books = f"{len(made.books):,} book{'' if len(made.books) == 1 else 's'}"
    what = (
        f"plan: {books} of {recording.depth} levels a side every "
        f"{span_text(recording.every.total_seconds())} from now on"
    )
    share = f"{made.budget_share:.1%} of what may be used of {recording.venue}'s rate limit"
    if made.ticks is None:
        size = size_text(made.per_day * made.bytes_per_snapshot)
        return f"{what} until Ctrl-C: {made.per_day:,} snapshots and about {size} a day, {share}"
    count = made.ticks * len(made.books)
    assert recording.duration is not None
    return (
        f"{what} for {span_text(recording.duration.total_seconds())}: "
        f"{rows_text(count, DataType.ORDERBOOK)}, about "
        f"{size_text(count * made.bytes_per_snapshot)}, {share}"
    )


async def _record(
    storage: Storage,
    settings: Settings,
    recording: Recording,
    interrupts: Interrupts,
    yes: bool,
    as_json: bool,
) -> int:
    from lake.cli.progress import progress_for

    progress = progress_for()
    async with engine(storage, settings, progress) as backfill:
        made = await backfill.plan_recording(recording)
        print(plan_line(made), file=sys.stderr if as_json else sys.stdout, flush=True)
        size = (made.ticks or 0) * len(made.books) * made.bytes_per_snapshot
        if size > _ASK_ABOVE_BYTES and not yes:
            await confirm(f"about {size_text(size)}")
        announce(storage)
        interrupts.stop_with(backfill.stop)
        with progress:
            report = await backfill.record(made)
    _print_report(report, progress.tally, as_json=as_json)
    return report.exit_code


def _print_report(report: RecordReport, tally: Tally, *, as_json: bool) -> None:
    rows: list[Row] = [
        {
            "venue": each.series.venue.name,
            "instrument": each.series.instrument_id.symbol,
            "data_type": each.series.data_type,
            "snapshots": each.stored,
            "unchanged": each.unchanged,
            "missed": sum(each.missed.values()),
            "refused": each.refused,
            "state": each.state.value,
        }
        for each in report.books
    ]
    if as_json:
        for row, each in zip(rows, report.books, strict=True):
            row |= {"missed_why": each.missed, "job_id": each.job_id, "error": each.error}
        print_rows(rows, as_json=True, empty="")
    else:
        size = f" ({size_text(tally.stored_bytes)})" if report.stored else ""
        print(
            f"stored {rows_text(report.stored, DataType.ORDERBOOK)}{size} in "
            f"{seconds_text(report.seconds)}, {counted(report.requests, 'request')}"
        )
        print_table(rows)
    _tell_missed(report)
    for each in report.books:
        if each.refused:
            print_error(
                f"lake: {each.series}",
                f"{each.refused:,} books broke an invariant and are in quarantine",
            )
        if each.state is JobState.FAILED:
            print_error(f"lake: {each.series} failed", each.error or "no reason was given")
    if report.interrupted:
        print("interrupted; what was taken is stored", file=sys.stderr)


def _tell_missed(report: RecordReport) -> None:
    """One line for each reason, however many books there are."""
    from lake.ingestion.recorder import REQUEST_FAILED

    reasons = dict.fromkeys(why for each in report.books for why in each.missed)
    for why in reasons:
        books = [each for each in report.books if why in each.missed]
        count = sum(each.missed[why] for each in books)
        of = str(books[0].series) if len(books) == 1 else f"{len(books):,} books"
        last = next((each.error for each in books if each.error and why == REQUEST_FAILED), None)
        example = f" ({last})" if last else ""
        print_error(f"lake: {of}", f"{rows_text(count, DataType.ORDERBOOK)} missed: {why}{example}")
