"""The lake that most warehouse tests ask; nobody has it open."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.storage.lake import Storage
from tests.warehouse.lake_kit import make_lake


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many tests; none may change it."""
    return make_lake(tmp_path_factory.mktemp("warehouse") / "data")


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A lake for one test, which may change it."""
    return make_lake(tmp_path / "data")


@pytest.fixture
def empty_root(tmp_path: Path) -> Path:
    """A lake that holds nothing."""
    with Storage.open(tmp_path / "empty", create=True):
        pass
    return tmp_path / "empty"
