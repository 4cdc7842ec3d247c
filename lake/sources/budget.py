"""One rate budget per venue and lake: how much weight may be spent now, over all processes.

Weight is counted in the venue's own windows (Binance: its clock's minutes). Blocks of it are
leased from a ledger that the lake's processes share, so that spending costs no lock. What the
venue says was used is believed: what others on the same address used is thereby subtracted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from lake.domain.times import EPOCH, from_us
from lake.errors import SourceError

# A block is this part of a window's limit: 50 blocks cost next to nothing, and two processes
# that each lose one unspent at the end lose 4 % at most.
_BLOCKS = 50
_SMALL_BLOCKS = 500
# This share may be spent as soon as a window opens; the rest opens evenly over the window, so
# that a neighbour on our address who uses half of the limit still finds it there.
_BURST = 0.45
# Kept free for what the venue has counted and not yet told: little when we are alone.
_MARGIN_ALONE = 0.005
_MARGIN_SHARED = 0.04
_OTHERS_SHARE = 0.01
_POLL_S = 0.02
# Longer bans end the job with a message: nobody wants to find it hanging.
LONGEST_PAUSE_S = 900.0
# The longest ban there is (developers.binance.com, Spot REST API, "Limits", read 2026-11-22: "from
# 2 minutes to 3 days"). Who says more must not shut the venue off for this lake for ever.
LONGEST_BAN_S = 3 * 86_400.0
_SHOW_WAIT_S = 0.5


class Ledger(Protocol):
    """Weight spent per account, shared by the processes of a lake."""

    def take(self, account: str, *, window: int, want: int, ceiling: int) -> int:
        """Reserve up to *want*, as long as all use of *window* stays within *ceiling*."""

    def observe(self, account: str, *, window: int, used: int, answered: int) -> None:
        """The venue says *used*; *answered* of what was reserved is now part of that."""

    def ban(self, account: str, until: datetime) -> None:
        """No requests before *until* (the venue's time)."""

    def banned_until(self, account: str) -> datetime | None:
        """The end of the ban, where there is one."""


@dataclass(slots=True)
class _Account:
    window: int = -1
    used: int = 0
    outstanding: int = 0
    banned_until: datetime | None = None


class MemoryLedger:
    """A ledger of one process: for tests, and for a source that has no lake."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def take(self, account: str, *, window: int, want: int, ceiling: int) -> int:
        state = self._at(account, window)
        if state.window != window:
            return 0
        granted = max(0, min(want, ceiling - state.used))
        state.used += granted
        state.outstanding += granted
        return granted

    def observe(self, account: str, *, window: int, used: int, answered: int) -> None:
        state = self._at(account, window)
        if state.window == window:
            state.outstanding = max(0, state.outstanding - answered)
            state.used = max(state.used, used + state.outstanding)

    def ban(self, account: str, until: datetime) -> None:
        state = self._accounts.setdefault(account, _Account())
        state.banned_until = max(until, state.banned_until or until)

    def banned_until(self, account: str) -> datetime | None:
        state = self._accounts.get(account)
        return state.banned_until if state else None

    def _at(self, account: str, window: int) -> _Account:
        state = self._accounts.setdefault(account, _Account())
        if window > state.window:
            state.window, state.used, state.outstanding = window, 0, 0
        return state


@dataclass(frozen=True, slots=True)
class Limit:
    """What a venue allows: *weight* in each window of *window_s* seconds.

    ``burst`` is the share that may be spent at once when a window opens. For ``guard_s``
    after that nothing is spent: the venue may still be counting in the old window.
    """

    weight: int
    window_s: float = 60.0
    burst: float = _BURST
    guard_s: float = 0.3


class Budget:
    """Lets requests through as fast as the venue's limit allows, and no faster."""

    def __init__(
        self,
        ledger: Ledger,
        account: str,
        *,
        limit: Limit | None,
        share: float,
        now_s: Callable[[], float],
        guard_s: Callable[[], float] = lambda: 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> None:
        """
        Args:
            ledger: Where all processes of the lake write down what they spend.
            account: The name of the limit there: the venue, and the address asked.
            limit: None where the venue sets none.
            share: The part of the limit that is ours, above 0 up to 1.
            now_s: The venue's clock, in seconds since 1970.
            guard_s: How far that clock may be off.
            sleep: Waits; tests pass a virtual one.
            on_wait: Told why and how long, before waits that a person would notice.
        """
        self._ledger = ledger
        self._account = account
        self.limit = limit
        self._share = share
        self._now_s = now_s
        self._guard_s = guard_s
        self._sleep = sleep
        self._on_wait = on_wait
        self._turn = asyncio.Lock()
        self._window = -1
        self._leased = 0
        self._spent = 0
        self._answered = 0
        self._unreported = 0
        self._header = 0
        self._shared = self._scarce = False
        self._resume_s = 0.0
        self.waiting_s = 0.0

    @property
    def used_share(self) -> float:
        """The part of the window's limit that is known to be used (0 to 1)."""
        if self.limit is None or self._window != self._window_at(self._now_s()):
            return 0.0
        return min(1.0, max(self._spent, self._header) / self.limit.weight)

    def seconds(self, weight: int) -> float:
        """How long spending *weight* takes, once what may be spent at once is spent."""
        if self.limit is None:
            return 0.0
        at_once = self.limit.weight * self._share * self.limit.burst
        rate = self.limit.weight * self._share / self.limit.window_s
        return max(0.0, weight - at_once) / rate

    async def spend(self, weight: int) -> int:
        """Wait until *weight* may be spent, and spend it.

        Returns:
            The window it was spent in, for ``answered``.
        """
        if self.limit is not None:
            # What is heavier than a whole window could never be spent.
            weight = min(weight, self.limit.weight)
        # First come, first served: a heavy request is not starved by light ones.
        async with self._turn:
            self.waiting_s = 0.0
            while (wait := self._try(weight)) > 0:
                self.waiting_s += wait
                self._require_hope()
                await self._sleep(wait)
            self.waiting_s = 0.0
            return self._window

    def answered(self, weight: int, window: int, used: int | None) -> None:
        """A request of *weight* spent in *window* came back.

        Args:
            used: What the venue says was used of its window so far, by anyone on our address.
        """
        if window != self._window:
            # Counted by the venue in a window that is over, or in the new one from zero.
            return
        self._unreported += weight
        self._answered += weight
        if used is not None:
            self._header = max(self._header, used)
        if self.limit and self._unreported >= self.limit.weight // (2 * _BLOCKS):
            self._report()

    def pause(self, seconds: float) -> None:
        """Nobody sends anything for *seconds*: this process and the lake's other ones."""
        seconds = min(seconds, LONGEST_BAN_S)
        self.pause_until(from_us(round((self._now_s() + seconds) * 1_000_000)))

    def pause_until(self, moment: datetime) -> None:
        """Nobody sends anything before *moment* (the venue's time), or for the longest ban."""
        moment = min(moment, from_us(round((self._now_s() + LONGEST_BAN_S) * 1_000_000)))
        self._resume_s = max(self._resume_s, _seconds(moment))
        self._ledger.ban(self._account, moment)

    def _try(self, weight: int) -> float:
        """Spend *weight* now and return 0, or return how long to wait before trying again."""
        now_s = self._now_s()
        if (banned := self._resume_s - now_s) > 0:
            return self._banned(banned)
        if self.limit is None:
            return 0.0
        window = self._window_at(now_s)
        if window != self._window:
            self._open(window)
        opened_s = now_s - window * self.limit.window_s
        if self.limit.guard_s and opened_s < (guard := self.limit.guard_s + self._guard_s()):
            return guard - opened_s
        if self._leased < weight and (wait := self._lease(weight, opened_s)) > 0:
            return wait
        self._leased -= weight
        self._spent += weight
        return 0.0

    def _lease(self, weight: int, opened_s: float) -> float:
        assert self.limit is not None
        until = self._ledger.banned_until(self._account)
        if until is not None and (banned := _seconds(until) - self._now_s()) > 0:
            self._resume_s = _seconds(until)
            return self._banned(banned)
        self._report()
        total = self.limit.weight * self._share
        progress = min(1.0, opened_s / self.limit.window_s)
        open_share = self.limit.burst + (1 - self.limit.burst) * progress
        margin = self.limit.weight * (_MARGIN_SHARED if self._shared else _MARGIN_ALONE)
        # Where the limit is shared by half or less, the venue's own margin is wide enough.
        ceiling = int(min(total * open_share, self.limit.weight - margin))
        # A request heavier than its share of a fresh window must still get through.
        ceiling = max(ceiling, min(weight, self.limit.weight))
        parts = _SMALL_BLOCKS if self._scarce else _BLOCKS
        want = max(weight - self._leased, self.limit.weight // parts)
        granted = self._ledger.take(self._account, window=self._window, want=want, ceiling=ceiling)
        self._leased += granted
        self._scarce = granted < want
        if self._leased >= weight:
            return 0.0
        rest_s = self.limit.window_s - opened_s
        if total * open_share >= total - weight:
            return self._waits("the venue's limit is used up", rest_s)
        slope = total * (1 - self.limit.burst) / self.limit.window_s
        wait = (weight - self._leased) / slope
        return min(rest_s, max(_POLL_S, wait))

    def _open(self, window: int) -> None:
        # What was leased of the old window and not spent is gone with it.
        self._window, self._leased, self._spent = window, 0, 0
        self._answered = self._unreported = self._header = 0
        self._scarce = False
        # ``_shared`` stays: a neighbour of the last minute is likely one of this minute.

    def _report(self) -> None:
        if self._unreported or self._header:
            self._ledger.observe(
                self._account, window=self._window, used=self._header, answered=self._unreported
            )
            self._unreported = 0
        if self.limit and self._answered:
            self._shared = self._header - self._spent > self.limit.weight * _OTHERS_SHARE

    def _window_at(self, now_s: float) -> int:
        assert self.limit is not None
        return int(now_s // self.limit.window_s)

    def _require_hope(self) -> None:
        """Others may use up every window, or another process count in a future one."""
        longest = LONGEST_PAUSE_S + 3 * (self.limit.window_s if self.limit else 0.0)
        if self.waiting_s > longest:
            raise SourceError(
                f"Nothing of the rate limit of {self._account} was free for "
                f"{self.waiting_s / 60:.0f} minutes: others use all of it. What was stored "
                "stays; start the job again later.",
                retryable=True,
            )

    def _banned(self, seconds: float) -> float:
        if seconds > LONGEST_PAUSE_S:
            raise SourceError(
                f"{self._account} wants no requests for another {seconds / 60:.0f} minutes. "
                "What was stored stays; start the job again then, with a lower --rate-share.",
                retryable=True,
                retry_after_s=seconds,
            )
        return self._waits("the venue asked us to wait", seconds)

    def _waits(self, why: str, seconds: float) -> float:
        if self._on_wait is not None and seconds >= _SHOW_WAIT_S:
            self._on_wait(why, seconds)
        return seconds


def _seconds(moment: datetime) -> float:
    return (moment - EPOCH) / timedelta(seconds=1)
