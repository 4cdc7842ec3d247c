"""What `lake status --disk` shows: what each series takes, and what lies beside the rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lake.cli.output import Row
from lake.domain.times import from_us

if TYPE_CHECKING:
    from lake.domain.identifiers import Series
    from lake.storage.lake import Storage


def series_rows(storage: Storage, chosen: Sequence[Series]) -> list[Row]:
    """One row for each of *chosen*: rows, files, bytes, and what CSV of the same would take.

    What a row takes in CSV is measured on the newest rows of the largest series of its type.
    """
    from lake.storage.held import holdings
    from lake.store.stats import parquet_stats

    csv = {
        name: each.csv_bytes / each.rows
        for name, each in parquet_stats(storage).by_data_type.items()
        if each.rows
    }
    held = {each.series: each for each in holdings(storage.database)}
    rows: list[Row] = []
    for series in chosen:
        each = held[series]
        as_csv = round(each.rows * csv.get(series.data_type.value, 0.0))
        rows.append(
            {
                "venue": series.venue.name,
                "instrument": series.instrument_id.symbol,
                "timeframe": series.timeframe,
                "data_type": series.data_type,
                "first_ts": None if each.first_us is None else from_us(each.first_us),
                "last_ts": None if each.last_us is None else from_us(each.last_us),
                "rows": each.rows,
                "files": each.files,
                "bytes": each.bytes,
                "bytes_per_row": round(each.bytes / each.rows, 2) if each.rows else None,
                "csv_bytes": as_csv,
                "reduction": round(1 - each.bytes / as_csv, 4) if as_csv else None,
            }
        )
    return rows


def place_rows(root: Path) -> list[Row]:
    """What lies in the lake's folder, and the room left. What snapshots share counts once."""
    rows: list[Row] = []
    seen: set[tuple[int, int]] = set()
    for place in sorted(root.iterdir()):
        files = [place] if place.is_file() else list(_files(place))
        rows.append(
            {
                "place": place.name + ("/" if place.is_dir() else ""),
                "files": len(files),
                "bytes": sum(_own_bytes(file, seen) for file in files),
            }
        )
    rows.append({"place": "(room left)", "files": None, "bytes": shutil.disk_usage(root).free})
    return rows


def _own_bytes(path: Path, seen: set[tuple[int, int]]) -> int:
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0  # somebody else's temporary file
    if state.st_nlink > 1:
        inode = state.st_dev, state.st_ino
        if inode in seen:
            return 0
        seen.add(inode)
    return state.st_size


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
