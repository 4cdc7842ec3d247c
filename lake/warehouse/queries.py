"""A user's own SQL in ``queries/`` of the lake: views and macros of theirs, beside ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lake.errors import InvalidRequest
from lake.warehouse.statements import require_own

FOLDER = "queries"
# More are surely not meant; each costs time at every start.
_MAX_FILES = 1_000
_LINE = re.compile(r"\nLINE (\d+):")


@dataclass(frozen=True, slots=True)
class Query:
    """One file that was loaded."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Broken:
    """One file that was not loaded, or not wholly."""

    path: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.why} The other files are loaded."


def load_queries(
    connection: duckdb.DuckDBPyConnection, root: Path
) -> tuple[list[Query], list[Broken]]:
    """Run every ``.sql`` file of ``queries/`` in *root*, by name; a broken one harms no other.

    Args:
        connection: Prepared, so that the files may build on our names and on those of files
            before them.
        root: The lake.

    Returns:
        The files that were loaded, and those that were not with the place of the first error.
    """
    loaded: list[Query] = []
    broken: list[Broken] = []
    for path in sorted((root / FOLDER).glob("*.sql"))[:_MAX_FILES]:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            broken.append(Broken(path, 1, f"{error}."))
            continue
        if why := _run(connection, path, text):
            broken.append(why)
        else:
            loaded.append(Query(path, text))
    return loaded, broken


def _run(connection: duckdb.DuckDBPyConnection, path: Path, text: str) -> Broken | None:
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        return Broken(path, _line_of(str(error), 1), _first_line(error))
    line = 1
    for statement in statements:
        sql = statement.query  # with the blanks and comments before it
        blank = len(sql) - len(sql.lstrip("\n"))
        try:
            require_own(connection, sql)
            connection.execute(sql)
        except InvalidRequest as error:
            return Broken(path, line + blank, str(error))
        except duckdb.Error as error:
            return Broken(path, line - 1 + _line_of(str(error), blank + 1), _first_line(error))
        line += sql.count("\n")
    return None


def _line_of(message: str, otherwise: int) -> int:
    """The line that DuckDB's message points at."""
    found = _LINE.search(message)
    return int(found[1]) if found else otherwise


def _first_line(error: duckdb.Error) -> str:
    line = str(error).split("\n", 1)[0]
    return line if line.endswith(".") else f"{line}."
