"""The venue's clock, kept on our monotonic clock between measurements.

The local wall clock is never asked: it may be a day off, and a candle that is closed by it
may still be running at the venue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from lake.domain.times import from_us
from lake.errors import SourceError

# From 2009 (the first block of bitcoin) to 2100: a time in other units lies outside.
EARLIEST_MS, LATEST_MS = 1_230_768_000_000, 4_102_444_800_000
# Quartz drifts by some 50 us a second; measuring every minute keeps that below 3 ms.
REMEASURE_S = 60.0
# A Date header tells whole seconds; what it contradicts by more than this has jumped.
_DATE_SLACK_S = 1.5
# Dates are doubted at most so often, since each doubt costs a request.
_DOUBT_EVERY_S = 0.25


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
        self._doubted = False
        self._dates_lie = False

    @property
    def is_set(self) -> bool:
        """Whether the clock was ever measured."""
        return self._measured is not None

    @property
    def is_stale(self) -> bool:
        """Whether the clock was never measured, too long ago, or is in doubt."""
        if self._measured is None or self._doubted:
            return True
        return self._monotonic() - self._measured > REMEASURE_S

    @property
    def uncertainty_s(self) -> float:
        """How far the estimate may be off: half of the round trip it was measured by."""
        return self._uncertainty_s

    def measured(self, venue_ms: float, *, sent: float, received: float) -> None:
        """Take over the venue's time *venue_ms*, asked and answered at these monotonic times.

        Raises:
            SourceError: It is no time that a venue can be at.
        """
        if not EARLIEST_MS <= venue_ms < LATEST_MS:
            raise SourceError(
                f"The venue says that it is {venue_ms!r} milliseconds after 1970, which is no time "
                "of this century. Is the --base-url right? Start again later.",
                retryable=True,
            )
        likely_s = venue_ms / 1_000 - (sent + received) / 2
        if self._doubted and abs(likely_s - self._likely_s) < _DATE_SLACK_S:
            # The clock was right: something on the way keeps old Date headers.
            self._dates_lie = True
        self._doubted = False
        self._floor_s = venue_ms / 1_000 - received
        self._likely_s = likely_s
        self._uncertainty_s = (received - sent) / 2
        self._measured = received

    def doubt(self, date_s: float, *, sent: float, received: float) -> None:
        """Compare with a Date header: a clock that jumped (or we slept) is measured again."""
        if self._dates_lie or self._measured is None or self._doubted:
            return
        early = date_s < self._likely_s + sent - _DATE_SLACK_S
        late = date_s > self._likely_s + received + _DATE_SLACK_S
        self._doubted = (early or late) and received - self._measured > _DOUBT_EVERY_S

    def now(self) -> datetime:
        """The venue's time, at least (naive UTC)."""
        return from_us(round((self._floor_s + self._monotonic()) * 1_000_000))

    def likely_s(self) -> float:
        """The venue's time, most likely, in seconds since 1970."""
        return self._likely_s + self._monotonic()
