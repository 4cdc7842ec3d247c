"""Reads a CSV in a container as typed tables, block by block; what a row means, others know.

The fast pass parses straight to numbers. Only a file with a line that cannot be read so is read
once more as text, so that each bad line is kept as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lake.domain.rows import Rejected
from lake.domain.times import epoch_us, from_us
from lake.errors import SourceError
from lake.sources.archive.container import Container, Stream, damaged, refused

# Measured (bench_import): 1 MiB is 8 % faster than 8 MiB, because inflating and parsing overlap,
# and a month of 1s candles peaks 60 MB lower.
_BLOCK_BYTES = 1 << 20
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INTEGER = r"^[+-]?\d{1,18}$"
_COUNTED = re.compile(r"[0-9]{1,17}")
# No row of market data is as long.
_MAX_LINE_BYTES = 16 << 20
# These stand for a number that is none: in a bad row, and in no header.
_NO_NUMBERS = "nan|inf|infinity|null|none|na"
_NO_NUMBER = re.compile(_NO_NUMBERS.encode(), re.IGNORECASE)
# Every bad line is kept, up to a number that no usable file reaches.
_MAX_BAD_LINES = 100_000


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """The columns of one vendor's CSV, and the types of those that are used.

    Attributes:
        names: All of them, in the file's order.
        types: Of the used ones: integers, doubles, booleans or text.
        optional: Those whose field may be empty, which is null.
        header: Whether the first line names them; None: seen by whether it begins with a letter.
        time: Which of them counts time from 1970; empty where none does.
    """

    names: tuple[str, ...]
    types: dict[str, pa.DataType]
    optional: frozenset[str] = frozenset()
    delimiter: str = ","
    header: bool | None = None
    time: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows as they follow one another in the file.

    Attributes:
        table: The used columns. Where *raw* is there, what cannot be read is null.
        raw: The text of a row by its number; None where every row could be read.
        rejected: Lines with too few or too many fields.
    """

    table: pa.Table
    raw: Callable[[int], str] | None = None
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class CsvBlocks:
    """One CSV and how it is read.

    Attributes:
        container: The opened file. It is read to its end, so its CRC is compared.
        columns: What its fields are.
        budget: Bytes that the CSV may have.
    """

    container: Container
    columns: CsvColumns
    budget: int

    def read(self, *, is_text: bool) -> Iterator[Block]:
        """Its rows as they stand, in bounded memory.

        Args:
            is_text: Read slowly, so that bad lines are kept as they were written.

        Raises:
            SourceError: The file is damaged, or its last line is cut.
            pa.ArrowInvalid: Some line is no row of the types told; not where *is_text*.
        """
        columns = self.columns
        skip = _header_lines(self.container.head(), columns)
        if not is_text:
            for table in _tables(self.container, columns, self.budget, None, skip):
                yield Block(table)
            return
        lines = _Lines(columns)
        for table in _tables(self.container, columns, self.budget, lines, skip):
            data = _without_headers(table, columns)
            yield Block(_typed(data, columns), partial(_line, data, columns), lines.taken())
        if last := lines.taken():
            empty = pa.schema(list(columns.types.items())).empty_table()
            yield Block(empty, None, last)


@dataclass(slots=True)
class _Lines:
    """Lines with too few or too many fields, as the parser meets them."""

    columns: CsvColumns
    bad: list[Rejected] = field(default_factory=list)
    count: int = 0

    def handle(self, row: pa_csv.InvalidRow) -> str:
        if self.count + len(self.bad) < _MAX_BAD_LINES:
            reason = f"has {row.actual_columns} fields instead of {len(self.columns.names)}"
            self.bad.append(Rejected(self._moment(row.text), reason, row.text))
        return "skip"

    def _moment(self, line: str) -> datetime | None:
        """When *line* was; of its fields only the first is sure to be what its column says."""
        if self.columns.names[0] != self.columns.time:
            return None
        first = line.split(self.columns.delimiter, 1)[0]
        return from_us(epoch_us(int(first))) if _COUNTED.fullmatch(first) else None

    def taken(self) -> tuple[Rejected, ...]:
        """The bad lines met since the last time."""
        bad, self.bad = tuple(self.bad), []
        self.count += len(bad)
        return bad


def has_header(head: bytes) -> bool:
    """Whether the first line names columns: a number written otherwise (+1, .5) is a row."""
    first = head.lstrip(b"\xef\xbb\xbf").lstrip(b'"').split(b"\n", 1)[0]
    word = re.split(rb"[^A-Za-z]", first, maxsplit=1)[0]
    return bool(word) and not _NO_NUMBER.fullmatch(word)


def _header_lines(head: bytes, columns: CsvColumns) -> int:
    return int(has_header(head) if columns.header is None else columns.header)


def _tables(
    container: Container,
    columns: CsvColumns,
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
            for number, block in enumerate(_ahead(_whole_lines(stream, container))):
                table = pa_csv.read_csv(
                    pa.BufferReader(block),
                    pa_csv.ReadOptions(
                        use_threads=False,
                        block_size=block.size + 1,
                        skip_rows=0 if number else skip,
                        column_names=list(columns.names),
                    ),
                    pa_csv.ParseOptions(
                        delimiter=columns.delimiter, invalid_row_handler=lines and lines.handle
                    ),
                    pa_csv.ConvertOptions(
                        column_types=types,
                        include_columns=list(types),
                        # An empty field or a word is a bad row, not a null to be guessed at.
                        null_values=[""] if columns.optional and lines is None else [],
                        strings_can_be_null=bool(columns.optional) and lines is None,
                    ),
                )
                if lines is None:
                    _require_fields(table, columns)
                yield table
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
        _require_whole_last_line(container, stream, columns)


def _whole_lines(stream: Stream, container: Container) -> Iterator[pa.Buffer]:
    """The text of *stream* in blocks that end with a line, in memory of Arrow's own.

    Arrow's threads would read a file of Python's, and may let go of its last piece while Python
    ends: that ends the whole process, after everything was done.
    """
    rest = b""
    while data := stream.read(_BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            if len(rest) > _MAX_LINE_BYTES:
                raise refused(container.path, "has a line without an end: it is no CSV")
            continue
        if block := _buffer(rest, data[:end]):
            yield block
        rest = data[end:]
    if block := _buffer(rest, b""):
        yield block


def _buffer(*parts: bytes) -> pa.Buffer | None:
    """*parts* joined; None where there is nothing but blanks, which is no CSV to the parser."""
    if not any(part and not part.isspace() for part in parts):
        return None
    block = pa.allocate_buffer(sum(map(len, parts)))
    into, at = memoryview(block).cast("B"), 0
    for part in parts:
        into[at : at + len(part)] = part
        at += len(part)
    return block


def _ahead(blocks: Iterator[pa.Buffer]) -> Iterator[pa.Buffer]:
    """*blocks*, the next one unpacked while the last one is parsed."""
    with ThreadPoolExecutor(1, thread_name_prefix="lake-unpack") as pool:
        following = pool.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = pool.submit(next, blocks, None)
            yield block


def _require_fields(table: pa.Table, columns: CsvColumns) -> None:
    """
    Raises:
        pa.ArrowInvalid: A field is empty that may not be.
    """
    if not columns.optional:
        return
    for name in columns.types:
        if name not in columns.optional and table[name].null_count:
            raise pa.ArrowInvalid(f"{name} is empty")


def _require_whole_last_line(container: Container, stream: Stream, columns: CsvColumns) -> None:
    if stream.tail.endswith(b"\n"):
        return
    fields, comma = len(columns.names), columns.delimiter.encode()
    last = stream.tail.rsplit(b"\n", 1)[-1]
    ends_empty = last.endswith(comma) and columns.names[-1] not in columns.optional
    if last.count(comma) != fields - 1 or ends_empty:
        raise damaged(container.path, "is cut short in the middle of its last line")


def _without_headers(table: pa.Table, columns: CsvColumns) -> pa.Table:
    """*table* without header lines that stand between rows: files joined by hand have them."""
    is_header = pc.equal(table[columns.names[0]], columns.names[0])
    name = next((name for name in columns.types if _is_number(columns.types[name])), None)
    if name is not None:
        words = pc.match_substring_regex(table[name], r"^[A-Za-z_ ]+$")
        none = pc.match_substring_regex(table[name], rf"(?i)^({_NO_NUMBERS})$")
        is_header = pc.or_(is_header, pc.and_not(words, none))
    return table.filter(pc.invert(is_header))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _typed(table: pa.Table, columns: CsvColumns) -> pa.Table:
    """The used columns in their types; what cannot be read becomes null, for checks to find."""
    arrays = []
    for name, kind in columns.types.items():
        texts = pc.utf8_trim_whitespace(table[name])
        if pa.types.is_boolean(kind):
            lower = pc.utf8_lower(texts)
            known = pc.is_in(lower, pa.array(["true", "false", "0", "1"]))
            truth = pc.is_in(lower, pa.array(["true", "1"]))
            arrays.append(pc.if_else(known, truth, pa.scalar(None, pa.bool_())))
        elif _is_number(kind):
            pattern = _INTEGER if pa.types.is_integer(kind) else _NUMBER
            fine = pc.match_substring_regex(texts, pattern)
            arrays.append(pc.cast(pc.if_else(fine, texts, pa.scalar(None, pa.string())), kind))
        else:
            arrays.append(pc.cast(texts, kind))
    return pa.Table.from_arrays(arrays, names=list(columns.types))


def _line(table: pa.Table, columns: CsvColumns, row: int) -> str:
    return columns.delimiter.join(column[row].as_py() for column in table.columns)
