"""A day's rows wait in a file, so that a day of millions does not have to fit into memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.simulator.market import generate
from lake.simulator.spool import Spool
from lake.simulator.tables import TradeForm
from lake.storage.lake import Storage
from lake.storage.writing import DEFAULT_SIZES, Sizes
from tests.ingestion.markets import rows_of

SCHEMA = pa.schema([("number", pa.int64())])
TRADES = Series(DataType.TRADES, InstrumentId("BTCUSDT", Venue("BINANCE")))
BOOKS = Series(DataType.ORDERBOOK, TRADES.instrument_id)
START = datetime(2024, 1, 1)


def numbers(first: int, end: int) -> pa.Table:
    return pa.table({"number": range(first, end)}, schema=SCHEMA)


def told(spool: Spool) -> list[int]:
    return [number for table in spool for number in table["number"].to_pylist()]


def test_rows_come_back_in_order_as_often_as_is_needed(tmp_path: Path) -> None:
    """A commit that another writer overtook reads them once more, and one it left half-read."""
    with Spool(SCHEMA, tmp_path, most_bytes=80) as spool:
        for first in range(0, 35, 7):
            spool.append(numbers(first, first + 7))
        content = spool.content()
        assert isinstance(content, Spool)
        left = iter(content)
        next(left)

        assert told(content) == list(range(35))
        assert told(content) == list(range(35))
        spool.append(numbers(35, 40))
        assert told(spool) == list(range(40))
    assert list(tmp_path.iterdir()) == []


def test_few_rows_are_a_table_and_a_new_day_begins_empty(tmp_path: Path) -> None:
    """Small days go the quick way; nothing of a day is in the next."""
    with Spool(SCHEMA, tmp_path, most_bytes=80) as spool:
        spool.append(numbers(0, 30))
        spool.content()
        spool.clear()
        spool.append(numbers(3, 5))

        content = spool.content()

        assert isinstance(content, pa.Table)
        assert content["number"].to_pylist() == [3, 4]


def test_a_lake_is_the_same_however_much_waits_in_a_file(tmp_path: Path) -> None:
    """Where rows wait is no part of what is stored."""
    rows = []
    for name, sizes in (("memory", DEFAULT_SIZES), ("file", Sizes(whole_bytes=4_000))):
        root = tmp_path / name
        with Storage.open(root, create=True, origin="synthetic", sizes=sizes) as storage:
            generate(
                storage,
                seed=5,
                start=START,
                end=START + timedelta(days=2),
                instruments=["BTC/USDT"],
                store_trades=True,
                trade_form=TradeForm.SINGLE,
                books=timedelta(minutes=10),
                rate=0.01,
            )
            rows.append((rows_of(storage, TRADES), rows_of(storage, BOOKS)))
            variants = {each.series: each.variant for each in storage.catalog.series()}

    assert rows[0][0].num_rows > 500
    assert rows[0] == rows[1]
    assert (variants[TRADES], variants[BOOKS]) == ("single/venue", "rest/20")
