"""Ingestion jobs: their states, and which state may follow which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame


class JobState(Enum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)

    def may_become(self, other: JobState) -> bool:
        return other in _NEXT[self]


_NEXT = {
    # A running job becomes running again when another worker claims it after its lease expired.
    JobState.PENDING: {JobState.RUNNING, JobState.CANCELLED},
    JobState.RUNNING: {
        JobState.RUNNING,
        JobState.PENDING,
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
    },
    JobState.FAILED: {JobState.PENDING, JobState.RUNNING},
    JobState.CANCELLED: {JobState.PENDING, JobState.RUNNING},
    JobState.COMPLETED: set(),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One row of ``ingestion_jobs``: a range of one series to bring into the lake.

    ``progress`` runs from 0 to 1, ``rows`` counts rows stored by it (all attempts),
    ``token`` fences its workers: only the holder of the newest may publish.
    """

    job_id: str
    series: Series
    range: TimeRange
    status: JobState
    created_at: datetime
    updated_at: datetime
    progress: float = 0.0
    rows: int = 0
    attempts: int = 0
    error: str | None = None
    kind: str = "backfill"
    refetch: bool = False
    cancel_requested: bool = False
    token: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def instrument_id(self) -> InstrumentId:
        return self.series.instrument_id

    @property
    def venue(self) -> Venue:
        return self.series.venue

    @property
    def data_type(self) -> DataType:
        return self.series.data_type

    @property
    def timeframe(self) -> TimeFrame | None:
        return self.series.timeframe

    @property
    def start_time(self) -> datetime:
        return self.range.start

    @property
    def end_time(self) -> datetime:
        return self.range.end


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to publish for a job, until it expires or a newer token is given out."""

    job_id: str
    token: int
    owner: str
