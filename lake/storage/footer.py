"""What a Parquet file of the lake says of itself, under the key ``lake`` of its footer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from lake.domain.coverage import Coverage
from lake.domain.identifiers import Series
from lake.domain.rows import SourceTag
from lake.domain.times import from_us, to_us
from lake.storage.records import (
    coverage_of,
    coverage_row,
    moment_or_none,
    series_key,
    series_of,
    us_or_none,
)

KEY = b"lake"
_SERIES_NAMES = ("data_type", "venue", "instrument", "timeframe")


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself, enough to make its rows of the catalog again.

    ``claims`` is the coverage that its commit laid, ``coverage`` all that was known of the
    partition then (without job ids, which die with the catalog). ``stored`` is how many rows
    its commit added or changed.
    """

    lake_id: str
    series: Series
    schema_version: int
    generation: int
    commit_id: str
    job_id: str
    token: int
    rows: int
    min_ts: datetime | None
    max_ts: datetime | None
    source: SourceTag
    origin: str
    variant: str | None
    written_at: datetime
    stored: int
    progress: float | None
    claims: tuple[Coverage, ...]
    coverage: tuple[Coverage, ...]

    def to_json(self) -> bytes:
        content = {
            "lake_id": self.lake_id,
            "series": series_key(self.series),
            "schema_version": self.schema_version,
            "generation": self.generation,
            "commit": self.commit_id,
            "job": self.job_id,
            "token": self.token,
            "rows": self.rows,
            "min_ts": us_or_none(self.min_ts),
            "max_ts": us_or_none(self.max_ts),
            "source": {
                "name": self.source.name,
                "rank": self.source.rank,
                "origin": self.source.origin,
            },
            "origin": self.origin,
            "variant": self.variant,
            "written_at": to_us(self.written_at),
            "stored": self.stored,
            "progress": self.progress,
            "claims": [coverage_row(each) for each in self.claims],
            "coverage": [coverage_row(each) for each in self.coverage],
        }
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Footer:
        found = json.loads(text)
        return cls(
            lake_id=found["lake_id"],
            series=series_of(tuple(found["series"][name] for name in _SERIES_NAMES)),
            schema_version=found["schema_version"],
            generation=found["generation"],
            commit_id=found["commit"],
            job_id=found["job"],
            token=found["token"],
            rows=found["rows"],
            min_ts=moment_or_none(found["min_ts"]),
            max_ts=moment_or_none(found["max_ts"]),
            source=SourceTag(**found["source"]),
            origin=found["origin"],
            variant=found.get("variant"),  # files of before migration 0002 have none
            written_at=from_us(found["written_at"]),
            stored=found["stored"],
            progress=found["progress"],
            claims=tuple(coverage_of(tuple(row)) for row in found["claims"]),
            coverage=tuple(coverage_of(tuple(row)) for row in found["coverage"]),
        )
