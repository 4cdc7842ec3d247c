"""The venue's clock, kept on our monotonic clock between measurements.

The local wall clock is never asked: it may be a day off, and a candle that is closed by it
may still be running at the venue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from lake.domain.times import from_us

# Quartz drifts by some 50 us a second; measuring every minute keeps that below 3 ms.
REMEASURE_S = 60.0


class VenueClock:
    """Two readings of one clock: what it shows at least, and what it shows most likely.

    A venue's answer was read from its clock before we received it, so the reported time plus
    what has passed since is a lower bound. Candles are judged by the bound (one is never
    taken for closed too early); the venue's rate windows by the estimate.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._floor_s = 0.0
        self._likely_s = 0.0
        self._uncertainty_s = 0.0
        self._measured: float | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the clock was never measured, or too long ago."""
        return self._measured is None or self._monotonic() - self._measured > REMEASURE_S

    @property
    def uncertainty_s(self) -> float:
        """How far the estimate may be off: half of the round trip it was measured by."""
        return self._uncertainty_s

    def measured(self, venue_ms: float, *, sent: float, received: float) -> None:
        """Take over the venue's time *venue_ms*, asked and answered at these monotonic times."""
        self._floor_s = venue_ms / 1_000 - received
        self._likely_s = venue_ms / 1_000 - (sent + received) / 2
        self._uncertainty_s = (received - sent) / 2
        self._measured = received

    def now(self) -> datetime:
        """The venue's time, at least (naive UTC)."""
        return from_us(round((self._floor_s + self._monotonic()) * 1_000_000))

    def likely_s(self) -> float:
        """The venue's time, most likely, in seconds since 1970."""
        return self._likely_s + self._monotonic()
