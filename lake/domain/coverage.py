"""Coverage: which ranges of a series were asked for and answered, on what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from lake.domain.ranges import TimeRange

NOTHING_LATER = "answers with other bounds end before it"
"""The evidence of a claim at the end of a venue's data. A venue that lags shows the same: such a
claim is given up when later rows turn up."""

QUIET_LEFT_OUT = "candles without trades are left out"
"""The evidence of a claim on the rows of a file whose format writes no candle where nothing
traded."""
NOT_IN_FILE = "the file of that day or month has no rows there"
"""The evidence of a claim on what a file should hold and does not."""


class Basis(Enum):
    """What a covered range rests on."""

    ANSWER = "answer"
    """The venue answered, and what it left out was confirmed by a second answer."""
    ARCHIVE = "archive"
    """A vendor's file that promises the whole day or month, and is intact."""
    ROWS_ONLY = "rows_only"
    """An import that promises nothing, or a recording: rows are held, holes mean nothing."""

    @property
    def promises(self) -> bool:
        """Whether a hole in such a range is a fact about the venue."""
        return self is not Basis.ROWS_ONLY


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that a source answered, before it is stored as coverage.

    ``evidence`` says in a few words why a hole in it is known to be one
    (``second answer``, ``rows beyond the gap``, ``zip CRC``); empty where there is none.
    """

    range: TimeRange
    basis: Basis
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """A stored claim: who answered, for which job, when. Ranks order sources (higher wins)."""

    range: TimeRange
    basis: Basis
    source: str
    source_rank: int
    job_id: str
    confirmed_at: datetime
    evidence: str = ""

    @property
    def promises(self) -> bool:
        """Whether a hole in it is a fact about the venue."""
        return self.basis.promises

    def same_evidence(self, other: Coverage) -> bool:
        return (self.basis, self.source, self.source_rank, self.job_id, self.evidence) == (
            other.basis,
            other.source,
            other.source_rank,
            other.job_id,
            other.evidence,
        )


def merge(rows: Iterable[Coverage]) -> list[Coverage]:
    """Touching rows joined where all evidence is equal; the older confirmation is kept."""
    merged: list[Coverage] = []
    for row in sorted(rows, key=lambda each: each.range):
        last = merged[-1] if merged else None
        if last and last.same_evidence(row) and row.range.start <= last.range.end:
            merged[-1] = replace(
                last,
                range=TimeRange(last.range.start, max(last.range.end, row.range.end)),
                confirmed_at=min(last.confirmed_at, row.confirmed_at),
            )
        else:
            merged.append(row)
    return merged


def overlay(old: Iterable[Coverage], new: Coverage) -> list[Coverage]:
    """*old* with *new* laid over it: where both speak, the new answer stands.

    A ``rows_only`` claim never hides a promise, and an equal or higher ranked promise is
    never hidden by a lower ranked one.
    """
    kept: list[Coverage] = []
    pieces = [new.range]
    for row in old:
        if not row.range.overlaps(new.range):
            kept.append(row)
        elif _outlives(row, new):
            kept.append(row)
            pieces = [rest for piece in pieces for rest in _without(piece, row.range)]
        else:
            kept.extend(replace(row, range=rest) for rest in _without(row.range, new.range))
    kept.extend(replace(new, range=piece) for piece in pieces)
    return merge(kept)


def _outlives(old: Coverage, new: Coverage) -> bool:
    if old.promises != new.promises:
        return old.promises
    return old.source_rank > new.source_rank


def _without(whole: TimeRange, hole: TimeRange) -> list[TimeRange]:
    rest: list[TimeRange] = []
    if whole.start < hole.start:
        rest.append(TimeRange(whole.start, min(whole.end, hole.start)))
    if hole.end < whole.end:
        rest.append(TimeRange(max(whole.start, hole.end), whole.end))
    return rest
