"""A lake that is open in an event loop: its storage, its SQL and its threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from lake.errors import InvalidRequest
from lake.store.asking import Asking

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_T = TypeVar("_T")
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


class OpenStore:
    """Opening and closing; what is asked of the lake is :class:`lake.store.HistoricalDataStore`.

    Args:
        data_path: The lake's folder. It is made a lake if it is none yet.
        hot_rows: How many of the newest rows of each series are kept at hand.
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
            # An import in the loop would hold it up for as long as it takes: half a second.
            await asyncio.to_thread(_import_what_is_used)
            self._threads = _Threads()

    async def close(self) -> None:
        """Close every file of the lake. Closing twice does no harm."""
        await asyncio.to_thread(self._close)

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

    async def _slowly(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """What *work* returns, from a thread for what takes its time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._open_threads.slow, work, *arguments)

    @property
    def _open_threads(self) -> _Threads:
        _ = self.storage  # says so where the store is not open
        assert self._threads is not None
        return self._threads

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


def _import_what_is_used() -> None:
    for name in ("newest", "quality", "stats"):
        import_module(f"lake.store.{name}")
    import_module("lake.warehouse.reader")
