"""Files of an older schema beside new ones: every reader of ours gives their rows, with nulls."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from lake import Lake
from lake.domain.partitions import Partition
from lake.domain.schemas import OHLCV
from lake.storage.lake import Storage
from lake.store import HistoricalDataStore
from tests.warehouse.lake_kit import hour, series, write

BTC = series("BTCUSDT.BINANCE")
NAME = "BTCUSDT.BINANCE"
NEW = ["taker_buy_volume", "taker_buy_quote_volume"]
OLD_COLUMNS = [name for name in OHLCV.schema.names if name not in NEW]


def age(root: Path, partition: Partition) -> None:
    """Make the file of *partition* one that a version without the newest columns wrote."""
    path = root / "parquet" / partition.path
    file = pq.ParquetFile(path)
    footer = json.loads(file.metadata.metadata[b"lake"]) | {"schema_version": 0}
    rows = file.read(columns=OLD_COLUMNS)
    with pq.ParquetWriter(path, rows.schema.remove_metadata(), write_page_checksum=True) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"lake": json.dumps(footer)})
    content = path.read_bytes()
    with Storage.open(root) as storage, storage.database.writing() as transaction:
        transaction.run(
            "update partitions set schema_version = 0, sha256 = ?, bytes = ? where path = ?",
            (hashlib.sha256(content).hexdigest(), len(content), partition.path),
        )


@pytest.fixture(params=[1, 2], ids=["the older file is old", "the newer file is old"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """January and February of 2024, one of them in a file of version 0."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        write(storage, BTC, hour(0), 24 * 60)
    age(tmp_path / "data", Partition(BTC, 2024, request.param))
    return tmp_path / "data"


def test_every_reader_gives_all_rows_and_columns(root: Path) -> None:
    with Lake(root) as lake:
        read = lake.ohlcv(NAME, "1h")
        answers = {
            "several": lake.ohlcv("*", "1h").drop("venue", "instrument"),
            "scan": lake.scan_ohlcv(NAME, "1h").collect(),
            "cut": lake.ohlcv(NAME, "1h", start=hour(1)),
            "view": lake.sql(f"select {', '.join(OHLCV.schema.names)} from ohlcv_1h order by ts"),
            "macro": lake.sql(
                f"select {', '.join(OHLCV.schema.names)} from ohlcv($id, '1h') order by ts",
                {"id": NAME},
            ),
        }
    answers["cut"] = pl.concat([read.head(1), answers["cut"]])

    assert read.columns == OHLCV.schema.names
    assert read["ts"].to_list() == [hour(number) for number in range(24 * 60)]
    assert read["trade_count"].null_count() == 0
    assert read["taker_buy_volume"].null_count() == read.height
    assert {name: answer.equals(read) for name, answer in answers.items()} == dict.fromkeys(
        answers, True
    )


def test_the_newest_rows_are_of_an_old_file_too(root: Path) -> None:
    async def ask() -> tuple[pl.DataFrame, pl.DataFrame]:
        async with HistoricalDataStore(root) as store:
            first = await store.get_ohlcv_data(NAME, limit=900)
            await asyncio.to_thread(store.storage.hot.refresh, BTC)
            assert store.storage.hot.is_current(BTC)
            return first, await store.get_ohlcv_data(NAME, limit=900)

    first, second = asyncio.run(ask())

    assert first.equals(second)
    assert first["ts"].to_list() == [hour(number) for number in range(24 * 60 - 900, 24 * 60)]


def test_a_commit_into_an_old_file_brings_it_up_to_date(root: Path) -> None:
    with Storage.open(root) as storage:
        write(storage, BTC, datetime(2024, 1, 1), 24 * 60 + 1, close=7.0)
        versions = {each.schema_version for each in storage.catalog.partitions(BTC)}

    with Lake(root) as lake:
        closes = lake.ohlcv(NAME, "1h", columns=["close"])["close"]

    assert versions == {OHLCV.version}
    assert closes.to_list() == [7.0] * (24 * 60 + 1)
