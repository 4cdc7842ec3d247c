"""Finds DuckDB's SQLite extension without any network: the file inside its Python package."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

PACKAGE = "duckdb_extension_sqlite_scanner"
_FILE = "sqlite_scanner.duckdb_extension"


def extension_path(version: str) -> Path | None:
    """The extension built for DuckDB *version*; None where the package has none for us."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "extensions" / f"v{version}" / _FILE
        if path.is_file():
            return path
    return None


def duckdb_version() -> str:
    """The version of DuckDB in this environment, without importing it."""
    return metadata.version("duckdb")
