"""How the catalog of a lake that cannot be written is opened all the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lake import open_files
from lake.errors import StorageError
from lake.storage import disk, files
from lake.storage.connection import Access, Database
from lake.storage.migrations import require_current


class _CopiedDatabase(Database):
    """A database in a folder of its own, which goes when it is closed."""

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.path.parent, ignore_errors=True)


def database_of_a_read_only_lake(root: Path) -> Database:
    """The catalog of the lake at *root*, for reading.

    SQLite reads a live WAL database only with the ``-shm`` file beside it, which it cannot make
    in a folder that it may not write. Where it is missing nobody is writing, and a private
    copy is read instead; a later writer's commits show when the lake is opened again.

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
    database = _opened(path)
    try:
        require_current(database)
    except BaseException:
        database.close()
        raise
    return database


def _opened(path: Path) -> Database:
    shared = path.with_name(f"{path.name}-shm")
    # A file that apsw has open must not be opened by anything else, not even to copy it.
    if shared.exists() or files.is_writable(path.parent) or open_files.is_registered(path):
        return Database(path, Access.READ)
    folder = Path(tempfile.mkdtemp(prefix="lake-catalog-"))
    try:
        with disk.storage_errors(f"copying {path} to read it"):
            for name in (path.name, f"{path.name}-wal"):
                if (source := path.with_name(name)).exists():
                    shutil.copyfile(source, folder / name)
        # Writable, so that SQLite can take in the -wal; then only read.
        Database(folder / path.name, Access.WRITE).close()
        return _CopiedDatabase(folder / path.name, Access.READ)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
