"""The line to one venue: requests in and answers out, its clock and its budget kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from lake.domain.identifiers import Venue
from lake.errors import SourceError
from lake.sources import transport
from lake.sources.answers import Retry
from lake.sources.budget import Budget, Ledger, Limit
from lake.sources.capability import Access
from lake.sources.clock import EARLIEST_MS, LATEST_MS, VenueClock
from lake.sources.errors import Fault, classify, http_date_s
from lake.sources.transport import COST_SCALE, Call, perform

_UNIT_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400}
# A thousand times what Binance's largest limit is.
_MOST_WEIGHT = 10**7
# Venues without windows of their own are asked evenly: in windows of a few requests.
_EVEN_WINDOW_S = 2.0
_EVEN_UNITS = 5
_EVEN_BURST = 0.05
_TRIES_AT_FIRST = 4
# Where a venue says "slow down" and not for how long, each pause is twice the one before.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


# A Date header counts whole seconds and may come from a proxy's cache of a minute.
_DATE_DIFFERS_S = 90.0


class Connection:
    """A ccxt client with our budget, clock and error classes around it."""

    def __init__(
        self,
        access: Access,
        *,
        base_url: str | None,
        ledger: Ledger,
        rate_share: float,
        on_wait: Callable[[str, float], None] | None,
        retry: Retry,
        timeout_s: float,
    ) -> None:
        self.venue: Venue = access.venue
        self._access = access
        self._retry = retry
        self.clock = VenueClock()
        self.budget = Budget(
            ledger,
            self.venue.name if base_url is None else f"{self.venue.name} at {base_url}",
            limit=access.limit,
            share=rate_share,
            now_s=self.clock.likely_s,
            guard_s=lambda: self.clock.uncertainty_s,
            on_wait=on_wait,
        )
        self.client = transport.connect(
            self.venue.ccxt_id,
            base_url=base_url,
            budget=self.budget,
            timeout_s=timeout_s,
            options=access.options,
        )
        if access.limit is None:
            self.budget.limit = even_limit(float(self.client.rateLimit) / 1_000)
        self._in_flight = asyncio.Semaphore(access.concurrency)
        self._measuring = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._pause_s = _FIRST_PAUSE_S
        self._date: tuple[str, float] = ("", 0.0)

    async def close(self) -> None:
        """Release what the client holds open."""
        await transport.close(self.client)

    async def send(self, call: Call, what: str, method: Any, *args: Any) -> Any:
        """One request by a ccxt *method*; every way it can fail ends as a ``SourceError``."""
        async with self._in_flight:
            return await self._send(call, what, method, *args)

    async def _send(self, call: Call, what: str, method: Any, *args: Any) -> Any:
        sent = time.monotonic()
        try:
            answer = await perform(call, method, *args)
        except Exception as error:
            fault = classify(error, call.exchanged, what)
            self._slow_down(fault)
            raise fault from (None if fault is error else error)
        self._pause_s = _FIRST_PAUSE_S
        self._read_date(call, sent)
        return answer

    def _slow_down(self, fault: SourceError) -> None:
        """Make all workers pause: as long as the venue says, else longer each time."""
        if not isinstance(fault, Fault) or not fault.slow_down:
            return
        if fault.resume_at is not None:
            self.budget.pause_until(fault.resume_at)
        elif fault.retry_after_s is not None:
            self.budget.pause(fault.retry_after_s)
        else:
            self.budget.pause(self._pause_s)
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)

    async def markets(self) -> list[Any]:
        """ccxt's market structures: all that the venue lists."""
        weight = self._access.info_weight
        if weight is None:
            await self.load_markets()
            return list(self.client.markets.values())
        what = f"Listing the instruments of {self.venue}"

        async def ask() -> list[Any]:
            call = Call(weight=weight)
            markets = await self.send(call, what, self.client.fetch_markets)
            info = call.parsed
            if not isinstance(info, dict) or not isinstance(info.get("symbols"), list):
                raise SourceError(f"{what}: the answer has no list of symbols.", retryable=True)
            self._adopt_limit(info)
            return list(markets)

        return await self._retry.run(ask)

    async def load_markets(self) -> None:
        """Give ccxt's unified methods the market table that they want; once is enough."""
        async with self._loading:
            if not self.client.markets:
                what = f"Listing the instruments of {self.venue}"
                await self._retry.run(lambda: self._send(Call(), what, self.client.load_markets))

    async def server_time(self) -> datetime:
        """The venue's time, at least; asked of the venue about once a minute."""
        if self.clock.is_stale:
            async with self._measuring:
                if self.clock.is_stale:
                    await self._measure()
        return self.clock.now()

    async def _measure(self) -> None:
        if not self._tells_time():
            # No call tells the time, but every answer carries a Date.
            await self.load_markets()
            return
        name, what = self._access.time_method, f"Asking {self.venue} for its time"

        async def ask() -> None:
            # Without a clock the budget cannot be counted yet, so this does not wait for it.
            call, sent = Call(weight=0), time.monotonic()
            try:
                if name is None:
                    answer = await self._send(call, what, self.client.fetch_time)
                else:
                    method = getattr(self.client, name)
                    answer = self._told(await self._send(call, what, method, {}))
            except Fault as fault:
                if fault.unreachable and not self.clock.is_set:
                    # Who has no network wants to hear it now, not in a minute.
                    fault.tries = _TRIES_AT_FIRST
                raise
            if not isinstance(answer, int | float) or not EARLIEST_MS <= answer < LATEST_MS:
                raise SourceError(
                    f"{what}: it answered {answer!r:.40}, which is no time of this century in "
                    "milliseconds. Is the --base-url right?",
                    retryable=True,
                )
            date = http_date_s(call.exchanged.header("date"))
            if date is not None and abs(answer / 1_000 - date) > _DATE_DIFFERS_S:
                # One of the two is wrong; a clock that runs ahead would cover the future.
                raise SourceError(
                    f"{what}: it answered {answer!r} ms, but its Date header differs by "
                    f"{abs(answer / 1_000 - date):,.0f} s.",
                    retryable=True,
                )
            self.clock.measured(float(answer), sent=sent, received=time.monotonic())

        await self._retry.run(ask)

    def _told(self, answer: Any) -> Any:
        """The milliseconds in the answer about the venue's time; None where there are none."""
        try:
            if self._access.time_of is not None:
                return self._access.time_of(answer)
            return answer["serverTime"]
        except (LookupError, TypeError, ValueError):
            return None

    def _tells_time(self) -> bool:
        return self._access.time_method is not None or bool(self.client.has.get("fetchTime"))

    def _read_date(self, call: Call, sent: float) -> None:
        if (date := call.exchanged.header("date")) is None:
            return
        received = time.monotonic()
        if date != self._date[0]:
            if (date_s := http_date_s(date)) is None:
                return
            self._date = (date, date_s)
        if self._tells_time():
            self.clock.doubt(self._date[1], sent=sent, received=received)
        else:
            self.clock.measured(self._date[1] * 1_000, sent=sent, received=received)

    def _adopt_limit(self, info: dict[str, Any]) -> None:
        """Take over the weight limit that the venue names; none named means none set.

        What makes no sense is not taken over: the limit known so far stays.
        """
        told = info.get("rateLimits", [])
        weights = [
            each
            for each in (told if isinstance(told, list) else ())
            if isinstance(each, dict) and each.get("rateLimitType") == "REQUEST_WEIGHT"
        ]
        if isinstance(told, list) and not weights and all(isinstance(each, dict) for each in told):
            self.budget.limit = None
        for each in weights:
            self.budget.limit = _limit(each) or self.budget.limit


def _limit(told: dict[str, Any]) -> Limit | None:
    """The limit that an entry of ``rateLimits`` names; None where it names none that can be."""
    weight, count = told.get("limit"), told.get("intervalNum", 1)
    unit_s = _UNIT_S.get(str(told.get("interval")), 60)
    if not (type(weight) is int and 1 <= weight <= _MOST_WEIGHT):
        return None
    if not (type(count) is int and 1 <= count <= _UNIT_S["DAY"] // unit_s):
        return None
    return Limit(weight, float(unit_s * count))


def even_limit(unit_s: float) -> Limit:
    """The limit of a venue that allows one unit of ccxt's cost every *unit_s* seconds."""
    unit_s = max(0.001, unit_s)
    window_s = max(_EVEN_WINDOW_S, _EVEN_UNITS * unit_s)
    return Limit(round(window_s / unit_s * COST_SCALE), window_s, _EVEN_BURST, guard_s=0.0)
