"""How large a fetch will be, before it is asked for: what is known of it, and how well.

Candles can be counted. How many trades a range has is estimated by what is held nearby, or by
the venue's ids at both ends of it, or called unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.ranges import TimeRange, intersect

if TYPE_CHECKING:
    from lake.sources.source import Source
    from lake.storage.catalog import Catalog

# What a stored row takes on disk where nothing of the series is held yet. Candles: measured by
# tests/benchmarks/bench_storage.py; the others by bench_settings.py.
BYTES_PER_ROW = {
    DataType.OHLCV: 45.0,
    DataType.TRADES: 16.0,
    DataType.FUNDING_RATES: 25.0,
    DataType.ORDERBOOK: 170.0,
}
# Levels a side of the books whose size was measured.
DEPTH_MEASURED = 20
# What an answer takes where the venue's limit leaves time to wait for it.
ROUND_TRIP_S = 0.15
# Files nearest to the range that say how dense its trades are: a week of days.
_NEAREST = 7
# No venue settles more often.
_SHORTEST_FUNDING = timedelta(hours=1)


class Sureness(Enum):
    """How well the size of a fetch is known."""

    EXACT = "exact"
    ESTIMATE = "estimate"
    AT_MOST = "at_most"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Size:
    """What a fetch takes. Where it is ``UNKNOWN``, rows and bytes are 0, the rest a minimum."""

    rows: int
    bytes: int
    requests: int
    seconds: float
    sureness: Sureness


def size_of(
    source: Source,
    catalog: Catalog,
    series: Series,
    pieces: Sequence[TimeRange],
    *,
    max_workers: int,
    counted: int | None = None,
) -> Size:
    """The size of fetching *pieces* of *series*.

    Args:
        source: The venue; it is not asked.
        catalog: What is held says how dense and how large rows are.
        series: The series.
        pieces: Disjoint, ascending.
        max_workers: Requests in flight at once.
        counted: Rows that the venue was seen to have there; None: it was not asked.
    """
    costs = [source.cost(series, piece) for piece in pieces]
    requests, weight = sum(each for each, _ in costs), sum(each for _, each in costs)
    rows, sureness = _rows(catalog, series, pieces)
    if counted is not None:
        rows, sureness = counted, Sureness.ESTIMATE
    if series.data_type is DataType.TRADES and requests:
        needed = max(requests, math.ceil(rows / _page_size(series)))
        weight, requests = weight * needed // requests, needed
    seconds = max(source.seconds(weight), requests * ROUND_TRIP_S / max_workers)
    return Size(rows, round(rows * _bytes_per_row(catalog, series)), requests, seconds, sureness)


async def count_rows(
    source: Source, instrument: Instrument, series: Series, pieces: Sequence[TimeRange]
) -> int | None:
    """How many rows the venue has in *pieces*, where a few requests tell; None where not.

    Raises:
        SourceError: The venue could not be asked.
    """
    total = 0
    for piece in pieces:
        count = await source.count(instrument, series, piece)
        if count is None:
            return None
        total += count
    return total


def _rows(catalog: Catalog, series: Series, pieces: Sequence[TimeRange]) -> tuple[int, Sureness]:
    grid = series.grid
    if grid is not None:
        return sum(grid.count(piece) for piece in pieces), Sureness.EXACT
    if not pieces:
        return 0, Sureness.EXACT
    wanted = sum((piece.duration for piece in pieces), timedelta())
    if (density := _density(catalog, series, pieces)) is not None:
        return max(1, round(density * wanted.total_seconds())), Sureness.ESTIMATE
    if series.data_type is DataType.FUNDING_RATES:
        return math.ceil(wanted / _SHORTEST_FUNDING), Sureness.AT_MOST
    return 0, Sureness.UNKNOWN


def _page_size(series: Series) -> int:
    from lake.sources.capabilities import capability

    return capability(series.venue, series.data_type).page_size


def _density(catalog: Catalog, series: Series, pieces: Sequence[TimeRange]) -> float | None:
    """Rows a second in the files held that lie nearest; None where none says."""
    middle = pieces[0].start + (pieces[-1].end - pieces[0].start) / 2
    nearest = sorted(
        catalog.partitions(series),
        key=lambda each: abs(each.partition.range.start - middle),
    )[:_NEAREST]
    answered = [each.range for each in catalog.coverage(series) if each.promises]
    seconds = sum(
        part.duration.total_seconds()
        for part in intersect(answered, [each.partition.range for each in nearest])
    )
    rows = sum(each.rows for each in nearest)
    return rows / seconds if rows and seconds else None


def _bytes_per_row(catalog: Catalog, series: Series) -> float:
    if series.data_type is DataType.OHLCV:
        return BYTES_PER_ROW[series.data_type]
    held = catalog.partitions(series)
    rows, size = sum(each.rows for each in held), sum(each.bytes for each in held)
    # The first rows of a file pay for its footer.
    return size / rows if rows > 1_000 else BYTES_PER_ROW[series.data_type]
