"""Compares the files that were taken in with what their vendor publishes today, and mends.

Vendors publish files again with other contents. Only checksums are asked for; a file is downloaded
when it is to be taken in again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import Instrument, Series
from lake.domain.jobs import JobState
from lake.errors import InvalidRequest, LakeError
from lake.ingestion.import_report import Fetched, FileOutcome
from lake.ingestion.imports import import_fetched
from lake.sources.archive.binance_tree import is_offered, path_of
from lake.sources.archive.download import remove
from lake.storage.archive_files import ArchiveState, KnownFile

if TYPE_CHECKING:
    from lake.ingestion.archive_offers import Archives
    from lake.storage.lake import Storage

_AT_ONCE = 16
# Longer than a month of trades takes to be stored.
_LEASE_S = 900.0


class Standing(Enum):
    """How a file that was taken in stands to what is published."""

    SAME = "same"
    CHANGED = "changed"
    UNPROVEN = "unproven"
    """The vendor publishes no checksum of it (any more)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file, and how it stands."""

    series: Series
    instrument: Instrument
    file: KnownFile
    standing: Standing

    @property
    def path(self) -> str:
        """Where the vendor keeps it."""
        return path_of(self.series, self.instrument.native_id, self.file.name)


async def verify(
    storage: Storage,
    archives: Archives,
    *,
    wanted: Collection[Series] | None = None,
    on_done: Callable[[Verdict], None] = lambda each: None,
) -> list[Verdict]:
    """Every stored file that its vendor publishes, compared.

    Raises:
        SourceError: The vendor could not be asked.
    """
    known = await asyncio.to_thread(storage.archives.all)
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(series: Series, instrument: Instrument, file: KnownFile) -> Verdict:
        async with room:
            path = path_of(series, instrument.native_id, file.name)
            digest = await archives.downloader.checksum(path)
        standing = Standing.SAME if digest == file.sha256 else Standing.CHANGED
        verdict = Verdict(
            series, instrument, file, Standing.UNPROVEN if digest is None else standing
        )
        on_done(verdict)
        return verdict

    asked = []
    for series, file in known:
        if file.state is not ArchiveState.STORED or not file.promises or not is_offered(series):
            continue
        instrument = storage.catalog.instrument(series.instrument_id)
        if instrument is None or (wanted is not None and series not in wanted):
            continue
        try:
            path_of(series, instrument.native_id, file.name)
        except InvalidRequest:
            # Renamed by whoever brought it: nobody knows where it is published.
            continue
        asked.append(one(series, instrument, file))
    return list(await asyncio.gather(*asked))


async def mend(
    storage: Storage, archives: Archives, changed: Sequence[Verdict]
) -> list[FileOutcome]:
    """Take the *changed* files in again: their ranges become what they hold now.

    Rows that differ or went are kept in ``revisions``.

    Raises:
        SourceError: A file could not be had.
        StorageError: The lake cannot be written.
    """
    outcomes: list[FileOutcome] = []
    for each in changed:
        found = await archives.downloader.fetch(each.path)
        if found is None:
            continue
        outcomes += await asyncio.to_thread(
            _take_in, storage, archives, each, {found.path: Fetched(found.url, found.etag)}
        )
        remove(found)
    return outcomes


def _take_in(
    storage: Storage, archives: Archives, each: Verdict, fetched: dict[Path, Fetched]
) -> Sequence[FileOutcome]:
    assert each.file.window is not None
    job = storage.jobs.create(each.series, each.file.window, kind="import")
    lease = storage.jobs.claim(job.job_id, f"{socket.gethostname()}:{os.getpid()}", ttl_s=_LEASE_S)
    try:
        outcomes = import_fetched(
            storage,
            fetched,
            series=each.series,
            instrument=each.instrument,
            lease=lease,
            origin=archives.origin,
            on_event=lambda event: None,
        )
    except LakeError as error:
        storage.jobs.finish(lease, JobState.FAILED, str(error))
        raise
    storage.jobs.finish(lease, JobState.COMPLETED, None)
    return outcomes
