"""What a reader of vendors' files is: it recognises a file, then reads all of it or refuses.

A new vendor is one module with one class that has these three members, listed in
:data:`lake.sources.archive.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import TimeFrame
from lake.errors import SourceError


class NotRecognised(SourceError):
    """The file is none that any reader knows."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user said about the files; it must agree with what they say themselves.

    ``instrument`` may be our code or id, or a ccxt symbol.
    """

    venue: Venue | None = None
    instrument: str | None = None
    data_type: DataType | None = None
    timeframe: TimeFrame | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of which the contents are known, before its rows are read.

    Attributes:
        promise: The day or month that the file says it holds wholly; None where it says nothing.
        variant: What its rows are and may not be mixed with (``single/venue``); None for types
            without variants.
    """

    path: Path
    reader: ArchiveFormat
    series: Series
    instrument: Instrument
    promise: TimeRange | None
    variant: str | None = None

    def read(self, *, now: datetime) -> Contents:
        """All of its rows; see :meth:`ArchiveFormat.read`."""
        return self.reader.read(self, now=now)

    def stream(self, *, now: datetime) -> Streamed:
        """The same a partition at a time; see :meth:`ArchiveFormat.stream`."""
        return self.reader.stream(self, now=now)


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's rows, checked, with what it may claim; ``remark`` is for whoever imported it."""

    page: Page
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file that was found intact, and whose rows are still to be read.

    Attributes:
        window: From its first row to the end of its last.
        rows: How many rows there are.
        rejected: How many cannot be stored.
        pages: Its rows, ascending, one page a partition; may be iterated once.
    """

    window: TimeRange
    rows: int
    rejected: int
    pages: Iterator[Page]
    remark: str = ""


class ArchiveFormat(Protocol):
    """One kind of file that a vendor publishes."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def recognise(self, path: Path, hints: Hints) -> ArchiveFile | None:
        """What *path* holds, from its name and its first bytes; None where it is not this kind.

        Raises:
            SourceError: It is this kind, and damaged, dangerous, or not stored by the lake.
            InvalidRequest: It is this kind, and a hint is needed or contradicts it.
        """

    def read(self, file: ArchiveFile, *, now: datetime) -> Contents:
        """Every row of *file*, after the whole of it was found intact.

        Args:
            file: What :meth:`recognise` gave.
            now: The present (naive UTC); candles that close later are not stored.

        Raises:
            SourceError: The file is damaged or not what it says. Nothing of it may be stored.
        """

    def stream(self, file: ArchiveFile, *, now: datetime) -> Streamed:
        """As :meth:`read`, in bounded memory: for files that promise nothing and may hold years.

        Raises:
            SourceError: As for :meth:`read`; also while pages are read, where the file changed
                since it was looked through.
        """
