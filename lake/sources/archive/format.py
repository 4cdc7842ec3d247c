"""What a reader of vendors' files is: it recognises a file, then gives all of it or refuses.

A new vendor is one module with one class that has these members, listed in
:data:`lake.sources.archive.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lake.domain.coverage import Claim
from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected, SourceTag
from lake.domain.timeframe import TimeFrame
from lake.errors import SourceError
from lake.sources.archive.digests import sha256_of_all
from lake.sources.archive.mapping import Mapping, Unit
from lake.sources.archive.spool import SpooledRows

# A vendor's archive holds every column and is published after corrections, so it replaces what
# REST gave (ranks of REST: lake.sources.capabilities; higher wins).
VENDOR = SourceTag("archive", rank=60)
# What somebody else made of a venue's data (an export, a recording) fills holes and replaces
# nothing that came from the venue itself.
OTHERS = SourceTag("import", rank=20)


class NotRecognised(SourceError):
    """The file is none that any reader knows."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user said about the files; it must agree with what they say themselves.

    ``instrument`` may be our code or id, or a ccxt symbol. ``unit`` is what amounts are counted
    in; ``mapping`` says what the columns of a file mean that is of no known format. ``every`` and
    ``depth`` are how often and how deep a book that is rebuilt is sampled.
    """

    venue: Venue | None = None
    instrument: str | None = None
    data_type: DataType | None = None
    timeframe: TimeFrame | None = None
    timezone: str | None = None
    unit: Unit | None = None
    mapping: Mapping | None = None
    every: timedelta | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One series in a file, known from its name and its first bytes, before its rows are read.

    Attributes:
        promise: The day or month that the file says it holds wholly; None where it says nothing.
        variant: What its rows are and may not be mixed with (``single/venue``); None for types
            without variants.
        part: Which of the file's series it is, in the reader's own words; empty where there is
            but one.
        beside: Files whose rows are read together with its own.
    """

    path: Path
    reader: ArchiveFormat
    series: Series
    instrument: Instrument
    promise: TimeRange | None
    variant: str | None = None
    part: str = ""
    beside: tuple[Path, ...] = ()

    @property
    def sha256(self) -> str:
        """The digest of everything that its rows are read from.

        Raises:
            OSError: Some of it cannot be read.
        """
        return sha256_of_all((self.path, *self.beside))

    @property
    def is_small(self) -> bool:
        """Whether it fits into memory with others of its partition: its rows are on a grid."""
        on_a_grid = (DataType.OHLCV, DataType.FUNDING_RATES)
        return self.promise is not None and self.series.data_type in on_a_grid

    def stream(self, *, now: datetime, scratch: Path) -> Streamed:
        """Its rows; see :meth:`ArchiveFormat.stream`."""
        return self.reader.stream(self, now=now, scratch=scratch)


@dataclass(frozen=True, slots=True)
class Lot:
    """Checked rows of one window of a series, with what they claim.

    Attributes:
        window: The part of time that they speak of.
        rows: In the data type's schema, ascending: a table (any window), or tables that can be
            iterated again, for more than memory should hold (inside of one partition).
    """

    window: TimeRange
    rows: pa.Table | SpooledRows
    claims: tuple[Claim, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """A file that was found intact, and whose rows are still to be handed over.

    Attributes:
        window: From its first row to the end of its last, or what it promises.
        rows: How many rows there are.
        rejected: How many cannot be stored.
        lots: Its rows, ascending, a partition or less at a time; may be iterated once, before
            the scratch folder goes.
        is_intact: Whether something proves that nothing of it is missing (a CRC, a checksum).
        remark: What whoever imports it should know.
    """

    window: TimeRange
    rows: int
    rejected: int
    lots: Iterator[Lot]
    is_intact: bool = False
    remark: str = ""


class ArchiveFormat(Protocol):
    """One kind of file that a vendor publishes."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def tag(self) -> SourceTag:
        """Where its rows come from: :data:`VENDOR` or :data:`OTHERS`."""

    @property
    def files(self) -> str:
        """What such files are called, for ``lake sources --archives``."""

    @property
    def data_types(self) -> tuple[DataType, ...]:
        """What they hold."""

    @property
    def venues(self) -> tuple[Venue, ...]:
        """Whose markets they are of; empty where that may be any."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How names of such files end, in lower case: what folders are searched for.

        A part of a name that differs stands as ``*``.
        """

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        """The series in *path*, from its name and its first bytes; None where it is not this kind.

        Raises:
            SourceError: It is this kind, and damaged, dangerous, or not stored by the lake.
            InvalidRequest: It is this kind, and a hint is needed or contradicts it.
        """

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        """Every row of *file*, after the whole of it was found intact, in bounded memory.

        Args:
            file: One of what :meth:`recognise` gave.
            now: The present (naive UTC); what is later, and candles that close later, are not
                stored.
            scratch: A folder for what memory should not hold; its owner removes it.

        Raises:
            SourceError: The file is damaged or not what it says. Nothing of it may be stored.
        """
