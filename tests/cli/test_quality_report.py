"""`lake report`: where it writes, what it says, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.report.report_kit import data_of, make_small


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small(tmp_path_factory.mktemp("report") / "lake")


def test_it_writes_one_file_and_says_where(run: Run, lake: Path, tmp_path: Path) -> None:
    done = run("report", "--data", lake)

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{tmp_path / 'quality.html'}: ")
    assert done.out.endswith(" kB, 3 series, 4 gaps\n")
    assert [path.name for path in tmp_path.iterdir()] == ["quality.html"]


def test_json_says_the_same(run: Run, lake: Path, tmp_path: Path) -> None:
    done = run("report", "--data", lake, "-o", "page.html", "--json")

    [row] = json.loads(done.out)
    assert row == {
        "path": str(tmp_path / "page.html"),
        "bytes": (tmp_path / "page.html").stat().st_size,
        "series": 3,
        "gaps": 4,
    }


def test_filters_narrow_it(run: Run, lake: Path, tmp_path: Path) -> None:
    done = run("report", "--data", lake, "--instrument", "BTC/USDT", "--timeframe", "1h")

    assert done.out.endswith("1 series, 2 gaps\n")
    page = (tmp_path / "quality.html").read_text(encoding="utf-8")
    assert [row[:3] for row in data_of(page)["series"]] == [["BTCUSDT", "BINANCE", "1h"]]


def test_a_filter_that_leaves_nothing_is_refused(run: Run, lake: Path, tmp_path: Path) -> None:
    done = run("report", "--data", lake, "--venue", "okx")

    assert done.code == 2
    assert "holds nothing that fits --venue okx" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("parquet/quality.html", "must not join"),
        ("catalog.sqlite", "must not join"),
        ("lake.json", "must not join"),
        ("parquet", "is a folder"),
        ("nowhere/quality.html", "There is no folder"),
    ],
)
def test_the_lakes_own_files_are_safe(run: Run, lake: Path, place: str, said: str) -> None:
    before = {path: path.stat().st_size for path in lake.rglob("*.json")}

    done = run("report", "--data", lake, "--output", lake / place)

    assert done.code == 2
    assert said in done.err
    assert {path: path.stat().st_size for path in lake.rglob("*.json")} == before


def test_a_link_into_the_lake_is_seen_through(run: Run, lake: Path, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(lake / "parquet", target_is_directory=True)

    done = run("report", "--data", lake, "--output", "out/quality.html")

    assert done.code == 2
    assert not (lake / "parquet/quality.html").exists()


def test_a_page_that_is_there_is_replaced_as_a_whole(run: Run, lake: Path, tmp_path: Path) -> None:
    """A web server that sends the old one meanwhile sends all of it."""
    page = tmp_path / "quality.html"
    page.write_text("old", encoding="utf-8")
    with page.open(encoding="utf-8") as reader:
        run("report", "--data", lake)

        assert reader.read() == "old"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_a_lake_it_says_so(run: Run) -> None:
    done = run("report")

    assert done.code == 2
    assert "no lake at" in done.err
