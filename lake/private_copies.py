"""Private copies of SQLite files, for reading where SQLite cannot make its own files beside them.

A database in WAL mode is read only with a ``-shm`` file, which a read-only folder or a full disk
does not allow. Where nobody holds one nobody is writing, and a copy is as good. Storage and
warehouse both need that and do not know one another, so it lives here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lake.errors import StorageError

__all__ = ["copy_of"]

# A file system in memory, where there is one: there is room when no disk has any.
_MEMORY = Path("/dev/shm")
# What SQLite may want beside the copy.
_SPARE_BYTES = 1 << 20


def copy_of(database: Path) -> Path:
    """A copy of *database* and its log in a new folder, which the caller removes.

    The caller knows that this process does not have the file open.

    Raises:
        StorageError: There is no room for it, or it cannot be read.
    """
    sources = [database, database.with_name(f"{database.name}-wal")]
    present = [source for source in sources if source.exists()]
    try:
        wanted = sum(source.stat().st_size for source in present)
        for place in _places():
            if shutil.disk_usage(place).free < 2 * wanted + _SPARE_BYTES:
                continue
            folder = Path(tempfile.mkdtemp(prefix="lake-catalog-", dir=place))
            try:
                for source in present:
                    shutil.copyfile(source, folder / source.name)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            return folder / database.name
    except OSError as error:
        raise StorageError(
            f"{database} cannot be copied to read it ({error.strerror or error}). Check that this "
            "user may read it, and set TMPDIR to a folder with room."
        ) from error
    raise StorageError(
        f"{database} cannot be read where it lies, and nowhere are {2 * wanted / 1e6:,.0f} MB free "
        "for a copy of it. Free some space, or set TMPDIR to a folder with room."
    )


def _places() -> Iterator[Path]:
    # It tries to write in each candidate and finds none where all disks are full.
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    if _MEMORY.is_dir():
        yield _MEMORY
