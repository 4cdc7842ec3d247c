"""Vendors' bulk files: one reader per format behind :class:`ArchiveFormat`."""

from __future__ import annotations

from pathlib import Path

from lake.domain.rows import SourceTag
from lake.errors import SourceError
from lake.sources.archive.binance_candles import BinanceCandles
from lake.sources.archive.format import (
    ArchiveFile,
    ArchiveFormat,
    Contents,
    Hints,
    NotRecognised,
    Streamed,
)

__all__ = [
    "ARCHIVE_TAG",
    "FORMATS",
    "SUFFIXES",
    "ArchiveFile",
    "ArchiveFormat",
    "Contents",
    "Hints",
    "NotRecognised",
    "Streamed",
    "recognise",
]

FORMATS: tuple[ArchiveFormat, ...] = (BinanceCandles(),)
# What a folder is searched for; a file that is named outright may be called anything.
SUFFIXES = (".zip", ".csv", ".csv.gz")
# A vendor's archive holds every column and is published after corrections, so it replaces what
# REST gave (ranks of REST: lake.sources.capabilities; higher wins).
ARCHIVE_TAG = SourceTag("archive", rank=60)


def recognise(path: Path, hints: Hints) -> ArchiveFile:
    """What the file at *path* holds.

    Raises:
        NotRecognised: No reader knows it.
        SourceError: It is damaged, dangerous, or of a data type that is not built yet.
        InvalidRequest: A hint is needed or contradicts the file.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file.", retryable=False)
    for reader in FORMATS:
        if (found := reader.recognise(path, hints)) is not None:
            return found
    names = ", ".join(reader.name for reader in FORMATS)
    raise NotRecognised(
        f"{path.name} is not recognised. Known are: {names} "
        "(SYMBOL-TIMEFRAME-YYYY-MM[-DD].zip or .csv). "
        "For a renamed file of that kind say --venue, --instrument and --timeframe.",
        retryable=False,
    )
