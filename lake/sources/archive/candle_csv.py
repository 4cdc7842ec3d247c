"""Turns a CSV of candles into checked rows: typed and streamed, row texts only where needed.

The fast pass parses straight to numbers, one block after the other. Only a file with a line
that cannot be stored is read once more as text, so that each bad line is kept as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid
from lake.domain.times import epoch_us, from_us
from lake.errors import SourceError
from lake.sources.archive.container import Container, Stream, refused
from lake.sources.validation import Checked, validate_candles

# Measured (bench_import): 1 MiB is 8 % faster than 8 MiB, because inflating and parsing overlap,
# and a month of 1s candles peaks 60 MB lower.
_BLOCK_BYTES = 1 << 20
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INTEGER = r"^[+-]?\d{1,18}$"
# Every bad line is kept, up to a number that no usable file reaches.
_MAX_BAD_LINES = 100_000

_Convert = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class CandleColumns:
    """The columns of one vendor's CSV, and the types of those that are used."""

    names: tuple[str, ...]
    types: dict[str, pa.DataType]


@dataclass(slots=True)
class _Lines:
    """Lines with too few or too many fields, as the parser meets them."""

    fields: int
    bad: list[Rejected] = field(default_factory=list)
    count: int = 0

    def handle(self, row: pa_csv.InvalidRow) -> str:
        if self.count + len(self.bad) < _MAX_BAD_LINES:
            first = row.text.split(",", 1)[0]
            moment = from_us(epoch_us(int(first))) if first.isdigit() and len(first) < 18 else None
            reason = f"has {row.actual_columns} fields instead of {self.fields}"
            self.bad.append(Rejected(moment, reason, row.text))
        return "skip"

    def taken(self) -> tuple[Rejected, ...]:
        """The bad lines met since the last time."""
        bad, self.bad = tuple(self.bad), []
        self.count += len(bad)
        return bad


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
    columns: CandleColumns
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
        names = self.columns.names
        skip = _header_lines(self.container.head())
        if not is_text:
            for table in _tables(self.container, self.columns, self.budget, None, skip):
                yield self._checked(table)
            return
        lines = _Lines(len(names))
        for table in _tables(self.container, self.columns, self.budget, lines, skip):
            data = _without_headers(table, self.columns)
            part = self._checked(_numbers(data, self.columns), partial(_line, data))
            yield replace(part, rejected=(*lines.taken(), *part.rejected))
        if last := lines.taken():
            yield Checked(OHLCV.schema.empty_table(), rejected=last)

    def _checked(self, table: pa.Table, raw: Callable[[int], str] | None = None) -> Checked:
        return validate_candles(
            self.convert(table), self.grid, self.window, closed_before=self.closed_before, raw=raw
        )


def _header_lines(head: bytes) -> int:
    start = head.lstrip(b"\xef\xbb\xbf")[:1]
    # Only a name is a header: a number written otherwise ("1..., +1...) is a row to be read.
    return 1 if start.isalpha() else 0


def _tables(
    container: Container,
    columns: CandleColumns,
    budget: int,
    lines: _Lines | None,
    skip: int,
) -> Iterator[pa.Table]:
    """The CSV block by block: as numbers, or (with *lines*, for odd ones) as text.

    Raises:
        pa.ArrowInvalid: Some line is not what numbers are read from. Text has none such.
    """
    types = columns.types if lines is None else dict.fromkeys(columns.names, pa.string())
    # The parser would drop what it cannot decode without a word that we hear.
    with container.stream(budget, is_text=lines is not None) as stream:
        try:
            reader = pa_csv.open_csv(
                stream,
                pa_csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    skip_rows=skip,
                    column_names=list(columns.names),
                ),
                pa_csv.ParseOptions(invalid_row_handler=lines and lines.handle),
                pa_csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types),
                    # An empty field or a word is a bad row, not a null to be guessed at.
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
            with reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
            stream.finish()
        except SourceError:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            # The parser may have wrapped what the stream raised.
            if stream.error is not None:
                raise stream.error from error
            if isinstance(error, pa.ArrowInvalid) and lines is None:
                raise
            raise refused(container.path, f"cannot be read ({error})") from error
        _require_whole_last_line(container, stream, len(columns.names))


def _require_whole_last_line(container: Container, stream: Stream, fields: int) -> None:
    if stream.tail.endswith(b"\n"):
        return
    last = stream.tail.rsplit(b"\n", 1)[-1]
    if last.count(b",") != fields - 1 or last.endswith(b","):
        raise refused(container.path, "is cut short in the middle of its last line")


def _without_headers(table: pa.Table, columns: CandleColumns) -> pa.Table:
    """*table* without header lines that stand between rows: files joined by hand have them."""
    name = columns.names[0]
    header = pc.match_substring_regex(table[name], r"^[A-Za-z_ ]+$")
    return table.filter(pc.invert(header))


def _numbers(table: pa.Table, columns: CandleColumns) -> pa.Table:
    """The used columns as numbers; what is none becomes null, for the checks to find."""
    arrays = []
    for name, kind in columns.types.items():
        pattern = _INTEGER if pa.types.is_integer(kind) else _NUMBER
        texts = pc.utf8_trim_whitespace(table[name])
        fine = pc.match_substring_regex(texts, pattern)
        arrays.append(pc.cast(pc.if_else(fine, texts, pa.scalar(None, pa.string())), kind))
    return pa.Table.from_arrays(arrays, names=list(columns.types))


def _line(table: pa.Table, row: int) -> str:
    return ",".join(column[row].as_py() for column in table.columns)


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
