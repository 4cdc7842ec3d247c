"""The async store of a trading engine: one lake, opened for reading and for its engine to fill.

Joins storage and warehouse. The catalog is opened through apsw here, so SQL in this process runs
on a snapshot of it and never on the live file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lake.domain.identifiers import Series
from lake.domain.times import utc
from lake.errors import InvalidRequest
from lake.store import reads
from lake.store.asking import Asking

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage
    from lake.warehouse.query import Parameters


class HistoricalDataStore:
    """One lake for an engine: reads now, writes through :class:`~lake.ingestion`.

    Use as ``async with``, or call :meth:`initialize` and :meth:`close`.

    Args:
        data_path: The lake's folder. It is made a lake if it is none yet.
    """

    def __init__(self, data_path: str | Path = "data") -> None:
        self.data_path = Path(data_path)
        self._storage: Storage | None = None
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

    def _sql(self) -> Asking:
        storage = self.storage
        if self._asking is None:
            self._asking = Asking(storage)
        return self._asking

    def _close(self) -> None:
        if self._asking is not None:
            self._asking.close()
        if self._storage is not None:
            self._storage.close()
        self._asking = self._storage = None
