"""The synthetic markets of the benchmarks: generated once, kept under ``build/bench``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage

FOLDER = Path("build/bench")


def market(names: Sequence[str], *, start: datetime, days: int) -> Path:
    """A lake of 1m candles of these instruments."""
    path = FOLDER / f"market-{len(names)}x{days}"
    if not path.exists():
        with Storage.open(path, create=True, origin="synthetic") as storage:
            generate(
                storage,
                seed=1,
                start=start,
                end=start + timedelta(days=days),
                instruments=names,
                timeframes=(TimeFrame.MINUTE_1,),
                rate=0.05,
            )
    else:
        # Made by an older version, perhaps; the server opens it for reading only.
        with Storage.open(path):
            pass
    return path
