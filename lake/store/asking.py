"""SQL in a process that has the lake open: over a copy of the catalog, never the live file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from lake.storage.lake import Storage
    from lake.warehouse.query import Parameters, Warehouse


class Asking:
    """DuckDB on an open lake, made when first asked. Threads take turns."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._warehouse: Warehouse | None = None
        # DuckDB's connection answers one thread at a time.
        self._turn = threading.Lock()

    def query(
        self, text: str, parameters: Parameters = None, **frames: pl.DataFrame | pl.LazyFrame
    ) -> pl.DataFrame:
        """The answer of SQL, at most a second behind; see :meth:`Warehouse.query`."""
        with self._turn:
            return self._opened().query(text, parameters, **frames)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """The prepared connection: views, macros, analytics, and the catalog as it is now."""
        with self._turn:
            warehouse = self._opened()
            warehouse.query("select 1")
            return warehouse.connection

    def close(self) -> None:
        """Close DuckDB. Closing twice does no harm."""
        with self._turn:
            if self._warehouse is not None:
                self._warehouse.close()
            self._warehouse = None

    def _opened(self) -> Warehouse:
        from lake.warehouse.query import Warehouse

        if self._warehouse is None:
            self._warehouse = Warehouse(self._storage.root, catalog=self._storage.snapshot)
        return self._warehouse
