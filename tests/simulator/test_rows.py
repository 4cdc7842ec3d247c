"""Numbers as text: exactly, for whatever a lake may hold."""

from __future__ import annotations

import json
import math
import random
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import Venue
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame, grid_of
from lake.simulator.rows import WireFormat, decimals_of, sheet

DATA = Path(__file__).parents[3] / "shared" / "data" / "binance_vision_spot_daily_klines"
FIELDS = {
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "taker_buy_volume": 9,
    "taker_buy_quote_volume": 10,
}
SPOT, FUTURES = WireFormat(8, 8, 8), WireFormat(2, 3, 0)
GRID = grid_of(Venue("BINANCE"), TimeFrame.MINUTE_1)


def table(values: list[float], **columns: Any) -> pa.Table:
    """Candles whose every number is one of *values*, unless a column says otherwise."""
    count = len(values)
    start = datetime(2024, 1, 1)
    data: dict[str, Any] = {
        "ts": [start + timedelta(minutes=index) for index in range(count)],
        "trade_count": list(range(count)),
        **{name: values for name in OHLCV.schema.names if name not in ("ts", "trade_count")},
        **columns,
    }
    return pa.table({name: data[name] for name in OHLCV.schema.names}, schema=OHLCV.schema)


def written(values: list[float], wire: WireFormat = SPOT, **columns: Any) -> list[list[Any]]:
    text = sheet(table(values, **columns), GRID, wire).text
    rows: list[list[Any]] = json.loads(b"[" + text[:-1] + b"]")
    return rows


@pytest.mark.parametrize("seed", range(30))
def test_any_double_comes_back_as_it_was(seed: int) -> None:
    """Prices on a grid, tiny, huge and arbitrary ones alike."""
    random_ = random.Random(seed)
    values = [
        random_.choice(
            [
                round(random_.uniform(0, 10), 8),
                round(random_.uniform(0, 1e5), 2),
                round(random_.uniform(0, 1e12), random_.randint(0, 8)),
                random_.random() * 10 ** random_.randint(-12, 14),
            ]
            if seed % 2
            else [round(random_.uniform(0, 10 ** random_.randint(-4, 7)), 8)]
        )
        for _ in range(300)
    ]

    for wire in (SPOT, FUTURES):
        rows = written(values, wire)
        for value, row in zip(values, rows, strict=True):
            for field in (1, 2, 3, 4, 5, 7, 9, 10):
                assert float(row[field]) == value
                assert "e" not in row[field]


@pytest.mark.parametrize(
    ("value", "spot", "futures"),
    [
        (0.0, "0.00000000", "0.00"),
        (1.0, "1.00000000", "1.00"),
        (0.00000012, "0.00000012", "0.00000012"),
        (27358.07, "27358.07000000", "27358.07"),
        (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        (123456789.5, "123456789.50000000", "123456789.50"),
        (2.0**53, "9007199254740992.00000000", "9007199254740992.00"),
        (1e-12, "0.000000000001", "0.000000000001"),
    ],
)
def test_text_is_what_binance_writes(value: float, spot: str, futures: str) -> None:
    """Eight decimals for spot, the tick's for futures, more only where a number needs them."""
    assert written([value])[0][1] == spot
    assert written([value], FUTURES)[0][1] == futures


def test_what_a_venue_does_not_say_is_null() -> None:
    """Null in the lake is null on the wire, never 0; one hole in a column keeps the rest."""
    nothing = [None, None]
    rows = written(
        [1.5, 2.5],
        quote_volume=[None, 3.25],
        trade_count=nothing,
        taker_buy_volume=nothing,
        taker_buy_quote_volume=nothing,
    )

    assert [row[7] for row in rows] == [None, "3.25000000"]
    assert [row[8:11] for row in rows] == [[None] * 3] * 2


def test_rows_are_found_by_their_offsets() -> None:
    """Rows of different length, across the blocks that they are put together in."""
    values = [10.0 ** (index % 7) for index in range(9_000)]
    text = sheet(table(values), GRID, SPOT)

    for index in (0, 1, 4_095, 4_096, 8_191, 8_192, 8_999):
        row = json.loads(text.rows(index, index + 1)[:-1])
        assert float(row[1]) == values[index]
        assert row[0] == 1_704_067_200_000 + index * 60_000
    assert text.rows(0, 9_000) == text.text
    assert sheet(table([]), GRID, SPOT).text == b""


@pytest.mark.parametrize(
    "name", ["BTCUSDT-1m-2023-03-24", "ETHUSDT-1m-2024-02-29", "SOLUSDT-15m-2022-11-09"]
)
def test_real_candles_are_written_as_binance_wrote_them(name: str) -> None:
    """The text is Binance's own, byte for byte in every field, the outage day included."""
    archive = DATA / f"{name}.zip"
    if not archive.exists():
        pytest.skip("the recorded data is not at hand")
    with zipfile.ZipFile(archive) as zipped:
        lines = zipped.read(f"{name}.csv").decode().split()
    fields = [line.split(",") for line in lines]
    start = datetime(1970, 1, 1)
    columns: dict[str, Any] = {
        "ts": [start + timedelta(milliseconds=int(row[0])) for row in fields],
        "trade_count": [int(row[8]) for row in fields],
    }
    for column, field in FIELDS.items():
        columns[column] = [float(row[field]) for row in fields]
    candles = pa.table({key: columns[key] for key in OHLCV.schema.names}, schema=OHLCV.schema)
    grid = grid_of(Venue("BINANCE"), TimeFrame(name.split("-")[1]))

    closes = {int(row[0]): int(row[6]) for row in fields}
    text = sheet(candles, grid, SPOT, closes_ms=closes).text

    rows = json.loads(b"[" + text[:-1] + b"]")
    assert [[str(value) for value in row] for row in rows] == fields


def test_steps_have_decimals() -> None:
    """A tick's decimals, also where its double prints with an exponent."""
    assert [decimals_of(step) for step in (1.0, 10.0, 0.5, 0.01, 1e-8)] == [0, 0, 1, 2, 8]
    assert decimals_of(None) == 8
    assert not math.isnan(decimals_of(0.1))
