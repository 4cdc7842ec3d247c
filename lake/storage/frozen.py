"""Frozen copies of the lake: ``snapshots/NAME``, whole or not there at all.

A snapshot has the layout of a lake and is read like one. Its files are hard links: commits
write a new file and rename it, never into one that is there, so what was linked stays as it was.
Where links fail they are copies. It is built in a folder whose name begins with a dot, and
renamed when all of it is on the disk. The folder is the truth; the catalog's table ``snapshots``
is a list of the folders.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from lake import __version__
from lake.domain.partitions import Partition
from lake.domain.times import to_us
from lake.errors import InvalidRequest, NoLake, ReadOnlyLake, StorageError
from lake.storage import disk, files, parquet
from lake.storage.connection import Access, Database, Transaction
from lake.storage.exclusive import exclusive
from lake.storage.manifest import FrozenFile, Manifest, digested, read_manifest
from lake.storage.points import reached
from lake.storage.reconcile import catch_up, reconcile

if TYPE_CHECKING:
    from lake.storage.lake import Storage

SNAPSHOT_POINTS = ("snapshot.taken", "snapshot.copied", "snapshot.built", "snapshot.renamed")
"""Where tests kill a process that makes a snapshot; the first is passed for each file."""
DROP_POINTS = ("snapshot.hidden",)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOOKS = 3
"""Once to take the files, once more where a dead writer had left one ahead of the catalog."""
# The errors of file systems without hard links, and of files that have too many.
_NO_LINK = {
    errno.EPERM,
    errno.EXDEV,
    errno.EMLINK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EACCES,
}
_WANTED = (
    f"select '{files.PARQUET}/' || path, rows, bytes, sha256 from partitions "
    "union all select path, 0, bytes, sha256 from revision_files where pending = 0 order by 1"
)
# What only a living lake needs: work under way, and the list of its own snapshots.
_PRUNE = """
delete from intents;
delete from removals;
delete from revisions where pending = 1;
delete from revision_files where pending = 1;
delete from snapshots;
update ingestion_jobs set status = 'pending', lease_owner = null, lease_until = null,
    lease_process = null where status = 'running';
"""


def snapshot_root(root: Path, name: str) -> Path:
    """The folder of the snapshot *name* of the lake at *root*, which is a lake itself.

    Raises:
        NoLake: There is none; those that are there are in the message.
    """
    _require_name(name)
    place = root / files.SNAPSHOTS / name
    if not files.is_frozen(place):
        names = ", ".join(snapshot_names(root)) or "none"
        raise NoLake(
            f"The lake at {root} has no snapshot {name!r}. It has: {names}. "
            f"`lake snapshot create {name}` makes one of the lake as it is now."
        )
    return place


def snapshot_names(root: Path) -> list[str]:
    """The snapshots of the lake at *root*, by name."""
    folder = root / files.SNAPSHOTS
    if not folder.is_dir():
        return []
    return sorted(
        each.name
        for each in folder.iterdir()
        if _NAME.fullmatch(each.name) and files.is_frozen(each)
    )


def create_snapshot(storage: Storage, name: str) -> Manifest:
    """Freeze the lake as it is now under *name*; every file is compared with its digest.

    Others may write meanwhile: what is frozen is one committed state, catalog and files.

    Raises:
        InvalidRequest: The name is taken or cannot be one, or another snapshot is under way.
        ReadOnlyLake: Nothing can be written.
        StorageError: A file is damaged, or the disk failed. Nothing is left behind.
    """
    _require_writable(storage)
    _require_name(name)
    with _alone(storage) as folder:
        taken = next((each for each in snapshot_names(storage.root) if _same(each, name)), None)
        if taken is not None:
            raise InvalidRequest(
                f"There is a snapshot {taken!r} already, and snapshots never change. "
                f"Take another name, or drop it first: lake snapshot drop {taken}."
            )
        making = folder / f".{name}.{uuid4().hex[:8]}.tmp"
        try:
            manifest = _built(storage, name, making)
            with disk.storage_errors(f"publishing {folder / name}"):
                making.rename(folder / name)
                disk.sync_folder(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        reached("snapshot.renamed")
        _tell(storage)
    return manifest


def drop_snapshot(storage: Storage, name: str) -> None:
    """Remove the snapshot *name*; files that the lake or other snapshots have stay theirs.

    Raises:
        NoLake: There is none of that name.
        ReadOnlyLake: Nothing can be written.
        StorageError: The disk failed.
    """
    _require_writable(storage)
    place = snapshot_root(storage.root, name)
    with _alone(storage) as folder, disk.storage_errors(f"removing {place}"):
        # First out of sight, all at once: half a snapshot must never be read.
        hidden = folder / f".{name}.{uuid4().hex[:8]}.dropped"
        place.rename(hidden)
        disk.sync_folder(folder)
        reached("snapshot.hidden")
        _tell(storage)
        shutil.rmtree(hidden)


def files_now(storage: Storage) -> list[FrozenFile]:
    """The partitions of the living lake as a snapshot would list them."""
    return [
        each
        for row in storage.database.read(_WANTED)
        if (each := FrozenFile(*row)).partition_path is not None
    ]


def _built(storage: Storage, name: str, making: Path) -> Manifest:
    with disk.storage_errors(f"making the snapshot {name}"):
        disk.make_folders(making / files.PARQUET)
        held, catalog = _Taking(storage, making).all_of_one_state()
        reached("snapshot.copied")
        marker = (storage.root / files.MARKER).read_bytes()
        (making / files.MARKER).write_bytes(marker)
        others = [digested(making, each, 0) for each in (catalog, files.MARKER)]
        manifest = Manifest(
            name=name,
            lake_id=storage.lake_id,
            created=storage.clock(),
            written_by=__version__,
            files=tuple([*held, *(each for each in others if each is not None)]),
        )
        (making / files.MANIFEST).write_bytes(manifest.to_json())
        _sync(making)
        reached("snapshot.built")
    return read_manifest(making)


@dataclass
class _Taking:
    """Takes files of the lake into a folder, until they are those of one state of the catalog."""

    storage: Storage
    folder: Path

    def __post_init__(self) -> None:
        self._taken: dict[str, FrozenFile] = {}

    def all_of_one_state(self) -> tuple[list[FrozenFile], str]:
        """What was taken, and the path of the catalog that fits it."""
        reconcile(self.storage)
        database = self.storage.database
        wrong: list[FrozenFile] = []
        for _ in range(_LOOKS):
            # Reading every byte takes its time, so nobody is held up by it.
            self._take(FrozenFile(*row) for row in database.read(_WANTED))
            with database.writing() as transaction:
                # Nobody publishes now. What has been since is little.
                wanted = [FrozenFile(*row) for row in transaction.rows(_WANTED)]
                self._take(wanted)
                wrong = [each for each in wanted if self._taken.get(each.path) != each]
                # Old rows that are gone do not keep anybody from freezing the present ones.
                lost = [each for each in wrong if each.partition_path is None]
                wrong = [each for each in wrong if each.partition_path is not None]
                if not wrong:
                    held = [each for each in wanted if each not in lost]
                    self._leave_out({each.path for each in held})
                    return held, self._catalog(lost)
                self._catch_up(transaction, wrong)
        raise parquet.altered(self.storage.root / wrong[0].path)

    def _take(self, wanted: Iterator[FrozenFile] | list[FrozenFile]) -> None:
        """Link or copy those of *wanted* that are not taken yet, and digest them."""
        for each in wanted:
            if self._taken.get(each.path) == each:
                continue
            target = self.folder / each.path
            target.unlink(missing_ok=True)
            self._taken.pop(each.path, None)
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # replaced or removed since: the next look tells
                _link_or_copy(self.storage.root / each.path, target)
                found = digested(self.folder, each.path, each.rows)
                if found is not None:
                    self._taken[each.path] = found
            reached("snapshot.taken")

    def _catch_up(self, transaction: Transaction, wrong: list[FrozenFile]) -> None:
        """A writer that died between rename and commit left its file ahead of the catalog."""
        for each in wrong:
            path = self.storage.root / each.path
            if not path.exists():
                raise parquet.behind(path, None)
            partition = Partition.from_path(each.path.removeprefix(f"{files.PARQUET}/"))
            if not catch_up(transaction, self.storage, partition):
                raise parquet.altered(path)

    def _leave_out(self, held: set[str]) -> None:
        for path in self._taken.keys() - held:
            (self.folder / path).unlink(missing_ok=True)
            with suppress(OSError):
                # Empty folders say nothing and may stay where others still use them.
                (self.folder / path).parent.rmdir()

    def _catalog(self, lost: list[FrozenFile]) -> str:
        """Copy the catalog of this very moment, without what only a living lake needs."""
        scratch = self.folder / ".catalog.tmp"
        self.storage.database.copy_to(scratch)
        copy = Database(scratch, Access.ESTIMATES)
        try:
            with copy.writing() as transaction:
                transaction.run(_PRUNE)
                transaction.run_many(
                    "delete from revision_files where path = ?", [(each.path,) for each in lost]
                )
            # Out of the WAL mode again: a reader then needs no file beside it.
            copy.copy_to(self.folder / files.CATALOG)
        finally:
            copy.close()
            for ending in ("", "-wal", "-shm"):
                scratch.with_name(f"{scratch.name}{ending}").unlink(missing_ok=True)
        return files.CATALOG


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target)


def _sync(folder: Path) -> None:
    """Force every name below *folder* onto the disk, and every file that was not there before."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.stat().st_nlink == 1:  # what is linked was forced there by its commit
                with path.open("rb+") as file:
                    disk.sync_file(file.fileno())
        disk.sync_folder(Path(place))


@contextmanager
def _alone(storage: Storage) -> Iterator[Path]:
    """The folder of snapshots, with nobody else at work in it and nothing half left there."""
    folder = storage.root / files.SNAPSHOTS
    with disk.storage_errors(f"creating {folder}"):
        disk.make_folders(folder)
    with exclusive(storage.root, "snapshots") as is_alone:
        if not is_alone:
            raise InvalidRequest(
                "Another process is making or dropping a snapshot of this lake. "
                "Try again when it is done."
            )
        for left in folder.glob(".*.*"):
            if left.suffix in (".tmp", ".dropped"):
                shutil.rmtree(left, ignore_errors=True)
        yield folder


def _tell(storage: Storage) -> None:
    """Bring the catalog's list of snapshots to what the folder holds."""
    names = snapshot_names(storage.root)
    manifests: list[Manifest] = []
    for name in names:
        with suppress(StorageError):
            manifest = read_manifest(storage.root / files.SNAPSHOTS / name)
            manifests.append(replace(manifest, name=name))
    with storage.database.writing() as transaction:
        for (known,) in transaction.rows("select name from snapshots"):
            if known not in names:
                transaction.run("delete from snapshots where name = ?", (known,))
        transaction.run_many(
            "insert into snapshots values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            [
                (
                    each.name,
                    to_us(each.created),
                    len(each.partitions),
                    sum(one.rows for one in each.partitions),
                    sum(one.bytes for one in each.partitions),
                    each.sha256,
                )
                for each in manifests
            ],
        )


def _same(one: str, other: str) -> bool:
    """Some file systems take names that differ by case alone for one."""
    return one.lower() == other.lower()


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot name a snapshot. Use letters, digits, dots, dashes and underscores, "
            "beginning with a letter or digit, at most 100: 2024-06-01."
        )


def _require_writable(storage: Storage) -> None:
    if storage.read_only:
        raise ReadOnlyLake(
            f"The lake at {storage.root} is open for reading only, so its snapshots cannot be "
            f"changed. {storage.why_read_only}"
        )
