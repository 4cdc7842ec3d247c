"""The async store of a trading engine: one lake, opened for reading and for its engine to fill.

Joins storage and warehouse. The catalog is opened through apsw here, so SQL in this process runs
on a snapshot of it and never on the live file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import utc
from lake.errors import InvalidRequest
from lake.store import reads
from lake.store.opened import OpenStore

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage
    from lake.storage.retention import Removal
    from lake.store.quality import DataQualityMetrics
    from lake.store.stats import ParquetStorageStats, StorageStats
    from lake.warehouse.query import Parameters


class HistoricalDataStore(OpenStore):
    """One lake for an engine: reads now, writes through :class:`~lake.ingestion`.

    Use as ``async with``, or call :meth:`initialize` and :meth:`close`.

    Args:
        data_path: The lake's folder. It is made a lake if it is none yet.
        hot_rows: How many of the newest rows of each series ``hot.sqlite`` keeps, for all who
            write this lake from now on; None leaves it as it is (1,000 at first).
    """

    def read(
        self,
        series: Series | Sequence[Series],
        start: datetime | None = None,
        end: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The stored rows of ``[start, end)``, ascending by ``ts``; blocks while it reads.

        Args:
            series: One series, or several of one data type.
            start: First moment wanted (aware, or naive UTC); None for everything held.
            end: First moment not wanted any more.
            columns: Columns in the order wanted; None for all.

        Returns:
            The data type's own columns; for a list of series ``venue`` and ``instrument`` in
            front, one series after the other.

        Raises:
            SeriesNotFound: A series was never stored.
            InvalidRequest: A column does not exist, or the end is not after the start.
            StorageError: A file is damaged.
        """
        wanted = [series] if isinstance(series, Series) else list(series)
        return reads.read(
            self.storage,
            wanted,
            start=None if start is None else utc(start),
            end=None if end is None else utc(end),
            columns=columns,
            named=not isinstance(series, Series),
        )

    async def get_ohlcv_data(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        timeframe: TimeFrame | str = TimeFrame.HOUR_1,
        limit: int = 100,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """The newest *limit* candles, ascending.

        They come from ``hot.sqlite``, in a fraction of a millisecond, where it has them and is
        up to date with the files; else from the files.

        Args:
            instrument_id: The instrument at its venue.
            venue: May be left out; must be the one of *instrument_id*.
            timeframe: The candles' length.
            limit: How many.
            start_time: Only candles that open then or later (aware, or naive UTC).
            end_time: Only candles that open earlier.

        Returns:
            The columns of ``ohlcv``.

        Raises:
            SeriesNotFound: No such candles were ever stored; near names are in the message.
            InvalidRequest: *venue* contradicts *instrument_id*, or *limit* is out of bounds.
            StorageError: A file is damaged.
        """
        length = TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
        series = _series(DataType.OHLCV, instrument_id, venue, length)
        return await self._newest(series, limit, start_time, end_time)

    async def get_trade_data(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        limit: int = 100,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """The newest *limit* trades, ascending; otherwise as :meth:`get_ohlcv_data`."""
        series = _series(DataType.TRADES, instrument_id, venue)
        return await self._newest(series, limit, start_time, end_time)

    async def get_orderbook_data(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        limit: int = 100,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """The newest *limit* book snapshots, ascending; as :meth:`get_ohlcv_data`."""
        series = _series(DataType.ORDERBOOK, instrument_id, venue)
        return await self._newest(series, limit, start_time, end_time)

    async def get_funding_rate_data(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        limit: int = 100,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """The newest *limit* funding rates, ascending; as :meth:`get_ohlcv_data`."""
        series = _series(DataType.FUNDING_RATES, instrument_id, venue)
        return await self._newest(series, limit, start_time, end_time)

    async def read_range(
        self,
        series: Series | Sequence[Series],
        start: datetime | None = None,
        end: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """As :meth:`read`, in a thread."""
        return await self._slowly(self.read, series, start, end, columns)

    async def get_data_quality_metrics(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        data_type: DataType = DataType.OHLCV,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        timeframe: TimeFrame | str | None = None,
    ) -> DataQualityMetrics:
        """How complete ``[start_time, end_time)`` of one series is.

        Args:
            instrument_id: The instrument at its venue.
            venue: May be left out; must be the one of *instrument_id*.
            data_type: What kind of rows.
            start_time: First moment (aware, or naive UTC); None for everything held.
            end_time: First moment no longer looked at.
            timeframe: For candles their length.

        Raises:
            SeriesNotFound: The series was never stored.
            InvalidRequest: A timeframe is missing, or given for what has none.
        """
        length = TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
        series = _series(data_type, instrument_id, venue, length)
        from lake.store.quality import measure

        return await self._slowly(
            measure,
            self.storage,
            series,
            None if start_time is None else utc(start_time),
            None if end_time is None else utc(end_time),
        )

    async def get_storage_stats(self) -> StorageStats:
        """What the SQLite files hold: series, hot rows and jobs, and their bytes."""
        from lake.store.stats import sqlite_stats

        return await self._slowly(sqlite_stats, self.storage)

    async def get_parquet_storage_stats(self) -> ParquetStorageStats:
        """What the Parquet files hold: rows, bytes, files, ranges, and what CSV would take."""
        from lake.store.stats import parquet_stats

        return await self._slowly(parquet_stats, self.storage)

    async def cleanup_old_data(
        self, days_to_keep: int, data_type: DataType | str | None = None
    ) -> list[Removal]:
        """Take out files that lie wholly further back than *days_to_keep* days; for good.

        What a venue keeps for ever is cheap to hold and slow to fetch again: candles and
        funding rates are touched only where they are named. No backfill fetches back what
        expired, and its gaps are ``expired``.

        Args:
            days_to_keep: At least 1; the day (month, year) that holds the border stays whole.
            data_type: Only this type. None: trades and order books.

        Returns:
            What went, for each series of which anything did.

        Raises:
            InvalidRequest: *days_to_keep* is not above 0.
            ReadOnlyLake: The lake cannot be written.
        """
        if days_to_keep < 1:
            raise InvalidRequest(
                f"days_to_keep={days_to_keep} would take out everything. Keep at least 1 day, "
                "or drop a series by name with `lake drop`."
            )
        named = DataType.from_str(data_type) if isinstance(data_type, str) else data_type
        types = (DataType.TRADES, DataType.ORDERBOOK) if named is None else (named,)
        return await self._slowly(_clean, self.storage, timedelta(days=days_to_keep), types)

    def sql(
        self, text: str, parameters: Parameters = None, **frames: pl.DataFrame | pl.LazyFrame
    ) -> pl.DataFrame:
        """The answer of DuckDB SQL over the lake, at most a second behind; blocks meanwhile.

        Args:
            text: See the views and macros in ``sql/``.
            parameters: Values of ``$name`` or ``?``.
            frames: Polars frames that the SQL may use as tables of these names, for this once.
        """
        return self._sql().query(text, parameters, **frames)

    async def _newest(
        self,
        series: Series,
        limit: int,
        start_time: datetime | None,
        end_time: datetime | None,
    ) -> pl.DataFrame:
        from lake.store import newest

        storage, threads = self.storage, self._open_threads
        loop = asyncio.get_running_loop()
        asked = (
            storage,
            series,
            limit,
            None if start_time is None else utc(start_time),
            None if end_time is None else utc(end_time),
        )
        found = await loop.run_in_executor(threads.quick, newest.from_hot, *asked)
        if found is not None:
            return found
        found = await loop.run_in_executor(threads.slow, newest.from_files, *asked)
        # Not awaited: the next question finds it done. What it cannot write it leaves.
        threads.slow.submit(storage.hot.refresh_due, series)
        return found


def _clean(storage: Storage, keep: timedelta, data_types: Collection[DataType]) -> list[Removal]:
    from lake.storage.retention import expire

    before = storage.clock() - keep
    gone = [
        expire(storage, each.series, before)
        for each in storage.catalog.series()
        if each.series.data_type in data_types
    ]
    return [each for each in gone if each.files]


def _series(
    data_type: DataType,
    instrument_id: InstrumentId | str,
    venue: Venue | str | None,
    timeframe: TimeFrame | None = None,
) -> Series:
    """The series that a caller names.

    Raises:
        InvalidRequest: *venue* is another than the one of *instrument_id*.
    """
    if isinstance(instrument_id, str):
        instrument_id = InstrumentId.from_str(instrument_id)
    where = Venue(venue) if isinstance(venue, str) else venue
    if where is not None and where != instrument_id.venue:
        raise InvalidRequest(f"{instrument_id} does not trade at {where}: name one venue.")
    return Series(data_type, instrument_id, timeframe)
