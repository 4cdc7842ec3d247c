"""Settlements of a span, read as the venue hands them out: one answer, or several that overlap.

A reading says what the venue said; whether it is believed is for ``funding_walk``. Only where a
request cannot name a time is each answer believed here, because reading them all again for
each window would cost their number squared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from lake.domain.rows import Rejected
from lake.domain.settlements import scheduled_us
from lake.domain.times import from_us, iso, to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_checks import CheckedFunding, Settlement, validate_funding

# Where settlements are uneven, so many answers must be the same; more where none comes later.
SAME_ANSWERS = 3
SAME_AT_THE_END = 5
MOST_ANSWERS = 40
# An answer that full may have been cut, a few lost rows aside.
_FULL = 0.97
# Answers of one reading; a span that needs more is halved.
_MOST_IN_CHAIN = 16
# Settlements that may come while pages are read, each of which moves all others on by one.
_MOST_SHIFTED = 3
# Answers of one listing without times: ten years of hours at a hundred each.
_MOST_LISTED = 1_000


class AskFunding(Protocol):
    """One request for settlements, throttled and classified."""

    async def __call__(self, cursor: Cursor) -> Decoded:
        """The rows of one answer, as the venue gave them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the venue said about a span: settlements ascending, odd rows, and more of it.

    ``is_full`` says that there may be more than fits; ``is_sure`` that each of its answers was
    confirmed on its own.
    """

    rows: tuple[Settlement, ...]
    rejected: tuple[Rejected, ...]
    is_full: bool
    is_sure: bool = False

    def times(self) -> set[int]:
        """The scheduled times of all its settlements, odd ones too."""
        odd = {scheduled_us(to_us(each.ts)) for each in self.rejected if each.ts is not None}
        return {each.ts_us for each in self.rows} | odd


@dataclass(frozen=True, slots=True)
class _Listed:
    """One answer of a listing, and what leads to the next."""

    checked: CheckedFunding
    is_full: bool
    following: str | None

    def times(self) -> set[int]:
        return {each.ts_us for each in self.checked.rows}

    def lacks(self, seen: set[int], before: _Listed | None) -> bool:
        """Whether it lacks settlements that other answers for its page showed."""
        own, oldest = self.times(), 0
        if self.is_full:
            oldest = min(own, default=0)
        newer = min(before.times(), default=None) if before else None
        return any(us >= oldest and (newer is None or us < newer) for us in seen - own)

    @property
    def content(self) -> tuple[tuple[Settlement, ...], tuple[Rejected, ...]]:
        return self.checked.rows, self.checked.rejected


class FundingReader:
    """Reads spans of one perpetual, and counts its requests."""

    def __init__(
        self,
        ask: AskFunding,
        *,
        paging: Paging,
        page_size: int,
        cursor_us: int,
        seeks: bool,
        retry: Retry,
        clock: Callable[[], Awaitable[datetime]],
        whole_seconds: bool,
    ) -> None:
        """
        Args:
            ask: Sends one request.
            paging: How the venue hands out a span.
            page_size: Most settlements asked for in one request.
            cursor_us: The grain of its bounds of time.
            seeks: Whether a request can name a time.
            retry: How failed requests are repeated.
            clock: The venue's time, at least.
            whole_seconds: Whether its times are no finer than seconds.
        """
        self._ask = ask
        self._paging = paging
        self._page_size = page_size
        self._cursor_us = cursor_us
        self.seeks = seeks
        self._retry = retry
        self._clock = clock
        self._whole_seconds = whole_seconds
        self._listed: list[_Listed] = []
        self.requests = 0

    async def read(self, start_us: int, end_us: int) -> Reading:
        """What the venue says about ``[start_us, end_us)``, and perhaps some time around it.

        Raises:
            SourceError: No answer could be had, or none that fits the one before.
        """
        start = max(0, start_us // self._cursor_us * self._cursor_us)
        end = -(-end_us // self._cursor_us) * self._cursor_us
        if not self.seeks:
            return await self._from_listing(start, end)
        if self._paging in (Paging.SPAN, Paging.WHOLE):
            checked, is_full, _ = await self._answer(Cursor(self._page_size, None, start, end))
            return Reading(checked.rows, checked.rejected, is_full and self._paging is Paging.SPAN)
        return await self._chained(start, end)

    async def _chained(self, start: int, end: int) -> Reading:
        """Answer by answer from one end of the span; each begins where the one before ended."""
        forward = self._paging is Paging.FORWARD
        found: dict[int, Settlement] = {}
        rejected: list[Rejected] = []
        low, high = start, end
        for _ in range(_MOST_IN_CHAIN):
            edge = found.get(max(found) if forward else min(found)) if found else None
            checked, is_full = await self._tied(Cursor(self._page_size, None, low, high), edge)
            found |= {each.settled_us: each for each in checked.rows}
            rejected += [each for each in checked.rejected if each not in rejected]
            if not is_full or not checked.rows:
                break
            first, last = checked.rows[0].settled_us, checked.rows[-1].settled_us
            if (forward and last >= end) or (not forward and first < start):
                break
            grain = self._cursor_us
            if forward:
                low = last // grain * grain
            else:
                high = first // grain * grain + grain
        else:
            return Reading((), (), is_full=True)
        rows = tuple(found[us] for us in sorted(found))
        return Reading(rows, tuple(rejected), is_full=False)

    async def _tied(self, cursor: Cursor, edge: Settlement | None) -> tuple[CheckedFunding, bool]:
        """An answer that holds *edge*, the settlement where the one before it ended."""
        for _ in range(MOST_ANSWERS):
            checked, is_full, _ = await self._answer(cursor)
            if edge is None or edge in checked.rows:
                return checked, is_full
        assert edge is not None
        raise SourceError(
            f"{MOST_ANSWERS} answers lack the settlement of {iso(from_us(edge.settled_us))} that "
            "others showed. What was stored stays; start again later.",
            retryable=True,
        )

    # Where a request cannot name a time.

    async def _from_listing(self, start: int, end: int) -> Reading:
        while not self._reaches(start):
            if len(self._listed) >= _MOST_LISTED:
                return Reading((), (), is_full=True)
            self._listed.append(await self._next_listed())
        found: dict[int, Settlement] = {}
        rejected: list[Rejected] = []
        for page in self._listed:
            found |= {each.settled_us: each for each in page.checked.rows}
            rejected += page.checked.rejected
        rows = tuple(found[us] for us in sorted(found) if start <= us < end)
        return Reading(rows, tuple(dict.fromkeys(rejected)), is_full=False, is_sure=True)

    def _reaches(self, start: int) -> bool:
        if not self._listed:
            return False
        last = self._listed[-1]
        return last.following is None or (
            bool(last.checked.rows)
            and self._paging is Paging.BACK
            and last.checked.rows[0].settled_us < start
        )

    async def _next_listed(self) -> _Listed:
        """The next answer of the listing: even by itself and to the one before, or confirmed."""
        before = self._listed[-1] if self._listed else None
        votes: Counter[object] = Counter()
        seen: set[int] = set()
        token = before.following if before else None
        cursor = Cursor(self._page_size, None, 0, to_us(await self._clock()), token)
        for _ in range(MOST_ANSWERS):
            checked, is_full, following = await self._answer(cursor)
            found = _Listed(checked, is_full, following if checked.rows else None)
            if is_full and self._is_even(checked, before):
                return found
            votes[found.content] += 1
            seen |= found.times()
            needed = SAME_ANSWERS if is_full else SAME_AT_THE_END
            if votes[found.content] >= needed and not found.lacks(seen, before):
                return found
        raise SourceError(
            f"{MOST_ANSWERS} answers for one page of settlements contradict one another. What "
            "was stored stays; start again later.",
            retryable=True,
        )

    def _is_even(self, checked: CheckedFunding, before: _Listed | None) -> bool:
        """Whether its settlements follow one another evenly, up to those of *before*."""
        if before is None or not before.checked.rows or checked.rejected:
            return False
        oldest = before.checked.rows[0]
        older = [each.ts_us for each in checked.rows if each.ts_us < oldest.ts_us]
        times = [*older, *(each.ts_us for each in before.checked.rows[:2])]
        if len(checked.rows) - len(older) > _MOST_SHIFTED:
            return False
        return len(older) > 1 and len({after - one for one, after in pairwise(times)}) == 1

    async def _answer(self, cursor: Cursor) -> tuple[CheckedFunding, bool, str | None]:
        """One readable answer; whether it is full, and where the next one begins."""

        async def once() -> tuple[CheckedFunding, bool, str | None]:
            self.requests += 1
            decoded = await self._ask(cursor)
            checked = validate_funding(
                decoded, now=await self._clock(), whole_seconds=self._whole_seconds
            )
            self._require_as_asked(checked, cursor)
            count = len(checked.rows) + len(checked.rejected)
            # What a page of a listing lacks is on no other page.
            most = self._page_size * _FULL if self.seeks else self._page_size
            return checked, count >= most, decoded.following

        return await self._retry.run(once)

    def _require_as_asked(self, checked: CheckedFunding, cursor: Cursor) -> None:
        """Refuse an answer that cannot be one to its request.

        Raises:
            SourceError: It has more rows than were asked for, or others.
        """
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        if self._paging is Paging.WHOLE:
            return
        if len(checked.rows) > cursor.limit:
            raise SourceError(
                f"The answer has {len(checked.rows)} settlements, but {cursor.limit} were asked "
                "for.",
                retryable=True,
            )
        if not self.seeks:
            return
        # Bounds in seconds may take in what lies on them.
        grain = self._cursor_us if self._cursor_us > 1_000 else 0
        for each in checked.rows:
            early = each.settled_us < cursor.start_us - grain and self._paging is not Paging.BACK
            late = each.settled_us >= cursor.end_us + grain and self._paging is not Paging.FORWARD
            if early or late:
                raise SourceError(
                    "The answer has settlements of another time than asked for.", retryable=True
                )
