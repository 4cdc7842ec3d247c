"""A private copy of the catalog for this process's DuckDB, which must never see the live file."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

from lake.storage import disk
from lake.storage.connection import Database

_MIN_AGE_S = 1.0
"""A copy costs tens of milliseconds; more than one a second would slow every query down."""
_KEPT = 2
"""The newest and the one before it, which another thread may be about to attach."""


class Snapshots:
    """Copies of one catalog in a temporary folder of our own, made when it has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._copies: list[Path] = []
        self._version: int | None = None
        self._made_at = -_MIN_AGE_S
        self._count = 0

    def newest(self) -> Path:
        """A copy no older than one second; another path whenever its content may differ."""
        with self._lock:
            if self._copies and time.monotonic() - self._made_at < _MIN_AGE_S:
                return self._copies[-1]
            version = self._database.version()
            if not self._copies or version != self._version:
                # The version was read before, so a commit in between makes another copy.
                self._copies.append(self._copy())
                self._version = version
                for stale in self._copies[:-_KEPT]:
                    stale.unlink(missing_ok=True)
                del self._copies[:-_KEPT]
            self._made_at = time.monotonic()
            return self._copies[-1]

    def expire(self) -> None:
        """Have the next copy show every commit before now."""
        with self._lock:
            self._made_at = -_MIN_AGE_S

    def close(self) -> None:
        """Remove the copies."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._copies.clear()
            self._version = None

    def _copy(self) -> Path:
        with disk.storage_errors("making a copy of the catalog for queries"):
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="lake-catalog-"))
            self._count += 1
            target = self._folder / f"catalog-{self._count}.sqlite"
            self._database.copy_to(target)
        return target
