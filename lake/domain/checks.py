"""Checks: what one is, what it finds, and what a run of it says. Pure.

A check is one SQL file whose rows are violations; no rows means that it passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Severity(Enum):
    """How bad a violation is. ``INFO`` explains, and lets a run pass."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    def __str__(self) -> str:
        return self.value


class Reach(Enum):
    """What must be looked at together: how far a run may be cut into pieces."""

    SERIES = "series"
    """Each series by itself."""
    INSTRUMENT = "instrument"
    """All series of one instrument at its venue."""
    LAKE = "lake"
    """Everything at once."""


class RunStatus(Enum):
    PASSED = "passed"
    VIOLATED = "violated"
    FAILED = "failed"
    """The check itself could not be run."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number or word that may be set: ``getvariable(name)`` in the check's text."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check, as its file says.

    Attributes:
        name: As the file is called.
        version: Raised with every change of the text.
        severity: Of violations that do not say another one themselves.
        reads: ``catalog``, or the data types whose rows are read.
        reach: What must be looked at together.
        returns: What a violation is.
        blind_to: What it cannot see.
        why: What it is good for.
        text: One SELECT.
        sha256: Of the whole file.
        repair: ``refetch`` where fetching the range of a violation again may mend it, else
            ``none``.
        is_own: Whether it is one of ours, not the user's.
    """

    name: str
    version: int
    severity: Severity
    reads: tuple[str, ...]
    reach: Reach
    parameters: tuple[Parameter, ...]
    returns: str
    blind_to: str
    why: str
    text: str
    sha256: str
    repair: str = "none"
    is_own: bool = True

    @property
    def reads_rows(self) -> bool:
        """Whether Parquet files are opened; else the catalog answers."""
        return self.reads != ("catalog",)


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a check found.

    Attributes:
        data_type, venue, instrument, timeframe: Of which series; None where it is of none.
        start: The range ``[start, end)`` in which it is; None where it is in none.
        rows: How many rows are concerned; None where that cannot be said.
        detail: What is wrong, for people.
    """

    severity: Severity
    data_type: str | None
    venue: str | None
    instrument: str | None
    timeframe: str | None
    start: datetime | None
    end: datetime | None
    rows: int | None
    detail: str


COLUMNS = ("data_type", "venue", "instrument", "timeframe", "start_ts", "end_ts", "rows", "detail")
"""What every check returns, in any order; ``severity`` may come beside them."""


Named = tuple[str | None, str | None, str | None, str | None]
"""Data type, venue, instrument and timeframe of a series."""


@dataclass(frozen=True, slots=True)
class CheckRun:
    """What one run of one check said.

    Attributes:
        batch: Shared by all runs of one command.
        scope: What was looked at; empty for the whole lake.
        violations: How many there were; ``found`` may be fewer of them.
        by_series: Data type, venue, instrument and timeframe to how many violations are of that
            series, and how many rows they concern.
        error: Why it could not be run.
    """

    batch: str
    check: Check
    parameters: Mapping[str, str]
    scope: Mapping[str, str]
    status: RunStatus
    violations: int
    found: tuple[Violation, ...]
    started_at: datetime
    finished_at: datetime
    error: str | None = None
    counts: Mapping[Severity, int] = field(default_factory=dict)
    by_series: Mapping[Named, tuple[int, int]] = field(default_factory=dict)
