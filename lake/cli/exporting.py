"""Writes rows of series to files of other programs, as they stream by, all of a file or none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lake.domain.partitions import Partition
from lake.domain.times import to_us
from lake.errors import InvalidRequest, StorageError
from lake.storage.held import held_files

if TYPE_CHECKING:
    from lake.domain.identifiers import Series
    from lake.storage.lake import Storage

Tables = Iterable[pa.Table]
Write = Callable[[pa.Table], None]


@dataclass(frozen=True, slots=True)
class Target:
    """One file that is to be written: where, with which columns, and how rows get into it."""

    path: Path
    schema: pa.Schema
    tables: Tables
    open: Callable[[Path, pa.Schema], AbstractContextManager[Write]]


def rows_of_series(
    storage: Storage, series: Series, start: datetime | None, end: datetime | None
) -> Iterator[pa.Table]:
    """The stored rows of ``[start, end)``, ascending, a row group at a time, digests compared."""
    low = None if start is None else to_us(start)
    high = None if end is None else to_us(end)
    for file in held_files(storage.database, series, low, high) or ():
        for rows in storage.read_tables(Partition.from_path(file.path)):
            moments = rows["ts"].cast(pa.int64()).to_numpy()
            first = 0 if low is None else int(np.searchsorted(moments, low))
            last = rows.num_rows if high is None else int(np.searchsorted(moments, high))
            if first < last:
                yield rows.slice(first, last - first)


def named(series: Series, names: Sequence[str], tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """*tables* with the columns *names* in front, which say whose rows they are."""
    values = {
        "venue": series.venue.name,
        "instrument": series.instrument_id.symbol,
        "timeframe": series.timeframe.value if series.timeframe else None,
    }
    for table in tables:
        for place, name in enumerate(names):
            column = pa.repeat(pa.scalar(values[name], pa.string()), table.num_rows)
            table = table.add_column(place, pa.field(name, pa.string()), column)
        yield table


def publish(targets: Sequence[Target], *, force: bool) -> list[int]:
    """Write every file, then give all of them their names; the number of rows of each.

    Args:
        targets: What to write where; missing folders are made.
        force: Replace files that are there.

    Raises:
        InvalidRequest: A file is there, and *force* was not given.
        StorageError: The disk failed. Nothing is left behind.
    """
    if not force:
        _require_free([each.path for each in targets])
    made: list[Path] = []
    counts: list[int] = []
    try:
        for each in targets:
            each.path.parent.mkdir(parents=True, exist_ok=True)
            # Never into the file that is there: a link to it would change with it.
            temporary = each.path.with_name(f".{each.path.name}.{os.getpid()}.tmp")
            made.append(temporary)
            counts.append(_written(each, temporary))
        for each, temporary in zip(targets, made, strict=True):
            _give_name(temporary, each.path, force=force)
    except OSError as error:
        raise StorageError(
            f"The export cannot be written: {error.strerror or error} ({error.filename}). "
            "Free some space, or name another place."
        ) from error
    finally:
        for temporary in made:
            temporary.unlink(missing_ok=True)
    return counts


def _written(target: Target, path: Path) -> int:
    count = 0
    with target.open(path, target.schema) as write:
        for table in target.tables:
            write(table)
            count += table.num_rows
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return count


def _require_free(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise InvalidRequest(f"{path} is there already. Give --force to replace it.")


def _give_name(temporary: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            # Unlike a rename, a link never replaces what somebody made meanwhile.
            os.link(temporary, path)
        except FileExistsError:
            _require_free([path])
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
        else:
            return
    temporary.replace(path)


@contextmanager
def open_csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """CSV with a header; times are ISO text in UTC, lists are JSON."""
    text = pa.schema([pa.field(each.name, _csv_type(each.type)) for each in schema])
    options = pa_csv.WriteOptions(quoting_style="needed")
    with pa_csv.CSVWriter(path, text, write_options=options) as writer:

        def write(table: pa.Table) -> None:
            columns = [_csv_column(column) for column in table.columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=text))

        yield write


def _csv_type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) or pa.types.is_list(kind) else kind


def _csv_column(column: pa.ChunkedArray) -> Any:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, format="%Y-%m-%dT%H:%M:%S")
    if pa.types.is_list(column.type):
        joined = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
        return pc.binary_join_element_wise("[", joined, "]", "")
    return column


@contextmanager
def open_parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """One Parquet file, zstd, with the lake's own types."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda table: writer.write_table(table.cast(schema))


@contextmanager
def open_feather(path: Path, schema: pa.Schema) -> Iterator[Write]:
    """One feather file (Arrow's own format), lz4, as pandas reads it."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, schema, options=options) as writer,
    ):
        yield lambda table: writer.write_table(table)
