"""Reads rows of series from their files into polars, without SQL and without listing folders.

The caller knows which files there are (the catalog does). Each is opened once and everything is
read through that one descriptor, so a file that is replaced meanwhile is read as it was. Pages
are compared with their checksums: a flipped bit is an error, not a price.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.times import to_us
from lake.errors import InvalidRequest, StorageError

# Decoding is all CPU, so more threads than processors only add memory.
_THREADS = min(8, os.cpu_count() or 1)
_NAMES = ("venue", "instrument")


class FileGone(StorageError):
    """A file went away after it was listed: ask the catalog again, and read again."""


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """A series, and those of its partitions that are to be read."""

    series: Series
    partitions: tuple[Partition, ...]


def read_series(
    parquet: Path,
    wanted: Sequence[SeriesFiles],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The rows of one series, ascending, or of several of one data type, one after the other.

    Args:
        parquet: The lake's ``parquet/`` folder.
        wanted: The series with their files, as the catalog lists them. Files that lie wholly
            outside the range are not opened.
        start: First moment wanted (naive UTC); None for everything held.
        end: First moment not wanted any more.
        columns: Columns in the order wanted; None for all of the data type.

    Returns:
        The data type's own columns; where there are several series, ``venue`` and
        ``instrument`` in front. Typed also where it is empty.

    Raises:
        InvalidRequest: A column does not exist, or data types are mixed.
        FileGone: A file was removed meanwhile.
        StorageError: A file is damaged.
    """
    spec = _spec(wanted)
    names = _columns(spec, columns)
    jobs = [
        (files.series, partition)
        for files in wanted
        for partition in sorted(files.partitions, key=lambda each: each.range.start)
        if _overlaps(partition, start, end)
    ]

    def read(job: tuple[Series, Partition], *, threads: bool = False) -> pa.Table:
        return _read(parquet, job[1], spec, names, start, end, threads=threads)

    if len(jobs) == 1:
        tables = [read(jobs[0], threads=True)]
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            tables = list(pool.map(read, jobs))
    several = len(wanted) > 1
    if several:
        tables = [_named(table, series) for (series, _), table in zip(jobs, tables, strict=True)]
    if not tables:
        empty = pa.schema([spec.schema.field(name) for name in names]).empty_table()
        tables = [_named(empty, wanted[0].series) if several else empty]
    frame = pl.from_arrow(pa.concat_tables(tables), rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _spec(wanted: Sequence[SeriesFiles]) -> RowSpec:
    data_types = {files.series.data_type for files in wanted}
    if len(data_types) != 1:
        given = ", ".join(sorted(map(str, data_types))) or "none"
        raise InvalidRequest(f"A read is of one data type; given are {given}.")
    return ROW_SPECS[data_types.pop()]


def _columns(spec: RowSpec, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(spec.schema.names)
    if unknown := [name for name in columns if name not in spec.schema.names]:
        raise InvalidRequest(
            f"{spec.data_type} has no column {', '.join(unknown)}. "
            f"It has {', '.join(spec.schema.names)}."
        )
    return list(dict.fromkeys(columns))


def _overlaps(partition: Partition, start: datetime | None, end: datetime | None) -> bool:
    held = partition.range
    return (start is None or start < held.end) and (end is None or held.start < end)


def _read(
    parquet: Path,
    partition: Partition,
    spec: RowSpec,
    names: list[str],
    start: datetime | None,
    end: datetime | None,
    *,
    threads: bool,
) -> pa.Table:
    path = parquet / partition.path
    held = partition.range
    low = to_us(start) if start is not None and start > held.start else None
    high = to_us(end) if end is not None and end < held.end else None
    is_cut = low is not None or high is not None
    read = names if not is_cut or "ts" in names else [*names, "ts"]
    try:
        # One descriptor for the footer and the pages: both are of the same version.
        with path.open("rb") as descriptor:
            file = pq.ParquetFile(descriptor, page_checksum_verification=True, pre_buffer=False)
            present = [name for name in read if name in file.schema_arrow.names]
            groups = _groups(file, low, high) if is_cut else list(range(file.num_row_groups))
            table = file.read_row_groups(groups, columns=present, use_threads=threads)
    except FileNotFoundError as error:
        raise FileGone(
            f"{path} is listed and not there. It was removed meanwhile, or outside of the lake: "
            "`lake doctor` tells."
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path} cannot be read: {error}. `lake doctor --repair` moves a damaged file away; "
            "the next backfill fetches its range again."
        ) from error
    if is_cut:
        table = _between(table, low, high)
    return _conform(table, spec, names)


def _groups(file: pq.ParquetFile, low: int | None, high: int | None) -> list[int]:
    """The row groups that can hold rows of ``[low, high)``; all where statistics are absent."""
    meta = file.metadata
    place = file.schema_arrow.names.index("ts")
    chosen = []
    for number in range(meta.num_row_groups):
        statistics = meta.row_group(number).column(place).statistics
        if statistics is not None and statistics.has_min_max:
            first, last = to_us(statistics.min), to_us(statistics.max)
            if (low is not None and last < low) or (high is not None and first >= high):
                continue
        chosen.append(number)
    return chosen


def _between(table: pa.Table, low: int | None, high: int | None) -> pa.Table:
    """Rows of ``[low, high)``; a file's rows ascend by ``ts``, so this is a slice."""
    moments = table["ts"].cast(pa.int64()).to_numpy()
    first = 0 if low is None else int(np.searchsorted(moments, low))
    last = len(moments) if high is None else int(np.searchsorted(moments, high))
    return table.slice(first, max(0, last - first))


def _conform(table: pa.Table, spec: RowSpec, names: list[str]) -> pa.Table:
    """The columns wanted, in order; those that an older file lacks are null."""
    fields = [spec.schema.field(name) for name in names]
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in fields
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _named(table: pa.Table, series: Series) -> pa.Table:
    """*table* with the series' name in front, stored once for all its rows."""
    values = (series.venue.name, series.instrument_id.symbol)
    columns = [pa.repeat(pa.scalar(value, pa.string()), table.num_rows) for value in values]
    for place, (name, column) in enumerate(zip(_NAMES, columns, strict=True)):
        table = table.add_column(place, pa.field(name, pa.string(), nullable=False), column)
    return table
