"""Entries that say the same at every venue: books can only be had now. Data only."""

from __future__ import annotations

from datetime import timedelta

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.sources import venue_columns as columns
from lake.sources.capability import Capability, RowsEndpoint


def book_entry(
    venue: Venue,
    kinds: frozenset[InstrumentKind],
    rows: RowsEndpoint,
    *,
    deepest: int,
    says: tuple[str, ...] = columns.BOOK,
    concurrency: int = 4,
) -> Capability:
    """The books of *venue*, up to *deepest* levels a side; *says* names the columns it fills."""
    return Capability(
        venue=venue,
        data_type=DataType.ORDERBOOK,
        page_size=deepest,
        concurrency=concurrency,
        settle_after=timedelta(0),
        columns=says,
        rank=50,
        variant="rest/{depth}",
        kinds=kinds,
        depth=timedelta(0),
        depth_reason=columns.NOW_ONLY,
        rows=rows,
    )
