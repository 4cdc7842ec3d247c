"""What a run tells whoever watches it. Plain values; a terminal, a log or a test renders them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lake.domain.identifiers import Series, Venue
from lake.domain.jobs import JobState

if TYPE_CHECKING:
    from lake.ingestion.planning import Plan
    from lake.ingestion.recording import RecordingPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is made; nothing was fetched yet."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class RecordingPlanned:
    """It is clear which books will be recorded; none was taken yet."""

    plan: RecordingPlan


@dataclass(frozen=True, slots=True)
class Missed:
    """Snapshots that were not taken when they were due, and why."""

    series: Series
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class JobStarted:
    series: Series
    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class PageFetched:
    """One window was answered: ``slots`` of the plan are done, ``rows`` came.

    A slot is a candle, a second of time where rows come at any moment, or a snapshot.
    """

    series: Series
    rows: int
    slots: int
    requests: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Stored:
    """One partition was committed; what it says is safe."""

    series: Series
    partition_path: str
    rows_added: int
    rows_changed: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request waits for the venue: its budget, a ban, or a retry."""

    venue: Venue
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How much of the venue's allowance of this minute is used, 0 to 1."""

    venue: Venue
    share: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that whoever watches should know, and that ended nothing."""

    series: Series
    text: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job reached a final state; ``rows`` are those it added or changed in this run."""

    series: Series
    job_id: str
    state: JobState
    rows: int
    error: str | None = None


Event = (
    Planned
    | RecordingPlanned
    | JobStarted
    | PageFetched
    | Missed
    | Stored
    | Waiting
    | BudgetState
    | Noticed
    | JobEnded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listens to nothing."""
