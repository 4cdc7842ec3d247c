"""What `lake check --fix` does: fetch again what checks found, from one source, then another."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lake.cli import interrupt
from lake.cli.fetch import confirm_plan, engine
from lake.cli.output import counted, print_error
from lake.cli.report import plan_line
from lake.domain.ranges import TimeRange, intersect

if TYPE_CHECKING:
    from datetime import datetime

    from lake.cli.interrupt import Interrupts
    from lake.config import Settings
    from lake.domain.checks import CheckRun
    from lake.domain.identifiers import Series
    from lake.ingestion import Report
    from lake.quality.repair import Damages
    from lake.storage.lake import Storage

# The venue answers for exactly what is damaged; a file of its archive is a whole month.
_SOURCES = ("rest", "archive")


def mend_files(storage: Storage, *, deep: bool) -> None:
    """Bring files and catalog into line first: what is damaged is fetched like what is missing."""
    from lake.storage.doctor import examine

    for each in examine(storage, deep=deep, repair=True):
        done = "repaired" if each.repaired else "not repaired"
        print(f"{each.path or 'catalog'}: {each.what} ({done})", file=sys.stderr)


def repair(
    storage: Storage,
    settings: Settings,
    runs: Sequence[CheckRun],
    *,
    held: Sequence[Series],
    window: TimeRange | None,
    now: datetime,
    again: Callable[[], list[CheckRun]],
    yes: bool,
) -> list[CheckRun]:
    """Fetch again what *runs* found, and check *again*; what is found then remains.

    Args:
        held: The series that may be fetched.
        window: Nothing outside of it is; None for all of them.
        now: Nothing after it is.
        again: Runs the same checks.
        yes: Do not ask before what takes more than an hour.
    """
    tried: Damages = {}
    for source in _SOURCES:
        if settings.source not in ("auto", source):
            continue
        damages = _damages(storage, runs, held, window, now)
        if not damages:
            break
        values = {**settings.values, "source": source}
        chosen = dataclasses.replace(settings, values=values)
        report = interrupt.run(
            lambda interrupts, chosen=chosen, damages=damages: _fetch(  # type: ignore[misc]
                storage, chosen, damages, interrupts, yes=yes
            )
        )
        if report is None:
            continue
        _tell(report)
        tried |= damages
        runs = again()
        if report.interrupted:
            break
    if not tried:
        print("nothing that can be fetched again", file=sys.stderr)
    return list(runs)


def _damages(
    storage: Storage,
    runs: Sequence[CheckRun],
    held: Sequence[Series],
    window: TimeRange | None,
    now: datetime,
) -> Damages:
    from lake.quality import damages_of, explained_gaps

    found = damages_of(runs, explained_gaps(storage, held), held, now)
    if window is None:
        return found
    inside = {series: intersect(ranges, [window]) for series, ranges in found.items()}
    return {series: ranges for series, ranges in inside.items() if ranges}


async def _fetch(
    storage: Storage, settings: Settings, damages: Damages, interrupts: Interrupts, *, yes: bool
) -> Report | None:
    """How fetching *damages* went; None where this source has nothing of them."""
    from lake.cli.progress import progress_for
    from lake.ingestion.repairing import plan_repair

    progress = progress_for()
    async with engine(storage, settings, progress) as backfill:
        plan = await plan_repair(backfill, damages)
        for lost in plan.unreachable:
            print_error("lake check --fix", f"{lost.venue} cannot be asked again: {lost.why}")
        if plan.is_empty:
            return None
        count = sum(len(each.pieces) for each in plan.series)
        print(
            f"fetching {counted(count, 'range')} again ({settings.source}); {plan_line(plan)}",
            file=sys.stderr,
            flush=True,
        )
        if not yes:
            await confirm_plan(plan)
        interrupts.stop_with(backfill.stop)
        with progress:
            return await backfill.run(plan)


def _tell(report: Report) -> None:
    print(f"{counted(report.rows, 'row')} added or replaced", file=sys.stderr)
    for job in report.failed:
        print_error("lake check --fix", f"{job.series}: {job.error}")
