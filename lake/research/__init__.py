"""The lake for research: a sync face over storage, warehouse and ingestion, answers in polars."""

from __future__ import annotations

from lake.research.lake import Lake
from lake.research.wholeness import GapWarning

__all__ = ["GapWarning", "Lake"]
