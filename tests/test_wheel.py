"""The wheel: everything is in it, and it works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_sql_the_types_and_the_licence(wheel: Path) -> None:
    wanted = {
        f"lake/_sql/{path.relative_to(REPOSITORY / 'sql').as_posix()}"
        for path in (REPOSITORY / "sql").rglob("*.sql")
    }
    wanted |= {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("assets", "vendor")
        for path in (REPOSITORY / "lake/report" / folder).iterdir()
    }

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert wanted
    assert wanted <= names
    assert "lake/py.typed" in names
    assert "lake/report/vendor/LICENSE" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_an_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """A lake is written, listed and asked, by a Python that never saw the repository."""
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of the tests; a .pth inside that folder is not followed, so
    # an editable install of the checkout stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH",)}

    def lake(*words: str) -> str:
        done = subprocess.run(
            [python, "-m", "lake", *words],
            cwd=tmp_path,
            env={**kept, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    lake("generate", "--data", "data", "--start", "2024-01-01", "--end", "2024-01-02")

    assert "BTCUSDT" in lake("status")
    assert lake("sql", "select count(*) as n from ohlcv_1h", "--format", "csv").split() == [
        '"n"',
        "72",
    ]
    assert "quality.html" in lake("report")
    assert "LightweightCharts" in (tmp_path / "quality.html").read_text(encoding="utf-8")
