"""Keeps the rows that a commit changes or takes out: few in the catalog, many in one file.

A vendor's archive may replace every trade of a day. As rows of SQLite those took more time and
room than the day itself; as one Parquet file beside the catalog they take what the day took.
Both are announced with the commit's intent, become facts in the transaction that publishes it,
and are taken back with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.partitions import FILE_NAME, Partition
from lake.domain.rows import SourceTag
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.times import from_us, to_us
from lake.errors import StorageError
from lake.storage import disk, files, parquet
from lake.storage.change import Overtaken
from lake.storage.columns import micros
from lake.storage.connection import Transaction
from lake.storage.footer import Footer
from lake.storage.points import reached
from lake.storage.records import RevisionFile, us_or_none
from lake.storage.writing import PartitionWriter

if TYPE_CHECKING:
    from lake.storage.lake import Storage

MOST_LINES = 2_000
"""Old rows of one commit that go into the catalog one by one: some 50 ms of work, 1.5 MB. A day of
500,000 trades took 10.5 s and 390 MB that way, and takes 0.4 s as a file."""

_LINE = "insert or ignore into revisions values (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
_FILE = (
    "insert into revision_files values (?, ?, ?, ?, ?, 0, null, null, 0, '', ?, ?, ?, 1) "
    "on conflict do nothing"
)
_FILE_IS_WHOLE = (
    "update revision_files set rows = ?, min_ts = ?, max_ts = ?, bytes = ?, sha256 = ? "
    "where commit_id = ? and pending = 1"
)


@dataclass(frozen=True, slots=True)
class Revising:
    """The commit that changes rows, and whose rows they are. ``footer`` is that of their file."""

    partition: Partition
    footer: Footer | None
    commit_id: str
    job_id: str
    why: str
    now: datetime

    @property
    def spec(self) -> RowSpec:
        return ROW_SPECS[self.partition.series.data_type]

    @property
    def generation(self) -> int:
        return 0 if self.footer is None else self.footer.generation

    @property
    def path(self) -> str:
        """Where the file of old rows lies, relative to the lake."""
        folder = self.partition.path.rpartition("/")[0]
        return f"{files.REVISIONS}/{folder}/g{self.generation}-{self.commit_id}.parquet"


class OldRows:
    """The old rows of one commit. They are told inside a transaction, and stored after it."""

    def __init__(self, storage: Storage, revising: Revising) -> None:
        self._storage = storage
        self._about = revising
        self._count = 0
        self._waiting: list[pa.Table] = []
        self._stored = 0
        self._bounds: tuple[int, int] | None = None
        self._open = ExitStack()
        self._writer: PartitionWriter | None = None

    def tell(self, transaction: Transaction, series_id: int, rows: pa.Table | None) -> None:
        """Say in the catalog that *rows* will change or go."""
        if rows is None or not rows.num_rows:
            return
        about = self._about
        self._count += rows.num_rows
        if self._writer is None and not self._waiting and self._count <= MOST_LINES:
            transaction.run_many(_LINE, list(_lines(rows, about, series_id)))
            return
        self._waiting.append(rows)
        # Before there is a file, so that start-up knows of it whenever we are killed.
        transaction.run(
            _FILE,
            (
                about.commit_id,
                series_id,
                about.path,
                about.partition.path,
                about.generation,
                about.why,
                about.job_id,
                to_us(about.now),
            ),
        )

    def store(self) -> None:
        """Write what was told and is too much for the catalog."""
        for rows in self._waiting:
            if self._writer is None:
                path = self._storage.root / self._about.path
                with disk.storage_errors(f"creating {path.parent}"):
                    disk.make_folders(path.parent)
                writer = PartitionWriter(path, self._about.spec, self._storage.sizes)
                self._writer = self._open.enter_context(writer)
                reached("revision.created")
            self._writer.append(rows)
            moments = micros(rows["ts"])
            low, high = int(moments.min()), int(moments.max())
            was = self._bounds or (low, high)
            self._bounds = min(was[0], low), max(was[1], high)
            self._stored += rows.num_rows
        self._waiting = []

    def finish(self) -> None:
        """Force the file, where there is one, onto the disk; call it before publishing.

        Raises:
            Overtaken: Somebody took us for dead and cleaned up after us.
        """
        if self._writer is None or self._bounds is None:
            return
        path = self._storage.root / self._about.path
        written = self._writer.finish(self._footer())
        self._open.close()
        with disk.storage_errors(f"writing {path}"):
            disk.sync_folder(path.parent)
        reached("revision.written")
        with self._storage.database.writing() as transaction:
            values = (self._stored, *self._bounds, written.bytes, written.sha256)
            if not transaction.run(_FILE_IS_WHOLE, (*values, self._about.commit_id)):
                raise Overtaken
        reached("revision.told")

    def abandon(self) -> None:
        """Remove the file of a commit that came to nothing."""
        with suppress(OSError, StorageError):
            self._open.close()
            (self._storage.root / self._about.path).unlink(missing_ok=True)

    def _footer(self) -> Footer:
        about, held = self._about, self._about.footer
        assert self._bounds is not None
        return Footer(
            lake_id=self._storage.lake_id,
            series=about.partition.series,
            schema_version=about.spec.version,
            generation=about.generation,
            commit_id=about.commit_id,
            job_id=about.job_id,
            token=0,
            rows=self._stored,
            min_ts=from_us(self._bounds[0]),
            max_ts=from_us(self._bounds[1]),
            source=SourceTag("revision", 0) if held is None else held.source,
            origin="" if held is None else held.origin,
            variant=None if held is None else held.variant,
            written_at=about.now,
            stored=0,
            progress=None,
            claims=(),
            coverage=(),
        )


def take_back(transaction: Transaction, root: Path, commit_id: str) -> None:
    """Forget what a commit that came to nothing had announced, and remove its file."""
    transaction.run("delete from revisions where pending = 1 and commit_id = ?", (commit_id,))
    row = transaction.row(
        "select path from revision_files where pending = 1 and commit_id = ?", (commit_id,)
    )
    if row is not None:
        with disk.storage_errors(f"removing {root / row[0]}"):
            (root / row[0]).unlink(missing_ok=True)
        transaction.run("delete from revision_files where commit_id = ?", (commit_id,))


def confirm(transaction: Transaction, commit_id: str) -> None:
    """Say that the commit is published: what it announced is so now."""
    for table in ("revisions", "revision_files"):
        transaction.run(
            f"update {table} set pending = 0 where pending = 1 and commit_id = ?", (commit_id,)
        )


def adopt(transaction: Transaction, storage: Storage, path: str) -> None:
    """Say in a catalog that was made again that the old rows in the file at *path* are held.

    Raises:
        DamagedFile: It cannot be read.
        InvalidRequest: It does not lie where files of old rows do.
    """
    partition = Partition.from_path(f"{path.partition('/')[2].rpartition('/')[0]}/{FILE_NAME}")
    with parquet.opened(storage.root / path) as file:
        if file is None or file.footer.lake_id != storage.lake_id:
            return
        footer, written = file.footer, file.digest()
    known = transaction.row(
        "select series_id, generation from partitions where path = ?", (partition.path,)
    )
    if known is None or known[1] <= footer.generation:
        return  # the commit that was to replace these rows did not
    about = Revising(
        partition, footer, footer.commit_id, footer.job_id, "found again", footer.written_at
    )
    values = (path, partition.path, about.generation, about.why, about.job_id, to_us(about.now))
    transaction.run(_FILE, (about.commit_id, known[0], *values))
    bounds = us_or_none(footer.min_ts), us_or_none(footer.max_ts)
    whole = (footer.rows, *bounds, written.bytes, written.sha256, about.commit_id)
    transaction.run(_FILE_IS_WHOLE, whole)
    confirm(transaction, about.commit_id)


def read_revisions(storage: Storage, file: RevisionFile) -> Iterator[pa.Table]:
    """The old rows in *file*, a row group at a time, in the data type's current schema.

    Raises:
        StorageError: The file is missing or damaged.
    """
    path = storage.root / file.path
    with parquet.opened(path) as opened:
        if opened is None:
            raise parquet.behind(path, None)
        if opened.digest().sha256 != file.sha256:
            raise parquet.altered(path)
        yield from opened.tables(ROW_SPECS[file.partition.series.data_type])


def damage(storage: Storage, file: RevisionFile, *, deep: bool) -> str | None:
    """What is wrong with the file of old rows; None where it is whole."""
    path = storage.root / file.path
    try:
        size = path.stat().st_size
    except OSError:
        return "missing, though the catalog has it"
    if size != file.bytes:
        return f"{size} bytes, not {file.bytes}"
    if deep:
        with path.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
                return "altered since it was written (sha256 differs)"
    return None


def _lines(rows: pa.Table, about: Revising, series_id: int) -> Iterator[tuple[object, ...]]:
    for moment, row in zip(micros(rows["ts"]).tolist(), rows.to_pylist(), strict=True):
        told = {
            name: us_or_none(value) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        yield (
            series_id,
            moment,
            json.dumps([told[name] for name in about.spec.key]),
            about.generation,
            json.dumps(told),
            about.why,
            about.job_id,
            to_us(about.now),
            about.commit_id,
        )
