"""Shows a run while it goes on: a live bar on a terminal, throttled plain lines elsewhere.

Listens to the engine's events; decides nothing. Everything goes to stderr, so that what a command
answers on stdout can be piped.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from lake.cli.output import counted, rows_text, seconds_text, size_text, span_text
from lake.domain.identifiers import DataType, Series
from lake.ingestion.events import (
    BudgetState,
    Event,
    JobEnded,
    JobStarted,
    Missed,
    Noticed,
    PageFetched,
    Planned,
    RecordingPlanned,
    Stored,
    Waiting,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lake.ingestion import Report

_BAR_WIDTH = 12  # the figures beside it say more
_LINE_EVERY_S = 10.0  # a log of an hour stays readable
_WAIT_SHOWN_FROM_S = 1.0  # shorter waits are how a budget works, not news


class Tally:
    """What a run has done so far, counted from its events.

    Work is counted in slots: candles, seconds of time where rows come at any moment, or
    snapshots to be taken.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self.rows = 0
        self.stored_bytes = 0
        self.requests = 0
        self.rejected = 0
        self.missed = 0
        self.share: float | None = None
        self.venue = ""
        self.waiting = ""
        self._waiting_until = 0.0
        self._planned: dict[Series, int] = {}
        self._done: dict[Series, int] = {}

    def add(self, event: Event) -> None:
        match event:
            case Planned(plan=plan):
                self._started = self._clock()
                self._planned = {each.series: each.slots for each in plan.series if each.slots}
            case RecordingPlanned(plan=plan):
                self._started = self._clock()
                self._planned = {each.series: plan.ticks or 0 for each in plan.books}
            case PageFetched():
                self._done[event.series] = self._done.get(event.series, 0) + event.slots
                self.rows += event.rows
                self.requests += event.requests
                self.rejected += event.rejected
            case Missed():
                self._done[event.series] = self._done.get(event.series, 0) + event.count
                self.missed += event.count
            case Stored():
                self.stored_bytes += event.bytes
            case Waiting():
                self.waiting = f"{event.venue}: {event.why}, {seconds_text(event.seconds)}"
                self._waiting_until = self._clock() + event.seconds
            case BudgetState():
                self.venue, self.share = str(event.venue), event.share
            case JobStarted() | JobEnded() | Noticed():
                pass

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    @property
    def done(self) -> float:
        """The part of the work that is done, 0 to 1: of each series alike."""
        if not self._planned:
            return 0.0
        shares = (
            min(1.0, self._done.get(series, 0) / wanted) if wanted else 0.0
            for series, wanted in self._planned.items()
        )
        return sum(shares) / len(self._planned)

    @property
    def seconds_left(self) -> float | None:
        return self.seconds * (1 - self.done) / self.done if self.done and self.seconds else None

    def wait_text(self) -> str:
        return self.waiting if self._clock() < self._waiting_until else ""

    def line(self) -> str:
        """All of it in one line."""
        rate = self.rows / self.seconds if self.seconds > 0 else 0.0
        parts = [*self._work(), f"{rate:,.0f}/s" if rate >= 1 or not rate else f"{rate:.2g}/s"]
        if self.share is not None:
            parts.append(f"{self.share:.0%} of {self.venue} budget")
        if (left := self.seconds_left) is not None:
            parts.append(f"{seconds_text(left)} left")
        if self.missed:
            parts.append(f"{self.missed:,} missed")
        if self.rejected:
            parts.append(f"{self.rejected:,} rows to quarantine")
        return ", ".join(parts)

    def _work(self) -> list[str]:
        """What is done of what: counted where it can be, else as time and rows."""
        wanted, done = sum(self._planned.values()), sum(self._done.values())
        kinds = {series.data_type for series in self._planned or self._done}
        if len(kinds) != 1:
            return [f"{self.done:.0%} of {len(self._planned):,} series", f"{self.rows:,} rows"]
        [kind] = kinds
        if kind is DataType.OHLCV:
            return [f"{done:,} of {rows_text(wanted, kind)}"]
        if kind is DataType.ORDERBOOK:
            return [
                f"{self.rows:,} of {rows_text(wanted, kind)}"
                if wanted
                else rows_text(self.rows, kind)
            ]
        return [f"{seconds_text(done)} of {span_text(wanted)}", rows_text(self.rows, kind)]


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """One line now and then, without control characters: for logs, cron and pipes."""

    def __init__(self, out: TextIO, *, every_s: float = _LINE_EVERY_S) -> None:
        self.tally = Tally()
        self._out = out
        self._every_s = every_s
        self._last = time.monotonic()
        self._said = -math.inf

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def __call__(self, event: Event) -> None:
        self.tally.add(event)
        now = time.monotonic()
        if isinstance(event, Noticed):
            print(f"{event.series}: {event.text}", file=self._out, flush=True)
        elif isinstance(event, Waiting) and event.seconds >= _WAIT_SHOWN_FROM_S:
            self._say(f"waiting: {self.tally.waiting}", now)
        elif isinstance(event, PageFetched) and now - self._last >= self._every_s:
            self._say(self.tally.line(), now)

    def _say(self, line: str, now: float) -> None:
        # A venue that makes every worker wait would otherwise fill the log.
        if now - self._said < min(self._every_s, 1.0):
            return
        print(line, file=self._out, flush=True)
        self._last = self._said = now


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """One bar that moves: what is done, rate, share of the venue's budget, time left."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.__enter__()
        self._task = self._bar.add_task("", total=1.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        self.tally.add(event)
        if self._bar is not None and isinstance(event, Noticed):
            self._bar.console.print(f"{event.series}: {event.text}", markup=False)
        if self._bar is not None and self._task is not None:
            waiting = self.tally.wait_text()
            self._bar.update(
                self._task,
                completed=self.tally.done,
                description=self.tally.line() + (f" ({waiting})" if waiting else ""),
            )


def progress_for(out: TextIO | None = None) -> PlainProgress | LiveProgress:
    """A live bar where stderr is a terminal, plain lines elsewhere."""
    out = out or sys.stderr
    return LiveProgress() if out.isatty() else PlainProgress(out)


def stored_text(tally: Tally, report: Report) -> str:
    """What a run stored, in one line."""
    counts = Counter[DataType]()
    for job in report.jobs:
        counts[job.series.data_type] += job.rows
    rows = " and ".join(rows_text(count, kind) for kind, count in counts.items())
    size = f" ({size_text(tally.stored_bytes)})" if report.rows else ""
    requests = counted(tally.requests, "request")
    text = f"stored {rows}{size} in {seconds_text(report.seconds)}, {requests}"
    if tally.rejected:
        text += f"; {counted(tally.rejected, 'row')} went to quarantine"
    return text
