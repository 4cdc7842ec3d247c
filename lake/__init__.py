"""A data lake for crypto market history.

Exchange rows become Arrow tables, Arrow tables become Parquet partitions, SQLite remembers
what was done, DuckDB answers questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
    from lake.domain.timeframe import TimeFrame
    from lake.errors import (
        IncompleteRange,
        InvalidRequest,
        LakeError,
        SeriesNotFound,
        SourceError,
        StorageError,
    )
    from lake.ingestion import DataIngestionEngine
    from lake.research import GapWarning, Lake
    from lake.store import HistoricalDataStore

__all__ = [
    "DataIngestionEngine",
    "DataType",
    "GapWarning",
    "HistoricalDataStore",
    "IncompleteRange",
    "InstrumentId",
    "InvalidRequest",
    "Lake",
    "LakeError",
    "Series",
    "SeriesNotFound",
    "SourceError",
    "StorageError",
    "TimeFrame",
    "Venue",
]

__version__ = "0.1.0"

# Imported when first asked for: `lake --help` must not wait for polars.
_HOMES = {
    "DataIngestionEngine": "lake.ingestion",
    "DataType": "lake.domain.identifiers",
    "GapWarning": "lake.research",
    "HistoricalDataStore": "lake.store",
    "IncompleteRange": "lake.errors",
    "InstrumentId": "lake.domain.identifiers",
    "InvalidRequest": "lake.errors",
    "Lake": "lake.research",
    "LakeError": "lake.errors",
    "Series": "lake.domain.identifiers",
    "SeriesNotFound": "lake.errors",
    "SourceError": "lake.errors",
    "StorageError": "lake.errors",
    "TimeFrame": "lake.domain.timeframe",
    "Venue": "lake.domain.identifiers",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
