"""What the tests of recorded data share: a series is stored, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import Series
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import ROW_SPECS
from lake.storage.columns import sort_rows
from lake.storage.lake import PartitionCommit, Storage
from tests.real.readers import RECORDED

TAG = SourceTag("recorded", 30)

needs_recordings = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded market data is not beside this checkout"
)


def keep(
    storage: Storage,
    series: Series,
    rows: pa.Table,
    *,
    variant: str | None = None,
    claims: Sequence[Claim] | None = None,
) -> int:
    """Store *rows* of one series under one job; how many rows that changed.

    Claims default to the whole stretch, as a vendor's archive would promise it.
    """
    bounds = pc.min_max(rows["ts"]).as_py()
    hull = TimeRange(bounds["min"], bounds["max"] + timedelta(microseconds=1))
    if claims is None:
        claims = [Claim(hull, Basis.ARCHIVE, "recorded")]
    storage.catalog.ensure_series(series, "venue", variant=variant)
    # An import: its range says nothing about what was asked of the venue.
    job = storage.jobs.create(series, hull, kind="import")
    lease = storage.jobs.claim(job.job_id, "test", ttl_s=300)
    changed = 0
    for partition, window in split(series, hull):
        inside = pc.and_(
            pc.greater_equal(rows["ts"], pa.scalar(window.start, pa.timestamp("us"))),
            pc.less(rows["ts"], pa.scalar(window.end, pa.timestamp("us"))),
        )
        mine = [
            Claim(both, claim.basis, claim.evidence)
            for claim in claims
            if (both := claim.range.intersection(partition.range))
        ]
        result = storage.commit(
            PartitionCommit(
                partition=partition, rows=rows.filter(inside), tag=TAG, claims=tuple(mine)
            ),
            lease,
        )
        changed += result.rows_added + result.rows_changed + result.rows_removed
    storage.jobs.finish(lease, JobState.COMPLETED)
    return changed


def held(storage: Storage, series: Series) -> pa.Table:
    """Everything stored of *series*, ascending."""
    spec = ROW_SPECS[series.data_type]
    parts = [
        table
        for info in storage.catalog.partitions(series)
        for table in storage.read_tables(info.partition)
    ]
    return pa.concat_tables([spec.schema.empty_table(), *parts])


def assert_held(storage: Storage, series: Series, rows: pa.Table) -> None:
    """What is stored is exactly *rows*, every column of every row."""
    assert held(storage, series).equals(sort_rows(rows, ROW_SPECS[series.data_type]))
