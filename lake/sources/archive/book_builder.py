"""Rebuilds an order book from a snapshot and the changes after it, and samples it on a grid.

Pure. It proves by the venue's update ids that no change is missing; what cannot be proved ends
the book until the next snapshot. How a venue writes its messages, formats know.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

Level = tuple[float, float]


class Continuity(Enum):
    """How a venue's ids say that one change follows another."""

    DENSE = "dense"
    """Each id is one more than the one before (Bybit's ``u``)."""
    SPAN = "span"
    """A change spans ``first_id..last_id``, which begins after the one before (Binance spot)."""
    PREVIOUS = "previous"
    """A change names the id of the one before (``pu`` of USD-M, ``prevSeqId`` of OKX)."""
    UNPROVED = "unproved"
    """There are no ids: a missing change cannot be noticed, but what the source itself tells."""
    WHOLE = "whole"
    """Every message is a whole book: none depends on another."""


@dataclass(frozen=True, slots=True)
class BookEvent:
    """One message: a whole book, or the levels that changed (quantity 0 removes one).

    Attributes:
        ts_us: When, at the venue.
        last_id: The id that the book has after it.
        first_id: The first id that it spans.
        previous_id: The id that the book must have before it.
        fault: What the source tells of messages missing before it; empty where it tells nothing.
        received_us: When it was recorded, where that is known.
    """

    ts_us: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    is_snapshot: bool = False
    last_id: int | None = None
    first_id: int | None = None
    previous_id: int | None = None
    fault: str = ""
    received_us: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The book as it stood at ``ts_us``, the best levels of each side, best first."""

    ts_us: int
    last_id: int | None
    bids: list[Level]
    asks: list[Level]
    received_us: int | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """Where the ids stop following one another."""

    ts_us: int
    reason: str


@dataclass(slots=True)
class BookBuilder:
    """One instrument's book.

    A sample at a grid moment holds every change up to it, and is given once a later change
    proves that none of them is missing. A book that did not change is not given again.

    Args:
        continuity: What the venue's ids promise.
        every_us: The grid of samples.
        depth: Levels a side.

    Attributes:
        known: Spans ``[start, end)`` in us in which the book was known.
        breaks: Where it stopped being known.
        ignored: Changes that came while there was no book.
    """

    continuity: Continuity
    every_us: int
    depth: int
    known: list[tuple[int, int]] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    ignored: int = 0
    _bids: dict[float, float] = field(default_factory=dict)
    _asks: dict[float, float] = field(default_factory=dict)
    _id: int | None = None
    _is_known: bool = False
    _is_fresh: bool = False
    """Whether the first change after a snapshot is still to come: it may begin before it."""
    _has_changed: bool = False
    _start_us: int = 0
    _last_us: int = 0
    _received_us: int | None = None

    def apply(self, event: BookEvent) -> Iterator[Sample]:
        """Take the next message; gives the sample that it completes, if any.

        Raises:
            ValueError: A price or quantity is no number that a book can have.
        """
        require_levels(event)
        # Times of one feed may step back a little; the book never does.
        now_us = max(event.ts_us, self._last_us)
        if event.is_snapshot and not (self.continuity is Continuity.WHOLE and self._is_known):
            # What was missing before it, if anything, cannot be told: no sample lies between.
            if event.fault and self._is_known:
                self.breaks.append(Break(self._last_us, event.fault))
            self._end()
            self._begin(event, now_us)
            return
        if not self._is_known:
            self.ignored += 1
            return
        if self._is_old(event):
            return
        if (reason := self._fault(event)) is not None:
            self.breaks.append(Break(self._last_us, reason))
            self._end()
            self.ignored += 1
            return
        grid_us = (now_us - 1) // self.every_us * self.every_us
        if self._has_changed and self._last_us <= grid_us:
            # The first grid moment that holds what changed, not the last before now.
            at_us = -(-self._last_us // self.every_us) * self.every_us
            self._has_changed = False
            yield self._sample(at_us)
        if event.is_snapshot:
            self._replace(event)
        else:
            self._change(event)
        self._last_us = now_us

    def finish(self) -> None:
        """No more messages: the book was known up to the last of them."""
        self._end()

    def _begin(self, event: BookEvent, now_us: int) -> None:
        self._replace(event)
        self._is_known = self._is_fresh = True
        self._start_us = self._last_us = now_us

    def _replace(self, event: BookEvent) -> None:
        self._bids = {price: quantity for price, quantity in event.bids if quantity}
        self._asks = {price: quantity for price, quantity in event.asks if quantity}
        self._id, self._received_us = event.last_id, event.received_us
        self._has_changed = True

    def _end(self) -> None:
        if self._is_known and self._last_us > self._start_us:
            self.known.append((self._start_us, self._last_us))
        self._is_known = False

    def _is_old(self, event: BookEvent) -> bool:
        """Whether the snapshot holds *event* already."""
        if not self._is_fresh or self._id is None or event.last_id is None:
            return False
        if self.continuity is Continuity.PREVIOUS:
            return event.last_id < self._id
        return self.continuity is Continuity.SPAN and event.last_id <= self._id

    def _fault(self, event: BookEvent) -> str | None:
        """Why *event* does not follow; None where it does."""
        rule, last = self.continuity, self._id
        if event.fault:
            return event.fault
        if rule in (Continuity.UNPROVED, Continuity.WHOLE):
            return None
        if last is None or event.last_id is None:
            return "a message has no update id"
        if rule is Continuity.DENSE:
            follows, told = event.last_id == last + 1, event.last_id
        elif self._is_fresh and event.first_id is not None:
            # Binance, "How to manage a local order book": the first change holds the snapshot's
            # id (USD-M) or the one after it (spot).
            spot = rule is Continuity.SPAN
            follows, told = event.first_id <= last + spot <= event.last_id, event.first_id
        elif rule is Continuity.SPAN:
            follows, told = event.first_id == last + 1, event.first_id or -1
        else:
            follows, told = event.previous_id == last, event.previous_id or -1
        return None if follows else f"update id {told} does not follow {last}"

    def _change(self, event: BookEvent) -> None:
        for side, levels in ((self._bids, event.bids), (self._asks, event.asks)):
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self._id, self._received_us = event.last_id, event.received_us
        self._is_fresh = False
        self._has_changed = True

    def _sample(self, ts_us: int) -> Sample:
        bids = heapq.nlargest(self.depth, self._bids.items())
        asks = heapq.nsmallest(self.depth, self._asks.items())
        return Sample(ts_us, self._id, bids, asks, self._received_us)


def require_levels(event: BookEvent) -> None:
    """
    Raises:
        ValueError: A price or quantity is no number that a book can have.
    """
    for price, quantity in (*event.bids, *event.asks):
        # NaN fails every comparison.
        if not (0 < price < float("inf") and 0 <= quantity < float("inf")):
            raise ValueError(f"a level of {price!r} x {quantity!r} is none")
