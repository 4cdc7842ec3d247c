"""How trades without dense ids become believed pages: the pure part. ``span_walk`` asks.

1. Time is cut into slots of the venue's cursor (``RowsEndpoint.cursor_us``). All rows before
   ``sure`` are known; the slot of the newest row seen may be incomplete until it is read again.
2. A step asks for ``[low, high)`` about ``sure``: ``low`` lies where the last complete slot
   with rows (the *bottom*) begins, so that an honest answer must hold the bottom's rows again.
3. FORWARD answers start at ``low``; BACK answers end at ``high`` and may reach below ``low``;
   SPAN answers keep within both and lose either end when they are full.
4. An answer is tied to what is known where it holds the bottom, or the *top*: the oldest slot
   of the answer above it. One that lacks rows which are known to lie in its span is faulty.
5. A full, tied answer is an unbroken run of rows and believed at once. A short one is believed
   when ``HOLE_ANSWERS`` with other bounds say the same; silence when ``END_ANSWERS`` do.
6. Pages cover only what is tied to the bottom: ``sure`` moves to the slot of the newest row of
   that run, or past a confirmed silence. What lies above an untied answer claims nothing.
7. ``high`` follows the density of the rows. Runs read downwards that outgrow memory are dropped
   and ``high`` halved, so that no window is held whole.
8. Overlaps replace, they are not added: equal rows of one answer are all kept, and a slot is
   taken from one answer as a whole. ``trade_ref`` is derived over whole groups of one ``ts``.
9. A slot that fills a page is read on by the venue's token (``Decoded.following``), each answer
   believed when ``HOLE_ANSWERS`` are the same; without a token it is refused loudly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import pyarrow as pa

from lake.domain.rows import Rejected
from lake.sources.capability import Paging
from lake.sources.trade_answers import END_ANSWERS, HOLE_ANSWERS
from lake.sources.units_of_time import Array

Keys = Counter[Hashable]


def floor_us(us: int, grain: int) -> int:
    """The start of the slot that contains *us*."""
    return us // grain * grain


@dataclass(frozen=True, slots=True)
class Rows:
    """Valid trades in time order, ``trades`` schema, with their times in microseconds."""

    table: pa.Table
    ts: Array

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """*table*, which is in time order."""
        return cls(table, np.asarray(table["ts"].cast(pa.int64()).to_numpy()))

    def __len__(self) -> int:
        return len(self.ts)

    def between(self, start: int | None, end: int | None) -> Rows:
        """Those in ``[start, end)``."""
        first = 0 if start is None else int(np.searchsorted(self.ts, start))
        stop = len(self.ts) if end is None else int(np.searchsorted(self.ts, end))
        stop = max(first, stop)
        return Rows(self.table.slice(first, stop - first), self.ts[first:stop])

    def keys(self) -> Keys:
        """What tells the rows apart: the venue's id, else their values; with their times."""
        columns = [self.table[name].to_pylist() for name in ("trade_id", "trade_ref")]
        found: Keys = Counter()
        values = None
        for at, (number, ref) in enumerate(zip(*columns, strict=True)):
            if number is not None or ref is not None:
                found[int(self.ts[at]), number, ref] += 1
                continue
            if values is None:
                names = ("price", "quantity", "side")
                values = list(zip(*(self.table[name].to_pylist() for name in names), strict=True))
            found[(int(self.ts[at]), *values[at])] += 1
        return found

    def is_numbered(self) -> bool:
        """Whether the venue gives its trades ids."""
        return any(not self.table[name].null_count for name in ("trade_id", "trade_ref"))

    def after(self, other: Rows) -> Rows:
        """These rows behind *other*'s."""
        if not len(self) or not len(other):
            return self if len(self) else other
        table = pa.concat_tables([other.table, self.table])
        return Rows(table, np.concatenate([other.ts, self.ts]))


@dataclass(frozen=True, slots=True)
class Answer:
    """One readable answer: its rows, odd ones, and where the next one begins."""

    rows: Rows
    rejected: tuple[Rejected, ...]
    is_full: bool
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The known rows of one slot. ``is_whole`` says that there are no others in it."""

    start_us: int
    end_us: int
    keys: Keys
    is_whole: bool

    @classmethod
    def of(cls, rows: Rows, start_us: int, grain: int, *, is_whole: bool) -> Known:
        """The slot that begins at *start_us*, as *rows* show it."""
        end = start_us + grain
        return cls(start_us, end, rows.between(start_us, end).keys(), is_whole)

    def is_in(self, rows: Rows) -> bool:
        """Whether *rows* hold all of it, and nothing else where it is whole."""
        found = rows.between(self.start_us, self.end_us).keys()
        return found == self.keys if self.is_whole else not self.keys - found


@dataclass(frozen=True, slots=True)
class Question:
    """What one step wants to know: the rows of ``[low, high)``.

    Attributes:
        sure_us: All rows before it are known.
        bottom: Known rows at the lower side; None where there are none, or out of reach.
        top: Known rows at the upper side, where an answer above was read already.
        token: Continues inside of a slot that fills a page.
        step: Slots are so long.
    """

    low: int
    high: int
    sure_us: int
    bottom: Known | None
    top: Known | None
    token: str | None
    step: int


class Kind(Enum):
    """What an answer does to a question."""

    FAULTY = auto()
    """It lacks what is known, or cannot be an answer to it."""
    RISES = auto()
    """Tied to the bottom (or confirmed to begin there): rows go on above ``sure``."""
    SINKS = auto()
    """Tied to the top, or the topmost: rows that do not reach the bottom yet."""
    CLOSES = auto()
    """Tied to both sides."""
    SILENT = auto()
    """Nothing lies between the bottom and the upper side."""
    CROWDED = auto()
    """One slot fills the answer."""


def judged(answer: Answer, question: Question, paging: Paging) -> tuple[Kind, int]:
    """What *answer* does to *question*, and how many like it are needed to believe it."""
    if question.token is not None:
        return _by_token(answer, question, paging)
    if paging is Paging.FORWARD:
        return _forward(answer, question)
    return _downward(answer, question, keeps_start=paging is Paging.SPAN)


def _forward(answer: Answer, question: Question) -> tuple[Kind, int]:
    rows, bottom = answer.rows, question.bottom
    if (bottom and not bottom.is_in(rows)) or (answer.is_full and not len(rows)):
        return Kind.FAULTY, 0
    newest = _newest_slot(rows, question)
    if newest is not None and newest > question.sure_us:
        # Nothing ties a first answer to what lies before it.
        needed = _needed(answer) if bottom is not None else HOLE_ANSWERS
        return Kind.RISES, needed
    return _crowded(answer, question) if answer.is_full else (Kind.SILENT, END_ANSWERS)


def _crowded(answer: Answer, question: Question) -> tuple[Kind, int]:
    """One slot fills it, unless it is full of rows that were asked for beside the question.

    A token goes on after its last row, whatever lies beside.
    """
    rows = answer.rows
    beside = rows.ts[0] < question.low or rows.ts[-1] >= question.high
    if beside and (answer.following is None or not len(rows.between(question.low, question.high))):
        return Kind.FAULTY, 0
    return Kind.CROWDED, HOLE_ANSWERS


def _downward(answer: Answer, question: Question, *, keeps_start: bool) -> tuple[Kind, int]:
    rows, bottom, top = answer.rows, question.bottom, question.top
    holds_top = top is None or top.is_in(rows)
    oldest = floor_us(int(rows.ts[0]), question.step) if len(rows) else None
    newest = _newest_slot(rows, question)
    rises = newest is not None and newest > question.sure_us
    if bottom is not None:
        ends = bottom.is_in(rows)
        if not ends and (oldest is not None and oldest < bottom.start_us):
            return Kind.FAULTY, 0
        if not ends and not answer.is_full:
            return Kind.FAULTY, 0
    else:
        ends = oldest is not None and oldest < question.sure_us
    if not holds_top:
        # A venue that keeps the oldest rows of a span fills the page from the bottom.
        if keeps_start and ends and answer.is_full and bottom is not None and rises:
            return Kind.RISES, _needed(answer)
        return Kind.FAULTY, 0
    if ends:
        return _ending(answer, question, rises=rises, keeps_start=keeps_start)
    if oldest is None and answer.is_full:
        return Kind.FAULTY, 0
    lowest = question.high if top is None else top.start_us
    if oldest is not None and oldest < lowest and not _is_crowded(answer, question, oldest):
        return Kind.SINKS, _needed(answer)
    if answer.is_full:
        return _crowded(answer, question)
    # Only the top's own rows, or none: nothing lies below.
    return (Kind.SILENT if top is None else Kind.CLOSES), END_ANSWERS


def _ending(
    answer: Answer, question: Question, *, rises: bool, keeps_start: bool
) -> tuple[Kind, int]:
    """An answer that reaches the bottom and holds the top, where there is one."""
    if question.top is not None:
        return Kind.CLOSES, _needed(answer)
    if rises:
        return Kind.RISES, _needed(answer)
    if answer.is_full and keeps_start:
        return _crowded(answer, question)
    return Kind.SILENT, END_ANSWERS


def _by_token(answer: Answer, question: Question, paging: Paging) -> tuple[Kind, int]:
    """Nothing ties what a token brings to what is known: the same answer must come again."""
    rows, step = answer.rows, question.step
    if paging is Paging.FORWARD:
        if len(rows) and floor_us(int(rows.ts[0]), step) < question.sure_us:
            return Kind.FAULTY, 0
        newest = _newest_slot(rows, question)
        if newest is not None and newest > question.sure_us:
            return Kind.RISES, HOLE_ANSWERS
        if not answer.is_full:
            return Kind.SILENT, END_ANSWERS
        return (Kind.CROWDED if len(rows) else Kind.FAULTY), HOLE_ANSWERS
    assert question.top is not None
    # An empty one after the first trade of all is an answer too.
    is_first = question.bottom is None and not answer.is_full
    below = rows.ts[-1] < question.top.end_us if len(rows) else is_first
    needed = HOLE_ANSWERS if answer.is_full else END_ANSWERS
    return (Kind.SINKS if below else Kind.FAULTY), needed


def _is_crowded(answer: Answer, question: Question, oldest: int) -> bool:
    """Whether asking below it again would bring the same rows."""
    return answer.is_full and oldest + question.step >= question.high


def _newest_slot(rows: Rows, question: Question) -> int | None:
    return floor_us(int(rows.ts[-1]), question.step) if len(rows) else None


def _needed(answer: Answer) -> int:
    """One, where a full answer has nothing odd, nor equal rows that nothing numbers."""
    if not answer.is_full or answer.rejected:
        return HOLE_ANSWERS
    if answer.rows.is_numbered():
        return 1
    return HOLE_ANSWERS if any(count > 1 for count in answer.rows.keys().values()) else 1
