"""Days of millions of trades: made in bounded memory, and served in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import json, resource, sys, time
from datetime import datetime, timedelta
from lake.domain.ranges import TimeRange
from lake.simulator.instruments import market
from lake.simulator.tables import Numbering, TradeForm
from lake.simulator.tape import Tape
rate, days = float(sys.argv[1]), float(sys.argv[2])
start = datetime(2024, 1, 1)
tape = Tape(market("BTC/USDT"), TimeRange(start, start + timedelta(days=days)), 1, rate)
numbering, began, count, largest, ids = Numbering(), time.monotonic(), 0, 0, 0
for block in tape.blocks():
    rows = numbering.table(block.trades, tape.market, TradeForm.AGGREGATE)
    assert rows.num_rows == 0 or rows["trade_id"][0].as_py() == ids + 1
    ids += rows.num_rows
    largest = max(largest, rows.num_rows)
    count += int(block.candles.count.sum())
print(json.dumps({
    "rows": ids, "fills": numbering.fill - 1, "counted": count, "largest": largest,
    "seconds": time.monotonic() - began,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def play(rate: float, days: float) -> dict[str, Any]:
    """The tape in a process of its own: rows, seconds and peak memory (as Linux counts it)."""
    command = [sys.executable, "-c", _PROGRAM, str(rate), str(days)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_two_hours_of_a_busy_day_stream() -> None:
    """Blocks stay small, whatever the rate, and candles count every fill."""
    made = play(180, 1 / 12)

    assert made["rows"] > 700_000
    assert made["largest"] <= 250_000
    assert made["counted"] == made["fills"]


@pytest.mark.torture
def test_fifty_million_trades_stream() -> None:
    """One day of fifteen million, fifty in all: under 500 MB, within minutes."""
    day = play(184, 1)
    whole = play(184, 3.6)

    print(day, whole)
    assert day["rows"] > 15_000_000
    assert whole["rows"] > 50_000_000
    assert whole["peak_mb"] < 500
    assert whole["seconds"] < 300
