"""How the catalog of a lake that cannot be written is opened all the same."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from lake import open_files
from lake.errors import MigrationError, StorageError
from lake.private_copies import copy_of
from lake.storage import disk, files
from lake.storage.connection import Access, Database
from lake.storage.migrations import migrate, require_current

_SHARED_BYTES = 32_768
"""A ``-shm`` file is made so large at least."""


class _CopiedDatabase(Database):
    """A database in a folder of its own, which goes when it is closed."""

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.path.parent, ignore_errors=True)


def database_of_a_read_only_lake(root: Path, *, has_room: bool = True) -> Database:
    """The catalog of the lake at *root*, for reading.

    SQLite reads a live WAL database only with the ``-shm`` file beside it, which it cannot make
    in a folder that it may not write, nor on a full disk (*has_room* is false). Where it is
    missing nobody is writing, and a private copy is read instead; a later writer's commits show
    when the lake is opened again.

    Raises:
        StorageError: There is no catalog, or it cannot be read.
        MigrationError: It is of another version.
    """
    path = root / files.CATALOG
    if not path.exists():
        raise StorageError(
            f"{path} is missing, and it cannot be made again from the Parquet files where the "
            "lake is read-only. Run `lake doctor` once where it can be written."
        )
    database = _opened(path, has_room=has_room)
    try:
        require_current(database)
    except MigrationError:
        try:
            # A snapshot is never written, and outlives the version that made it.
            if files.is_frozen(root):
                return _migrated_copy(database)
            raise
        finally:
            database.close()
    except BaseException:
        database.close()
        raise
    return database


def _migrated_copy(database: Database) -> Database:
    """A private copy of *database*, brought to this version's schema.

    Raises:
        MigrationError: It is of a newer version.
    """
    with disk.storage_errors(f"copying {database.path} to read it"):
        copy = Path(tempfile.mkdtemp(prefix="lake-catalog-")) / database.path.name
    try:
        database.copy_to(copy)
        made = Database(copy, Access.WRITE)
        try:
            migrate(made, now=datetime.now(UTC).replace(tzinfo=None))
        finally:
            made.close()
        return _CopiedDatabase(copy, Access.READ)
    except BaseException:
        shutil.rmtree(copy.parent, ignore_errors=True)
        raise


def _opened(path: Path, *, has_room: bool) -> Database:
    shared = path.with_name(f"{path.name}-shm")
    can_make = has_room and files.is_writable(path.parent)
    # On a full disk an empty one may be left of an attempt to make it.
    is_shared = shared.exists() and shared.stat().st_size >= _SHARED_BYTES
    # A file that apsw has open must not be opened by anything else, not even to copy it.
    if is_shared or can_make or open_files.is_registered(path):
        return Database(path, Access.READ)
    copy = copy_of(path)
    try:
        # Writable, so that SQLite can take in the -wal; then only read.
        Database(copy, Access.WRITE).close()
        return _CopiedDatabase(copy, Access.READ)
    except BaseException:
        shutil.rmtree(copy.parent, ignore_errors=True)
        raise
