"""docs/python.md is true: its blocks run as they stand, against the exchange in the box."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxThread

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8080"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


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
