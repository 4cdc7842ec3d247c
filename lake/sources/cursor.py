"""Which rows one request names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cursor:
    """From an id on, of a span of time, or (with neither) the newest ones.

    Attributes:
        limit: Most rows wanted; for a book, levels on each side.
        from_id: The first id wanted.
        start_us, end_us: The span, half-open; only without *from_id*.
    """

    limit: int
    from_id: int | None = None
    start_us: int | None = None
    end_us: int | None = None
