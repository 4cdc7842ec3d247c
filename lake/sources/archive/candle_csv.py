"""Turns a CSV of candles into checked rows, block by block; bad rows are kept as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid
from lake.sources.archive.container import Container
from lake.sources.archive.csv_blocks import CsvBlocks, CsvColumns
from lake.sources.validation import Checked, validate_candles

_Convert = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class CandleCsv:
    """One CSV of candles and how it is read.

    Attributes:
        container: The opened file. It is read to its end, so its CRC is compared.
        columns: What its fields are.
        grid: The open times that are possible.
        window: What the file promises.
        closed_before: Candles that close later are left out.
        budget: Bytes that the CSV may have.
        convert: Gives the vendor's columns our names and units.
    """

    container: Container
    columns: CsvColumns
    grid: Grid
    window: TimeRange | None
    closed_before: datetime
    budget: int
    convert: _Convert

    def read(self) -> Checked:
        """Every candle of it, checked.

        Raises:
            SourceError: The file is damaged, or its last line is cut.
        """
        try:
            parts = list(self.blocks(is_text=False))
            whole = not any(part.rejected for part in parts)
        except pa.ArrowInvalid:
            whole = False
        if not whole:
            parts = list(self.blocks(is_text=True))
        return _joined(parts, self.grid, self.closed_before)

    def blocks(self, *, is_text: bool) -> Iterator[Checked]:
        """The candles as they stand, checked block by block, in bounded memory.

        Args:
            is_text: Read slowly, so that bad lines are kept as they were written.

        Raises:
            SourceError: The file is damaged, or its last line is cut.
            pa.ArrowInvalid: Some line is no row of numbers; not where *is_text*.
        """
        for block in CsvBlocks(self.container, self.columns, self.budget).read(is_text=is_text):
            part = validate_candles(
                self.convert(block.table),
                self.grid,
                self.window,
                closed_before=self.closed_before,
                raw=block.raw,
            )
            yield replace(part, rejected=(*block.rejected, *part.rejected))


def _joined(parts: list[Checked], grid: Grid, closed_before: datetime) -> Checked:
    """The parts of one file as one answer, ascending, each open time once."""
    rejected = [each for part in parts for each in part.rejected]
    notes = tuple(note for part in parts for note in part.notes)
    tables = [part.rows for part in parts if part.rows.num_rows]
    rows = pa.concat_tables(tables) if tables else OHLCV.schema.empty_table()
    borders = [(one["ts"][-1], other["ts"][0]) for one, other in pairwise(tables)]
    conflicts = tuple(each for part in parts for each in part.conflicts)
    if any(last.value >= first.value for last, first in borders):
        again = validate_candles(rows, grid, None, closed_before=closed_before)
        rejected += again.rejected
        rows, conflicts = again.rows, (*conflicts, *again.conflicts)
    return Checked(
        rows=rows,
        rejected=tuple(rejected),
        notes=notes,
        conflicts=conflicts,
        running=sum(part.running for part in parts),
    )
