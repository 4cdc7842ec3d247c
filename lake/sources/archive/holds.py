"""Who has a file: one that writes or removes it, or any number that need it as it is.

The locks are the system's, so a killed process has none. It knows nothing of downloads.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import weakref
from pathlib import Path
from typing import Any

from lake.errors import StorageError

# How often a file is looked at that somebody else has. Waiting in a thread for it would be simpler,
# but nothing ends that: a run that is to stop would wait for the other one.
LOOK_S = 0.1


class Hold:
    """A lock on the file that was opened at a path; it ends with this object, at the latest.

    It counts for one opened file: two tasks of a process keep each other out as two processes do.

    Args:
        path: The file's name.
        descriptor: The file, opened for this alone; it is closed at the end.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        # Whoever is cancelled with a file at hand lets go of it, too.
        self._close = weakref.finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        """How many bytes the file has."""
        return os.fstat(self._descriptor).st_size

    def share(self) -> bool:
        """Whether nobody writes or removes the file, and nobody may until this ends."""
        return self._lock(fcntl.LOCK_SH)

    def own(self) -> bool:
        """Whether the file is needed by nobody else. Where it is, a share of it is lost."""
        return self._lock(fcntl.LOCK_EX)

    def is_named(self) -> bool:
        """Whether the file still has its name: it is neither finished, replaced nor removed."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def end(self) -> None:
        """Let go of the file."""
        self._close()

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be locked: {error.strerror or error}. Keep the lake on a "
                "file system that knows locks."
            ) from error
        return True


async def shared(path: Path) -> Hold | None:
    """The file at *path* as it is, for as long as it is held; None where there is none.

    Who writes or removes it is waited for.

    Raises:
        StorageError: It cannot be opened, or not be locked.
    """
    while True:
        try:
            # Some network file systems lock only what is open for writing.
            hold = Hold(path, os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror or error}.") from error
        if hold.share() and hold.is_named():
            return hold
        hold.end()
        await asyncio.sleep(LOOK_S)
