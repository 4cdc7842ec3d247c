"""The list of files that apsw holds open in this process: known by inode, counted."""

from __future__ import annotations

from pathlib import Path

from lake import open_files


def test_a_file_is_known_under_every_name(tmp_path: Path) -> None:
    path, link, hard = (tmp_path / name for name in ("a.sqlite", "link.sqlite", "hard.sqlite"))
    path.touch()
    link.symlink_to(path)
    hard.hardlink_to(path)

    open_files.register(path)

    assert all(open_files.is_registered(each) for each in (path, link, hard))
    open_files.unregister(path)
    assert not open_files.is_registered(path)


def test_each_registration_needs_its_end(tmp_path: Path) -> None:
    """Two connections to one file: closing the first leaves the second open."""
    path = tmp_path / "a.sqlite"
    path.touch()

    open_files.register(path)
    open_files.register(path)
    open_files.unregister(path)

    assert open_files.is_registered(path)
    open_files.unregister(path)
    assert not open_files.is_registered(path)


def test_a_file_moved_or_replaced_meanwhile_is_forgotten_rightly(tmp_path: Path) -> None:
    """What counts is the file that was opened, not what bears its name later."""
    path = tmp_path / "a.sqlite"
    path.touch()
    open_files.register(path)
    path.rename(tmp_path / "moved.sqlite")
    path.touch()

    assert open_files.is_registered(tmp_path / "moved.sqlite")
    assert not open_files.is_registered(path)
    open_files.unregister(path)
    assert not open_files.is_registered(tmp_path / "moved.sqlite")


def test_what_is_not_there_is_not_open(tmp_path: Path) -> None:
    assert not open_files.is_registered(tmp_path / "nothing.sqlite")
    open_files.unregister(tmp_path / "nothing.sqlite")
