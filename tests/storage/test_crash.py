"""Kill -9 at every named point and at random instants: nothing lost, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lake.storage.points import POINTS, SLICED_POINTS

_HERE = Path(__file__).parent


def torture(folder: Path, *more: str, seed: int, kills: int) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(_HERE / "torture.py"), str(folder), str(seed), str(kills), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-4000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_writer_killed_at_every_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The state after a kill is the last acknowledged one or the next; the end is the truth."""
    done = torture(tmp_path / "lakes", seed=1, kills=30)

    assert done["kills"] >= 30
    assert set(done["at"]) == {*POINTS, "anywhere"}


def test_a_writer_of_many_row_groups_killed_at_every_point_loses_nothing(tmp_path: Path) -> None:
    """Large files are merged slice by slice: killed in the midst of one, too."""
    done = torture(tmp_path / "lakes", "sliced", seed=2, kills=32)

    assert set(done["at"]) == {*POINTS, *SLICED_POINTS, "anywhere"}


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 104))
def test_a_writer_killed_hundreds_of_times_loses_and_doubles_nothing(
    tmp_path: Path, seed: int
) -> None:
    """Every point many times, with other pages and other second kills each time."""
    done = torture(tmp_path / "lakes", seed=seed, kills=100)

    assert done["kills"] >= 100
    assert set(done["at"]) == {*POINTS, "anywhere"}


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(200, 203))
def test_a_writer_of_many_row_groups_killed_hundreds_of_times(tmp_path: Path, seed: int) -> None:
    done = torture(tmp_path / "lakes", "sliced", seed=seed, kills=100)

    assert done["kills"] >= 100
    assert set(done["at"]) == {*POINTS, *SLICED_POINTS, "anywhere"}
