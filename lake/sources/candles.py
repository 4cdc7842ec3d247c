"""The strict fetch of one window of candles: a page is whole, explained, or an error.

An absent candle is believed absent only when differently bounded answers agree, and reach past
it where anything lies past it. An answer that lacks what is already known is faulty. It knows
nothing of venues or HTTP: requests go through the function it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.coverage import NOTHING_LATER, Basis, Claim
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Note, Page, Rejected
from lake.domain.schemas import OHLCV
from lake.domain.times import EPOCH, SECOND_US, from_us, iso, to_us
from lake.errors import SourceError
from lake.sources.answers import Answer, Ask, Asker, Rules

# Where the venue shows nothing later, a lost tail looks like the end of data: more must agree.
_ANSWERS_AT_THE_END = 5
# A venue that lags, or is down, shows what a venue at the end of its data shows. So close to
# its clock an absent last candle is not believed absent: the next run asks again.
_LAG_US = 3_600 * SECOND_US
# Valid answers to one window; contradictions beyond that are the venue's, not chance.
_MOST_ANSWERS = 60
# No venue gives fewer candles at once: what is shorter was not cut.
_LEAST_CAP = 10
# Answers with other bounds, before what a cut one lacks at its start is believed absent.
_ANSWERS_AT_A_CUT = 4
# Beyond this many holes a window's claims say one thing for all of them.
_MOST_CLAIMS = 8


@dataclass(slots=True)
class Sightings:
    """What all answers of a series have shown so far, for judging later ones.

    ``nothing_after`` holds (first, asked at) of open-ended answers that end before *first*;
    ``most_rows`` is how many the longest answer had: the venue cuts none that is shorter.
    """

    last_us: int | None = None
    most_rows: int = 0
    nothing_after: list[tuple[int, int]] = field(default_factory=list)

    def saw(self, us: int) -> None:
        """There is a candle at *us*."""
        if self.last_us is None or us > self.last_us:
            self.last_us = us
        if self.nothing_after:
            self.nothing_after = [each for each in self.nothing_after if each[0] > us]

    def showed_nothing(self, first_us: int, asked_us: int) -> None:
        """An answer said that nothing opens in ``[first, asked)``."""
        if (self.last_us is None or self.last_us < first_us) and (
            len(self.nothing_after) < _ANSWERS_AT_THE_END
        ):
            self.nothing_after.append((first_us, asked_us))

    def count_nothing_at(self, slot: int) -> int:
        """How many answers of other windows said that nothing opens at *slot* or later."""
        return sum(first <= slot < asked for first, asked in self.nothing_after)


@dataclass(frozen=True, slots=True)
class _Witness:
    """What an answer says: the span it speaks about, and the open times it has there."""

    asked_us: int
    start_us: int
    end_us: int
    times: frozenset[int]
    rejected: frozenset[int]
    shown_us: int
    """The last candle in it, the running one included; -1 where there is none."""

    def speaks_of(self, slot: int) -> bool:
        return self.start_us <= slot < self.end_us and slot not in self.rejected

    def may_have_cut(self, slot: int) -> bool:
        """Whether it was asked about *slot*, but may have been too long to go back so far."""
        return self.asked_us <= slot < self.start_us

    def agrees_with(self, known: Iterable[int]) -> bool:
        """Whether it has every known candle of its span; one that does not is faulty."""
        seen = self.times | self.rejected
        return all(ts in seen for ts in known if self.start_us <= ts < self.end_us)


class WindowFetch:
    """The fetch of one window. Used once."""

    def __init__(
        self,
        ask: Ask,
        window: TimeRange,
        rules: Rules,
        *,
        now: Callable[[], Awaitable[datetime]],
        settled_until: Callable[[datetime], datetime],
        sightings: Sightings,
    ) -> None:
        """
        Args:
            ask: Sends one request.
            window: What is wanted; at most a page of candles.
            rules: How answers are judged.
            now: The venue's time, at least.
            settled_until: The moment up to which candles are final, for a venue's time.
            sightings: Shared by all windows of the series.
        """
        self._asker = Asker(ask, rules, now)
        self._window = window
        self._rules = rules
        self._now = now
        self._settled_until = settled_until
        self._sightings = sightings
        self._witnesses: list[_Witness] = []
        self._known: dict[int, dict[str, Any]] = {}
        self._notes: dict[int, Note] = {}
        self._rejections: Counter[Rejected] = Counter()
        self._nothing: list[tuple[int, int]] = []
        self._unclosed: Counter[int] = Counter()

    async def page(self) -> Page:
        """The window's candles, with claims for what is answered beyond doubt.

        Raises:
            SourceError: No answer could be had, or answers kept contradicting one another.
        """
        grid, window = self._rules.grid, self._window
        now = await self._now()
        claimed = range_or_none(window.start, min(window.end, self._settled_until(now)))
        first, last, count = grid.ceil(window.start), grid.ceil(window.end), grid.count(window)
        # The candle after the window, where there is one, shows that its last one is final.
        extra = self._is_recent(last, now) and last <= now and count < self._rules.page_size
        if not extra:
            last = grid.previous(last)
        answer = await self._asker.answer(to_us(first), to_us(last), count + extra)
        self._saw(answer)
        rows, expected = answer.checked.rows, grid.count(claimed) if claimed else 0
        if not answer.checked.rejected and _count_before(rows, claimed) == expected:
            claimed = self._without_running(claimed, self._shown(answer), now)
            claims = (Claim(claimed, Basis.ANSWER),) if claimed else ()
            rows = rows.slice(0, _count_before(rows, window))
            notes = tuple(each for each in answer.checked.notes if each.ts in window)
            return Page(window, rows, claims, (), notes, self._asker.requests)
        self._learn(answer)
        slots = [to_us(each) for each in grid.opens(claimed)] if claimed else []
        while (doubt := self._doubt(slots)) is not None:
            if len(self._witnesses) >= _MOST_ANSWERS:
                raise SourceError(
                    f"{_MOST_ANSWERS} answers for {window} contradict one another about "
                    f"{iso(from_us(doubt))}. What was stored stays; start again later.",
                    retryable=True,
                )
            answer = await self._ask_about(doubt)
            self._saw(answer)
            self._learn(answer)
        claimed = self._before_unclosed(claimed, slots)
        claimed = self._without_late_end(claimed, slots, to_us(now) - _LAG_US)
        claimed = self._without_running(claimed, max(e.shown_us for e in self._witnesses), now)
        return self._explained(claimed, slots)

    def _is_inside(self, odd: Rejected) -> bool:
        return odd.ts is None or odd.ts in self._window

    def _saw(self, answer: Answer) -> None:
        self._sightings.most_rows = max(self._sightings.most_rows, answer.count)
        if answer.checked.rows.num_rows:
            self._sightings.saw(answer.checked.rows["ts"][-1].value)

    def _learn(self, answer: Answer) -> None:
        """Take an answer apart: what it shows, and which span it speaks about."""
        checked, grid = answer.checked, self._rules.grid
        rows = {to_us(row["ts"]): row for row in checked.rows.to_pylist()}
        self._known |= {us: row for us, row in rows.items() if from_us(us) in self._window}
        self._notes |= {to_us(each.ts): each for each in checked.notes if each.ts in self._window}
        # The first answer is about the window alone; later ones also show what lies around it.
        odd = [
            each
            for each in dict.fromkeys(checked.rejected)
            if not self._witnesses or each in self._rejections or self._is_inside(each)
        ]
        self._rejections.update(odd)
        unclosed = {to_us(each) for each in checked.unclosed}
        self._unclosed.update(unclosed)
        shown = max(unclosed | {self._shown(answer)})
        asked, end = answer.first_us or 0, answer.last_us
        start = asked
        # As long as any answer so far, it may be all that this venue gives at once: the newest.
        is_longest = answer.count >= max(_LEAST_CAP, self._sightings.most_rows)
        if rows and (is_longest if not answer.is_full else answer.first_us is None):
            start = max(asked, min(rows))
        if end is None and answer.is_full and rows:
            end = max(rows)
        closed = grid.floor_us(to_us(answer.now))
        if answer.last_us is None and not (answer.is_full or checked.running or odd):
            self._nothing.append((grid.next_us(shown) if rows else start, closed))
        self._witnesses.append(
            _Witness(
                asked,
                start,
                closed if end is None else min(closed, grid.next_us(end)),
                frozenset(rows),
                frozenset(to_us(each.ts) for each in checked.rejected if each.ts) | unclosed,
                shown,
            )
        )

    def _doubt(self, slots: list[int]) -> int | None:
        """The first open time about which the answers do not say enough; None: all is clear."""
        odd = {to_us(each.ts) for each, times in self._rejections.items() if each.ts and times > 1}
        # The venue says that they are there: no hole, however often it is asked.
        odd |= {us for us, times in self._unclosed.items() if times >= self._rules.hole_answers}
        honest = [each for each in self._witnesses if each.agrees_with(self._known)]
        for slot in slots:
            if slot not in self._known and slot not in odd and not self._is_absent(slot, honest):
                return slot
        if self._rejections and len(self._witnesses) == 1:
            # Odd rows seen once may be the answer's fault and not the venue's.
            return to_us(self._rules.grid.ceil(self._window.start))
        return None

    def _is_absent(self, slot: int, honest: list[_Witness]) -> bool:
        speaking = [each for each in honest if each.speaks_of(slot)]
        if self._is_something_beyond(slot):
            enough = self._rules.hole_answers
            if sum(each.shown_us > slot for each in speaking) >= enough:
                return True
            # What may have been cut there reaches past it all the same; those that end before
            # its first candle were not cut.
            cut = sum(each.may_have_cut(slot) and each.shown_us > slot for each in honest)
            return bool(cut) and self._rules.open_ended and len(speaking) >= _ANSWERS_AT_A_CUT
        ended = self._sightings.count_nothing_at(slot)
        return len(speaking) + ended >= _ANSWERS_AT_THE_END

    def _is_something_beyond(self, slot: int) -> bool:
        """Whether a later candle was seen that an answer about *slot* can reach."""
        if self._rules.open_ended:
            seen = (self._sightings.last_us or -1) > slot
            return seen or any(each.shown_us > slot for each in self._witnesses)
        reach = to_us(self._rules.grid.advance(from_us(slot), self._narrow // 2))
        return any(slot < ts <= reach for each in self._witnesses for ts in each.times)

    @property
    def _narrow(self) -> int:
        """Candles in a confirming request: a venue that caps pages lower still fits it."""
        return max(4, self._rules.page_size // 4)

    async def _ask_about(self, slot: int) -> Answer:
        """One more answer about *slot*, with bounds that no earlier one had."""
        turn, shifted = len(self._witnesses), self._shifted
        near = max((ts for ts in self._known if ts < slot), default=slot)
        cut = [each.start_us for each in self._witnesses if each.may_have_cut(slot)]
        if turn % 2 and cut:
            # However short the pages are: one that ends there has what the other left out.
            last = shifted(min(cut), turn % 3 - 1)
            if self._rules.open_ended:
                return await self._asker.answer(None, last, self._rules.page_size)
            return await self._asker.answer(shifted(last, 1 - self._narrow), last, self._narrow)
        if not self._rules.open_ended:
            start = max(near, shifted(slot, -self._narrow // 4))
            first = shifted(start, -(turn % max(2, self._narrow // 4)))
            return await self._asker.answer(first, shifted(first, self._narrow - 1), self._narrow)
        size = self._rules.page_size
        if turn % 3 or self._is_something_beyond(slot):
            # Without an end the answer reaches past the hole, however long it is.
            return await self._asker.answer(shifted(near, -turn), None, size)
        return await self._asker.answer(None, shifted(slot, turn), size)

    def _shifted(self, us: int, count: int) -> int:
        return max(0, to_us(self._rules.grid.advance(from_us(us), count)))

    def _before_unclosed(self, claimed: TimeRange | None, slots: list[int]) -> TimeRange | None:
        """*claimed* up to the first candle that the venue still calls open, which may change."""
        cut = next((us for us in slots if us in self._unclosed and us not in self._known), None)
        if cut is None or claimed is None:
            return claimed
        return range_or_none(claimed.start, from_us(cut))

    def _without_late_end(
        self, claimed: TimeRange | None, slots: list[int], believed_us: int
    ) -> TimeRange | None:
        """*claimed* without the absent candles at its end that closed after *believed_us*.

        The last one shown before them goes too: to a copy that lags it may be running.
        """
        cut: int | None = None
        for slot in reversed(slots):
            late = self._rules.grid.next_us(slot) > believed_us
            if slot in self._known or not late or self._is_something_beyond(slot):
                if cut is not None and slot in self._known:
                    cut = slot
                break
            cut = slot
        if cut is None or claimed is None:
            return claimed
        return range_or_none(claimed.start, from_us(cut))

    def _without_running(
        self, claimed: TimeRange | None, shown_us: int, now: datetime
    ) -> TimeRange | None:
        """*claimed* without its last candle, where no later one was shown and may be expected.

        By the venue's clock it has closed; to a copy that lags it may be running.
        """
        if claimed is None or shown_us >= to_us(claimed.end):
            return claimed
        last = self._rules.grid.previous(claimed.end)
        if shown_us < to_us(last) or not self._is_recent(claimed.end, now):
            return claimed
        return range_or_none(claimed.start, last)

    def _is_recent(self, end: datetime, now: datetime) -> bool:
        """Whether a copy that lags may not have the end of the candle before *end*.

        Only where requests can reach past it does a venue show more.
        """
        grid = self._rules.grid
        is_young = to_us(end) > to_us(now) - _LAG_US or grid.next(end) > now
        return self._rules.open_ended and is_young

    def _shown(self, answer: Answer) -> int:
        """The last candle in an answer, the running one included; -1 where there is none."""
        rows = answer.checked.rows
        shown = rows["ts"][-1].value if rows.num_rows else -1
        if answer.checked.running:
            shown = max(shown, self._rules.grid.floor_us(to_us(answer.now)))
        return int(shown)

    def _explained(self, claimed: TimeRange | None, slots: list[int]) -> Page:
        # Only now, so that no answer counts twice for this window.
        for first, asked in self._nothing:
            self._sightings.showed_nothing(first, asked)
        rows = pa.Table.from_pylist(
            [self._known[us] for us in sorted(self._known)], schema=OHLCV.schema
        )
        lasting = [
            each
            for each, times in self._rejections.items()
            if times > 1 and (each.ts is None or to_us(each.ts) not in self._known)
        ]
        return Page(
            self._window,
            rows,
            tuple(self._claims(claimed, slots)) if claimed else (),
            tuple(sorted(lasting, key=lambda each: (each.ts or EPOCH, each.raw))),
            tuple(note for us, note in sorted(self._notes.items()) if us in self._known),
            self._asker.requests,
        )

    def _claims(self, claimed: TimeRange, slots: list[int]) -> Iterator[Claim]:
        """The claimed range, each hole with its own evidence while there are few."""
        end_us = to_us(claimed.end)
        absent = [slot for slot in slots if slot not in self._known and slot < end_us]
        holes: list[list[int]] = []
        for slot in absent:
            if holes and self._rules.grid.next_us(holes[-1][-1]) == slot:
                holes[-1].append(slot)
            else:
                holes.append([slot])
        at, between = claimed.start, ""
        if len(holes) > _MOST_CLAIMS:
            between = f"{len(self._witnesses)} answers agree"
            # The end of data is a claim of its own: later rows put it in doubt.
            holes = [each for each in holes[-1:] if self._evidence(each) == NOTHING_LATER]
        for hole in holes:
            start, end = from_us(hole[0]), from_us(self._rules.grid.next_us(hole[-1]))
            end = min(end, claimed.end)
            if at < start:
                yield Claim(TimeRange(at, start), Basis.ANSWER, between)
            yield Claim(TimeRange(start, end), Basis.ANSWER, self._evidence(hole))
            at = end
        if at < claimed.end:
            yield Claim(TimeRange(at, claimed.end), Basis.ANSWER, between)

    def _evidence(self, hole: list[int]) -> str:
        if self._is_something_beyond(hole[-1]):
            return "later answers reach past it"
        if (self._sightings.last_us or -1) > hole[-1]:
            # Only requests with both bounds can be made there, and none reaches so far.
            return "answers with other bounds have nothing near it"
        return NOTHING_LATER


def _count_before(rows: pa.Table, claimed: TimeRange | None) -> int:
    """How many of the ascending *rows* lie in *claimed*, which starts where their window does."""
    if claimed is None or rows.num_rows == 0:
        return 0
    times = rows["ts"].to_numpy()
    return int(times.searchsorted(np.datetime64(claimed.end, "us")))
