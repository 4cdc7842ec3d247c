"""What an import tells: what became of each file, and how it all ended. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lake.domain.identifiers import Series
from lake.domain.ranges import TimeRange
from lake.ingestion.events import JobEnded, JobStarted, Stored


class FileState(Enum):
    STORED = "stored"
    UNCHANGED = "unchanged"
    """Every row was held already."""
    REFUSED = "refused"
    SKIPPED = "skipped"
    """Found in a folder and of no known format."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one series of one file; ``reason`` says why, or what to know about it."""

    path: Path
    state: FileState
    reason: str = ""
    series: Series | None = None
    window: TimeRange | None = None
    rows: int = 0
    rejected: int = 0
    notes: int = 0


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import ended, file by file in the order of their paths."""

    files: tuple[FileOutcome, ...]
    jobs: tuple[JobEnded, ...]
    rows_added: int
    rows_changed: int
    seconds: float
    interrupted: bool = False

    def count(self, state: FileState) -> int:
        """How many files ended in *state*."""
        return sum(file.state is state for file in self.files)

    @property
    def exit_code(self) -> int:
        """0 done, 1 every file refused, 4 some of them, 130 interrupted (DESIGN, section 9)."""
        if self.interrupted:
            return 130
        refused = self.count(FileState.REFUSED)
        if not refused:
            return 0
        done = self.count(FileState.STORED) + self.count(FileState.UNCHANGED)
        return 4 if done else 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """Where a file was downloaded, and what the server called that version of it."""

    url: str
    etag: str | None = None


ImportEvent = FileOutcome | JobStarted | Stored | JobEnded
