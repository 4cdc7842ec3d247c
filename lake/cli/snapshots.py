"""snapshot: frozen copies of the lake, what they hold, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from lake.cli.arguments import HERE, Place
from lake.cli.asking import require_yes
from lake.cli.output import Row, counted, print_error, print_rows, size_text
from lake.cli.retention import Yes
from lake.errors import LakeError

if TYPE_CHECKING:
    from lake.storage.manifest import Difference, FrozenFile, Manifest

app = App(name="snapshot", help="Frozen copies of the lake, for research that can be repeated.")

_FOUND = 3


@app.command
def create(name: str, *, place: Place = HERE, json: bool = False) -> int:
    """Freeze the lake as it is now: files, catalog, and a manifest with a digest of each.

    Takes hardly any room: files are shared with the lake until the lake replaces them. Others
    may write meanwhile. Read it as a lake of its own, which never changes:

      lake snapshot create 2024-06-01

      lake sql --data data/snapshots/2024-06-01 "from ohlcv_1h limit 5"

    In Python: Lake("data", snapshot="2024-06-01").

    Args:
        name: Letters, digits, dots, dashes, underscores.
        json: Print one JSON object.
    """
    from lake.storage.files import SNAPSHOTS
    from lake.storage.frozen import create_snapshot

    with place.open_to_write() as storage:
        made = create_snapshot(storage, name)
        where = storage.root / SNAPSHOTS / name
    if json:
        print_rows([_row(made)], as_json=True, empty="")
    else:
        partitions = made.partitions
        rows, size = sum(each.rows for each in partitions), sum(each.bytes for each in partitions)
        print(
            f"snapshot {name}: {counted(rows, 'row')} in {counted(len(partitions), 'file')} "
            f"({size_text(size)}), each compared with its digest, at {where}"
        )
    return 0


@app.default
@app.command(name="list")
def list_snapshots(*, verify: bool = False, place: Place = HERE, json: bool = False) -> int:
    """List the snapshots. Exits with 3 where one is not as it was made.

    For example:

      lake snapshot list --verify

    Args:
        verify: Read every byte of them and compare it with the manifest.
        json: Print one JSON object per snapshot.
    """
    from lake.storage.files import SNAPSHOTS
    from lake.storage.frozen import snapshot_names
    from lake.storage.manifest import problems, read_manifest

    root = place.root()
    known = _digests(place)
    rows: list[Row] = []
    damaged = False
    for name in snapshot_names(root):
        folder = root / SNAPSHOTS / name
        try:
            manifest = read_manifest(folder)
            wrong = [*problems(folder, manifest)] if verify else []
            if known.get(name, manifest.sha256) != manifest.sha256:
                wrong.insert(0, "its manifest is not the one that was written")
            row = _row(manifest)
        except LakeError as error:
            wrong, row = [str(error)], _unreadable(name)
        for each in wrong:
            print_error(f"lake: snapshot {name}", each)
        damaged = damaged or bool(wrong)
        state = counted(len(wrong), "problem") if wrong else "whole" if verify else "not verified"
        rows.append(row | {"name": name, "state": state})
    print_rows(rows, as_json=json, empty="no snapshots: lake snapshot create NAME")
    return _FOUND if damaged else 0


@app.command(usage="Usage: lake snapshot diff BEFORE [AFTER] [OPTIONS]")
def diff(
    before: str, after: str | None = None, /, *, place: Place = HERE, json: bool = False
) -> int:
    """Show which files differ between two snapshots, or a snapshot and the lake as it is now.

    For example:

      lake snapshot diff 2024-06-01 2024-07-01

      lake snapshot diff 2024-06-01

    Args:
        before: A snapshot.
        after: Another one (default: the lake as it is now).
        json: Print one JSON object per file.
    """
    from lake.storage.frozen import files_now, snapshot_root
    from lake.storage.manifest import differences, read_manifest

    root = place.root()
    old = read_manifest(snapshot_root(root, before)).files
    new: Sequence[FrozenFile]
    if after is not None:
        new = read_manifest(snapshot_root(root, after)).files
    else:
        with place.open() as storage:
            new = files_now(storage)
    rows = [_difference_row(each) for each in differences(old, new)]
    print_rows(rows, as_json=json, empty=f"{before} and {after or 'the lake'} hold the same rows")
    return 0


@app.command
def drop(name: str, *, yes: Yes = False, dry_run: bool = False, place: Place = HERE) -> int:
    """Remove a snapshot; what the lake itself holds stays. Asks first.

    For example:

      lake snapshot drop 2024-06-01 --yes

    Args:
        name: Which one.
        yes: Do not ask.
        dry_run: Only show what would go.
    """
    from lake.storage.frozen import drop_snapshot, snapshot_root

    with place.open() if dry_run else place.open_to_write() as storage:
        folder = snapshot_root(storage.root, name)
        what = f"snapshot {name}{_contents(folder)}"
        if dry_run:
            print(f"{what} would go")
            return 0
        require_yes(f"{what} goes for good", yes=yes)
        drop_snapshot(storage, name)
    print(f"{what} removed")
    return 0


def _contents(folder: Path) -> str:
    from lake.storage.manifest import read_manifest

    try:
        partitions = read_manifest(folder).partitions
    except LakeError:
        return " (its manifest cannot be read)"
    rows = sum(each.rows for each in partitions)
    size = size_text(sum(each.bytes for each in partitions))
    return f" ({counted(rows, 'row')} in {counted(len(partitions), 'file')}, {size})"


def _digests(place: Place) -> dict[str, str]:
    """The digest of each manifest as the catalog remembers it."""
    with place.open() as storage:
        return dict(storage.database.read("select name, manifest_sha256 from snapshots"))


def _row(made: Manifest) -> Row:
    from lake.domain.partitions import Partition

    partitions = made.partitions
    series = {Partition.from_path(each.partition_path or "").series for each in partitions}
    return {
        "name": made.name,
        "created": made.created,
        "series": len(series),
        "files": len(partitions),
        "rows": sum(each.rows for each in partitions),
        "bytes": sum(each.bytes for each in partitions),
        "manifest_sha256": made.sha256,
    }


def _unreadable(name: str) -> Row:
    names = ("created", "series", "files", "rows", "bytes", "manifest_sha256")
    return {"name": name, **dict.fromkeys(names)}


def _difference_row(each: Difference) -> Row:
    from lake.domain.partitions import Partition

    partition = Partition.from_path(each.path)
    series = partition.series
    return {
        "change": each.change,
        "venue": series.venue.name,
        "instrument": series.instrument_id.symbol,
        "timeframe": series.timeframe,
        "data_type": series.data_type,
        "start": partition.range.start,
        "rows_before": None if each.before is None else each.before.rows,
        "rows_after": None if each.after is None else each.after.rows,
        "bytes_before": None if each.before is None else each.before.bytes,
        "bytes_after": None if each.after is None else each.after.bytes,
    }
