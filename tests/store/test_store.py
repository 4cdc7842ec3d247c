"""The async store: reads and SQL in the process that holds the lake open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from lake.domain.partitions import Partition
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SeriesNotFound, StorageError
from lake.store import HistoricalDataStore
from tests.warehouse.lake_kit import hour, make_lake, series, write

BTC = series("BTCUSDT.BINANCE")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_lake(tmp_path / "data")


def test_it_reads_what_is_stored(data: Path) -> None:
    async def read() -> pl.DataFrame:
        async with HistoricalDataStore(data) as store:
            return await asyncio.to_thread(store.read, BTC, hour(0), hour(3), ["ts", "close"])

    frame = asyncio.run(read())

    assert frame["ts"].to_list() == [hour(0), hour(1), hour(2)]
    assert frame.columns == ["ts", "close"]


def test_aware_moments_are_converted(data: Path) -> None:
    east = timezone(timedelta(hours=5))

    async def read() -> pl.DataFrame:
        async with HistoricalDataStore(data) as store:
            return store.read(
                BTC,
                datetime(2024, 1, 1, 5, tzinfo=east),
                datetime(2024, 1, 1, 1, tzinfo=UTC),
            )

    assert asyncio.run(read())["ts"].to_list() == [hour(0)]


def test_a_series_never_stored_names_what_is_near(data: Path) -> None:
    async def read() -> None:
        async with HistoricalDataStore(data) as store:
            store.read(series("BTCUSD.BINANCE"))

    with pytest.raises(SeriesNotFound, match=r"Near: BTCUSDT\.BINANCE ohlcv 1h"):
        asyncio.run(read())


def test_an_empty_range_is_refused(data: Path) -> None:
    async def read() -> None:
        async with HistoricalDataStore(data) as store:
            store.read(BTC, hour(3), hour(3))

    with pytest.raises(InvalidRequest, match="end is not after"):
        asyncio.run(read())


def test_sql_runs_on_a_snapshot_and_sees_what_was_committed(data: Path) -> None:
    """The live catalog belongs to apsw here; SQL is at most a second behind."""

    async def ask() -> tuple[int, int]:
        async with HistoricalDataStore(data) as store:
            before = store.sql("select count(*) as n from ohlcv_1h")["n"][0]
            await asyncio.to_thread(
                write, store.storage, series("SOLUSDT.BINANCE"), datetime(2024, 1, 1), 24
            )
            # A snapshot lives for a second; this one is made older than that.
            store.storage._snapshots._made_at -= 2
            return before, store.sql("select count(*) as n from ohlcv_1h")["n"][0]

    assert asyncio.run(ask()) == (2_880, 2_904)


def test_a_file_lost_outside_of_the_lake_is_an_error(data: Path) -> None:
    """Not an empty answer."""
    (data / "parquet" / Partition(BTC, 2024, 1).path).unlink()

    async def read() -> None:
        async with HistoricalDataStore(data) as store:
            store.read(BTC)

    with pytest.raises(StorageError, match="lake doctor"):
        asyncio.run(read())


def test_a_closed_store_says_so(data: Path) -> None:
    async def use() -> None:
        store = HistoricalDataStore(data)
        await store.initialize()
        await store.initialize()
        await store.close()
        await store.close()
        store.read(BTC)

    with pytest.raises(InvalidRequest, match="not open"):
        asyncio.run(use())


def test_a_new_lake_is_made(tmp_path: Path) -> None:
    async def use() -> int:
        async with HistoricalDataStore(tmp_path / "fresh") as store:
            return store.sql("from ohlcv_1m").height

    assert asyncio.run(use()) == 0
    assert (tmp_path / "fresh" / "lake.json").is_file()


def test_the_newest_rows_come_from_hot_and_from_the_files_alike(data: Path) -> None:
    """The first question may go to the files; the next one is answered from hot."""

    async def ask() -> list[pl.DataFrame]:
        async with HistoricalDataStore(data) as store:
            first = await store.get_ohlcv_data(BTC.instrument_id, BTC.venue, TimeFrame.HOUR_1, 3)
            await asyncio.to_thread(store.storage.hot.refresh, BTC)
            assert store.storage.hot.is_current(BTC)
            second = await store.get_ohlcv_data("BTCUSDT.BINANCE", timeframe="1h", limit=3)
            more = await store.get_ohlcv_data("BTCUSDT.BINANCE", timeframe="1h", limit=1_500)
            return [first, second, more, store.read(BTC)]

    first, second, more, whole = asyncio.run(ask())

    assert first.equals(whole.tail(3))
    assert second.equals(first)
    assert second.schema == whole.schema
    assert more.equals(whole)


def test_a_range_of_the_newest_rows(data: Path) -> None:
    east = timezone(timedelta(hours=5))

    async def ask() -> pl.DataFrame:
        async with HistoricalDataStore(data) as store:
            return await store.get_ohlcv_data(
                "BTCUSDT.BINANCE",
                timeframe="1h",
                limit=2,
                start_time=datetime(2024, 1, 1, 5, tzinfo=east),
                end_time=hour(9),
            )

    assert asyncio.run(ask())["ts"].to_list() == [hour(7), hour(8)]


def test_what_cannot_be_asked_is_refused(data: Path) -> None:
    async def ask() -> None:
        async with HistoricalDataStore(data) as store:
            with pytest.raises(InvalidRequest, match="does not trade at KRAKEN"):
                await store.get_ohlcv_data("BTCUSDT.BINANCE", "KRAKEN")
            with pytest.raises(InvalidRequest, match="limit=0"):
                await store.get_ohlcv_data("BTCUSDT.BINANCE", limit=0)
            for get in (store.get_trade_data, store.get_orderbook_data):
                with pytest.raises(SeriesNotFound, match=r"Near: BTCUSDT\.BINANCE ohlcv"):
                    await get("BTCUSDT.BINANCE")
            with pytest.raises(SeriesNotFound):
                await store.get_funding_rate_data("BTCUSDT-PERP.BINANCEUSDM")

    asyncio.run(ask())


def test_how_many_rows_are_hot_is_said_once_for_all(data: Path) -> None:
    async def ask() -> int:
        async with HistoricalDataStore(data, hot_rows=7) as store:
            await store.get_ohlcv_data("BTCUSDT.BINANCE", limit=2)
        async with HistoricalDataStore(data) as store:
            return await asyncio.to_thread(lambda: store.storage.hot.kept)

    assert asyncio.run(ask()) == 7
    with pytest.raises(InvalidRequest, match="hot_rows=-1"):
        HistoricalDataStore(data, hot_rows=-1)
