"""The async store of a trading engine: one lake, opened for reading and for its engine to fill.

Joins storage and warehouse. The catalog is opened through apsw here, so SQL in this process runs
on a snapshot of it and never on the live file.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lake.domain.identifiers import Series
from lake.domain.ranges import range_or_none
from lake.domain.times import EPOCH, utc
from lake.errors import InvalidRequest, SeriesNotFound

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage
    from lake.warehouse.query import Parameters, Warehouse

# A file can be removed between the look into the catalog and the read; never many times in a row.
_LOOKS = 5
_LAST = datetime(9999, 12, 31)
_NAMES_SHOWN = 5


class HistoricalDataStore:
    """One lake for an engine: reads now, writes through :class:`~lake.ingestion`.

    Use as ``async with``, or call :meth:`initialize` and :meth:`close`.

    Args:
        data_path: The lake's folder. It is made a lake if it is none yet.
    """

    def __init__(self, data_path: str | Path = "data") -> None:
        self.data_path = Path(data_path)
        self._storage: Storage | None = None
        self._warehouse: Warehouse | None = None
        # DuckDB's connection answers one thread at a time.
        self._asking = threading.Lock()

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
            The data type's own columns; for several series ``venue`` and ``instrument`` in
            front, one series after the other.

        Raises:
            SeriesNotFound: A series was never stored.
            InvalidRequest: A column does not exist, or the end is not after the start.
            StorageError: A file is damaged.
        """
        from lake.warehouse.reader import FileGone, SeriesFiles, read_series

        wanted = [series] if isinstance(series, Series) else list(series)
        first, last = utc(start or EPOCH), utc(end or _LAST)
        if range_or_none(first, last) is None:
            raise InvalidRequest(f"Nothing lies from {first} to {last}: the end is not after it.")
        for look in range(1, _LOOKS + 1):
            files = [SeriesFiles(each, self._partitions(each)) for each in wanted]
            try:
                return read_series(
                    self.storage.parquet,
                    files,
                    start=None if start is None else first,
                    end=None if end is None else last,
                    columns=columns,
                )
            except FileGone:
                if look == _LOOKS:
                    raise
        raise AssertionError("unreachable")

    def sql(self, text: str, parameters: Parameters = None, **frames: pl.DataFrame) -> pl.DataFrame:
        """The answer of DuckDB SQL over the lake, at most a second behind; blocks meanwhile.

        Args:
            text: See the views and macros in ``sql/``.
            parameters: Values of ``$name`` or ``?``.
            frames: Polars frames that the SQL may use as tables of these names.
        """
        from lake.warehouse.query import Warehouse

        storage = self.storage
        with self._asking:
            if self._warehouse is None:
                self._warehouse = Warehouse(storage.root, catalog=storage.snapshot)
            return self._warehouse.query(text, parameters, **frames)

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

    def _partitions(self, series: Series) -> tuple[Any, ...]:
        catalog = self.storage.catalog
        listed = catalog.partitions(series)
        if not listed and catalog.series_info(series) is None:
            raise SeriesNotFound(self._unknown(series))
        return tuple(each.partition for each in listed)

    def _unknown(self, series: Series) -> str:
        from difflib import get_close_matches

        held = [str(each.series) for each in self.storage.catalog.series()]
        near = get_close_matches(str(series), held, n=_NAMES_SHOWN, cutoff=0.5)
        hint = f"Near: {', '.join(near)}." if near else "Nothing like it is held."
        return f"{series} was never stored in {self.storage.root}. {hint}"

    def _close(self) -> None:
        with self._asking:
            if self._warehouse is not None:
                self._warehouse.close()
            self._warehouse = None
        if self._storage is not None:
            self._storage.close()
        self._storage = None
