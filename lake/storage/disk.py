"""Files that survive a power cut: folders, fsync, exclusive creation, and what a disk error means.

Knows nothing of lakes, partitions or SQLite.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lake.errors import ReadOnlyLake, StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# Only macOS has it: there fsync leaves the bytes in the drive's own cache.
_F_FULLFSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into the error that says what to do.

    Args:
        what: What was being done, for the message: ``writing /data/parquet/...``.
    """
    try:
        yield
    except OSError as error:
        raise as_storage_error(error, what) from error


def as_storage_error(error: OSError, what: str) -> StorageError:
    """The error of the lake for *error*, which came while *what*."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(
            f"No space left while {what} ({why}). What was stored before is complete. "
            "Free some space or raise the quota, then start the same command again."
        )
    if error.errno in _DENIED:
        return ReadOnlyLake(
            f"Not allowed to write while {what} ({why}). "
            "Give this user the right to write there, or run as the user who owns the lake."
        )
    return StorageError(
        f"The disk failed while {what} ({why}). What was stored before is complete. "
        "Check the disk and `lake doctor --deep`, then start the same command again."
    )


def sync_file(descriptor: int) -> None:
    """Force what was written through *descriptor* onto the disk.

    A failed fsync must not be tried again: the kernel may have dropped the pages and would
    report success (PostgreSQL, "PANIC on fsync() failure", 2018-11). Delete and rewrite.
    """
    if _F_FULLFSYNC is not None:
        try:
            fcntl.fcntl(descriptor, _F_FULLFSYNC)
        except OSError as error:
            # Network and foreign file systems lack it; plain fsync is the best there is.
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
        else:
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Force the names in *folder* onto the disk: a rename is not durable before that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Create *folder* and what is missing above it, so that none of them can vanish."""
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def write_once(path: Path, content: bytes) -> bool:
    """Create *path* with *content*, whole or not at all; False where it exists already."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            sync_file(file.fileno())
        try:
            # Unlike a rename, a link never replaces what another process made meanwhile.
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            temporary.replace(path)  # a file system without hard links
        sync_folder(path.parent)
        return True
    finally:
        temporary.unlink(missing_ok=True)
