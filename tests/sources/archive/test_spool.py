"""The spool: a file's rows by partition, in memory or on the disk, in order and each once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.schemas import TRADES
from lake.errors import SourceError
from lake.sources.archive.spool import Spool, SpooledRows

SERIES = Series(DataType.TRADES, InstrumentId.from_str("BTCUSDT.BINANCE"))
START = datetime(2024, 1, 1, 23, 59, 50)
SECOND = timedelta(seconds=1)
Row = dict[str, Any]


def trade(number: int, ts: datetime, **more: Any) -> Row:
    return {"ts": ts, "trade_id": number, "price": 100.0, "quantity": 1.0, "side": "buy", **more}


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TRADES.schema)


def spooled(blocks: list[list[Row]], scratch: Path, **bounds: int) -> dict[str, list[Row]]:
    """What comes back, by the day of the partition; read twice where it can be."""
    taken = Spool(SERIES, scratch, **bounds)
    for block in blocks:
        taken.add(table(block))
    taken.finish()
    found: dict[str, list[Row]] = {}
    for _, window, rows in taken.parts():
        parts = [rows] if isinstance(rows, pa.Table) else list(rows)
        if isinstance(rows, SpooledRows):
            assert pa.concat_tables(parts).equals(pa.concat_tables(list(rows)))
        joined = [row for part in parts for row in part.to_pylist()]
        assert rows.num_rows == len(joined)
        found[f"{window.start:%m-%d}"] = joined
    assert [path for path in scratch.iterdir() if path.suffix == ".arrow"] == []
    return found


def ids(rows: list[Row]) -> list[int]:
    return [row["trade_id"] for row in rows]


def blocks_of(rows: list[Row], size: int) -> list[list[Row]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@pytest.mark.parametrize("most", [1_000_000, 5])
def test_rows_come_back_by_partition(tmp_path: Path, most: int) -> None:
    """Also where memory holds only five of them."""
    rows = [trade(number, START + number * SECOND) for number in range(40)]

    found = spooled(blocks_of(rows, 7), tmp_path, memory_rows=most)

    assert {day: ids(part) for day, part in found.items()} == {
        "01-01": list(range(10)),
        "01-02": list(range(10, 40)),
    }


@pytest.mark.parametrize("seed", range(12))
def test_neighbours_that_were_swapped_come_in_order(tmp_path: Path, seed: int) -> None:
    """Times are taken a little after the matching: within a second, also across blocks."""
    draw = random.Random(seed)
    rows = [
        trade(number, START + timedelta(milliseconds=100 * number + draw.randrange(900)))
        for number in range(400)
    ]

    found = spooled(
        blocks_of(rows, draw.randrange(1, 90)),
        tmp_path,
        memory_rows=draw.choice([3, 50, 10_000]),
    )

    got = [row for day in sorted(found) for row in found[day]]
    want = sorted(rows, key=lambda row: (row["ts"], row["trade_id"]))
    assert [(row["ts"], row["trade_id"]) for row in got] == [
        (row["ts"], row["trade_id"]) for row in want
    ]


@pytest.mark.parametrize("most", [1_000_000, 5])
def test_content_that_stands_in_a_file_twice_is_taken_once(tmp_path: Path, most: int) -> None:
    rows = [trade(number, START + 5 * number * SECOND) for number in range(9)]

    found = spooled(blocks_of(rows + rows, 4), tmp_path, memory_rows=most)

    assert {day: ids(part) for day, part in found.items()} == {
        "01-01": [0, 1],
        "01-02": list(range(2, 9)),
    }


def test_equal_rows_without_ids_are_all_kept(tmp_path: Path) -> None:
    """They are two trades: nothing says that they are one."""
    rows = [trade(0, START, trade_id=None) for _ in range(3)]

    assert len(spooled([rows, rows], tmp_path)["01-01"]) == 6


def test_different_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    rows = [trade(number, START + 5 * number * SECOND) for number in range(9)]
    other = [trade(3, START + 15 * SECOND, price=101.0)]

    with pytest.raises(SourceError, match=r"different rows of one key .*trade_id 3"):
        spooled([rows, other], tmp_path)


def test_too_many_rows_in_no_order_are_refused(tmp_path: Path) -> None:
    rows = [trade(number, START + 100 * SECOND - 5 * number * SECOND) for number in range(9)]

    with pytest.raises(SourceError, match="in no order"):
        spooled(blocks_of(rows, 2), tmp_path, most_unsorted_rows=5)


def test_nothing_comes_back_of_nothing(tmp_path: Path) -> None:
    assert spooled([[]], tmp_path) == {}
