"""The only room that knows DuckDB; it reads the lake and never writes it."""

from __future__ import annotations

from lake.warehouse.query import Trust, Warehouse, query

__all__ = ["Trust", "Warehouse", "query"]
