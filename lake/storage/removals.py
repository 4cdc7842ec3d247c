"""Files that are no part of the lake any more and still have to go from the disk.

They are named in the transaction that takes them out of the catalog, and unlinked after it, by
whoever comes first: the one who removed them, a writer of the same partition, the next start-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lake.domain.partitions import Partition
from lake.storage import disk, files
from lake.storage.connection import Transaction
from lake.storage.points import reached

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_BATCH = 200
"""Files unlinked under one write lock: some tens of milliseconds."""


def unlink_removed(storage: Storage) -> int:
    """Unlink every file that was removed from the catalog; how many were named.

    Idempotent, and may be killed anywhere.

    Raises:
        StorageError: A file cannot be unlinked; the next start-up tries again.
    """
    count = 0
    # A look without the lock: as good as always there is nothing to do.
    while storage.database.read_one("select 1 from removals limit 1") is not None:
        with storage.database.writing() as transaction:
            rows = transaction.rows("select path from removals order by path limit ?", (_BATCH,))
            for (path,) in rows:
                _unlink(transaction, storage, path)
            count += len(rows)
    return count


def unlink_if_removed(transaction: Transaction, storage: Storage, partition: Partition) -> bool:
    """Whether the file of *partition* was removed; it is gone then."""
    path = f"{files.PARQUET}/{partition.path}"
    if transaction.row("select 1 from removals where path = ?", (path,)) is None:
        return False
    _unlink(transaction, storage, path)
    return True


def _unlink(transaction: Transaction, storage: Storage, relative: str) -> None:
    path = storage.root / relative
    held = transaction.row(
        "select 1 from partitions where path = ?", (relative.removeprefix(f"{files.PARQUET}/"),)
    )
    # A file that is held is another one: it was written since, where the removed one was.
    if held is None and path.exists():
        with disk.storage_errors(f"removing {path}"):
            path.unlink(missing_ok=True)
            reached("retention.unlinked")
            # A name that comes back after a power cut would be taken in as a lost commit.
            disk.sync_folder(path.parent)
    transaction.run("delete from removals where path = ?", (relative,))
