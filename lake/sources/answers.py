"""One readable answer to one request for candles, tried as often as the policy allows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from lake.domain.ranges import TimeRange
from lake.domain.timeframe import Grid
from lake.domain.times import from_us, iso
from lake.errors import SourceError
from lake.sources.decode import Decoded
from lake.sources.errors import Fault
from lake.sources.validation import Checked, validate_candles

_T = TypeVar("_T")


class Ask(Protocol):
    """One request for candles, throttled and classified.

    Bounds are open times in microseconds, *last* inclusive. Without *first* the answer ends
    at *last*; without *last* it starts at *first* and reaches past gaps.
    """

    async def __call__(self, first: int | None, last: int | None, limit: int) -> Decoded:
        """The rows of one answer, as the venue gave them."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a failed request is sent again.

    Twelve attempts survive an outage of about a minute, and 40 % of faults.
    """

    attempts: int = 12
    base_s: float = 0.1
    longest_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        """Full jitter: workers that failed together do not come back together."""
        return random.uniform(0, min(self.longest_s, self.base_s * 2 ** (failures - 1)))

    async def run(self, request: Callable[[], Awaitable[_T]]) -> _T:
        """The first result of *request*, or its last error.

        A request may itself consist of retried ones (the venue's clock is read before some): what
        those gave up is given up, or an outage would be sat out many times over.
        """
        failures = refusals = 0
        while True:
            try:
                return await request()
            except SourceError as error:
                if error.was_retried:
                    raise
                failures += 1
                bound = error.tries if isinstance(error, Fault) else None
                # Faults that may well be final have a bound of their own, which passing
                # faults before them do not use up.
                refusals += bound is not None
                if (
                    failures >= self.attempts
                    or (bound is None and not error.retryable)
                    or (bound is not None and refusals >= bound)
                ):
                    error.was_retried = True
                    raise
            await asyncio.sleep(self.delay_s(failures))


@dataclass(frozen=True, slots=True)
class Rules:
    """How one venue's answers are judged.

    ``hole_answers`` must agree on a candle that is absent between others; ``open_ended`` says
    whether a request may leave out its bounds.
    """

    grid: Grid
    page_size: int
    hole_answers: int
    open_ended: bool
    retry: Retry


@dataclass(frozen=True, slots=True)
class Answer:
    """One readable answer and the bounds it was asked with.

    ``count`` is how many rows it has, and ``is_full`` says that those are as many as were asked
    for, so that more may follow; ``now`` is the venue's time before it was asked.
    """

    checked: Checked
    first_us: int | None
    last_us: int | None
    count: int
    is_full: bool
    now: datetime


class Asker:
    """Sends requests for one window and counts them.

    Attributes:
        rules: How their answers are judged.
        now: The venue's time, at least.
        requests: How many were sent.
    """

    def __init__(self, ask: Ask, rules: Rules, now: Callable[[], Awaitable[datetime]]) -> None:
        self.rules = rules
        self.now = now
        self.requests = 0
        self._ask = ask

    async def answer(self, first: int | None, last: int | None, limit: int) -> Answer:
        """The answer for these bounds.

        Raises:
            SourceError: None of the attempts gave one that can be read.
        """

        async def once() -> Answer:
            now = await self.now()
            self.requests += 1
            decoded = await self._ask(first, last, limit)
            checked = self._checked(decoded, first, last, now)
            count = decoded.table.num_rows
            return Answer(checked, first, last, count, count >= limit, now)

        return await self.rules.retry.run(once)

    def _checked(
        self, decoded: Decoded, first: int | None, last: int | None, now: datetime
    ) -> Checked:
        grid = self.rules.grid
        # An open-ended answer may show the running candle, and one that just opened.
        end = grid.next(grid.ceil(now)) if last is None else grid.next(from_us(last))
        start = from_us(first or 0)
        window = TimeRange(start, max(end, grid.next(start)))
        checked = validate_candles(decoded.table, grid, window, closed_before=now, raw=decoded.raw)
        beside = [
            each for each in checked.rejected if each.ts is not None and each.ts not in window
        ]
        if beside and len(beside) == decoded.table.num_rows:
            # A cache that ignores the query would otherwise look like a venue that has nothing.
            raise SourceError(
                f"Candles of {window} were asked for, but the answer has only others "
                f"(the first opens {iso(beside[0].ts or window.start)}).",
                retryable=True,
            )
        if checked.conflicts:
            raise SourceError(
                f"The answer has different candles of one time ({iso(checked.conflicts[0])}).",
                retryable=True,
            )
        return checked


async def first_candle(asker: Asker, rules: Rules) -> datetime | None:
    """The open of the first candle there is; None where there is none.

    Believed when two answers with different bounds name it and none names an earlier one.

    Raises:
        SourceError: The answers kept differing.
    """
    named: list[datetime] = []
    for turn in range(rules.retry.attempts):
        answer = await asker.answer(turn, None, 1 + turn)
        if answer.checked.rows.num_rows > 1 + turn:
            # More than was asked for is the answer to another question.
            continue
        if answer.checked.rows.num_rows:
            named.append(answer.checked.rows["ts"][0].as_py())
            if named.count(min(named)) > 1:
                return min(named)
        elif turn >= 4 and not named:
            return None
    raise SourceError(
        "Where the candles begin was asked for, but the answers differ each time. Start again "
        "later.",
        retryable=True,
    )
