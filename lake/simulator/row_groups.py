"""A series' files as their row groups: found by statistics, read one at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition
from lake.domain.times import to_us
from lake.errors import StorageError
from lake.storage.lake import Storage


@dataclass(frozen=True, slots=True)
class Group:
    """One row group, and the first and last values of the columns that it is found by.

    ``first_id`` and ``last_id`` are None where an id is null.
    """

    path: Path
    number: int
    rows: int
    first_ms: int
    last_ms: int
    first_id: int | None
    last_id: int | None

    def read(self, columns: Sequence[str]) -> pa.Table:
        with _opened(self.path) as file:
            return file.read_row_group(self.number, columns=list(columns))

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Its rows in pieces of *size*: a group of order books may be large."""
        with _opened(self.path) as file:
            yield from file.iter_batches(
                size, row_groups=[self.number], columns=list(columns), use_threads=False
            )


class Groups:
    """The row groups of a series, ascending."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.all = groups
        self._first_ms = [each.first_ms for each in groups]
        self._last_ms = [each.last_ms for each in groups]
        self._last_id = [each.last_id or 0 for each in groups]

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, index: int) -> Group:
        return self.all[index]

    @property
    def have_ids(self) -> bool:
        return all(each.first_id is not None for each in self.all)

    def ending_at_or_after(self, ms: int) -> int:
        return bisect_left(self._last_ms, ms)

    def beginning_at_or_before(self, ms: int) -> int:
        """The last such group; -1: none."""
        return bisect_right(self._first_ms, ms) - 1

    def reaching_id(self, number: int) -> int:
        return bisect_left(self._last_id, number)


def groups_of(storage: Storage, series: Series, *, id_column: str) -> Groups:
    """The row groups of what *storage* holds of *series*; reads the files' footers."""
    found: list[Group] = []
    infos = sorted(storage.catalog.partitions(series), key=lambda each: each.partition.path)
    for info in infos:
        if info.rows:
            found += _groups(storage, info.partition, id_column)
    return Groups(found)


def _groups(storage: Storage, partition: Partition, id_column: str) -> Iterator[Group]:
    path = storage.parquet / partition.path
    with _opened(path) as file:
        metadata = file.metadata
        names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        ts, key = names.index("ts"), names.index(id_column)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            times = group.column(ts).statistics
            ids = group.column(key).statistics
            known = ids is not None and ids.has_min_max and not ids.null_count
            yield Group(
                path,
                number,
                group.num_rows,
                _ms(times.min),
                _ms(times.max),
                int(ids.min) if known else None,
                int(ids.max) if known else None,
            )


def _ms(value: Any) -> int:
    return (to_us(value) if isinstance(value, datetime) else int(value)) // 1_000


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path} was taken out of the lake while it is served, or is damaged. "
            "Start the server again, or POST /_box/refresh."
        ) from error
