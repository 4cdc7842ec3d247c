"""Brings vendors' files into the lake: recognises them, checks them, commits them by partition.

A file is stored wholly or not at all. What is in the lake already is not written again, and a
file that was taken in already is not even read. It does not know any file format;
`lake.sources.archive` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dictionary
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.ingestion.import_ledger import Ledger
from lake.ingestion.import_paths import Found, find
from lake.ingestion.import_report import (
    Fetched,
    FileOutcome,
    FileState,
    ImportEvent,
    ImportReport,
)
from lake.ingestion.import_run import ImportRun
from lake.ingestion.room import MIN_FREE
from lake.ingestion.scratch import scratch_folder
from lake.sources.archive import FORMATS, ArchiveFormat, Hints
from lake.sources.archive.mapping import Mapping, Unit

if TYPE_CHECKING:
    from lake.domain.jobs import Lease
    from lake.domain.timeframe import TimeFrame
    from lake.storage.lake import Storage

__all__ = [
    "Fetched",
    "FileOutcome",
    "FileState",
    "ImportEvent",
    "ImportReport",
    "import_fetched",
    "import_files",
]


def import_files(
    storage: Storage,
    paths: Iterable[str | Path],
    *,
    venue: Venue | None = None,
    instrument: str | None = None,
    data_type: DataType | None = None,
    timeframe: TimeFrame | None = None,
    timezone: str | None = None,
    unit: Unit | None = None,
    mapping: Mapping | None = None,
    every: timedelta | None = None,
    depth: int | None = None,
    min_free: int = MIN_FREE,
    formats: Sequence[ArchiveFormat] = FORMATS,
    on_event: Callable[[ImportEvent], None] | None = None,
    now: datetime | None = None,
) -> ImportReport:
    """Store the rows of vendors' files; a damaged or unclear file is refused, the others go in.

    Args:
        storage: The lake.
        paths: Files and folders. A folder is searched for archives, a file must be one.
        venue: What the files' own names must agree with; needed where they do not say.
        instrument: Likewise: our code or id, or a ccxt symbol.
        data_type: Likewise.
        timeframe: Likewise.
        timezone: Of times without a zone, where the format has such.
        unit: What amounts are counted in, where the files do not say.
        mapping: What the columns of files mean that are of no known format.
        every: How often a book that is rebuilt from changes is sampled; a second by default.
        depth: Levels a side of such a book, 20 by default.
        min_free: Bytes that stay free on the disk.
        formats: The readers that files are shown to, in this order.
        on_event: Told of every file when it is done, and of every partition stored.
        now: The present (naive UTC); the clock's by default.

    Raises:
        InvalidRequest: There is no such path, or no archive in the folders.
        StorageError: The lake cannot be written, or the disk is nearly full. What was stored
            stays; the same call goes on.
    """
    found = find(paths)
    hints = Hints(venue, instrument, data_type, timeframe, timezone, unit, mapping, every, depth)
    with scratch_folder(storage.root) as scratch:
        present = now or datetime.now(UTC).replace(tzinfo=None)
        run = ImportRun(
            storage,
            hints,
            on_event or (lambda event: None),
            present,
            scratch,
            Ledger(storage, {}, present),
            min_free=min_free,
            formats=formats,
        )
        return run.all(found)


def import_fetched(
    storage: Storage,
    fetched: Dictionary[Path, Fetched],
    *,
    series: Series,
    instrument: Instrument,
    lease: Lease,
    scratch: Path,
    now: datetime,
    origin: str,
    is_again: bool = False,
    min_free: int = MIN_FREE,
    on_event: Callable[[ImportEvent], None],
) -> Sequence[FileOutcome]:
    """Store files of *series* that were downloaded, for the job of *lease*.

    *scratch* is a folder of whoever does one after another of such calls
    (:func:`lake.ingestion.scratch.scratch_folder`). *now* is the time (naive UTC) at whoever
    publishes them: rows after it are refused, and a clock that is wrong here refuses none.

    Raises:
        LeaseLost: Another worker has the job now.
        StorageError: The lake cannot be written, or the disk is nearly full.
    """
    hints = Hints(series.venue, instrument.symbol, series.data_type, series.timeframe)
    run = ImportRun(
        storage,
        hints,
        on_event,
        now,
        scratch,
        # When files are looked at again is told by the clock of the lake.
        Ledger(storage, fetched, storage.clock()),
        origin=origin,
        lease=lease,
        is_again=is_again,
        min_free=min_free,
    )
    return run.all([Found(path, is_named=True) for path in fetched]).files
