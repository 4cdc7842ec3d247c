"""One lake on disk, open: its catalog, its jobs and its files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from lake.domain.jobs import Lease
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS
from lake.errors import ReadOnlyLake, StorageError
from lake.storage import disk, files, parquet
from lake.storage.archive_files import ArchiveFiles
from lake.storage.catalog import Catalog
from lake.storage.change import CommitResult, PartitionCommit
from lake.storage.check_runs import CheckRuns
from lake.storage.commit import commit
from lake.storage.connection import Access, Database, is_for_want_of_room
from lake.storage.hot import Hot
from lake.storage.jobs import Jobs
from lake.storage.migrations import migrate
from lake.storage.parquet import StoredFile
from lake.storage.rate_ledger import RateLedger
from lake.storage.reading import database_of_a_read_only_lake
from lake.storage.rebuild import rebuild
from lake.storage.reconcile import reconcile
from lake.storage.snapshot import Snapshots
from lake.storage.writing import DEFAULT_SIZES, Sizes

__all__ = ["CommitResult", "PartitionCommit", "Storage", "utc_now"]

Clock = Callable[[], datetime]
_TURNS = 256


def utc_now() -> datetime:
    """The system's clock, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


class Storage:
    """A lake. Threads may share it; several processes may each have their own.

    Attributes:
        root: Absolute path of the lake.
        lake_id: What tells its files from those of other lakes.
        origin: ``venue``, or where the rows of a synthetic lake come from.
        read_only: Whether every write raises :class:`lake.errors.ReadOnlyLake`.
        why_read_only: What to do about that; empty where it can be written.
        created: Whether this call made the lake.
        catalog: Series, files, coverage, instruments.
        jobs: Jobs and leases.
        archives: Which files of vendors' archives were taken in.
        checks: What checks found.
        rates: The rate budget shared by the lake's processes.
        hot: The newest rows of each series, for look-ups at once.
        sizes: How much of a file is handled at a time.
    """

    def __init__(
        self,
        root: Path,
        marker: files.Marker,
        database: Database,
        clock: Clock,
        *,
        created: bool,
        sizes: Sizes = DEFAULT_SIZES,
    ) -> None:
        self.root = root
        self.lake_id = marker.lake_id
        self.origin = marker.origin
        self.created = created
        self.read_only = database.access is Access.READ
        self.why_read_only = "Run as a user who may write it." if self.read_only else ""
        self.parquet = root / files.PARQUET
        self.quarantine = root / files.QUARANTINE
        self.database = database
        self.clock = clock
        self.sizes = sizes
        self.catalog = Catalog(database, clock)
        self.jobs = Jobs(database, clock)
        self.archives = ArchiveFiles(database, clock)
        self.checks = CheckRuns(database, clock)
        self.rates = RateLedger(root / files.RATES)
        self.hot = Hot(self)
        self._snapshots = Snapshots(database)
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        create: bool = False,
        origin: str = "venue",
        read_only: bool = False,
        clock: Clock = utc_now,
        sizes: Sizes = DEFAULT_SIZES,
    ) -> Storage:
        """Open the lake at *root*, finishing first what a killed process had begun.

        Args:
            root: The folder that bears ``lake.json``.
            create: Make a lake there if there is none.
            origin: Where the rows of a lake made now come from.
            read_only: Open for reading; that is also what happens where *root* cannot be
                written.
            clock: What time it is (naive UTC); leases are measured by it.
            sizes: From which size on files are merged slice by slice, and how large slices are.

        Raises:
            NoLake: There is none, and *create* is false.
            MigrationError: Its catalog is newer than this version.
            StorageError: The disk or SQLite failed.
        """
        root = root.absolute()
        made = False
        if create and not files.is_lake(root):
            marker, made = files.create_marker(root, origin=origin, now=clock())
        else:
            marker = files.read_marker(root)
        is_frozen = files.is_frozen(root)
        if read_only or is_frozen or not files.is_writable(root):
            database = database_of_a_read_only_lake(root)
            storage = cls(root, marker, database, clock, created=False, sizes=sizes)
            if is_frozen:
                storage.why_read_only = "It is a snapshot, which never changes."
            return storage

        try:
            return cls._open_to_write(root, marker, clock, made=made, sizes=sizes)
        except StorageError as error:
            if made or not is_for_want_of_room(error):
                raise
            # What is held can still be looked at, also to see what may go.
            try:
                database = database_of_a_read_only_lake(root, has_room=False)
            except StorageError as second:
                raise StorageError(f"{error} Nor can it be read: {second}") from error
            storage = cls(root, marker, database, clock, created=False, sizes=sizes)
            storage.why_read_only = (
                f"SQLite can make no files there ({error.__cause__}): no space is left, a quota is "
                "used up, or the disk fails. Free some space."
            )
            return storage

    @classmethod
    def _open_to_write(
        cls, root: Path, marker: files.Marker, clock: Clock, *, made: bool, sizes: Sizes
    ) -> Storage:
        # The mark stays when a rebuild is killed, so that the next start does it again.
        unfinished = root / files.REBUILDING
        if not made and not (root / files.CATALOG).exists():
            with disk.storage_errors(f"creating {unfinished}"):
                unfinished.touch()
        database = Database(root / files.CATALOG, Access.WRITE)
        storage = cls(root, marker, database, clock, created=made, sizes=sizes)
        try:
            migrate(database, now=clock())
            if unfinished.exists():
                rebuild(storage)
                unfinished.unlink(missing_ok=True)
            reconcile(storage)
        except BaseException:
            storage.close()
            raise
        return storage

    def commit(self, change: PartitionCommit, lease: Lease) -> CommitResult:
        """Publish rows and claims; see :func:`lake.storage.commit.commit`."""
        if self.read_only:
            raise ReadOnlyLake(
                f"The lake at {self.root} is open for reading only, so nothing can be stored. "
                f"{self.why_read_only}"
            )
        return commit(self, change, lease)

    def read_partition(self, partition: Partition) -> pa.Table | None:
        """The rows of one file, in the data type's current schema; None when there is none.

        The file is opened once, so the rows are those of one commit even if it is replaced
        meanwhile. Every page's checksum is verified, and the digest of the whole: the checksums
        do not reach the footer, where one flipped bit can give wrong rows.

        Raises:
            StorageError: The file is damaged, or older than the catalog says, or not there.
        """
        with self._checked(partition) as (file, known):
            if file is None:
                return None
            held = file.held(ROW_SPECS[partition.series.data_type])
            if known is not None and held.sha256 != known:
                raise parquet.altered(self.parquet / partition.path)
            return held.rows

    def read_tables(self, partition: Partition) -> Iterator[pa.Table]:
        """The rows of one file as :meth:`read_partition`, a row group at a time, in order.

        For files of any size. The digest is verified before the first rows come, each page's
        checksum with its rows; all of them are of one commit.

        Raises:
            StorageError: The file is damaged, or older than the catalog says, or not there.
        """
        with self._checked(partition) as (file, known):
            if file is None:
                return
            if known is not None and file.digest().sha256 != known:
                raise parquet.altered(self.parquet / partition.path)
            yield from file.tables(ROW_SPECS[partition.series.data_type])

    @contextmanager
    def _checked(self, partition: Partition) -> Iterator[tuple[StoredFile | None, str | None]]:
        """The file, and the digest that it must have; None where the catalog is behind of it."""
        path = self.parquet / partition.path
        # The catalog before the file: a file only ever moves ahead.
        known = self.database.read_one(
            "select generation, sha256 from partitions where path = ?", (partition.path,)
        )
        generation, sha256 = (0, None) if known is None else known
        with parquet.opened(path) as file:
            if file is None and known is not None:
                raise parquet.behind(path, None)
            if file is not None and file.footer.generation < generation:
                raise parquet.behind(path, file)
            is_current = file is not None and file.footer.generation == generation
            yield file, sha256 if is_current else None

    def snapshot(self) -> Path:
        """A copy of the catalog that DuckDB may attach, at most a second behind.

        The path changes whenever the content may have. It belongs to this object and goes
        when it is closed.
        """
        return self._snapshots.newest()

    def expire_snapshot(self) -> None:
        """Have the next :meth:`snapshot` show every commit before now, however young the last."""
        self._snapshots.expire()

    @contextmanager
    def turn(self, path: str) -> Iterator[None]:
        """Wait for other threads of this process that write the same file: it saves merges."""
        with self._turns[hash(path) % _TURNS]:
            yield

    def close(self) -> None:
        """Close every file. Closing twice does no harm."""
        self.hot.close()
        self._snapshots.close()
        self.rates.close()
        self.database.close()

    def discard_if_empty(self) -> bool:
        """Close; remove the lake again where this call made it and nothing came into it.

        Nothing is: no job and no row. Where another process has opened it meanwhile, it stays.

        Returns:
            Whether it is gone.
        """
        if not self.created:
            self.close()
            return False
        held = self.database.read_one(
            "select 1 from ingestion_jobs union all select 1 from partitions limit 1", ()
        )
        self.close()
        return held is None and files.remove_empty(self.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
