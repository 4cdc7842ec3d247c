"""Rows of trades that are settled and not delivered yet, cut into pages between two times."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lake.domain.coverage import NOTHING_LATER, Basis, Claim
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Note, Page, Rejected
from lake.domain.schemas import TRADES
from lake.domain.times import SECOND_US, from_us

# A page is delivered when it has so many rows, or when so long has passed: a cancelled job
# keeps what it has, and a slow venue shows progress.
PAGE_ROWS = 32_768
PAGE_S = 3.0
# A venue that lags, or is down, shows what a venue at the end of its data shows. So close to
# its clock the absence of trades is not believed.
LAG_US = 3_600 * SECOND_US
_LATE = "its id follows those of trades more than a second younger"


@dataclass(slots=True)
class Held:
    """Rows that are settled and not delivered yet, from *start* on."""

    start_us: int
    tables: list[pa.Table] = field(default_factory=list)
    count: int = 0
    last_us: int = -1
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    is_first: bool = True

    def add(self, rows: pa.Table) -> None:
        """Take in rows; those of a page that is delivered already are set aside, not lost."""
        if not rows.num_rows:
            return
        ts = rows["ts"].cast(pa.int64()).to_numpy()
        if not self.is_first and ts.min() < self.start_us:
            late = ts < self.start_us
            self.rejected += [
                Rejected(row["ts"], _LATE, json.dumps(row, default=str))
                for row in rows.filter(pa.array(late)).to_pylist()
            ]
            rows = rows.filter(pa.array(~late))
        self.tables.append(rows)
        self.count += rows.num_rows
        self.last_us = max(self.last_us, int(ts.max()))

    def page(
        self, end_us: int, shown_us: int, believed_us: int | None = None, *, requests: int
    ) -> Page:
        """What is held up to *end_us*: shown up to *shown_us*, believed empty from there on.

        Args:
            end_us: Where the page ends; later rows stay.
            shown_us: All rows before it are known, because later ones were shown.
            believed_us: Up to where silence is believed; None: not needed.
            requests: How many it took.
        """
        start_us, end = self.start_us, min(end_us, believed_us or end_us)
        rows, rejected, notes = self._cut(end_us)
        spans = [(start_us, min(shown_us, end), ""), (max(start_us, shown_us), end, NOTHING_LATER)]
        claims = tuple(
            Claim(span, Basis.ANSWER, why)
            for first, stop, why in spans
            if (span := range_or_none(from_us(max(0, first)), from_us(max(0, stop))))
        )
        window = TimeRange(from_us(start_us), from_us(end_us))
        return Page(window, rows, claims, rejected, notes, requests)

    def _cut(self, end_us: int) -> tuple[pa.Table, tuple[Rejected, ...], tuple[Note, ...]]:
        """Take out what lies before *end_us*; rows before the start are not of this window."""
        rows = pa.concat_tables([TRADES.schema.empty_table(), *self.tables]).combine_chunks()
        ts = rows["ts"].cast(pa.int64()).to_numpy()
        if len(ts) and not (ts[1:] >= ts[:-1]).all():
            # Ids ascend; times may lag behind them by a little.
            order = np.argsort(ts, kind="stable")
            rows, ts = rows.take(pa.array(order)), ts[order]
        first, stop = (int(np.searchsorted(ts, us)) for us in (self.start_us, end_us))
        rest = rows.slice(max(first, stop))
        self.tables, self.count = [rest], rest.num_rows
        end = from_us(end_us)
        gone = [each for each in self.rejected if each.ts is None or each.ts < end]
        notes = [each for each in self.notes if each.ts < end]
        self.rejected = [each for each in self.rejected if each not in gone]
        self.notes = [each for each in self.notes if each not in notes]
        if self.is_first:
            # What lies before the window is another window's to say.
            start = from_us(self.start_us)
            gone = [each for each in gone if each.ts is None or each.ts >= start]
            notes = [each for each in notes if each.ts >= start]
        self.start_us, self.is_first = end_us, False
        return rows.slice(first, max(0, stop - first)), tuple(gone), tuple(notes)
