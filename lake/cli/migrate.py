"""migrate: brings files that an older version wrote to the columns of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lake.cli.arguments import HERE, Place
from lake.cli.asking import require_yes
from lake.cli.output import Row, counted, print_rows, size_text
from lake.cli.retention import Yes

if TYPE_CHECKING:
    from lake.storage.upgrade import Outdated


def migrate(
    *, yes: Yes = False, dry_run: bool = False, place: Place = HERE, json: bool = False
) -> int:
    """Rewrite files of an older schema in the current one; shows what first, and asks.

    They read rightly as they are: columns that they lack are null. Rewritten they keep every row
    as it is, and questions over old and new files become a little quicker. It may be stopped
    and started again at any time. The catalog itself is migrated whenever a lake is opened.

    For example:

      lake migrate --dry-run

    Args:
        yes: Do not ask.
        dry_run: Only show what would be rewritten.
        json: Print one JSON object per series.
    """
    from lake.storage.upgrade import outdated, settle, upgrade

    with place.open() if dry_run else place.open_to_write() as storage:
        if not dry_run:
            settle(storage)
        found = outdated(storage)
        if dry_run or not found or not json:
            nothing = "nothing to do: every file has the current schema"
            print_rows([_row(each) for each in found], as_json=json, empty=nothing)
        if dry_run or not found:
            return 0
        files = sum(len(each.partitions) for each in found)
        size = size_text(sum(each.bytes for each in found))
        require_yes(f"{counted(files, 'file')} ({size}) to be written anew", yes=yes)
        counts = [upgrade(storage, each) for each in found]
    if json:
        rows = zip(found, counts, strict=True)
        print_rows([_row(each) | {"files": count} for each, count in rows], as_json=True, empty="")
    else:
        print(f"{counted(sum(counts), 'file')} of {len(found):,} series written anew")
    return 0


def _row(each: Outdated) -> Row:
    return {
        "venue": each.series.venue.name,
        "instrument": each.series.instrument_id.symbol,
        "timeframe": each.series.timeframe,
        "data_type": each.series.data_type,
        "start": each.range.start,
        "end": each.range.end,
        "schema_versions": " ".join(map(str, each.versions)),
        "files": len(each.partitions),
        "rows": each.rows,
        "bytes": each.bytes,
    }
