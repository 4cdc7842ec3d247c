"""Opens CSV, JSON, Parquet and Feather alike: named columns, block by block, as they stand.

What a column means, a mapping says. CSV and Parquet of any length are read in bounded memory;
JSON has to be read whole, so its size is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.rows import Rejected
from lake.errors import SourceError
from lake.sources.archive.arrow_sizes import require_sizes
from lake.sources.archive.container import (
    MAX_RATIO,
    RATIO_FREE_BYTES,
    Container,
    damaged,
    open_container,
    peek,
    refused,
)
from lake.sources.archive.csv_blocks import CsvBlocks, CsvColumns
from lake.sources.archive.mapping import Mapping

# Rows of a block: some 20 MB of text.
_BLOCK_ROWS = 100_000
# A day of the busiest market is 1.5 GB as CSV, a month ten times that.
_MOST_CSV_BYTES = 64 << 30
# Its rows are Python objects for a moment: about ten times as much memory.
_MOST_JSON_BYTES = 48 << 20
_MOST_COLUMNS = 500
_PEEK_ROWS = 1_000
_HTML = b"<"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class RawBlock:
    """Some rows as they follow one another in the file.

    Attributes:
        table: All columns by name; text, or what the file has typed.
        raw: The text of a row by its number.
        rejected: Lines that are no rows.
    """

    table: pa.Table
    raw: Callable[[int], str]
    rejected: tuple[Rejected, ...] = ()


def kind_of(path: Path) -> str:
    """``csv``, ``json``, ``parquet`` or ``feather``, by how the file begins.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}.", retryable=False) from error
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "feather"
    if head.startswith(b"FEA1"):
        raise refused(path, "is a Feather file of version 1, which is not read: write it again")
    if path.name.lower().endswith((".parquet", ".feather")):
        raise refused(path, "is not what its name says: it does not begin like such a file")
    with peek(path, unlike=_HTML) as container:
        start = container.head().removeprefix(_BOM).lstrip()[:1]
    return "json" if start and start in b"[{" else "csv"


def names_of(path: Path, kind: str, mapping: Mapping) -> tuple[str, ...]:
    """What the columns of the file at *path* are called, numbers from 1 where it does not say.

    Raises:
        SourceError: It is damaged, or has no rows.
    """
    if kind == "csv":
        with peek(path, unlike=_HTML) as container:
            return _csv_columns(path, container.head(), mapping).names
    if kind == "json":
        return _json_names(path, _json_rows(path, mapping), mapping)
    with _arrow(path, kind) as (schema, _):
        names = tuple(schema.names)
    _require_names(path, names)
    return names


@contextmanager
def opened(path: Path, kind: str, mapping: Mapping) -> Iterator[tuple[Iterator[RawBlock], str]]:
    """The blocks of the file at *path*, and what proves it intact once they were all read.

    Raises:
        SourceError: It is damaged or dangerous, also while the blocks are read.
    """
    if kind == "csv":
        with open_container(path, unlike=_HTML) as container:
            columns = _csv_columns(path, container.head(), mapping)
            blocks = CsvBlocks(container, columns, _MOST_CSV_BYTES).read(is_text=True)
            yield (
                (RawBlock(each.table, each.raw or _nothing, each.rejected) for each in blocks),
                container.evidence,
            )
    elif kind == "json":
        rows = _json_rows(path, mapping)
        yield _json_blocks(rows, _json_names(path, rows, mapping)), ""
    else:
        with _arrow(path, kind) as (_, batches):
            yield _arrow_blocks(path, batches), ""


def first_rows(path: Path, kind: str, mapping: Mapping) -> pa.Table:
    """The first rows of the file at *path*, for a look.

    Raises:
        SourceError: It is damaged, or has none.
    """
    with opened(path, kind, mapping) as (blocks, _):
        tables = (block.table for block in blocks)
        found = next((table for table in tables if table.num_rows), None)
    if found is None:
        raise refused(path, "holds no rows")
    return found.slice(0, _PEEK_ROWS)


def read_json(path: Path) -> Any:
    """Whatever JSON the file at *path* holds.

    Raises:
        SourceError: It is damaged, too large, or no JSON.
    """
    try:
        return msgspec.json.decode(_all_of(path))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(path, f"is no whole JSON ({error})") from error


def _nothing(row: int) -> str:
    return ""


def _csv_columns(path: Path, head: bytes, mapping: Mapping) -> CsvColumns:
    first = head.removeprefix(_BOM).split(b"\n", 1)[0].strip(b"\r").decode("utf-8", "replace")
    cells = [each.strip().strip('"') for each in first.split(mapping.delimiter)]
    header = mapping.header
    if header is None:
        header = not any(_is_number(each) for each in cells)
    numbers = tuple(str(number) for number in range(1, len(cells) + 1))
    names = mapping.names or (tuple(cells) if header else numbers)
    _require_names(path, names)
    if not header and len(names) != len(cells):
        raise refused(path, f"has lines of {len(cells)} fields where {len(names)} are expected")
    types = dict.fromkeys(names, pa.string())
    # Times of a written form, or of the day in the file's name, do not count from 1970.
    is_counted = mapping.time_format is None and mapping.since_us is None
    time = mapping.columns.get("ts", "") if is_counted else ""
    return CsvColumns(names, types, delimiter=mapping.delimiter, header=header, time=time)


def _require_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > _MOST_COLUMNS or len(set(names)) != len(names):
        raise refused(path, "has columns of the same name, or far too many of them")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() not in ("nan", "inf", "infinity")


def _json_rows(path: Path, mapping: Mapping) -> list[Any]:
    """The rows of a JSON list, or of lines of JSON.

    Raises:
        SourceError: It is none.
    """
    data = _all_of(path)
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as whole:
        try:
            found = msgspec.json.Decoder().decode_lines(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise damaged(path, f"is no whole JSON ({whole})") from whole
    for key in mapping.rows_at:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list):
        raise refused(path, "is a JSON message, not a list of rows")
    if not found:
        raise refused(path, "holds no rows")
    return found


def _all_of(path: Path) -> bytes:
    def read(container: Container) -> Iterator[bytes]:
        with container.stream(_MOST_JSON_BYTES) as stream:
            while part := stream.read():
                yield part
            stream.finish()

    with open_container(path, unlike=_HTML) as container:
        return b"".join(read(container))


def _json_names(path: Path, rows: Sequence[Any], mapping: Mapping) -> tuple[str, ...]:
    if all(isinstance(row, dict) for row in rows):
        names = tuple(dict.fromkeys(name for row in rows for name in row))
        _require_names(path, names)
        return names
    fields = len(rows[0]) if isinstance(rows[0], list) else 0
    if not fields or (mapping.names and len(mapping.names) != fields):
        raise refused(path, "is no list of rows that are all objects, or all lists of one length")
    return mapping.names or tuple(str(number) for number in range(1, fields + 1))


def _json_blocks(rows: Sequence[Any], names: tuple[str, ...]) -> Iterator[RawBlock]:
    for start in range(0, len(rows), _BLOCK_ROWS):
        good, rejected = [], []
        for row in rows[start : start + _BLOCK_ROWS]:
            if isinstance(row, dict):
                good.append([row.get(name) for name in names])
            elif isinstance(row, list) and len(row) == len(names):
                good.append(row)
            else:
                reason = f"is no row of {len(names)} fields"
                rejected.append(Rejected(None, reason, _json_text(row)))
        columns = [
            pa.array([_word(row[at]) for row in good], pa.string()) for at in range(len(names))
        ]
        table = pa.Table.from_arrays(columns, names=list(names))
        yield RawBlock(table, _raw_of(good), tuple(rejected))


def _raw_of(rows: Sequence[Any]) -> Callable[[int], str]:
    return lambda row: _json_text(rows[row])


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _word(value: Any) -> str | None:
    """A value as text: numbers as short as they read back the same."""
    if value is None or isinstance(value, str):
        return value
    return _json_text(value)


@contextmanager
def _arrow(path: Path, kind: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    try:
        with pa.OSFile(str(path)) as source:
            if kind == "parquet":
                file = pq.ParquetFile(source)
                _require_size(path, _unpacked_bytes(file))
                yield file.schema_arrow, file.iter_batches(_BLOCK_ROWS)
            else:
                require_sizes(path)
                reader = pa.ipc.open_file(source)
                count = reader.num_record_batches
                yield reader.schema, (reader.get_batch(number) for number in range(count))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, f"is cut short or damaged ({error})") from error


def _unpacked_bytes(file: pq.ParquetFile) -> int:
    metadata = file.metadata
    return sum(
        metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)
    )


def _require_size(path: Path, size: int) -> None:
    """
    Raises:
        SourceError: It is more than a file of market data unpacks to.
    """
    if size > RATIO_FREE_BYTES and size > path.stat().st_size * MAX_RATIO:
        raise refused(path, f"unpacks to more than {MAX_RATIO} times its size: a zip bomb")


def _arrow_blocks(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[RawBlock]:
    size = 0
    for batch in batches:
        size += batch.nbytes
        _require_size(path, size)
        table = pa.Table.from_batches([batch])
        for start in range(0, table.num_rows, _BLOCK_ROWS):
            part = table.slice(start, _BLOCK_ROWS)
            yield RawBlock(part, _row_text(part))


def _row_text(table: pa.Table) -> Callable[[int], str]:
    return lambda row: str(table.slice(row, 1).to_pylist()[0])
