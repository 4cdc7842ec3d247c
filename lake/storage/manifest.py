"""What a snapshot holds: its files with rows, size and digest, and how two of them differ.

The manifest lies in the snapshot's own folder, which it makes one that is only ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from lake.domain.times import iso
from lake.errors import MigrationError, StorageError
from lake.storage import files
from lake.storage.disk import storage_errors

_FORMAT = 1
_ROWS_OF = f"{files.PARQUET}/"


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """One file of a snapshot. ``path`` is relative to it; ``rows`` is 0 where there are none."""

    path: str
    rows: int
    bytes: int
    sha256: str

    @property
    def partition_path(self) -> str | None:
        """Its path below ``parquet/``; None for what holds no rows of the lake."""
        return self.path.removeprefix(_ROWS_OF) if self.path.startswith(_ROWS_OF) else None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that a snapshot holds, as it was made.

    Attributes:
        created: When (naive UTC).
        written_by: The version of the program that made it.
        files: Partitions, old rows, the catalog and ``lake.json``, by path.
        sha256: Of the manifest's own text.
    """

    name: str
    lake_id: str
    created: datetime
    written_by: str
    files: tuple[FrozenFile, ...]
    sha256: str = ""

    @property
    def partitions(self) -> list[FrozenFile]:
        """The files that hold rows of the lake."""
        return [each for each in self.files if each.partition_path is not None]

    def to_json(self) -> bytes:
        partitions = self.partitions
        content = {
            "format": _FORMAT,
            "name": self.name,
            "lake_id": self.lake_id,
            "created": iso(self.created),
            "written_by": self.written_by,
            "partitions": len(partitions),
            "rows": sum(each.rows for each in partitions),
            "bytes": sum(each.bytes for each in partitions),
            "files": [asdict(each) for each in self.files],
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the snapshot at *folder*.

    Raises:
        StorageError: It is missing or damaged.
        MigrationError: A newer version wrote it.
    """
    path = folder / files.MANIFEST
    with storage_errors(f"reading {path}"):
        text = path.read_bytes()
    try:
        found = json.loads(text)
        made_for = int(found["format"])
        manifest = Manifest(
            name=str(found["name"]),
            lake_id=str(found["lake_id"]),
            created=datetime.fromisoformat(found["created"]),
            written_by=str(found["written_by"]),
            files=tuple(FrozenFile(**each) for each in found["files"]),
            sha256=hashlib.sha256(text).hexdigest(),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged ({error}). Put it back from a backup, or drop the snapshot."
        ) from error
    if made_for > _FORMAT:
        raise MigrationError(
            f"{path} has format {made_for}; this version of mdlake knows {_FORMAT}. "
            f"Install mdlake {manifest.written_by} or newer."
        )
    return manifest


def digested(root: Path, path: str, rows: int) -> FrozenFile | None:
    """The file at *path* below *root* as it is on the disk; None where it is not there."""
    with storage_errors(f"reading {root / path}"):
        try:
            with (root / path).open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                return FrozenFile(path, rows, file.tell(), sha256)
        except FileNotFoundError:
            return None


def problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What of the snapshot at *folder* is not as it was made; every byte of it is read."""
    for each in manifest.files:
        found = digested(folder, each.path, each.rows)
        if found is None:
            yield f"{each.path} is missing"
        elif found.bytes != each.bytes:
            yield f"{each.path} has {found.bytes:,} bytes, not {each.bytes:,}"
        elif found.sha256 != each.sha256:
            yield f"{each.path} was altered (its sha256 is another)"
    known = {each.path for each in manifest.files}
    for path in sorted((folder / files.PARQUET).rglob("*.parquet")):
        relative = path.relative_to(folder).as_posix()
        if relative not in known:
            yield f"{relative} was added"


@dataclass(frozen=True, slots=True)
class Difference:
    """One partition that two snapshots do not hold alike."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: FrozenFile | None
    after: FrozenFile | None


def differences(before: Iterable[FrozenFile], after: Sequence[FrozenFile]) -> list[Difference]:
    """What became of the partitions *before* in *after*, by path."""
    old = {path: each for each in before if (path := each.partition_path) is not None}
    new = {path: each for each in after if (path := each.partition_path) is not None}
    found: list[Difference] = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None:
            found.append(Difference(path, "added", None, now))
        elif now is None:
            found.append(Difference(path, "removed", was, None))
        elif was.sha256 != now.sha256:
            found.append(Difference(path, "changed", was, now))
    return found
