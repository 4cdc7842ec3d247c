"""Hands on rows that are known in spans of time, partition by partition, with what they claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import Series
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected
from lake.domain.schemas import ROW_SPECS
from lake.sources.archive.format import Lot
from lake.sources.archive.spool import Spool, SpooledRows


def span_lots(
    series: Series,
    window: TimeRange,
    spool: Spool,
    spans: Sequence[TimeRange],
    rejected: Sequence[Rejected],
    notes: Sequence[Note] = (),
) -> Iterator[Lot]:
    """The rows of *spool* in lots that claim only *spans*, as ``rows_only``.

    What was rejected goes with the lot of its time; what has none, with the first.
    """
    empty = ROW_SPECS[series.data_type].schema.empty_table()
    parts = {partition: rows for partition, _, rows in spool.parts()}
    for number, (partition, inside) in enumerate(split(series, window)):
        rows: pa.Table | SpooledRows = parts.get(partition, empty)
        known = [part for span in spans if (part := span.intersection(inside)) is not None]
        bad = [
            row
            for row in rejected
            if (row.ts in inside if row.ts is not None and row.ts in window else number == 0)
        ]
        told = [note for note in notes if note.ts in inside]
        if rows.num_rows or known or bad or told:
            claims = tuple(Claim(part, Basis.ROWS_ONLY) for part in known)
            yield Lot(inside, rows, claims, tuple(bad), tuple(told))
