"""Brings files of a vendor's archive into one series, under the job that wanted them.

Months come first; a month that the vendor does not have is asked for by its days. What no file
gives is left to whoever asked. Which files there are to be, `lake.sources.archive` says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.ranges import TimeRange, intersect
from lake.errors import SourceError
from lake.ingestion.events import Listener, Noticed, PageFetched, Stored
from lake.ingestion.import_report import Fetched, FileOutcome, FileState
from lake.ingestion.imports import import_fetched
from lake.ingestion.planning import slots
from lake.ingestion.scratch import scratch_folder
from lake.sources.archive.binance_tree import RemoteFile, days_instead
from lake.sources.archive.download import Downloaded, Downloader, remove
from lake.storage.archive_files import ArchiveState, KnownFile

if TYPE_CHECKING:
    from lake.domain.jobs import Lease
    from lake.ingestion.gates import Gates
    from lake.storage.lake import Storage

# Downloaded while the file before is stored: more would only fill the disk.
_AHEAD = 3
# How often it is asked whether to stop while a file comes.
_LOOK_S = 0.2
# A file that is not there soon after its time may still come; of old ones that is a fact.
_SOON = timedelta(days=45)
_ABSENT_LASTS_SOON, _ABSENT_LASTS = timedelta(hours=12), timedelta(days=30)
# What a file may hold in memory while it is stored, in rows: trades and the like take all there is.
_ALL_ROWS = 1 << 62


@dataclass(slots=True)
class ArchivePass:
    """One series, one job.

    Attributes:
        now: The venue's time.
        origin: What marks the rows: ``venue``, unless another address answers for it.
        variant: The kind of trades that the series holds.
        is_again: Files that were taken in before are read again.
        rows: How many were added or changed.
        must_stop: Asked between files, and while one comes.
        files_had: How many there were, of those that were asked for.
        problems: Why files could not be had or used; the range of such a file is left.
    """

    storage: Storage
    downloader: Downloader
    series: Series
    instrument: Instrument
    lease: Lease
    gates: Gates
    emit: Listener
    must_stop: Callable[[], bool]
    now: datetime
    origin: str = "venue"
    variant: str | None = None
    is_again: bool = False
    rows: int = 0
    files_had: int = 0
    problems: list[str] = field(default_factory=list)
    _days_held: list[tuple[RemoteFile, Downloaded]] = field(default_factory=list)
    _known: dict[str, KnownFile] = field(default_factory=dict)
    _scratch: Path = field(init=False)

    async def bring(self, files: Sequence[RemoteFile], pieces: Sequence[TimeRange]) -> None:
        """Download and store *files*, in order; *pieces* are what is missing.

        Raises:
            LeaseLost: Another worker has the job now.
            StorageError: The disk is full, or SQLite failed.
        """
        self._known = await asyncio.to_thread(self.storage.archives.of, self.series)
        with scratch_folder(self.storage.root) as scratch:
            self._scratch = scratch
            await self._bring(files, pieces)

    async def _bring(self, files: Sequence[RemoteFile], pieces: Sequence[TimeRange]) -> None:
        waiting = deque(self._expanded(files, pieces))
        under_way: deque[tuple[RemoteFile, asyncio.Task[Downloaded | None]]] = deque()
        try:
            while (waiting or under_way) and not self.must_stop():
                while waiting and len(under_way) < _AHEAD:
                    file = waiting.popleft()
                    fetching = asyncio.create_task(self.downloader.fetch(file.path))
                    under_way.append((file, fetching))
                file, fetching = under_way[0]
                if not await self._has_come(fetching):
                    break
                under_way.popleft()
                try:
                    found = fetching.result()
                except SourceError as error:
                    self._give_up(str(error))
                    if error.retryable:
                        # The tree cannot be reached: the other files fare no better.
                        break
                    waiting.extendleft(reversed(self._days(file, pieces)))
                    continue
                if found is None:
                    await self._absent(file)
                    waiting.extendleft(reversed(self._days(file, pieces)))
                    continue
                self.files_had += 1
                if not await self._add(file, found, pieces):
                    waiting.extendleft(reversed(self._days(file, pieces)))
            await self._flush(pieces)
        finally:
            for _, fetching in under_way:
                fetching.cancel()
            await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)

    async def _has_come(self, fetching: asyncio.Task[Downloaded | None]) -> bool:
        """Waits for a file; False where the run is to stop, and all of it is not there soon.

        A month may take an hour, and what has come of it goes on next time.
        """
        while not fetching.done():
            if self.must_stop():
                await asyncio.wait({fetching}, timeout=self.gates.stop_grace_s)
                return fetching.done()
            await asyncio.wait({fetching}, timeout=_LOOK_S)
        return True

    def _expanded(
        self, files: Sequence[RemoteFile], pieces: Sequence[TimeRange]
    ) -> list[RemoteFile]:
        """*files* without those known to be absent or empty; days stand in for such months."""
        found: list[RemoteFile] = []
        for file in files:
            if self._is_absent(file):
                found += [day for day in self._days(file, pieces) if not self._is_absent(day)]
            else:
                found.append(file)
        return found

    def _days(self, file: RemoteFile, pieces: Sequence[TimeRange]) -> list[RemoteFile]:
        if not file.is_month:
            return []
        return days_instead(
            self.series,
            self.instrument.native_id,
            file,
            pieces,
            now=self.now,
            variant=self.variant,
        )

    def _is_absent(self, file: RemoteFile) -> bool:
        known = self._known.get(file.name)
        if known is None or not self._has_nothing(known):
            return False
        if self.is_again or known.url not in (None, self.downloader.url(file.path)):
            # Who wants everything again wants to know this again, too; and what one copy of the
            # tree lacks another may have.
            return False
        is_old = known.checked_at > file.promise.end + _SOON
        lasts = _ABSENT_LASTS if is_old else _ABSENT_LASTS_SOON
        return self.storage.clock() < known.checked_at + lasts

    def _has_nothing(self, known: KnownFile) -> bool:
        """Whether the vendor has no such file, or an empty one, which answers as little."""
        is_empty = known.state is ArchiveState.STORED and not known.rows
        return known.state is ArchiveState.ABSENT or is_empty

    async def _absent(self, file: RemoteFile) -> None:
        known = KnownFile(
            name=file.name,
            state=ArchiveState.ABSENT,
            checked_at=self.storage.clock(),
            url=self.downloader.url(file.path),
            window=file.promise,
            promises=True,
        )
        self._known[file.name] = known
        await asyncio.to_thread(self.storage.archives.record, self.series, known)

    async def _add(self, file: RemoteFile, found: Downloaded, pieces: Sequence[TimeRange]) -> bool:
        """Store *file*; days of candles wait for one another, a month of them is one commit.

        False: it cannot be used.
        """
        is_day_of_month = self.series.data_type is DataType.OHLCV and not file.is_month
        if self._days_held and not (
            is_day_of_month and _month(self._days_held[-1][0]) == _month(file)
        ):
            await self._flush(pieces)
        self._days_held.append((file, found))
        return is_day_of_month or await self._flush(pieces)

    async def _flush(self, pieces: Sequence[TimeRange]) -> bool:
        """Take in the files at hand, which leave the disk then; whether all can be used."""
        batch, self._days_held = self._days_held, []
        if not batch:
            return True
        wanted = intersect(list(pieces), [file.promise for file, _ in batch])
        work = sum(slots(self.series, each) for each in wanted)
        is_candles = self.series.data_type is DataType.OHLCV
        rows = sum(slots(self.series, file.promise) for file, _ in batch)
        commits: list[Stored] = []
        async with self.gates.rows.hold(rows if is_candles else _ALL_ROWS):
            try:
                outcomes = await asyncio.get_running_loop().run_in_executor(
                    self.gates.taking_in, self._take_in, [found for _, found in batch], commits
                )
            finally:
                # Whatever came after them: what was committed stays.
                for commit in commits:
                    self.rows += commit.rows_added + commit.rows_changed
                    self.emit(commit)
        for outcome in outcomes:
            if outcome.state is FileState.REFUSED:
                self._give_up(" ".join(outcome.reason.split()))
        self.emit(
            PageFetched(
                self.series,
                rows=sum(each.rows for each in outcomes if each.state is FileState.STORED),
                slots=work,
                requests=len(batch),
                rejected=sum(each.rejected for each in outcomes),
            )
        )
        for _, found in batch:
            await asyncio.to_thread(remove, found)
        return all(each.state is not FileState.REFUSED for each in outcomes)

    def _take_in(self, files: Sequence[Downloaded], commits: list[Stored]) -> Sequence[FileOutcome]:
        return import_fetched(
            self.storage,
            {each.path: Fetched(each.url, each.etag) for each in files},
            series=self.series,
            instrument=self.instrument,
            lease=self.lease,
            scratch=self._scratch,
            now=self.now,
            origin=self.origin,
            is_again=self.is_again,
            min_free=self.gates.min_free,
            on_event=lambda event: commits.append(event) if isinstance(event, Stored) else None,
        )

    def _give_up(self, why: str) -> None:
        self.problems.append(why)
        self.emit(Noticed(self.series, why))


def _month(file: RemoteFile) -> tuple[int, int]:
    return file.promise.start.year, file.promise.start.month
