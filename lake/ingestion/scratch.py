"""A folder in the lake for what memory should not hold: gone when its owner is, killed or not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lake.storage import disk
from lake.storage.process import ProcessIdentity

# Neither a reader of Parquet nor a copy of the lake looks at what begins with a dot.
_PREFIX = ".scratch-"
_OWNER = "owner.json"


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder below *root*, on the disk whose room is watched; it goes at the end.

    Raises:
        StorageError: It cannot be made.
    """
    remove_left_behind(root)
    with disk.storage_errors(f"making a folder in {root}"):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        (folder / _OWNER).write_text(ProcessIdentity.current().to_json())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind(root: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        try:
            owner = ProcessIdentity.from_json((folder / _OWNER).read_text())
        except (OSError, ValueError, TypeError):
            # Its owner is just making it, or removing it.
            continue
        if owner.is_dead():
            shutil.rmtree(folder, ignore_errors=True)
