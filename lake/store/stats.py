"""How much there is: rows, files and bytes, in SQLite and in Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Series
from lake.domain.times import from_us
from lake.storage.held import Holding, holdings
from lake.storage.tail import newest_rows

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# Rows written as CSV to learn what a row takes, of so many of a type's largest series.
_SAMPLE_ROWS, _SAMPLE_SERIES = 5_000, 3


@dataclass(frozen=True, slots=True)
class StorageStats:
    """What the SQLite files hold.

    Attributes:
        series: Series held, by data type.
        hot_rows: Rows in ``hot.sqlite``, by data type.
        jobs: Jobs, by state.
        catalog_bytes: Of ``catalog.sqlite`` with its log; ``hot_bytes`` likewise.
    """

    series: Mapping[str, int]
    hot_rows: Mapping[str, int]
    jobs: Mapping[str, int]
    catalog_bytes: int
    hot_bytes: int


@dataclass(frozen=True, slots=True)
class ParquetStats:
    """What the files of one data type hold, or of all.

    Attributes:
        csv_bytes: What the same rows would take as CSV, from a sample of them.
        reduction: The share of that which Parquet saves, 0 to 1; None where nothing is held.
    """

    series: int
    files: int
    rows: int
    bytes: int
    bytes_per_row: float | None
    csv_bytes: int
    reduction: float | None
    first_ts: datetime | None
    last_ts: datetime | None


@dataclass(frozen=True, slots=True)
class ParquetStorageStats:
    """What all files hold, and those of each data type that is held."""

    total: ParquetStats
    by_data_type: Mapping[str, ParquetStats]


def sqlite_stats(storage: Storage) -> StorageStats:
    """What the SQLite files hold."""
    held = [each.series.data_type.value for each in holdings(storage.database)]
    jobs = storage.database.read("select status, count(*) from ingestion_jobs group by status")
    return StorageStats(
        series={name: held.count(name) for name in sorted(set(held))},
        hot_rows=storage.hot.counts(),
        jobs=dict(jobs),
        catalog_bytes=_size(storage.database.path),
        hot_bytes=_size(storage.hot.path),
    )


def parquet_stats(storage: Storage) -> ParquetStorageStats:
    """What the Parquet files hold, by the catalog; samples of them are read.

    Raises:
        StorageError: A file of the sample is damaged.
    """
    held = holdings(storage.database)
    by_type: dict[str, ParquetStats] = {}
    for data_type in DataType:
        chosen = [each for each in held if each.series.data_type is data_type and each.files]
        if chosen:
            rows = sum(each.rows for each in chosen)
            csv = round(rows * _csv_bytes_per_row(storage, chosen))
            by_type[data_type.value] = _stats(chosen, csv)
    everything = [each for each in held if each.files]
    csv = sum(each.csv_bytes for each in by_type.values())
    return ParquetStorageStats(_stats(everything, csv), by_type)


def _stats(held: Sequence[Holding], csv_bytes: int) -> ParquetStats:
    rows, size = sum(each.rows for each in held), sum(each.bytes for each in held)
    lows = [each.first_us for each in held if each.first_us is not None]
    highs = [each.last_us for each in held if each.last_us is not None]
    return ParquetStats(
        series=len(held),
        files=sum(each.files for each in held),
        rows=rows,
        bytes=size,
        bytes_per_row=size / rows if rows else None,
        csv_bytes=csv_bytes,
        reduction=1 - size / csv_bytes if csv_bytes else None,
        first_ts=from_us(min(lows)) if lows else None,
        last_ts=from_us(max(highs)) if highs else None,
    )


def _csv_bytes_per_row(storage: Storage, held: Sequence[Holding]) -> float:
    largest = sorted(held, key=lambda each: -each.rows)[:_SAMPLE_SERIES]
    rows = size = 0
    for each in largest:
        count, length = _csv_sample(storage, each.series)
        rows += count
        size += length
    return size / rows if rows else 0.0


def _csv_sample(storage: Storage, series: Series) -> tuple[int, int]:
    """Rows of a sample, and what they take as CSV without the header."""
    import polars as pl

    tail = newest_rows(storage, series, _SAMPLE_ROWS)
    if tail is None or not tail.rows.num_rows:
        return 0, 0
    frame = pl.from_arrow(tail.rows)
    assert isinstance(frame, pl.DataFrame)
    # CSV has no lists: they are text, as everybody writes them.
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    flat = frame.with_columns(
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(",")).alias(name)
        for name in lists
    )
    return frame.height, len(flat.write_csv(include_header=False).encode())


def _size(path: Path) -> int:
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(each.stat().st_size for each in files if each.exists())
