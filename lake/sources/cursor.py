"""Which rows one request names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lake.domain.timeframe import TimeFrame


@dataclass(frozen=True, slots=True)
class Cursor:
    """From an id on, of a span of time, or (with neither) the newest ones.

    Attributes:
        limit: Most rows wanted; for a book, levels on each side.
        from_id: The first id wanted.
        start_us, end_us: The span, half-open; only without *from_id*.
        token: Where the answer before said that this one begins (``Decoded.following``): an
            id, a time, a page. What it means is the venue's own business.
    """

    limit: int
    from_id: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class CandleCursor:
    """Candles of one request, by open time.

    Attributes:
        timeframe: Their length.
        first_us, last_us: Open times in microseconds, both inclusive; None is without a bound.
        limit: Most candles wanted.
        now: The venue's time, at least: some venues keep old candles at another endpoint.
    """

    timeframe: TimeFrame
    first_us: int | None
    last_us: int | None
    limit: int
    now: datetime
