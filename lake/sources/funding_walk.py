"""The walk over a perpetual's settlements: windows that are whole, explained, or an error.

Settlements have neither ids nor a grid: venues change the interval. One answer is believed
where its settlements follow one another evenly to both ends of what was asked; anywhere else
several differently bounded answers must say exactly the same. How a venue hands a span out is
for ``funding_reader``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa

from lake.domain.coverage import NOTHING_LATER, Basis, Claim
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Page
from lake.domain.schemas import FUNDING_RATES
from lake.domain.settlements import HOUR_US, NEAR_US, intervals_us
from lake.domain.times import DAY_US, MICROSECOND, SECOND_US, from_us, to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.funding_checks import Settlement
from lake.sources.funding_reader import (
    MOST_ANSWERS,
    SAME_ANSWERS,
    SAME_AT_THE_END,
    AskFunding,
    FundingReader,
    Reading,
)

# Settlements around a window say what the ones at its edges accrued; none is rarer than daily.
_AROUND_US = 2 * DAY_US
# A window is sized to fill so much of a page with settlements as close as the last ones were.
_FILL = 0.8
_SHORTEST_US = DAY_US
# A venue that lags shows what a venue at the end of its data shows.
_LAG_US = 3_600 * SECOND_US
# A copy that stood still for longer would have been noticed; what lies further back (before a
# listing) needs not be doubted when later settlements turn up.
_FROZEN_US = 40 * DAY_US


class FundingWalk:
    """The walk over one window. Used once."""

    def __init__(
        self,
        ask: AskFunding,
        window: TimeRange,
        *,
        retry: Retry,
        page_size: int,
        clock: Callable[[], Awaitable[datetime]],
        now: datetime,
        settled: datetime,
        whole_seconds: bool = False,
        paging: Paging = Paging.SPAN,
        cursor_us: int = 1_000,
        seeks: bool = True,
        longest: timedelta | None = None,
    ) -> None:
        """
        Args:
            ask: Sends one request.
            window: What is wanted, in scheduled times.
            retry: How failed requests are repeated.
            page_size: Most settlements asked for in one request.
            clock: The venue's time, at least.
            now: The same, when the walk began.
            settled: Up to where settlements are final.
            whole_seconds: Whether the venue's times are no finer than seconds.
            paging: How the venue hands out a span.
            cursor_us: The grain of its bounds of time.
            seeks: Whether a request can name a time.
            longest: The longest span that one request may name.
        """
        self._reader = FundingReader(
            ask,
            paging=paging,
            page_size=page_size,
            cursor_us=cursor_us,
            seeks=seeks,
            retry=retry,
            clock=clock,
            whole_seconds=whole_seconds,
        )
        self._page_size = page_size
        self._is_listed = paging is Paging.WHOLE or not seeks
        self._start_us = to_us(window.start)
        self._end_us = to_us(min(window.end, settled))
        self._settled_us = to_us(settled)
        self._believed_us = to_us(now) - _LAG_US
        self._spacing_us = HOUR_US
        self._around_us = _AROUND_US
        self._longest_us: int | None = None
        if longest is not None:
            # What is asked for beside a window belongs to the span too.
            beside_us = 2 * (_AROUND_US + NEAR_US + MOST_ANSWERS * HOUR_US)
            self._longest_us = max(_SHORTEST_US, longest // MICROSECOND - beside_us)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Ascending, touching pages over the window, up to where settlements are final.

        Raises:
            SourceError: Something could not be had; what was delivered before is true.
        """
        start = self._start_us
        while start < self._end_us:
            span = max(_SHORTEST_US, int(self._page_size * _FILL) * self._spacing_us)
            span = min(span, self._longest_us or span)
            end = self._end_us if self._is_listed else min(self._end_us, start + span)
            while (found := await self._believed(start, end)) is None:
                # More settlements than fit: they are closer here than they were.
                if self._around_us > end - start:
                    self._around_us //= 2
                else:
                    end = start + (end - start) // 2
                if end - start < HOUR_US or self._around_us < HOUR_US:
                    raise SourceError(
                        f"About {self._page_size} settlements within an hour of "
                        f"{from_us(start)}: the venue ignores times. Nothing is claimed.",
                        retryable=True,
                    )
            answer, evidence = found
            if len(answer.rows) > 1:
                self._spacing_us = answer.rows[-1].ts_us - answer.rows[-2].ts_us
            yield self._page(answer, start, end, evidence)
            start = end

    async def _believed(self, start: int, end: int) -> tuple[Reading, str] | None:
        """The answer about ``[start, end)`` and why it is believed; None: more than fits.

        Raises:
            SourceError: Answers keep contradicting one another.
        """
        votes: Counter[Reading] = Counter()
        seen: set[int] = set()
        for turn in range(MOST_ANSWERS):
            answer = await self._answer(start, end, turn)
            if answer.is_full:
                return None
            if not turn and self._is_even(answer, start, end):
                return answer, ""
            if answer.is_sure:
                return answer, f"{SAME_ANSWERS} answers agree"
            votes[answer] += 1
            seen |= {each.ts_us for each in answer.rows}
            # One that lacks settlements which others showed is faulty, however often it comes.
            honest = [each for each in votes if seen <= each.times()]
            if not honest:
                continue
            best = max(honest, key=votes.__getitem__)
            count = votes[best]
            reaches_past = bool(best.rows) and best.rows[-1].ts_us >= end
            if count >= (SAME_ANSWERS if reaches_past else SAME_AT_THE_END):
                return best, f"{count} answers agree"
        raise SourceError(
            f"{MOST_ANSWERS} answers for {from_us(start)} to {from_us(end)} contradict one "
            "another. What was stored stays; start again later.",
            retryable=True,
        )

    async def _answer(self, start: int, end: int, turn: int) -> Reading:
        """What is said about ``[start, end)`` and some time around it; bounds differ by turn."""
        said = await self._reader.read(
            start - self._around_us - NEAR_US - turn * HOUR_US,
            end + self._around_us + NEAR_US + turn * HOUR_US,
        )
        first, stop = start - self._around_us, min(end + self._around_us, self._settled_us)
        rows = tuple(each for each in said.rows if first <= each.ts_us < stop)
        return replace(said, rows=rows)

    def _is_even(self, answer: Reading, start: int, end: int) -> bool:
        """Whether nothing can be missing: equal steps from before the window to its end."""
        rows = answer.rows
        if answer.rejected or len(rows) < 2 or rows[0].ts_us >= start:
            return False
        steps = {after.ts_us - before.ts_us for before, after in pairwise(rows)}
        return len(steps) == 1 and rows[-1].ts_us + steps.pop() >= end

    def _page(self, answer: Reading, start: int, end: int, evidence: str) -> Page:
        rows = answer.rows
        hours = intervals_us([each.ts_us for each in rows])
        inside = [at for at, each in enumerate(rows) if start <= each.ts_us < end]
        chosen = [rows[at] for at in inside]
        table = _table(chosen, [hours[at] for at in inside])
        spans = [(start, end, evidence)]
        is_late = end > self._believed_us - _FROZEN_US
        if evidence and is_late and not (rows and rows[-1].ts_us >= end):
            last_us = chosen[-1].ts_us + 1 if chosen else start
            spans = [
                (start, last_us, evidence),
                (last_us, min(end, self._believed_us), NOTHING_LATER),
            ]
        claims = tuple(
            Claim(span, Basis.ANSWER, why)
            for first, stop, why in spans
            if (span := range_or_none(from_us(max(0, first)), from_us(max(0, stop))))
        )
        window = TimeRange(from_us(start), from_us(end))
        requests, self._reader.requests = self._reader.requests, 0
        return Page(
            window,
            table,
            claims,
            tuple(each for each in answer.rejected if each.ts is None or each.ts in window),
            (),
            requests,
        )


def _table(rows: list[Settlement], intervals: list[int | None]) -> pa.Table:
    times = pa.timestamp("us")
    count = len(rows)
    columns = {
        "ts": pa.array([each.ts_us for each in rows], pa.int64()).cast(times),
        "settled_at": pa.array([each.settled_us for each in rows], pa.int64()).cast(times),
        "funding_rate": pa.array([each.rate for each in rows], pa.float64()),
        "interval_hours": pa.array(
            [None if each is None else each / HOUR_US for each in intervals], pa.float64()
        ),
        "predicted_rate": pa.array([each.predicted_rate for each in rows], pa.float64()),
        "mark_price": pa.array([each.mark_price for each in rows], pa.float64()),
        "index_price": pa.array([each.index_price for each in rows], pa.float64()),
    }
    return pa.Table.from_arrays(
        [
            columns[each.name] if each.name in columns else pa.nulls(count, each.type)
            for each in FUNDING_RATES.schema
        ],
        schema=FUNDING_RATES.schema,
    )
