"""Hands on a long CSV of candles window by window, after one look through it, in bounded memory.

A file that promises nothing may hold years. It is read twice: the first time everything is
checked and nothing kept, so that a file is refused before any of it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.coverage import Claim
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected
from lake.domain.schemas import OHLCV
from lake.domain.times import to_us
from lake.sources.archive.candle_csv import CandleCsv
from lake.sources.archive.format import Lot
from lake.sources.validation import Checked


@dataclass(slots=True)
class Tally:
    """What candles come to, counted block by block.

    Attributes:
        is_ascending: Whether each opens after all before it.
        first_us, last_us: The earliest and the latest open time.
        first_reason: Why the first bad row is bad.
    """

    rows: int = 0
    rejected: int = 0
    first_reason: str = ""
    volume: float = 0.0
    trades: int = 0
    first_us: int | None = None
    last_us: int | None = None
    is_ascending: bool = True

    def add(self, part: Checked) -> None:
        """Count the next block."""
        self.rejected += len(part.rejected)
        if part.rejected and not self.first_reason:
            self.first_reason = part.rejected[0].reason
        if not part.rows.num_rows:
            return
        self.rows += part.rows.num_rows
        self.volume += pc.sum(part.rows["volume"]).as_py() or 0.0
        self.trades += pc.sum(part.rows["trade_count"]).as_py() or 0
        first, last = part.rows["ts"][0].value, part.rows["ts"][-1].value
        if self.first_us is None or self.last_us is None:
            self.first_us, self.last_us = first, last
            return
        self.is_ascending = self.is_ascending and first > self.last_us
        self.first_us, self.last_us = min(self.first_us, first), max(self.last_us, last)


def survey(csv: CandleCsv, look: Callable[[pa.Table], None]) -> tuple[Tally, bool]:
    """What all of *csv* comes to, and whether it has to be read as text for its bad lines.

    Args:
        csv: The file.
        look: Shown the rows of every block.

    Raises:
        SourceError: The file is damaged, or its last line is cut.
    """
    try:
        tally = _looked_through(csv.blocks(is_text=False), look)
        if not tally.rejected:
            return tally, False
    except pa.ArrowInvalid:
        pass
    return _looked_through(csv.blocks(is_text=True), look), True


def lots(blocks: Iterator[Checked], windows: Sequence[TimeRange], claim: Claim) -> Iterator[Lot]:
    """The rows of ascending *blocks*, a lot for each of *windows*, which follow one another.

    A bad row goes with the lot at hand when it comes. Holes of whole windows are empty lots.
    """
    held = _Held()
    number = 0
    for block in blocks:
        rows = block.rows
        held.rejected += block.rejected
        held.notes += block.notes
        while rows.num_rows and rows["ts"][-1].value >= to_us(windows[number].end):
            border = np.searchsorted(rows["ts"].cast(pa.int64()), to_us(windows[number].end))
            held.tables.append(rows.slice(0, border))
            yield held.lot(windows[number], claim)
            rows, number = rows.slice(border), number + 1
        held.tables.append(rows)
    for window in windows[number:]:
        yield held.lot(window, claim)


class _Held:
    """What has come for the lot at hand."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.rejected: list[Rejected] = []
        self.notes: list[Note] = []

    def lot(self, window: TimeRange, claim: Claim) -> Lot:
        """All of it; the next lot begins with nothing."""
        span = claim.range.intersection(window)
        made = Lot(
            window,
            pa.concat_tables([OHLCV.schema.empty_table(), *self.tables]),
            () if span is None else (Claim(span, claim.basis, claim.evidence),),
            tuple(self.rejected),
            tuple(self.notes),
        )
        self.tables, self.rejected, self.notes = [], [], []
        return made


def _looked_through(blocks: Iterator[Checked], look: Callable[[pa.Table], None]) -> Tally:
    tally = Tally()
    for part in blocks:
        tally.add(part)
        if part.rows.num_rows:
            look(part.rows)
    return tally
