"""What the catalog knows of the very files that are imported: taken in before, or revised since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.domain.coverage import Claim, Coverage
from lake.domain.ranges import subtract
from lake.errors import SourceError
from lake.ingestion.import_report import Fetched
from lake.sources.archive import ArchiveFile, Streamed
from lake.storage.archive_files import ArchiveState, KnownFile

if TYPE_CHECKING:
    from lake.storage.lake import Storage


@dataclass(slots=True)
class Ledger:
    """Asks and keeps the table of files for one import.

    A file that vanished meanwhile is a ``SourceError``, whatever was to be known of it.
    """

    storage: Storage
    fetched: Mapping[Path, Fetched]
    now: datetime

    def taken_in(self, file: ArchiveFile) -> KnownFile | None:
        """What is known of this very file, where all that it gave is still covered.

        It is another one as soon as a file that is read together with it is.
        """
        known = self._known(file)
        if known is None or known.window is None or known.sha256 != _digest(file):
            return None
        if not known.rows:
            # An empty file claims nothing, so there is nothing that could be lost meanwhile.
            return known
        covered = [row.range for row in self._covered(file)]
        return None if subtract([known.window], covered) else known

    def is_revised(self, file: ArchiveFile, found: Streamed) -> bool:
        """Whether the vendor published this file again, with other contents."""
        known = self._known(file)
        return (
            known is not None
            and known.promises
            and file.promise is not None
            and found.is_intact
            and known.sha256 != _digest(file)
        )

    def is_claimed(self, file: ArchiveFile, claims: Sequence[Claim]) -> bool:
        """Whether the catalog says already what *file* claims."""
        covered = self._covered(file)
        return all(
            not subtract([claim.range], [row.range for row in covered if row.basis is claim.basis])
            for claim in claims
        )

    def stored(self, file: ArchiveFile, found: Streamed) -> None:
        """Note that all of *file* is in the lake now."""
        self._record(
            file,
            ArchiveState.STORED,
            window=found.window,
            promises=file.promise is not None,
            rows=found.rows,
            imported_at=self.now,
        )

    def refused(self, file: ArchiveFile, reason: str) -> None:
        """Note that a file that was downloaded cannot be used."""
        # What was stored of an earlier version of it still is.
        is_there = file.path.exists()
        if file.path in self.fetched and is_there and self._known(file) is None:
            self._record(file, ArchiveState.REFUSED, reason=reason)

    def _known(self, file: ArchiveFile) -> KnownFile | None:
        known = self.storage.archives.known(file.series, _name(file))
        return known if known is not None and known.state is ArchiveState.STORED else None

    def _covered(self, file: ArchiveFile) -> list[Coverage]:
        source = file.reader.tag.name
        coverage = self.storage.catalog.coverage(file.series)
        return [row for row in coverage if row.source == source]

    def _record(self, file: ArchiveFile, state: ArchiveState, **more: Any) -> None:
        origin = self.fetched.get(file.path)
        digest = _digest(file)
        known = KnownFile(
            name=_name(file),
            state=state,
            checked_at=self.now,
            url=None if origin is None else origin.url,
            etag=None if origin is None else origin.etag,
            bytes=size_of(file),
            sha256=digest,
            **more,
        )
        self.storage.archives.record(file.series, known)


def size_of(file: ArchiveFile) -> int:
    """How many bytes *file* has.

    Raises:
        SourceError: It vanished.
    """
    try:
        return file.path.stat().st_size
    except FileNotFoundError as error:
        raise _vanished(file) from error


def _digest(file: ArchiveFile) -> str:
    try:
        return file.sha256
    except FileNotFoundError as error:
        raise _vanished(file) from error


def _vanished(file: ArchiveFile) -> SourceError:
    why = f"{file.path} was there, and vanished before all of it was stored. Start again for it."
    return SourceError(why, retryable=True)


def _name(file: ArchiveFile) -> str:
    """What a file is called in the catalog: the vendor's name, and which part of it."""
    return f"{file.path.name}#{file.part}" if file.part else file.path.name
