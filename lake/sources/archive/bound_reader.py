"""Joins a recognised file with what reads it, for formats that learn more than a file can carry.

It reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lake.domain.identifiers import DataType, Venue
from lake.domain.rows import SourceTag
from lake.sources.archive.format import ArchiveFile, ArchiveFormat, Hints, Streamed

Read = Callable[[ArchiveFile, datetime, Path], Streamed]


@dataclass(frozen=True, slots=True)
class BoundReader:
    """The reader of one series of one file: *read* takes the file, the present and a folder."""

    format: ArchiveFormat
    read: Read

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def tag(self) -> SourceTag:
        return self.format.tag

    @property
    def files(self) -> str:
        return self.format.files

    @property
    def data_types(self) -> tuple[DataType, ...]:
        return self.format.data_types

    @property
    def venues(self) -> tuple[Venue, ...]:
        return self.format.venues

    @property
    def suffixes(self) -> tuple[str, ...]:
        return self.format.suffixes

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        """Nothing: it is made for a file that was recognised."""
        return None

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        return self.read(file, now, scratch)
