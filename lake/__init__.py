"""A data lake for crypto market history.

Exchange rows become Arrow tables, Arrow tables become Parquet partitions, SQLite remembers
what was done, DuckDB answers questions.
"""

from __future__ import annotations

__version__ = "0.1.0"
