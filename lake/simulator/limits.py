"""Request weights as Binance counts them: by clock minute and address, 429, then 418.

Numbers from Binance's API documentation (general information, limits), read 2026-11-22. How
many refusals lead to a ban is not published; the figure here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_MINUTE_MS = 60_000
# "Repeatedly violating": so many requests after the limit was reached.
REFUSALS_BEFORE_BAN = 20
_FIRST_BAN_MS = 2 * 60_000
_LONGEST_BAN_MS = 3 * 86_400_000


class Outcome(Enum):
    ANSWER = 200
    REFUSE = 429
    BAN = 418


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request: *used* is the minute's weight, this request included."""

    outcome: Outcome
    used: int
    retry_after_s: int = 0
    banned_until_ms: int = 0


class WeightLimit:
    """The weight that one address has used at one API in the current minute.

    Attributes:
        limit: Weight per minute, or per window of another length.
        enforced: Without it weights are only counted.
        stranger: Weight per minute that others on the same address use, evenly spread.
        refused: How many requests got a 429.
        bans: How often the address was banned.
        used_by_minute: What each minute used, the stranger included.
    """

    def __init__(self, limit: int, *, enforced: bool = True, window_ms: int = _MINUTE_MS) -> None:
        self.limit = limit
        self._window_ms = window_ms
        self.enforced = enforced
        self.forget()

    def forget(self) -> None:
        """As if nothing had ever been asked; the stranger leaves too."""
        self.stranger = 0
        self.refused = 0
        self.bans = 0
        self.used_by_minute: dict[int, int] = {}
        self._minute = -1
        self._used = 0
        self._refusals = 0
        self._banned_until_ms = 0

    def take(self, weight: int, *, now_ms: int) -> Verdict:
        """Count a request of *weight* at *now_ms* (the box's clock)."""
        if self.enforced and now_ms < self._banned_until_ms:
            return self._ban(now_ms)
        minute, into = divmod(now_ms, self._window_ms)
        if minute != self._minute:
            self._minute, self._used, self._refusals = minute, 0, 0
        self._used += weight
        used = self._used + self.stranger * into // self._window_ms
        if not self.enforced or used <= self.limit:
            self._remember(minute, used)
            return Verdict(Outcome.ANSWER, used)
        self.refused += 1
        self._refusals += 1
        if self._refusals > REFUSALS_BEFORE_BAN:
            length = min(_LONGEST_BAN_MS, _FIRST_BAN_MS << min(self.bans, 12))
            self._banned_until_ms = now_ms + length
            self.bans += 1
            self._refusals = 0
            return self._ban(now_ms)
        return Verdict(Outcome.REFUSE, used, retry_after_s=_seconds(self._window_ms - into))

    def _ban(self, now_ms: int) -> Verdict:
        wait_s = _seconds(self._banned_until_ms - now_ms)
        return Verdict(Outcome.BAN, self._used, wait_s, self._banned_until_ms)

    def _remember(self, minute: int, used: int) -> None:
        """Keep what each minute used, for measurements; a day of minutes at most."""
        self.used_by_minute[minute] = used
        if len(self.used_by_minute) > 1_440:
            del self.used_by_minute[min(self.used_by_minute)]


def _seconds(ms: int) -> int:
    return -(-ms // 1_000)
