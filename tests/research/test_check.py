"""What checks find, in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake import Lake
from lake.errors import InvalidRequest
from lake.storage.lake import Storage
from tests.quality.kit import answered, candle_series, candles, minute, minutes, store


def test_checks_answer_with_a_frame(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    with Storage.open(root, create=True) as storage:
        rows = candles([minute(each) for each in range(60) if each != 30])
        store(storage, candle_series(), rows, [answered(minutes(0, 60))])

    with Lake(root) as lake:
        quick = lake.check()
        named = lake.check("zero_volume_runs", candles=3)
        outside = lake.check("candle_gaps", start=minute(40))
        with pytest.raises(InvalidRequest, match="There is no check called nope"):
            lake.check("nope")

    assert quick.select("check", "start_ts", "rows", "severity").rows() == [
        ("candle_gaps", minute(30), 1, "info")
    ]
    assert (named.height, outside.height) == (0, 0)
    assert named.columns == quick.columns
