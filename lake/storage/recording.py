"""The catalog's rows about one file: written alike by commits, start-up and the doctor."""

from __future__ import annotations

from pathlib import Path

from lake.domain.partitions import Partition
from lake.domain.times import to_us
from lake.storage import coverage as stored_coverage
from lake.storage import disk
from lake.storage.catalog import find_series_id
from lake.storage.connection import Transaction
from lake.storage.footer import Footer
from lake.storage.parquet import Written
from lake.storage.records import ranges_to_json, series_key, us_or_none
from lake.storage.revisions import confirm, take_back
from lake.storage.spacing import Gaps


def record(
    transaction: Transaction,
    series_id: int,
    partition: Partition,
    footer: Footer,
    *,
    written: Written,
    gaps: Gaps,
) -> None:
    """Say that the file of *partition* is the one that *footer* describes.

    The revisions that its commit announced are now facts, and its intent is fulfilled.
    """
    # Updated in place: replaced, the row would get a new rowid, and DuckDB's scan by rowid of an
    # attached catalog then misses it now and then, without an error.
    transaction.run(
        "insert into partitions values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (path) do update set (series_id, range_start, range_end, rows, min_ts, "
        "max_ts, bytes, sha256, schema_version, generation, gap_runs, missing, job_id, written_at) "
        "= (excluded.series_id, excluded.range_start, excluded.range_end, excluded.rows, "
        "excluded.min_ts, excluded.max_ts, excluded.bytes, excluded.sha256, "
        "excluded.schema_version, excluded.generation, excluded.gap_runs, excluded.missing, "
        "excluded.job_id, excluded.written_at)",
        (
            partition.path,
            series_id,
            to_us(partition.range.start),
            to_us(partition.range.end),
            footer.rows,
            us_or_none(footer.min_ts),
            us_or_none(footer.max_ts),
            written.bytes,
            written.sha256,
            footer.schema_version,
            footer.generation,
            ranges_to_json(gaps[0]),
            gaps[1],
            footer.job_id,
            to_us(footer.written_at),
        ),
    )
    confirm(transaction, footer.commit_id)
    transaction.run("delete from intents where commit_id = ?", (footer.commit_id,))


def forget_intent(transaction: Transaction, root: Path, commit_id: str) -> None:
    """Drop an intent that came to nothing, and the revisions that it announced.

    *root* is the lake's.
    """
    take_back(transaction, root, commit_id)
    transaction.run("delete from intents where commit_id = ?", (commit_id,))


def adopt_series(transaction: Transaction, footer: Footer) -> int:
    """The number of the series that *footer* names; made known where it was not."""
    known = find_series_id(transaction, footer.series)
    if known is not None:
        return known
    transaction.run(
        "insert into series (data_type, venue, instrument, timeframe, origin, variant, "
        "created_at) values ($data_type, $venue, $instrument, $timeframe, $origin, $variant, "
        "$created_at)",
        series_key(footer.series)
        | {
            "origin": footer.origin,
            "variant": footer.variant,
            "created_at": to_us(footer.written_at),
        },
    )
    made = find_series_id(transaction, footer.series)
    assert made is not None
    return made


def forget_partition(transaction: Transaction, partition: Partition, why: str, at: int) -> None:
    """Drop the file from the catalog with all coverage of its range: it is missing from now on."""
    series_id = find_series_id(transaction, partition.series)
    if series_id is None:
        return
    transaction.run("delete from partitions where path = ?", (partition.path,))
    stored_coverage.cut(transaction, series_id, partition.range)
    transaction.run(
        "insert into notes values (?, ?, 'file_lost', ?, '', ?) on conflict do nothing",
        (series_id, to_us(partition.range.start), why, at),
    )


def set_aside(path: Path, relative: str, quarantine: Path) -> Path:
    """Move an unreadable file out of the tree, bytes untouched; where it lies now."""
    folder = (quarantine / relative).parent
    with disk.storage_errors(f"moving {path} to quarantine"):
        disk.make_folders(folder)
        number = 1
        # Not .parquet: nobody's glob is to meet it again.
        while (target := folder / f"{path.name}.damaged-{number}").exists():
            number += 1
        path.rename(target)
        disk.sync_folder(folder)
        disk.sync_folder(path.parent)
    return target
