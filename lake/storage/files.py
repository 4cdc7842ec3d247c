"""Where a lake is, and ``lake.json``, the file that marks one."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lake.domain.times import iso
from lake.errors import MigrationError, NoLake, StorageError
from lake.storage.disk import make_folders, storage_errors, write_once

MARKER = "lake.json"
CATALOG = "catalog.sqlite"
RATES = "rates.sqlite"
PARQUET = "parquet"
QUARANTINE = "quarantine"
REVISIONS = "revisions"
REBUILDING = ".rebuilding"
SNAPSHOTS = "snapshots"
MANIFEST = "manifest.json"
FORMAT = 1
"""Raised when the meaning of files outside the catalog changes."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What ``lake.json`` says. ``origin`` is ``venue``, or where synthetic rows come from."""

    lake_id: str
    created: str
    origin: str


def find_lake(data: Path | None, *, environment: Mapping[str, str], cwd: Path) -> Path:
    """The lake that a command means.

    Args:
        data: What ``--data`` said, if anything.
        environment: Where ``LAKE_DATA`` is looked up.
        cwd: The working directory; ``lake.json`` is looked for in it and upwards,
            then in ``data`` below it.

    Raises:
        NoLake: There is none.
    """
    place = place_of_lake(data, environment=environment, cwd=cwd)
    if not is_lake(place):
        raise no_lake(place)
    return place


def place_of_lake(data: Path | None, *, environment: Mapping[str, str], cwd: Path) -> Path:
    """Where :func:`find_lake` looks in the end, whether or not a lake is there yet."""
    if data is not None:
        return _absolute(cwd, data)
    if named := environment.get("LAKE_DATA"):
        return _absolute(cwd, Path(named))
    for folder in (cwd, *cwd.parents):
        if is_lake(folder):
            return folder
    return cwd / "data"


def is_lake(root: Path) -> bool:
    """Whether *root* bears ``lake.json``."""
    return (root / MARKER).is_file()


def is_frozen(root: Path) -> bool:
    """Whether *root* is a snapshot: a lake that is only ever read, whoever may write the disk."""
    return (root / MANIFEST).is_file() and is_lake(root)


def holds_files_of_a_lake(root: Path) -> bool:
    """Whether a lake was here: its catalog or any of its Parquet files still are."""
    return (root / CATALOG).exists() or next((root / PARQUET).glob("*/venue=*"), None) is not None


def no_lake(root: Path) -> NoLake:
    """The error for a place without a lake."""
    if holds_files_of_a_lake(root):
        return NoLake(
            f"{root} holds the files of a lake, but its {MARKER} is missing. Copy that file from "
            "where the others came from; a new one would make strangers of them."
        )
    return NoLake(
        f"There is no lake at {root}. Create one with `lake backfill` or `lake import`, "
        "or name the folder of a lake with --data or LAKE_DATA."
    )


def read_marker(root: Path) -> Marker:
    """``lake.json`` of the lake at *root*.

    Raises:
        NoLake: There is none.
        MigrationError: It was written by a newer version of the lake.
        StorageError: It cannot be read.
    """
    path = root / MARKER
    try:
        found = json.loads(path.read_bytes())
        version, marker = (
            int(found["format"]),
            Marker(str(found["id"]), str(found["created"]), str(found["origin"])),
        )
    except FileNotFoundError:
        raise no_lake(root) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged ({error}). It holds format, id, created and origin as JSON; "
            "put it back from a backup."
        ) from error
    if version > FORMAT:
        raise MigrationError(
            f"The lake at {root} has format {version}; this version of mdlake knows "
            f"{FORMAT}. Install a newer mdlake."
        )
    return marker


def create_marker(root: Path, *, origin: str, now: datetime) -> tuple[Marker, bool]:
    """Make a lake of *root*; says whether this call did it or another was quicker."""
    if holds_files_of_a_lake(root) and not is_lake(root):
        raise no_lake(root)
    marker = Marker(uuid.uuid4().hex, iso(now), origin)
    content = {
        "format": FORMAT,
        "id": marker.lake_id,
        "created": marker.created,
        "origin": origin,
    }
    with storage_errors(f"creating a lake at {root}"):
        make_folders(root)
        make_folders(root / PARQUET)
        text = json.dumps(content, indent=2) + "\n"
        if write_once(root / MARKER, text.encode()):
            return marker, True
    return read_marker(root), False


def remove_empty(root: Path) -> bool:
    """Remove a lake that holds nothing; says whether it is gone.

    The catalog's write-ahead log goes with the last connection to it: where it is still there
    after ours was closed, somebody else uses the lake.
    """
    marker, log = root / MARKER, root / f"{CATALOG}-wal"
    with storage_errors(f"removing the empty lake at {root}"):
        content = marker.read_bytes()
        if log.exists():
            return False
        # Without its mark nobody opens it any more; who was quicker shows by the log.
        marker.unlink()
        if log.exists():
            write_once(marker, content)
            return False
        for name in (CATALOG, RATES, f"{RATES}-wal", f"{RATES}-shm"):
            (root / name).unlink(missing_ok=True)
        for folder in (root / PARQUET, root):
            # What else lies there is not ours.
            with suppress(OSError):
                folder.rmdir()
    return True


def is_writable(root: Path) -> bool:
    """Whether this process may write the lake at *root*."""
    places = [root, root / PARQUET, root / CATALOG]
    return all(os.access(place, os.W_OK) for place in places if place.exists())


def _absolute(cwd: Path, path: Path) -> Path:
    return Path(os.path.abspath(cwd / path.expanduser()))  # noqa: PTH100 - a link stays a link
