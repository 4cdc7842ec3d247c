"""The async store of a trading engine: one lake, opened for reading and for its engine to fill.

Joins storage and warehouse. The catalog is opened through apsw here, so SQL in this process runs
on a snapshot of it and never on the live file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import utc
from lake.errors import InvalidRequest
from lake.store import reads
from lake.store.asking import Asking

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage
    from lake.warehouse.query import Parameters


# Look-ups take a fraction of a millisecond; more threads would only wait for one another.
_QUICK, _SLOW = 2, 4
# SQLite takes six times the room of Parquet.
_ROWS_MAX = 100_000


class _Threads:
    """Threads of our own: behind others' commits and slow reads a look-up would have to wait."""

    def __init__(self) -> None:
        self.quick = ThreadPoolExecutor(_QUICK, thread_name_prefix="lake-hot")
        self.slow = ThreadPoolExecutor(_SLOW, thread_name_prefix="lake-read")

    def close(self) -> None:
        self.quick.shutdown()
        self.slow.shutdown()


class HistoricalDataStore:
    """One lake for an engine: reads now, writes through :class:`~lake.ingestion`.

    Use as ``async with``, or call :meth:`initialize` and :meth:`close`.

    Args:
        data_path: The lake's folder. It is made a lake if it is none yet.
        hot_rows: How many of the newest rows of each series ``hot.sqlite`` keeps, for all who
            write this lake from now on; None leaves it as it is (1,000 at first).
    """

    def __init__(self, data_path: str | Path = "data", *, hot_rows: int | None = None) -> None:
        if hot_rows is not None and not 0 <= hot_rows <= _ROWS_MAX:
            raise InvalidRequest(
                f"hot_rows={hot_rows} was asked for. It is from 0 (none) to {_ROWS_MAX:,}."
            )
        self.data_path = Path(data_path)
        self._hot_rows = hot_rows
        self._storage: Storage | None = None
        self._threads: _Threads | None = None
        self._asking: Asking | None = None

    @property
    def storage(self) -> Storage:
        """The open lake.

        Raises:
            InvalidRequest: The store is not initialized, or closed.
        """
        if self._storage is None:
            raise InvalidRequest(
                f"The store of {self.data_path} is not open. "
                "Call `await store.initialize()` first, and nothing after `close()`."
            )
        return self._storage

    async def initialize(self) -> None:
        """Open the lake, finishing first what a killed process had begun. Twice does no harm."""
        from lake.storage.lake import Storage

        if self._storage is None:
            self._storage = await asyncio.to_thread(Storage.open, self.data_path, create=True)
            if self._hot_rows is not None:
                await asyncio.to_thread(self._storage.hot.keep, self._hot_rows)
            self._threads = _Threads()

    async def close(self) -> None:
        """Close every file of the lake. Closing twice does no harm."""
        await asyncio.to_thread(self._close)

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

    def sql(self, text: str, parameters: Parameters = None, **frames: pl.DataFrame) -> pl.DataFrame:
        """The answer of DuckDB SQL over the lake, at most a second behind; blocks meanwhile.

        Args:
            text: See the views and macros in ``sql/``.
            parameters: Values of ``$name`` or ``?``.
            frames: Polars frames that the SQL may use as tables of these names.
        """
        return self._sql().query(text, parameters, **frames)

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _newest(
        self,
        series: Series,
        limit: int,
        start_time: datetime | None,
        end_time: datetime | None,
    ) -> pl.DataFrame:
        from lake.store import newest

        storage, threads = self.storage, self._threads
        assert threads is not None, "made with the storage"
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

    def _sql(self) -> Asking:
        storage = self.storage
        if self._asking is None:
            self._asking = Asking(storage)
        return self._asking

    def _close(self) -> None:
        if self._threads is not None:
            self._threads.close()
        if self._asking is not None:
            self._asking.close()
        if self._storage is not None:
            self._storage.close()
        self._asking = self._storage = self._threads = None


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
