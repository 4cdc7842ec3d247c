"""The box's clock: the real one, or one that starts anywhere and runs at any rate."""

from __future__ import annotations

import time
from datetime import datetime

from lake.domain.times import from_us, to_us

# What a moment cannot pass: years after 9999 have no datetime.
_END_US = 253_402_300_799_000_000


class Clock:
    """Tells the time at the venue, in microseconds since 1970.

    Without a start it is the machine's clock. With one it begins there and runs *rate*
    times as fast as real time; at rate 0 it stands still until it is moved.
    """

    def __init__(self, start: datetime | None = None, *, rate: float = 1.0) -> None:
        self._virtual = start is not None
        self._rate = rate
        self._at_us = to_us(start) if start else 0
        self._since = time.monotonic()

    def now_us(self) -> int:
        if not self._virtual:
            return time.time_ns() // 1_000
        passed = (time.monotonic() - self._since) * self._rate * 1e6
        return min(_END_US, self._at_us + int(passed))

    def now(self) -> datetime:
        return from_us(self.now_us())

    @property
    def rate(self) -> float:
        return self._rate if self._virtual else 1.0

    def set(self, now: datetime | None = None, *, rate: float | None = None) -> None:
        """Put the clock to *now* (None: where it is) and let it run at *rate*."""
        at_us = to_us(now) if now is not None else self.now_us()
        self._rate = self.rate if rate is None else rate
        self._virtual = True
        self._at_us = at_us
        self._since = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Put the clock forward by *seconds*."""
        self.set(from_us(self.now_us() + round(seconds * 1e6)))

    def use_real_time(self) -> None:
        """From now on the machine's clock."""
        self._virtual = False
