"""What the catalog says of one stored file, as far as reading it goes. A value, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lake.domain.identifiers import Series


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One partition's file: where it lies and what must be in it. Moments are microseconds.

    Attributes:
        path: Below ``parquet/``, POSIX.
        start_us: First moment whose rows the file holds; ``end_us`` is the first beyond.
        min_us: The first row's ``ts``; None where the file has no rows, like ``max_us``.
        sha256: Of the whole file, as it was written.
        gap_runs: JSON ``[[start, end], ...]``: candles absent between the first and the last.
    """

    path: str
    start_us: int
    end_us: int
    rows: int
    min_us: int | None
    max_us: int | None
    bytes: int
    sha256: str
    schema_version: int
    generation: int
    gap_runs: str


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """A series, and those of its files that are to be read, ascending."""

    series: Series
    files: Sequence[HeldFile]
