"""Reads rows of series from their files into polars, without SQL and without listing folders.

The caller knows which files there are (the catalog does). Each is opened once and everything is
read through that one descriptor, so a file that is replaced meanwhile is read as it was. What is
read was compared with its digest: a flipped bit is an error, not a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.held import HeldFile, SeriesFiles
from lake.domain.identifiers import DataType, Series
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest
from lake.warehouse.contents import Content, Contents, FileGone, damaged, in_batches

__all__ = ["FileGone", "Rows", "SeriesFiles", "polars_schema", "read_rows", "read_series"]

NAMES = ("venue", "instrument")
# Files given to polars at once, which decodes them in parallel. A process may have 1,024 open,
# and only large ones stay open: 128 of a batch, however many reads go on in threads beside it.
_BATCH_FILES = 256
_BATCH_BYTES = 64 << 20
# Up to here pyarrow, which plans nothing, gives one file's rows before polars does.
_SMALL_BYTES = 128 << 10
# A file of more rows is not decoded as a whole for a part of its range.
_MANY_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of several series, one after the other, and how many are of each."""

    frame: pl.DataFrame
    counts: Sequence[int]


@cache
def polars_schema(data_type: DataType) -> pl.Schema:
    """The columns of a data type as polars has them."""
    frame = pl.from_arrow(ROW_SPECS[data_type].schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.schema


def read_series(
    parquet: Path,
    wanted: Sequence[SeriesFiles],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
    named: bool = False,
) -> pl.DataFrame:
    """The rows of one series, ascending, or of several of one data type, one after the other.

    Args:
        parquet: The lake's ``parquet/`` folder.
        wanted: The series with their files, as the catalog lists them. Files that lie wholly
            outside the range are not opened.
        start: First moment wanted (naive UTC); None for everything held.
        end: First moment not wanted any more.
        columns: Columns in the order wanted; None for all of the data type.
        named: Put ``venue`` and ``instrument`` in front.

    Returns:
        The data type's own columns, after those two. Typed also where it is empty.

    Raises:
        InvalidRequest: A column does not exist, or data types are mixed.
        FileGone: A file was removed meanwhile.
        StorageError: A file is damaged.
    """
    spec = spec_of(wanted)
    names = require_columns(spec, columns)
    rows = read_rows(parquet, spec, wanted, names, start=start, end=end)
    if not named:
        return rows.frame
    return with_names(rows, [each.series for each in wanted])


def read_rows(
    parquet: Path,
    spec: RowSpec,
    wanted: Sequence[SeriesFiles],
    names: list[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Rows:
    """As :func:`read_series`, with the number of rows of each of *wanted*."""
    low = None if start is None else to_us(start)
    high = None if end is None else to_us(end)
    files = [file for each in wanted for file in each.files]
    inside = [file for file in files if _overlaps(file, low, high)]
    read = names if "ts" in names else [*names, "ts"]
    frames: list[pl.DataFrame] = []
    counted: dict[str, int] = {}
    for batch in in_batches(inside, most_files=_BATCH_FILES, most_bytes=_BATCH_BYTES):
        with Contents(parquet, batch) as contents:
            for frame, count in _decoded(parquet, contents.all, spec, read, low, high):
                frames.append(frame)
                counted |= count
    schema = {name: polars_schema(spec.data_type)[name] for name in names}
    if not frames:
        frame = pl.DataFrame(schema=schema)
    else:
        frame = frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=False)
        frame = frame if frame.columns == names else frame.select(names)
    return Rows(frame, [sum(counted.get(file.path, 0) for file in each.files) for each in wanted])


def with_names(rows: Rows, series: Sequence[Series]) -> pl.DataFrame:
    """The rows with ``venue`` and ``instrument`` in front; *series* are those read."""
    which = np.repeat(np.arange(len(series), dtype=np.uint32), rows.counts)
    columns = [
        pl.Series(name, values, pl.String).gather(which)
        for name, values in (
            ("venue", [each.venue.name for each in series]),
            ("instrument", [each.instrument_id.symbol for each in series]),
        )
    ]
    return rows.frame.select(*columns, pl.all())


def spec_of(wanted: Sequence[SeriesFiles]) -> RowSpec:
    """The one data type that is asked for.

    Raises:
        InvalidRequest: There is none, or several.
    """
    data_types = {files.series.data_type for files in wanted}
    if len(data_types) != 1:
        given = ", ".join(sorted(map(str, data_types))) or "none"
        raise InvalidRequest(f"A read is of one data type; given are {given}.")
    return ROW_SPECS[data_types.pop()]


def require_columns(spec: RowSpec, columns: Sequence[str] | None) -> list[str]:
    """The columns to read, each once.

    Raises:
        InvalidRequest: The data type has no such column, or none was named.
    """
    if columns is None:
        return list(spec.schema.names)
    chosen = [columns] if isinstance(columns, str) else list(dict.fromkeys(columns))
    unknown = [str(name) for name in chosen if name not in spec.schema.names]
    if unknown or not chosen:
        wrong = f"no column {', '.join(unknown)}" if unknown else "columns, and none was asked for"
        raise InvalidRequest(
            f"{spec.data_type} has {wrong}. It has {', '.join(spec.schema.names)}."
        )
    return chosen


def _overlaps(file: HeldFile, low: int | None, high: int | None) -> bool:
    return (low is None or low < file.end_us) and (high is None or file.start_us < high)


def _is_cut(file: HeldFile, low: int | None, high: int | None) -> bool:
    return (low is not None and low > file.start_us) or (high is not None and high < file.end_us)


def _decoded(
    parquet: Path,
    contents: Sequence[Content],
    spec: RowSpec,
    names: list[str],
    low: int | None,
    high: int | None,
) -> Iterator[tuple[pl.DataFrame, dict[str, int]]]:
    """Frames in the order of the files, each with the number of rows from each of its files."""

    def way(content: Content) -> str:
        file = content.file
        if content.newer is not None:
            return "newer"
        if _is_cut(file, low, high) and file.rows > _MANY_ROWS:
            return "filtered"
        if len(contents) == 1 and file.bytes < _SMALL_BYTES:
            return "small"
        # Polars takes a list of bytes or a list of files, not both.
        return "bytes" if isinstance(content.source, bytes) else "files"

    for how, group in groupby(contents, way):
        together = list(group)
        if how in ("bytes", "files"):
            frame = _scanned(parquet, together, spec, names)
            yield _trimmed(frame, [each.file for each in together], low, high)
            continue
        for each in together:
            if each.newer is not None:
                frame = _of_table(each.newer, spec, names)
            elif how == "small":
                frame = _by_arrow(parquet, each, spec, names)
            else:
                frame = _scanned(parquet, [each], spec, names, low, high)
            frame = _between(frame, low, high)
            yield frame, {each.file.path: frame.height}


def _scanned(
    parquet: Path,
    contents: Sequence[Content],
    spec: RowSpec,
    names: list[str],
    low: int | None = None,
    high: int | None = None,
) -> pl.DataFrame:
    """All rows of the files, decoded by polars; with bounds, those of them inside."""
    old = any(each.file.schema_version != spec.version for each in contents)
    path = parquet / contents[0].file.path
    lazy = pl.scan_parquet(
        [each.source for each in contents],  # type: ignore[arg-type]
        schema=polars_schema(spec.data_type) if old else None,
        missing_columns="insert" if old else "raise",
        extra_columns="ignore",
        glob=False,
    )
    if low is not None:
        lazy = lazy.filter(pl.col("ts") >= from_us(low))
    if high is not None:
        lazy = lazy.filter(pl.col("ts") < from_us(high))
    try:
        frame = lazy.select(names).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise damaged(path, error) from error
    expected = sum(each.file.rows for each in contents)
    if low is None and high is None and frame.height != expected:
        raise damaged(path, f"{frame.height} rows where {expected} were written")
    return frame


def _by_arrow(parquet: Path, content: Content, spec: RowSpec, names: list[str]) -> pl.DataFrame:
    try:
        assert isinstance(content.source, bytes)
        reader = pq.ParquetFile(pa.BufferReader(content.source), pre_buffer=False)
        present = [name for name in names if name in reader.schema_arrow.names]
        table = reader.read(columns=present, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise damaged(parquet / content.file.path, error) from error
    return _of_table(table, spec, names)


def _of_table(table: pa.Table, spec: RowSpec, names: list[str]) -> pl.DataFrame:
    """The columns wanted, in order; those that an older file lacks are null."""
    fields = [spec.schema.field(name) for name in names]
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in fields
    ]
    frame = pl.from_arrow(pa.Table.from_arrays(columns, names=names), rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _trimmed(
    frame: pl.DataFrame, files: Sequence[HeldFile], low: int | None, high: int | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """*frame* without what lies outside of the bounds, and the rows that each file has left."""
    counts: dict[str, int] = {}
    kept: list[tuple[int, int]] = []
    offset = 0
    for file in files:
        first, last = offset, offset + file.rows
        if _is_cut(file, low, high):
            inside = _span(frame["ts"].slice(offset, file.rows), low, high)
            first, last = offset + inside[0], offset + inside[1]
        counts[file.path] = last - first
        if kept and kept[-1][1] == first:
            kept[-1] = (kept[-1][0], last)
        elif last > first:
            kept.append((first, last))
        offset += file.rows
    if kept == [(0, frame.height)]:
        return frame, counts
    slices = [frame.slice(first, last - first) for first, last in kept]
    return (pl.concat(slices, rechunk=False) if slices else frame.clear()), counts


def _between(frame: pl.DataFrame, low: int | None, high: int | None) -> pl.DataFrame:
    first, last = _span(frame["ts"], low, high)
    return frame.slice(first, last - first)


def _span(ts: pl.Series, low: int | None, high: int | None) -> tuple[int, int]:
    """Which rows lie in ``[low, high)``; a file's rows ascend by ``ts``, so it is one slice."""
    moments = ts.to_physical()
    first = 0 if low is None else int(moments.search_sorted(low))
    last = len(ts) if high is None else int(moments.search_sorted(high))
    return first, max(first, last)
