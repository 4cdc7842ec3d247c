"""Where in a venue's dense trade ids a moment lies: found by time, then by bisection.

The result is proven: the trade before it is older, the trade at it is not, and between the two
there is no id.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, iso, to_us
from lake.errors import SourceError
from lake.sources.cursor import Cursor
from lake.sources.trade_answers import (
    END_ANSWERS,
    HOLE_ANSWERS,
    TradeAnswer,
    TradeAsker,
)

# The widest span of time that Binance takes in one request.
_SPAN_US = 3_600_000_000
_MOST_PROBES = 200
# Known places are kept for later windows of the series; more than these add nothing.
_MOST_ANCHORS = 4_096


class TradeMap:
    """Some trades of a series, by id and time: what makes the next search short."""

    def __init__(self) -> None:
        self._anchors: list[tuple[int, int]] = []

    def learn(self, answer: TradeAnswer) -> None:
        """Take over the ends of an answer."""
        if not len(answer.ids):
            return
        for at in {0, len(answer.ids) - 1}:
            self.put(int(answer.ids[at]), int(answer.ts_us[at]))

    def learn_border(self, tables: Sequence[pa.Table], us: int) -> None:
        """Take over the trades on both sides of *us*, where the next window's search begins."""
        for rows in tables:
            late = rows["ts"].cast(pa.int64()).to_numpy() >= us
            if late.any():
                at = int(late.argmax())
                for row in {max(0, at - 1), at}:
                    self.put(rows["trade_id"][row].as_py(), rows["ts"][row].value)
                return

    def put(self, number: int, ts_us: int) -> None:
        anchor = (number, ts_us)
        at = bisect_left(self._anchors, anchor)
        if at == len(self._anchors) or self._anchors[at] != anchor:
            insort(self._anchors, anchor)
        if len(self._anchors) > _MOST_ANCHORS:
            # Every second one; the two at the end are what the next search begins with.
            self._anchors[1:-2] = self._anchors[1:-2:2]

    def around(self, us: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """The last known trade before *us*, and the first one at or after it."""
        at = bisect_left(self._anchors, us, key=lambda anchor: anchor[1])
        before = self._anchors[at - 1] if at else None
        return before, self._anchors[at] if at < len(self._anchors) else None

    def count(self, window: TimeRange) -> int:
        """About how many trades *window* has, by what is known so far; 0 where nothing is."""
        (start, _), (_, end) = self.around(to_us(window.start)), self.around(to_us(window.end))
        if start is None or end is None:
            return 0
        share = window.duration / timedelta(microseconds=max(1, end[1] - start[1]))
        return int((end[0] - start[0]) * min(1.0, share))

    def between(self, window: TimeRange) -> int:
        """How many trades *window* has, once both of its borders were searched for."""
        (_, first), (last, _) = self.around(to_us(window.start)), self.around(to_us(window.end))
        return 0 if first is None or last is None else max(0, last[0] - first[0] + 1)

    @property
    def last_id(self) -> int:
        """The highest id that is known to exist; -1 where none is."""
        return self._anchors[-1][0] if self._anchors else -1


class BorderSearch:
    """The search for the first trade at or after a moment. Used once."""

    def __init__(self, asker: TradeAsker, known: TradeMap, *, page_size: int) -> None:
        self._asker = asker
        self._map = known
        self._page = page_size
        self._agreed: dict[tuple[int, int], int] = {}
        self._empty = 0

    async def first_at(self, us: int) -> int | None:
        """The id of the first trade at or after *us*; None where there is none yet.

        Raises:
            SourceError: No answer could be had, or they contradict one another.
        """
        for turn in range(_MOST_PROBES):
            before, after = self._map.around(us)
            if after is None:
                if self._empty >= END_ANSWERS:
                    return None
                await self._look_for_later(us, turn, before)
            elif self._is_proven(before, after):
                return after[0]
            else:
                await self._look_between(us, turn, before, after)
        raise SourceError(
            f"The first trade at or after {iso(from_us(us))} was looked for, but {_MOST_PROBES} "
            "answers contradict one another. What was stored stays; start again later.",
            retryable=True,
        )

    def _is_proven(self, before: tuple[int, int] | None, after: tuple[int, int]) -> bool:
        low = before[0] if before else -1
        return after[0] - low == 1 or self._agreed.get((low, after[0]), 0) >= HOLE_ANSWERS

    async def _look_for_later(self, us: int, turn: int, before: tuple[int, int] | None) -> None:
        """Ask for trades from *us* on, by time first: that is one request where any follow."""
        if turn == 0:
            span = Cursor(self._page, start_us=us, end_us=us + _SPAN_US)
            self._learn(await self._asker.answer(span), us)
            return
        if turn % 2 or before is None:
            cursor = Cursor(max(1, self._page - turn))
        else:
            cursor = Cursor(self._page, from_id=max(0, before[0] - turn))
        answer = await self._asker.answer(cursor)
        shows_the_end = cursor.from_id is None or not answer.is_full
        if not self._learn(answer, us) and not answer.checked.rejected and shows_the_end:
            # The newest trade is older: the data ends before *us*, if more answers say so.
            self._empty += 1

    async def _look_between(
        self, us: int, turn: int, before: tuple[int, int] | None, after: tuple[int, int]
    ) -> None:
        low, high = before[0] if before else -1, after[0]
        gap = high - low
        if gap <= self._page // 2:
            start = max(0, low - turn % 16)
        elif before is None:
            # Far enough back by what lies ahead, farther each time.
            start = max(0, high - self._page * 2 ** min(turn, 40) // 2)
        elif turn % 2:
            start = low + gap // 2
        else:
            share = (us - before[1]) / max(1, after[1] - before[1])
            start = low + 1 + int((gap - 2) * share) - self._page // 2
        limit = self._page if start else self._page - turn % 16
        cursor = Cursor(limit, from_id=min(max(0, start), high - 1))
        answer = await self._asker.answer(cursor)
        moved = self._learn(answer, us)
        if moved or answer.checked.rejected or not len(answer.ids):
            return
        assert cursor.from_id is not None
        if cursor.from_id <= max(0, low) and int(answer.ids[-1]) >= high:
            inside = (answer.ids > low) & (answer.ids < high)
            if not inside.any() and (low < 0 or low in answer.ids):
                self._agreed[low, high] = self._agreed.get((low, high), 0) + 1

    def _learn(self, answer: TradeAnswer, us: int) -> bool:
        """Whether the answer brings the border nearer."""
        old = self._map.around(us)
        late = answer.ts_us >= us
        if late.any():
            at = int(late.argmax())
            self._map.put(int(answer.ids[at]), int(answer.ts_us[at]))
            if at:
                self._map.put(int(answer.ids[at - 1]), int(answer.ts_us[at - 1]))
        elif len(answer.ids):
            self._map.put(int(answer.ids[-1]), int(answer.ts_us[-1]))
        return self._map.around(us) != old
