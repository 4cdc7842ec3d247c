"""Makes the catalog's rows again from the Parquet files, which are the truth about rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lake.domain.partitions import Partition
from lake.errors import InvalidRequest
from lake.storage import files, revisions
from lake.storage.parquet import DamagedFile
from lake.storage.reconcile import roll_forward

if TYPE_CHECKING:
    from lake.storage.lake import Storage


def rebuild(storage: Storage) -> int:
    """Take in every file of the tree that the catalog lacks or is behind of; how many.

    Files that cannot be read are left for ``lake doctor``, which names them. What footers
    cannot tell is gone: jobs, failed ranges, revisions, notes, and claims that came after a
    file's last change. Files of old rows are taken in where their partition has moved on since.
    """
    taken = 0
    for path in parquet_files(storage.parquet):
        try:
            taken += roll_forward(storage, Partition.from_path(path))
        except (InvalidRequest, DamagedFile):
            continue
    for path in parquet_files(storage.root / files.REVISIONS):
        with suppress(InvalidRequest, DamagedFile), storage.database.writing() as transaction:
            revisions.adopt(transaction, storage, f"{files.REVISIONS}/{path}")
    return taken


def parquet_files(tree: Path) -> Iterator[str]:
    """Every ``.parquet`` file below *tree*, relative, ascending."""
    for path in sorted(tree.rglob("*.parquet")):
        yield path.relative_to(tree).as_posix()
