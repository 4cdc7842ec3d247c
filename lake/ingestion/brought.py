"""What was brought before a venue is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from lake.domain.ranges import TimeRange
from lake.errors import LakeError


@dataclass(frozen=True, slots=True)
class Brought:
    """Rows that came from elsewhere.

    Attributes:
        rows: How many were added or changed.
        left: What the venue is to be asked for.
        problem: Why the job has failed, whatever the venue gives.
    """

    rows: int
    left: Sequence[TimeRange]
    problem: LakeError | None = None


BringFirst = Callable[[Callable[[], bool]], Awaitable[Brought]]
"""Brings rows, given what says whether to stop."""
