"""The sha256 of files on the disk, each computed once while the file stays as it is.

The MD5 of a file, which some vendors publish, is looked at once and not remembered.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

# More than are at hand at any time.
_REMEMBERED = 1_024
_State = tuple[int, int, int, int]

_lock = threading.Lock()
_known: dict[_State, str] = {}


def sha256_of(path: Path) -> str:
    """The digest of the file at *path*, in hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        told = path.stat()
        state = (told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)
        with _lock:
            if state in _known:
                return _known[state]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with _lock:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[state] = digest
    return digest


def sha256_of_all(paths: Sequence[Path]) -> str:
    """One digest of several files in their order; of a single file its own.

    Raises:
        OSError: One of them cannot be read.
    """
    digests = [sha256_of(each) for each in paths]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def md5_of(path: Path) -> str:
    """The MD5 of the file at *path*, in hexadecimal digits: it proves no author, only bytes.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
