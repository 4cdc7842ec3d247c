"""One readable answer to one request for trades, and what several of them prove together.

An id is believed absent only when differently bounded answers agree, and reach past it where
anything lies past it. It knows nothing of venues or HTTP: requests go through the function it
is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa

from lake.domain.rows import Rejected
from lake.domain.schemas import TRADES
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.trade_checks import CheckedTrades, validate_trades
from lake.sources.units_of_time import Array

# Answers that must agree before an absent id is believed absent, where a later one is shown.
HOLE_ANSWERS = 3
# Where the venue shows nothing later, a lost tail looks like the end of data: more must agree.
END_ANSWERS = 5
# Valid answers about one place; contradictions beyond that are the venue's, not chance.
MOST_ANSWERS = 60


class AskTrades(Protocol):
    """One request for trades, throttled and classified."""

    async def __call__(self, cursor: Cursor) -> Decoded:
        """The rows of one answer, as the venue gave them."""


@dataclass(frozen=True, slots=True)
class TradeAnswer:
    """One readable answer, ascending by id."""

    cursor: Cursor
    checked: CheckedTrades
    ids: Array
    ts_us: Array

    @property
    def is_full(self) -> bool:
        """Whether it has as many rows as were asked for, so that more may follow."""
        return len(self.ids) + len(self.checked.rejected) >= self.cursor.limit

    def is_whole(self) -> bool:
        """Whether it is the full, unbroken run of ids that was asked for."""
        first, count = self.cursor.from_id, self.cursor.limit
        return (
            not self.checked.rejected
            and len(self.ids) == count
            and int(self.ids[0]) == first
            and int(self.ids[-1]) - int(self.ids[0]) == count - 1
        )


class TradeAsker:
    """Sends requests for one walk and counts them."""

    def __init__(
        self,
        ask: AskTrades,
        *,
        retry: Retry,
        now: Callable[[], Awaitable[datetime]],
        whole_seconds: bool = False,
    ) -> None:
        self._ask = ask
        self._retry = retry
        self._now = now
        self._whole_seconds = whole_seconds
        self.requests = 0

    async def answer(self, cursor: Cursor) -> TradeAnswer:
        """The answer for *cursor*.

        Raises:
            SourceError: None of the attempts gave one that can be read.
        """

        async def once() -> TradeAnswer:
            self.requests += 1
            decoded = await self._ask(cursor)
            checked = validate_trades(
                decoded, now=await self._now(), whole_seconds=self._whole_seconds
            )
            found = TradeAnswer(cursor, checked, checked.ids, checked.ts_us)
            _require_as_asked(found)
            return found

        return await self._retry.run(once)


def _require_as_asked(answer: TradeAnswer) -> None:
    """Refuse an answer that cannot be one to its request.

    Raises:
        SourceError: It has more rows than were asked for, or others.
    """
    cursor, ids, ts = answer.cursor, answer.ids, answer.ts_us
    if len(ids) > cursor.limit:
        raise SourceError(
            f"The answer has {len(ids)} trades, but {cursor.limit} were asked for.", retryable=True
        )
    if not len(ids):
        return
    if cursor.from_id is not None and ids[0] < cursor.from_id:
        raise SourceError(
            f"The answer begins with trade {int(ids[0])}, but those from {cursor.from_id} on were "
            "asked for.",
            retryable=True,
        )
    early = cursor.start_us is not None and ts.min() < cursor.start_us
    if early or (cursor.end_us is not None and ts.max() >= cursor.end_us):
        raise SourceError("The answer has trades of another time than asked for.", retryable=True)


@dataclass(frozen=True, slots=True)
class _Witness:
    """What an answer by id says: all ids from *start* to *end* (exclusive) that there are."""

    start: int
    end: float
    ids: frozenset[int]
    odd: frozenset[int]

    def speaks_of(self, number: int) -> bool:
        return self.start <= number < self.end and number not in self.odd


@dataclass(slots=True)
class Evidence:
    """What answers about the ids of ``[first, stop)`` have shown together."""

    first: int
    stop: int
    last_seen: int = -1
    """The highest id that is known to exist anywhere."""
    tables: list[pa.Table] = field(default_factory=list)
    known: set[int] = field(default_factory=set)
    rejections: Counter[tuple[int, Rejected]] = field(default_factory=Counter)
    witnesses: list[_Witness] = field(default_factory=list)

    def learn(self, answer: TradeAnswer) -> None:
        """Take over what an answer by id shows."""
        ids = [int(each) for each in answer.ids]
        new = [
            at
            for at, number in enumerate(ids)
            if self.first <= number < self.stop and number not in self.known
        ]
        if new:
            self.tables.append(answer.checked.rows.take(pa.array(new, pa.int64())))
            self.known.update(ids[at] for at in new)
        odd = [
            each
            for each in dict.fromkeys(answer.checked.rejected)
            if each[0] < 0 or self.first <= each[0] < self.stop
        ]
        self.rejections.update(odd)
        shown = max([*ids, *(number for number, _ in answer.checked.rejected)], default=-1)
        self.last_seen = max([self.last_seen, *ids])
        assert answer.cursor.from_id is not None
        self.witnesses.append(
            _Witness(
                answer.cursor.from_id,
                shown + 1 if answer.is_full else float("inf"),
                frozenset(ids),
                frozenset(number for number, _ in answer.checked.rejected),
            )
        )

    def doubt(self) -> int | None:
        """The first id about which the answers do not say enough; None: all is clear."""
        lasting = {number for (number, _), times in self.rejections.items() if times > 1}
        honest = [each for each in self.witnesses if self._is_honest(each)]
        for number in range(self.first, self.stop):
            if number in self.known or number in lasting:
                continue
            speaking = [
                each for each in honest if each.speaks_of(number) and number not in each.ids
            ]
            if self.last_seen > number:
                votes = sum(max(each.ids, default=-1) > number for each in speaking)
                if votes < HOLE_ANSWERS:
                    return number
            elif len(speaking) < END_ANSWERS:
                return number
            else:
                # Nothing is known beyond it, so that what holds for it holds for all later ones.
                break
        if self.rejections and len(self.witnesses) == 1:
            # Odd rows seen once may be the answer's fault and not the venue's.
            return self.first
        return None

    def _is_honest(self, witness: _Witness) -> bool:
        """Whether it has every known id of its span; one that does not is faulty."""
        seen = witness.ids | witness.odd
        return all(each in seen for each in self.known if witness.start <= each < witness.end)

    @property
    def has_ended(self) -> bool:
        """Whether the data ends inside: nothing exists beyond what is known here."""
        return self.last_seen < self.stop - 1

    def rows(self) -> pa.Table:
        """All rows, ascending by id."""
        if not self.tables:
            return TRADES.schema.empty_table()
        rows = pa.concat_tables(self.tables)
        order = np.argsort(rows["trade_id"].to_numpy(), kind="stable")
        return rows.take(pa.array(order))

    def rejected(self) -> list[Rejected]:
        """Rows that several answers gave alike and that cannot be stored."""
        return [
            each
            for (number, each), times in self.rejections.items()
            if times > 1 and number not in self.known
        ]

    def absent(self) -> list[tuple[int, int]]:
        """Runs of ids, inclusive, that do not exist although later ones do."""
        lasting = {number for number, _ in self.rejections}
        runs: list[tuple[int, int]] = []
        for number in range(self.first, min(self.stop, self.last_seen)):
            if number in self.known or number in lasting:
                continue
            if runs and runs[-1][1] == number - 1:
                runs[-1] = (runs[-1][0], number)
            else:
                runs.append((number, number))
        return runs
