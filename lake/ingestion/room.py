"""Stops before the disk is full: what is written needs room beside what must stay free."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lake.domain.identifiers import Series
from lake.errors import StorageError

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# Bytes that stay free on the disk where nothing else is said (DESIGN, section 6).
MIN_FREE = 2 << 30


def require_room(storage: Storage, series: Series, *, min_free: int, size: int = 0) -> None:
    """See that *size* more bytes leave *min_free* of them free on the lake's disk.

    Raises:
        StorageError: They do not.
    """
    free = shutil.disk_usage(storage.root).free
    if free - size < min_free:
        raise StorageError(
            f"Storing {series}: only {free / 2**30:.1f} GiB are free at {storage.root}, and "
            f"{min_free / 2**30:.1f} GiB are to stay free (min_free). What was stored stays; make "
            "room and run the same command again."
        )
