"""Scratch folders go with their owner, also where it was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lake.errors import StorageError
from lake.ingestion.scratch import scratch_folder

_KILLED = """
import os, signal, sys
from pathlib import Path
from lake.ingestion.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "rows.arrow").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_goes_at_the_end(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "rows.arrow").write_bytes(b"rows")
        assert folder.parent == tmp_path
        assert folder.name.startswith(".")

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=False,
    )
    [left] = tmp_path.iterdir()

    with scratch_folder(tmp_path) as one, scratch_folder(tmp_path) as other:
        assert killed.returncode == -9
        assert not left.exists()
        assert one.is_dir()
        assert other.is_dir()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="making a folder"),
        scratch_folder(tmp_path / "not" / "there"),
    ):
        pass
