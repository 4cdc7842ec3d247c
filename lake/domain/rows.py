"""What a source hands over: a page of rows, and what it found wrong or worth noting."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from lake.domain.coverage import Claim
from lake.domain.ranges import TimeRange

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that breaks an invariant: kept in ``quarantine``, never stored as data.

    ``ts`` is None where the row's time itself cannot be read; ``raw`` is the row as the
    source wrote it.
    """

    ts: datetime | None
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Note:
    """What a source says about a row that the columns cannot hold, for example an early close."""

    ts: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """The answer for one window of a series.

    Attributes:
        window: The range that was asked for.
        rows: Closed, valid rows inside the window, in the data type's schema and order.
        claims: The parts of the window that count as answered. Rows outside them are
            provisional: stored, and asked for again by the next run.
        requests: How many requests it took, retries included.
    """

    window: TimeRange
    rows: pa.Table
    claims: tuple[Claim, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Note, ...] = ()
    requests: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SourceTag:
    """Who rows come from: ``ccxt`` or ``archive`` and what ranks them, higher wins.

    ``origin`` is ``venue`` for the real one; anything else (a ``--base-url``, a
    generator's seed) never joins a series of another origin.
    """

    name: str
    rank: int
    origin: str = "venue"


DERIVED = SourceTag("derived", 10)
"""Candles built from the lake's own trades: below the venue's own, which they never replace."""
