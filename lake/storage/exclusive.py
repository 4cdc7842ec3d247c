"""One at a time per lake: a lock on a file, released by the system when its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(root: Path, purpose: str) -> Iterator[bool]:
    """Yields whether this process is the only one at *purpose* in the lake at *root*.

    The file stays behind on purpose: unlinking a locked file lets two processes lock two
    files of one name.
    """
    descriptor = os.open(root / f".{purpose}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
