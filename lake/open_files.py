"""Which files this process holds open through apsw, so that DuckDB never opens the same ones.

Two SQLite libraries in one process destroy data (DESIGN section 4). Storage registers what it
opens, the warehouse asks before it attaches; the two rooms do not import one another, so the list
lives here. A file is known by device and inode: a link, a relative path or a moved lake changes
nothing.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

__all__ = ["is_registered", "register", "unregister"]

_Identity = tuple[int, int]

_lock = threading.Lock()
_open: Counter[_Identity] = Counter()
_by_path: dict[str, list[_Identity]] = {}


def register(path: str | os.PathLike[str]) -> None:
    """Note that *path* is open through apsw; it must exist. Each call needs its ``unregister``."""
    identity = _identity(path)
    with _lock:
        _open[identity] += 1
        _by_path.setdefault(_key(path), []).append(identity)


def unregister(path: str | os.PathLike[str]) -> None:
    """Undo one ``register`` of the same path, also where the file was moved or removed since."""
    key = _key(path)
    with _lock:
        identities = _by_path.get(key)
        if not identities:
            return
        identity = identities.pop()
        if not identities:
            del _by_path[key]
        _open[identity] -= 1
        if not _open[identity]:
            del _open[identity]


def is_registered(path: str | os.PathLike[str]) -> bool:
    """Whether this process holds that very file (by whatever name) open through apsw."""
    try:
        identity = _identity(path)
    except FileNotFoundError:
        return False
    with _lock:
        return identity in _open


def _identity(path: str | os.PathLike[str]) -> _Identity:
    state = Path(path).stat()
    return state.st_dev, state.st_ino


def _key(path: str | os.PathLike[str]) -> str:
    return str(Path(path).absolute())


def _fresh_lock_in_child() -> None:
    # Another thread may hold the lock at the moment of a fork. The list itself stays: a child
    # inherits the descriptors, and closing one of them would drop locks just the same.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_fresh_lock_in_child)
