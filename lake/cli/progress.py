"""Shows a run while it goes on: a live bar on a terminal, throttled plain lines elsewhere.

Listens to the engine's events; decides nothing. Everything goes to stderr, so that what a command
answers on stdout can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from lake.cli.output import seconds_text, size_text
from lake.ingestion.events import (
    BudgetState,
    Event,
    JobEnded,
    JobStarted,
    PageFetched,
    Planned,
    Stored,
    Waiting,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_BAR_WIDTH = 12  # the figures beside it say more
_LINE_EVERY_S = 10.0  # a log of an hour stays readable
_WAIT_SHOWN_FROM_S = 1.0  # shorter waits are how a budget works, not news


class Tally:
    """What a run has done so far, counted from its events."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self.slots_wanted = 0
        self.slots = 0
        self.rows = 0
        self.stored_rows = 0
        self.stored_bytes = 0
        self.requests = 0
        self.rejected = 0
        self.share: float | None = None
        self.venue = ""
        self.waiting = ""
        self._waiting_until = 0.0
        self._planned: dict[str, int] = {}
        self._done: dict[str, int] = {}

    def add(self, event: Event) -> None:
        match event:
            case Planned(plan=plan):
                self._started = self._clock()
                for each in plan.series:
                    self._planned[str(each.series)] = each.slots
                self.slots_wanted = sum(self._planned.values())
            case PageFetched():
                key = str(event.series)
                self._done[key] = self._done.get(key, 0) + event.slots
                self.slots = sum(self._done.values())
                self.rows += event.rows
                self.requests += event.requests
                self.rejected += event.rejected
            case Stored():
                self.stored_rows += event.rows_added + event.rows_changed
                self.stored_bytes += event.bytes
            case Waiting():
                self.waiting = f"{event.venue}: {event.why}, {seconds_text(event.seconds)}"
                self._waiting_until = self._clock() + event.seconds
            case BudgetState():
                self.venue, self.share = str(event.venue), event.share
            case JobStarted() | JobEnded():
                pass

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    @property
    def rate(self) -> float:
        """Candles a second since the plan was made."""
        return self.slots / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        if not self.slots or self.seconds <= 0:
            return None
        return max(self.slots_wanted - self.slots, 0) / self.rate

    def wait_text(self) -> str:
        return self.waiting if self._clock() < self._waiting_until else ""

    def line(self) -> str:
        """All of it in one line."""
        parts = [f"{self.slots:,} of {self.slots_wanted:,} candles", f"{self.rate:,.0f}/s"]
        if self.share is not None:
            parts.append(f"{self.share:.0%} of {self.venue} budget")
        if (left := self.seconds_left) is not None:
            parts.append(f"{seconds_text(left)} left")
        if self.rejected:
            parts.append(f"{self.rejected:,} rows to quarantine")
        return ", ".join(parts)


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """One line now and then, without control characters: for logs, cron and pipes."""

    def __init__(self, out: TextIO, *, every_s: float = _LINE_EVERY_S) -> None:
        self.tally = Tally()
        self._out = out
        self._every_s = every_s
        self._last = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def __call__(self, event: Event) -> None:
        self.tally.add(event)
        now = time.monotonic()
        if isinstance(event, Waiting) and event.seconds >= _WAIT_SHOWN_FROM_S:
            self._say(f"waiting: {self.tally.waiting}", now)
        elif isinstance(event, PageFetched) and now - self._last >= self._every_s:
            self._say(self.tally.line(), now)

    def _say(self, line: str, now: float) -> None:
        # A venue that makes every worker wait would otherwise fill the log.
        if now - self._last < min(self._every_s, 1.0):
            return
        print(line, file=self._out, flush=True)
        self._last = now


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """One bar that moves: candles, rate, share of the venue's budget, time left."""

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
        self._task = self._bar.add_task("", total=max(self.tally.slots_wanted, 1))
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
        if self._bar is not None and self._task is not None:
            waiting = self.tally.wait_text()
            self._bar.update(
                self._task,
                total=max(self.tally.slots_wanted, 1),
                completed=min(self.tally.slots, self.tally.slots_wanted),
                description=self.tally.line() + (f" ({waiting})" if waiting else ""),
            )


def progress_for(out: TextIO | None = None) -> PlainProgress | LiveProgress:
    """A live bar where stderr is a terminal, plain lines elsewhere."""
    out = out or sys.stderr
    return LiveProgress() if out.isatty() else PlainProgress(out)


def stored_text(tally: Tally, rows: int, seconds: float) -> str:
    """What a run stored, in one line."""
    size = f" ({size_text(tally.stored_bytes)})" if rows else ""
    text = f"stored {rows:,} candles{size} in {seconds_text(seconds)}, {tally.requests:,} requests"
    if tally.rejected:
        text += f"; {tally.rejected:,} rows went to quarantine"
    return text
