"""Compares the files that were taken in with what their vendor publishes today, and mends.

Vendors publish files again with other contents. Only checksums are asked for; a file is downloaded
when it is to be taken in again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import Instrument, Series
from lake.domain.jobs import JobState
from lake.domain.times import from_us
from lake.errors import InvalidRequest, LakeError, SourceError
from lake.ingestion.import_report import Fetched, FileOutcome, FileState
from lake.ingestion.imports import import_fetched
from lake.ingestion.scratch import scratch_folder
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
    asked = enumerate(_publishable(storage, known, wanted))
    verdicts: dict[int, Verdict] = {}

    async def ask() -> None:
        for place, each in asked:
            digest = await archives.downloader.checksum(each.path)
            standing = Standing.SAME if digest == each.file.sha256 else Standing.CHANGED
            verdicts[place] = replace(
                each, standing=Standing.UNPROVEN if digest is None else standing
            )
            on_done(verdicts[place])

    # However many files there are, so many are asked for; they are handed out as they are found.
    asking = [asyncio.create_task(ask()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return [verdicts[place] for place in sorted(verdicts)]


def _publishable(
    storage: Storage,
    known: Sequence[tuple[Series, KnownFile]],
    wanted: Collection[Series] | None,
) -> Iterator[Verdict]:
    """Those of the *known* files that can be compared, not compared yet."""
    instruments: dict[Series, Instrument | None] = {}
    for series, file in known:
        if file.state is not ArchiveState.STORED or not file.promises or not is_offered(series):
            continue
        if wanted is not None and series not in wanted:
            continue
        if series not in instruments:
            instruments[series] = storage.catalog.instrument(series.instrument_id)
        if (instrument := instruments[series]) is None:
            continue
        try:
            path_of(series, instrument.native_id, file.name)
        except InvalidRequest:
            # Renamed by whoever brought it: nobody knows where it is published.
            continue
        yield Verdict(series, instrument, file, Standing.UNPROVEN)


@dataclass(frozen=True, slots=True)
class Mended:
    """What came of a changed file.

    Attributes:
        problem: Why it was not taken in again; None where it was.
    """

    verdict: Verdict
    problem: str | None = None


async def mend(storage: Storage, archives: Archives, changed: Sequence[Verdict]) -> list[Mended]:
    """Take the *changed* files in again: their ranges become what they hold now.

    Rows that differ or went are kept in ``revisions``. A file that cannot be had or used is told
    of, and the rows that are held of it stay.

    Raises:
        SourceError: The vendor cannot be reached.
        StorageError: The lake cannot be written.
    """
    if not changed:
        return []
    now = from_us(round(await archives.downloader.date_s(is_first=False) * 1_000_000))
    return [Mended(each, await _problem(storage, archives, each, now)) for each in changed]


async def _problem(
    storage: Storage, archives: Archives, each: Verdict, now: datetime
) -> str | None:
    """Why *each* could not be taken in again; None where it was."""
    try:
        found = await archives.downloader.fetch(each.path)
    except SourceError as error:
        if error.retryable:
            raise
        return str(error)
    if found is None:
        return (
            f"{archives.downloader.url(each.path)} is not there any more, though it was just now. "
            "The rows held of it stay as they are; run the same command again to compare it anew."
        )
    outcomes = await asyncio.to_thread(
        _take_in, storage, archives, each, {found.path: Fetched(found.url, found.etag)}, now
    )
    remove(found)
    refused = [each.reason for each in outcomes if each.state is FileState.REFUSED]
    return " ".join(refused[0].split()) if refused else None


def _take_in(
    storage: Storage,
    archives: Archives,
    each: Verdict,
    fetched: dict[Path, Fetched],
    now: datetime,
) -> Sequence[FileOutcome]:
    assert each.file.window is not None
    job = storage.jobs.create(each.series, each.file.window, kind="import")
    lease = storage.jobs.claim(job.job_id, f"{socket.gethostname()}:{os.getpid()}", ttl_s=_LEASE_S)
    try:
        with scratch_folder(storage.root) as scratch:
            outcomes = import_fetched(
                storage,
                fetched,
                series=each.series,
                instrument=each.instrument,
                lease=lease,
                scratch=scratch,
                now=now,
                origin=archives.origin,
                min_free=archives.min_free,
                on_event=lambda event: None,
            )
    except LakeError as error:
        storage.jobs.finish(lease, JobState.FAILED, str(error))
        raise
    storage.jobs.finish(lease, JobState.COMPLETED, None)
    return outcomes
