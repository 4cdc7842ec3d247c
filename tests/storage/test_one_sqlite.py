"""A process opens the catalog through apsw and through nothing else (DESIGN, section 4)."""

from __future__ import annotations

import ast
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from storage_kit import HOURLY, JANUARY, START, answered, begin, candles, hours, store

import lake
from lake import open_files
from lake.domain.jobs import JobState
from lake.storage.doctor import examine
from lake.storage.lake import Storage

_PACKAGE = Path(lake.__file__).parent
_NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="only Linux tells which locks are held"
)


def use_everything(storage: Storage) -> None:
    """Whatever the storage does to a lake."""
    lease = begin(storage)
    store(storage, lease, candles([0, 1, 5]), answered(0, 9))
    store(storage, lease, candles({1: 3.0}))
    storage.read_partition(JANUARY)
    storage.snapshot()
    storage.rates.take("binance", window=1, want=5, ceiling=10)
    storage.catalog.set_first_available(HOURLY, START, "probe")
    storage.catalog.add_failed(HOURLY, hours(20, 30), lease.job_id, "timeout")
    examine(storage, deep=True, repair=True)
    with Storage.open(storage.root) as second:
        second.snapshot()
        examine(second, deep=True)
    Storage.open(storage.root, read_only=True).close()
    storage.jobs.finish(lease, JobState.COMPLETED)


def test_nothing_but_apsw_opens_the_files_of_sqlite(tmp_path: Path) -> None:
    """Python tells every file it opens; apsw's own are not among them."""
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
opened = []
def watch(event, arguments):
    if event in ("open", "sqlite3.connect", "shutil.copyfile", "os.rename"):
        opened.append((event, str(arguments[0])))
from lake.storage.lake import Storage
from test_one_sqlite import use_everything
sys.addaudithook(watch)
with Storage.open(Path({str(tmp_path)!r}) / "data", create=True) as storage:
    use_everything(storage)
print([each for each in opened if ".sqlite" in each[1]])
print(len(opened))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    told, count = done.stdout.splitlines()
    assert told == "[]"
    assert int(count) > 10


@_NEEDS_PROC
def test_our_locks_are_there_whatever_we_do(storage: Storage) -> None:
    """The kernel's own list is the only witness: SQLite does not notice that they are gone."""
    use_everything(storage)

    assert storage.database.holds_its_locks() is True


@_NEEDS_PROC
def test_the_loss_of_our_locks_is_seen(storage: Storage) -> None:
    """The reason for all of this: opening and closing the file by other means drops them."""
    before = storage.database.holds_its_locks()

    sqlite3.connect(storage.root / "catalog.sqlite").close()
    with (storage.root / "catalog.sqlite").open("rb") as file:
        file.read(1)
    after = storage.database.holds_its_locks()

    assert (before, after) == (True, False)
    assert any("lost its locks" in finding.what for finding in examine(storage))


def test_an_open_catalog_is_registered_by_whatever_name(storage: Storage, tmp_path: Path) -> None:
    """The warehouse refuses to attach what is registered; a link is the same file."""
    catalog = storage.root / "catalog.sqlite"
    link, hard = tmp_path / "link", tmp_path / "hard"
    link.symlink_to(catalog)
    os.link(catalog, hard)
    storage.rates.take("binance", window=1, want=1, ceiling=2)

    for name in (catalog, link, hard, storage.root / "rates.sqlite"):
        assert open_files.is_registered(name)
    assert not open_files.is_registered(storage.snapshot())
    storage.close()
    for name in (catalog, link, hard, storage.root / "rates.sqlite"):
        assert not open_files.is_registered(name)


def test_the_catalog_stays_registered_until_the_last_closes(storage: Storage) -> None:
    second = Storage.open(storage.root)

    storage.close()

    assert open_files.is_registered(storage.root / "catalog.sqlite")
    second.close()
    assert not open_files.is_registered(storage.root / "catalog.sqlite")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_one_module_knows_sqlite() -> None:
    who = {
        path.relative_to(_PACKAGE).as_posix()
        for path in _PACKAGE.rglob("*.py")
        if imports(path) & {"apsw", "sqlite3"}
    }

    assert who == {"storage/connection.py"}
