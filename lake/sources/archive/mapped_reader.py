"""Joins a recognised file with the mapping that reads it; formats are recognised elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.domain.variants import IdScheme, TradesVariant
from lake.errors import InvalidRequest
from lake.sources.archive.container import peek, refused
from lake.sources.archive.format import ArchiveFile, ArchiveFormat, Hints, Streamed
from lake.sources.archive.mapped_columns import has_ids
from lake.sources.archive.mapped_rows import streamed
from lake.sources.archive.mapping import Mapping, unit_for
from lake.sources.archive.tables import first_rows, kind_of

_HTML = b"<"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class MappedReader:
    """The reader of one file whose columns are known."""

    name: str
    tag: SourceTag
    files: str
    data_types: tuple[DataType, ...]
    venues: tuple[Venue, ...]
    suffixes: tuple[str, ...]
    mapping: Mapping

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        """Nothing: it is made for a file that was recognised."""
        return None

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        return streamed(file, self.mapping, now=now, scratch=scratch)


class RecognisedByMapping:
    """What formats have in common that give each file they recognise a reader of its own."""

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        raise AssertionError(f"{file.path} has a reader of its own")


def mapped_file(
    reader: ArchiveFormat,
    path: Path,
    mapping: Mapping,
    instrument: Instrument,
    data_type: DataType,
    *,
    hints: Hints,
    timeframe: TimeFrame | None = None,
    promise: TimeRange | None = None,
    is_in_base: bool = False,
) -> tuple[ArchiveFile]:
    """The file at *path* as *mapping* reads it; what the user said must agree.

    Args:
        reader: The format that recognised it.
        path: Of the file.
        mapping: What its columns mean; the unit that the user told is added.
        instrument: Whose rows they are.
        data_type: Of the rows.
        hints: What the user said.
        timeframe: Of candles.
        promise: What its name says it holds.
        is_in_base: Whether the format counts in the base asset, whatever the market.

    Raises:
        InvalidRequest: Hints contradict the file, or the unit of its amounts is not known.
        SourceError: The file is damaged or empty.
    """
    _require_hints(path, hints, data_type, timeframe)
    mapping.require_for(data_type)
    told = hints.unit or mapping.unit
    unit = unit_for(told, instrument, data_type, is_in_base=is_in_base)
    mapping = replace(mapping, unit=unit)
    variant = None
    if data_type is DataType.TRADES:
        first = first_rows(path, kind_of(path), mapping)
        ids = IdScheme.VENUE if has_ids(first, mapping) else IdScheme.DERIVED
        variant = str(TradesVariant(mapping.kind, ids))
    bound = MappedReader(
        reader.name,
        reader.tag,
        reader.files,
        reader.data_types,
        reader.venues,
        reader.suffixes,
        mapping,
    )
    series = Series(data_type, instrument.id, timeframe)
    return (ArchiveFile(path, bound, series, instrument, promise, variant),)


def _require_hints(
    path: Path, hints: Hints, data_type: DataType, timeframe: TimeFrame | None
) -> None:
    if hints.data_type not in (None, data_type):
        raise InvalidRequest(
            f"{path.name} holds {data_type}, but --type says {hints.data_type}. Leave --type out."
        )
    if hints.timeframe is not None and timeframe is not None and hints.timeframe != timeframe:
        raise InvalidRequest(
            f"{path.name} holds {timeframe} candles, but --timeframe says {hints.timeframe}."
        )


def require_utc(path: Path, hints: Hints) -> None:
    """
    Raises:
        InvalidRequest: A zone is told for times that are UTC by their format.
    """
    if hints.timezone not in (None, "UTC"):
        raise InvalidRequest(f"{path.name} has times in UTC; --timezone does not apply to it.")


def venue_or(path: Path, hints: Hints, venue: Venue | None) -> Venue:
    """The venue that the file says, and the user does not deny.

    Raises:
        InvalidRequest: Neither says one, or they differ.
    """
    if venue is None and hints.venue is None:
        raise InvalidRequest(
            f"{path.name} does not say of which exchange it is. Say it, for example "
            "--venue BINANCE."
        )
    if venue is not None and hints.venue not in (None, venue):
        raise InvalidRequest(f"{path.name} is of {venue}, but --venue says {hints.venue}.")
    found = venue or hints.venue
    assert found is not None
    return found


def first_lines(path: Path, *, unlike: bytes = _HTML) -> list[list[str]]:
    """The fields of the first lines of the text at *path*; nothing where it has none.

    Args:
        path: Of the file.
        unlike: What no file of this kind begins with.

    Raises:
        SourceError: It is damaged or dangerous.
    """
    with peek(path, unlike=unlike) as container:
        head = container.head().removeprefix(_BOM)
    lines = head.decode("utf-8", "replace").splitlines()[:3]
    return [[cell.strip().strip('"') for cell in line.split(",")] for line in lines]


def require_columns(path: Path, lines: Sequence[Sequence[str]], known: Sequence[str]) -> None:
    """
    Raises:
        SourceError: The first of *lines* is not the header line *known*.
    """
    header = tuple(lines[0]) if lines else ()
    if header == tuple(known):
        return
    if unknown := [name for name in header if name not in known]:
        raise refused(
            path, f"has unknown columns ({', '.join(unknown)}); known is {','.join(known)}"
        )
    raise refused(path, f"has other columns ({','.join(header)}); known is {','.join(known)}")
