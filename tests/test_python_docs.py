"""docs/python.md is true: its blocks run as they stand, against the exchange in the box."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from lake import Lake
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8080"


def blocks(page: str = PAGE) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Five days of two instruments: one listed on the second day, an outage on the third."""
    root = tmp_path / "market"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=7,
            start=datetime(2024, 1, 30),
            end=datetime(2024, 2, 4),
            instruments=("BTC/USDT", "ETH/USDT"),
            timeframes=(TimeFrame.MINUTE_1, TimeFrame.HOUR_1),
            listings={"ETH/USDT": datetime(2024, 2, 1, 6)},
            outages=[TimeRange(datetime(2024, 2, 2, 10), datetime(2024, 2, 2, 23, 30))],
            rate=0.05,
            store_trades=True,
        )
    return root


def test_the_blocks_of_the_page_run(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    with BoxThread(market, clock_start="2024-02-05T00:00:00", clock_rate=1.0) as box:
        for block in blocks():
            exec(block.replace(URL, box.url), names)

    assert (tmp_path / "data" / "lake.json").is_file()


def test_the_block_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands: the variable makes the box answer for the venue that it names."""
    january = {"start": datetime(2024, 1, 1), "end": datetime(2024, 2, 1), "rate": 0.01}
    with Storage.open(tmp_path / "data", create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=1,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.HOUR_1, TimeFrame.DAY_1),
            **january,
        )
    with Storage.open(tmp_path / "market", create=True, origin="synthetic") as storage:
        days = january | {"end": datetime(2024, 1, 2)}
        generate(
            storage, seed=1, instruments=("ETH/USDT",), timeframes=(TimeFrame.MINUTE_1,), **days
        )
    monkeypatch.chdir(tmp_path)
    [block] = blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    names: dict[str, object] = {}

    with BoxThread(tmp_path / "market", clock_start="2024-01-02T00:30:00") as box:
        monkeypatch.setenv("LAKE_BASE_URL", box.url)
        exec(block, names)

    with Lake(tmp_path / "data") as lake:
        assert lake.ohlcv("ETHUSDT.BINANCE", "1m", end="2024-01-02").height == 1_440
    frame = names["df"]
    assert isinstance(frame, pl.DataFrame)
    assert frame.height == 31 * 24


def test_every_exported_name_is_documented() -> None:
    import lake

    shown = PAGE + (REPOSITORY / "README.md").read_text(encoding="utf-8")

    assert [name for name in lake.__all__ if name not in shown] == []


def test_the_exported_names() -> None:
    """A public name is one of these; all else may change."""
    import lake

    assert lake.__all__ == [
        "DataIngestionEngine",
        "DataType",
        "GapWarning",
        "HistoricalDataStore",
        "IncompleteRange",
        "InstrumentId",
        "InvalidRequest",
        "Lake",
        "LakeError",
        "Series",
        "SeriesNotFound",
        "SourceError",
        "StorageError",
        "TimeFrame",
        "Venue",
    ]
    for name in lake.__all__:
        assert getattr(lake, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        lake.Nothing  # noqa: B018
