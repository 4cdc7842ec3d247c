"""What a commit is given, what it starts from, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from lake.domain.coverage import Claim, Coverage
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected, SourceTag
from lake.storage.footer import Footer
from lake.storage.merge import Merged
from lake.storage.scan import RowScan


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionCommit:
    """Rows for one partition, and what they are known to answer.

    Attributes:
        partition: The file. All rows lie in its range.
        rows: In the data type's schema. A table: any order. For more than memory should hold,
            tables that can be iterated again: each and all of them ascending by ``ts``, and no
            key under two times.
        tag: Where they come from.
        claims: What counts as asked and answered from now on.
        replace: None merges. A range becomes exactly *rows*.
        rejected: Rows that were refused; stored in ``quarantine``.
        notes: What the source says beyond the columns.
        progress: The job's progress after this commit, 0 to 1.
        confirmed_at: When the source answered; now, where None.
    """

    partition: Partition
    rows: pa.Table | Iterable[pa.Table]
    tag: SourceTag
    claims: tuple[Claim, ...] = ()
    replace: TimeRange | None = None
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Note, ...] = ()
    progress: float | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did to the rows, and what the file holds now."""

    rows_added: int
    rows_changed: int
    rows_removed: int
    rows_total: int
    bytes: int
    generation: int


class Overtaken(Exception):
    """Another writer published this partition since we read it: merge again."""


@dataclass(frozen=True, slots=True)
class Base:
    """What was merged from. ``generation`` is that of the catalog and of the file alike."""

    generation: int
    sha256: str | None
    footer: Footer | None
    coverage: list[Coverage]
    origin: str
    variant: str | None


@dataclass(slots=True)
class Tally:
    """What a commit has done to the rows so far."""

    scan: RowScan
    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def alters(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def count(self, merged: Merged) -> None:
        self.added += merged.added
        self.changed += merged.changed
        self.removed += merged.removed
        self.scan.feed(merged.rows)
