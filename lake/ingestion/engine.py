"""The async API of a trading engine for filling the lake: jobs that are made, run and watched."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import Job, JobState
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import iso
from lake.errors import InvalidRequest
from lake.ingestion.backfill import Backfill
from lake.ingestion.runner import ROWS_IN_FLIGHT

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage
    from lake.store import HistoricalDataStore
    from lake.store.stats import ParquetStorageStats


class DataIngestionEngine:
    """Fetches market history into the lake of a :class:`~lake.store.HistoricalDataStore`.

    Nothing here blocks the event loop. Jobs live in the catalog: one that was killed
    continues when it is started again, in this process or another.

    Args:
        data_store: The store whose lake is filled; it must be initialized.
        parquet_path: The lake's Parquet folder. Only checked: it must be the store's own.
        max_workers: Requests under way at the same time, over all jobs.
        batch_size: Rows that may be fetched and not yet stored, over all jobs.
        base_url: Ask this address instead of the venues (a mirror, ``lake serve``).
        rate_share: The part of a venue's allowance that may be used, 0 to 1.
    """

    def __init__(
        self,
        data_store: HistoricalDataStore,
        parquet_path: str | Path | None = None,
        max_workers: int = 8,
        batch_size: int = ROWS_IN_FLIGHT,
        *,
        base_url: str | None = None,
        rate_share: float = 0.8,
    ) -> None:
        self.data_store = data_store
        self._parquet_path = None if parquet_path is None else Path(parquet_path)
        self._options: dict[str, Any] = {
            "max_workers": max_workers,
            "rows_in_flight": batch_size,
            "base_url": base_url,
            "rate_share": rate_share,
        }
        self._backfill: Backfill | None = None
        self._tasks: dict[str, asyncio.Task[Job]] = {}

    async def close(self) -> None:
        """Stops the jobs under way (what was fetched is stored) and closes connections."""
        if self._backfill is None:
            return
        self._backfill.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._backfill.close()
        self._backfill = None

    async def create_ingestion_job(
        self,
        data_type: DataType,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        *,
        start_time: datetime,
        end_time: datetime,
        timeframe: TimeFrame | str | None = None,
    ) -> str:
        """Records a job that brings ``[start_time, end_time)`` of one series; returns its id.

        Args:
            data_type: Candles, trades or funding rates; books have no history to fetch.
            instrument_id: Our code, ccxt's symbol or the venue's id, at a venue.
            venue: May be left out; must be the one of *instrument_id*.
            start_time: Naive UTC, or aware.
            end_time: The first moment no longer wanted.
            timeframe: The candles' length.

        Raises:
            InvalidRequest: Another venue, an empty range or one in the future, an instrument
                the venue lacks.
            SourceError: The venue's list of instruments is not known yet and cannot be read.
        """
        instrument_id = _at(instrument_id, venue)
        length = None if timeframe is None else _length(timeframe)
        if data_type is DataType.ORDERBOOK:
            raise InvalidRequest(
                f"A job for the order book of {instrument_id} was asked for, but venues keep no "
                "history of their books: snapshots can only be taken from now on. Record them "
                f"with `lake backfill {instrument_id.venue} {instrument_id.symbol} "
                "--type orderbook --every 10s --for 1h`, or with Backfill.record."
            )
        # What is wrong in itself is told before any venue is asked.
        Series(data_type, instrument_id, length)
        window = TimeRange(start_time, end_time)
        backfill = self._engine()
        named = await backfill.venues.names(instrument_id.venue)
        [instrument] = named(instrument_id.symbol)
        series = Series(data_type, instrument.id, length)
        # What a series may not be mixed with is said by the venue's entry, once it is open.
        source = await backfill.venues.source(series.venue)
        if window.start >= (now := await source.server_time()):
            raise InvalidRequest(
                f"A job for {series} from {iso(window.start)} was asked for, but at {series.venue} "
                f"it is {iso(now.replace(microsecond=0))} UTC: there is nothing yet. Choose an "
                "earlier start."
            )
        return await asyncio.to_thread(self._record, series, window, source.variant(series))

    async def start_ingestion_job(self, job_id: str) -> asyncio.Task[Job]:
        """Starts a job in the background.

        Returns:
            The running task. Await it to wait for the end; it gives the job as it ended
            (``status`` says how: a failure is in ``error``, not raised). Only where the job
            could not be begun does it raise: ``StorageError`` if another worker holds it.

        Raises:
            UnknownJob: There is no such job.
            InvalidRequest: It is running here already, or completed.
        """
        job = await self.get_job_status(job_id)
        running = self._tasks.get(job_id)
        if (running and not running.done()) or job.status is JobState.COMPLETED:
            raise InvalidRequest(
                f"Job {job_id} cannot be started: it is {job.status.value}. "
                "Create another job, or watch this one with get_job_status."
            )
        task = asyncio.create_task(self._run(job_id), name=f"lake job {job_id}")
        self._tasks[job_id] = task
        task.add_done_callback(lambda done: self._tasks.pop(job_id, None))
        return task

    async def list_active_jobs(self) -> list[Job]:
        """Jobs that wait or run, in any process, oldest first."""
        states = (JobState.PENDING, JobState.RUNNING)
        return await asyncio.to_thread(self._storage.jobs.list, states)

    async def get_job_status(self, job_id: str) -> Job:
        """The job as it stands: ``status``, ``progress`` (0 to 1), ``rows``, ``error``.

        Raises:
            UnknownJob: There is no such job.
        """
        return await asyncio.to_thread(self._storage.jobs.get, job_id)

    async def cancel_job(self, job_id: str) -> None:
        """Asks a job to end, wherever it runs. It ends between two pages; what it stored stays.

        Raises:
            UnknownJob: There is no such job.
        """
        await asyncio.to_thread(self._storage.jobs.request_cancel, job_id)

    async def cleanup_completed_jobs(self, max_age_hours: float = 24) -> int:
        """Forgets jobs that ended longer ago than that; returns how many.

        What they stored stays, and ranges that failed stay known.
        """
        before = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=max_age_hours)
        return await asyncio.to_thread(self._storage.jobs.clean, before)

    async def read_ohlcv_parquet(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        timeframe: TimeFrame | str = TimeFrame.HOUR_1,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """Stored candles of ``[start_time, end_time)``, sorted by ``ts``.

        Returns:
            The columns of ``ohlcv``; no rows where none are stored in the range.

        Raises:
            SeriesNotFound: No such candles were ever stored.
            InvalidRequest: *venue* is not the one of *instrument_id*.
        """
        series = Series(DataType.OHLCV, _at(instrument_id, venue), _length(timeframe))
        return await self.data_store.read_range(series, start_time, end_time)

    async def read_trades_parquet(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """Stored trades of ``[start_time, end_time)``; otherwise as :meth:`read_ohlcv_parquet`."""
        series = Series(DataType.TRADES, _at(instrument_id, venue))
        return await self.data_store.read_range(series, start_time, end_time)

    async def read_orderbook_parquet(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """Stored book snapshots of ``[start_time, end_time)``; as :meth:`read_ohlcv_parquet`."""
        series = Series(DataType.ORDERBOOK, _at(instrument_id, venue))
        return await self.data_store.read_range(series, start_time, end_time)

    async def read_funding_rates_parquet(
        self,
        instrument_id: InstrumentId | str,
        venue: Venue | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> pl.DataFrame:
        """Stored funding rates of ``[start_time, end_time)``; as :meth:`read_ohlcv_parquet`."""
        series = Series(DataType.FUNDING_RATES, _at(instrument_id, venue))
        return await self.data_store.read_range(series, start_time, end_time)

    async def get_parquet_storage_stats(self) -> ParquetStorageStats:
        """What the Parquet files hold: rows, bytes, files, ranges, and what CSV would take."""
        return await self.data_store.get_parquet_storage_stats()

    @property
    def _storage(self) -> Storage:
        return self.data_store.storage

    def _engine(self) -> Backfill:
        if self._backfill is None:
            root = self._storage.root
            if self._parquet_path is not None and (
                self._parquet_path.resolve() != (root / "parquet").resolve()
            ):
                raise InvalidRequest(
                    f"parquet_path is {self._parquet_path}, but the store's lake keeps its files "
                    f"in {root / 'parquet'}. Leave parquet_path out."
                )
            self._backfill = Backfill(self._storage, **self._options)
        return self._backfill

    def _record(self, series: Series, window: TimeRange, variant: str | None) -> str:
        storage = self._storage
        storage.catalog.ensure_series(series, self._engine().origin, variant=variant)
        return storage.jobs.create(series, window).job_id

    async def _run(self, job_id: str) -> Job:
        await self._engine().run_job(job_id)
        return await self.get_job_status(job_id)


def _at(instrument_id: InstrumentId | str, venue: Venue | str | None) -> InstrumentId:
    if isinstance(instrument_id, str):
        instrument_id = InstrumentId.from_str(instrument_id)
    where = Venue(venue) if isinstance(venue, str) else venue
    if where is not None and where != instrument_id.venue:
        raise InvalidRequest(
            f"{instrument_id} does not trade at {where}. Leave venue out, or name the same one."
        )
    return instrument_id


def _length(timeframe: TimeFrame | str) -> TimeFrame:
    return TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
