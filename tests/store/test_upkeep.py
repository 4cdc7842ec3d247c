"""Quality, statistics and clean-up by the names of the async API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected
from lake.domain.schemas import ROW_SPECS
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.ingestion import DataIngestionEngine
from lake.storage.lake import PartitionCommit, Storage
from lake.store import HistoricalDataStore
from tests.warehouse.lake_kit import TAG, candles, hour, series

BTC = InstrumentId.from_str("BTCUSDT.BINANCE")
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 22, 12)


def typed(data_type: DataType) -> Series:
    return Series(data_type, BTC)


def rows_of(data_type: DataType, moments: list[datetime]) -> pa.Table:
    """One plain row of the type at each of *moments*."""
    levels = [[100.0, 99.0]]
    values: dict[DataType, dict[str, Any]] = {
        DataType.TRADES: {"price": 100.0, "quantity": 1.0, "side": "buy"},
        DataType.ORDERBOOK: {
            "bid_prices": levels[0],
            "bid_quantities": [1.0, 2.0],
            "ask_prices": [101.0],
            "ask_quantities": [3.0],
        },
        DataType.FUNDING_RATES: {"funding_rate": 0.0001},
    }
    rows = [
        {"ts": each, **values[data_type], "trade_id": place, "sequence": place}
        for place, each in enumerate(moments)
    ]
    return pa.Table.from_pylist(rows, schema=ROW_SPECS[data_type].schema)


def put(
    storage: Storage,
    what: Series,
    window: TimeRange,
    rows: pa.Table,
    rejected: tuple[Rejected, ...] = (),
) -> None:
    """Store *rows* as what an answer on *window* gave."""
    storage.catalog.ensure_series(what, "venue")
    lease = storage.jobs.claim(storage.jobs.create(what, window).job_id, "test")
    for partition, piece in split(what, window):
        moments = rows["ts"].to_pylist()
        inside = [place for place, moment in enumerate(moments) if moment in piece]
        storage.commit(
            PartitionCommit(
                partition=partition,
                rows=rows.take(inside),
                tag=TAG,
                claims=(Claim(piece, Basis.ANSWER, "test"),),
                rejected=rejected,
            ),
            lease,
        )
    storage.jobs.finish(lease, JobState.COMPLETED)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten hours without two; and of the other types a day now and one 400 days ago."""
    with Storage.open(tmp_path / "data", create=True, clock=lambda: NOW) as storage:
        opens = [hour(each) for each in range(10) if each not in (4, 5)]
        refused = Rejected(hour(4), "high below low", "{}")
        window = TimeRange(hour(0), hour(10))
        put(storage, series("BTCUSDT.BINANCE"), window, candles(opens), (refused,))
        for data_type in (DataType.TRADES, DataType.ORDERBOOK, DataType.FUNDING_RATES):
            for start in (datetime(2025, 10, 18), datetime(2026, 11, 22)):
                moments = [start + timedelta(hours=each) for each in (0, 8)]
                held = TimeRange(start, start + timedelta(hours=12))
                put(storage, typed(data_type), held, rows_of(data_type, moments))
    return tmp_path / "data"


def ask(data: Path, question: Callable[[HistoricalDataStore], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        async with HistoricalDataStore(data) as store:
            store.storage.clock = lambda: NOW
            return await question(store)

    return asyncio.run(main())


def test_metrics_count_what_is_missing(data: Path) -> None:
    metrics = ask(
        data,
        lambda store: store.get_data_quality_metrics(
            BTC, Venue("BINANCE"), DataType.OHLCV, hour(0), hour(16), TimeFrame.HOUR_1
        ),
    )

    assert (metrics.actual_records, metrics.expected_records) == (8, 16)
    assert metrics.missing_records == 8
    assert metrics.completeness_ratio == 0.5
    assert metrics.duplicate_records == 0
    assert metrics.rejected_records == 1
    assert [(gap.range.start, gap.missing_count, gap.reason) for gap in metrics.data_gaps] == [
        (hour(4), 1, GapReason.IN_QUARANTINE),
        (hour(5), 1, GapReason.VENUE_HAS_NONE),
        (hour(10), 6, GapReason.NOT_FETCHED),
    ]
    assert (metrics.first_ts, metrics.last_ts) == (hour(0), hour(9))


def test_metrics_of_all_that_is_held(data: Path) -> None:
    metrics = ask(
        data, lambda store: store.get_data_quality_metrics(BTC, timeframe=TimeFrame.HOUR_1)
    )

    assert metrics.completeness_ratio == 0.8
    assert (metrics.start_time, metrics.end_time) == (hour(0), hour(10))


def test_metrics_of_trades_are_of_time(data: Path) -> None:
    """How many trades are missing nobody knows; how long nobody promised them can be told."""
    start = datetime(2026, 11, 22)
    metrics = ask(
        data,
        lambda store: store.get_data_quality_metrics(
            BTC, None, DataType.TRADES, start - DAY, start + timedelta(hours=12)
        ),
    )

    assert metrics.actual_records == 2
    assert metrics.missing_records is None
    assert metrics.completeness_ratio == pytest.approx(1 / 3)


def test_storage_stats_say_what_sqlite_holds(data: Path) -> None:
    stats = ask(data, lambda store: store.get_storage_stats())

    assert stats.series == {"funding_rates": 1, "ohlcv": 1, "orderbook": 1, "trades": 1}
    assert stats.hot_rows["ohlcv"] == 8
    assert stats.jobs == {"completed": 7}
    assert stats.catalog_bytes > 10_000
    assert stats.hot_bytes > 1_000


def test_parquet_stats_say_what_the_files_hold(data: Path) -> None:
    async def question(store: HistoricalDataStore) -> Any:
        return await DataIngestionEngine(data_store=store).get_parquet_storage_stats()

    stats = ask(data, question)

    files = [path for path in (data / "parquet").rglob("*.parquet")]
    assert stats.total.files == len(files) == 7
    assert stats.total.bytes == sum(path.stat().st_size for path in files)
    assert stats.total.rows == 8 + 3 * 4
    candle = stats.by_data_type["ohlcv"]
    assert (candle.first_ts, candle.last_ts) == (hour(0), hour(9))
    assert candle.bytes_per_row == candle.bytes / 8
    # "2024-01-01 00:00:00.000000,1,2,0.5,1,1,1,3,," is what a row of it looks like.
    assert 40 <= candle.csv_bytes / 8 <= 60
    assert candle.reduction == 1 - candle.bytes / candle.csv_bytes


def test_statistics_of_an_empty_lake(tmp_path: Path) -> None:
    stats = ask(tmp_path / "new", lambda store: store.get_parquet_storage_stats())

    assert (stats.total.rows, stats.total.reduction) == (0, None)
    assert stats.by_data_type == {}


def test_a_clean_up_touches_trades_and_books_only(data: Path) -> None:
    """What venues keep for ever must be named."""
    gone = ask(data, lambda store: store.cleanup_old_data(days_to_keep=365))

    assert {(each.series.data_type, each.rows) for each in gone} == {
        (DataType.TRADES, 2),
        (DataType.ORDERBOOK, 2),
    }
    left = {path.relative_to(data / "parquet").parts[0] for path in data.rglob("*.parquet")}
    assert left == {"ohlcv", "trades", "orderbook", "funding_rates"}
    old = Partition(typed(DataType.TRADES), 2025, 10, 18).path
    assert not (data / "parquet" / old).exists()


def test_a_named_type_is_cleaned_up(data: Path) -> None:
    gone = ask(data, lambda store: store.cleanup_old_data(days_to_keep=30, data_type="ohlcv"))

    assert [(each.series, each.rows) for each in gone] == [(series("BTCUSDT.BINANCE"), 8)]
    with pytest.raises(InvalidRequest, match="lake drop"):
        ask(data, lambda store: store.cleanup_old_data(days_to_keep=0))


def test_the_newest_rows_of_every_type(data: Path) -> None:
    async def question(store: HistoricalDataStore) -> list[pl.DataFrame]:
        found = []
        for data_type, get in (
            (DataType.TRADES, store.get_trade_data),
            (DataType.ORDERBOOK, store.get_orderbook_data),
            (DataType.FUNDING_RATES, store.get_funding_rate_data),
        ):
            await asyncio.to_thread(store.storage.hot.refresh, typed(data_type))
            told = await get(BTC, limit=3)
            assert told.equals(store.read(typed(data_type)).tail(3))
            assert store.storage.hot.is_current(typed(data_type))
            found.append(told)
        return found

    _, books, _ = ask(data, question)

    assert books["bid_prices"].to_list() == [[100.0, 99.0]] * 3


def test_the_engine_reads_every_type_from_the_files(data: Path) -> None:
    async def question(store: HistoricalDataStore) -> list[int]:
        engine = DataIngestionEngine(data_store=store)
        day = datetime(2026, 11, 22)
        frames = [
            await engine.read_ohlcv_parquet(BTC, Venue("BINANCE"), TimeFrame.HOUR_1),
            await engine.read_trades_parquet(BTC, None, day),
            await engine.read_orderbook_parquet(BTC, start_time=day),
            await engine.read_funding_rates_parquet(BTC, end_time=day),
        ]
        with pytest.raises(InvalidRequest, match="does not trade at KRAKEN"):
            await engine.read_trades_parquet(BTC, Venue("KRAKEN"))
        assert await engine.cleanup_completed_jobs(max_age_hours=0) == 7
        assert await engine.cleanup_completed_jobs(max_age_hours=24) == 0
        return [frame.height for frame in frames]

    assert ask(data, question) == [8, 2, 2, 2]
