"""Says which SQL may run, by DuckDB's own parser: none that writes a file or opens a database.

DuckDB is asked what it understood, since a pattern over the text misses what its grammar allows
(comments, quoted names, EXPLAIN before a COPY). What files a statement may read is up to the
connection's settings (:mod:`lake.warehouse.connection`); nothing is run here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import duckdb

from lake.errors import InvalidRequest
from lake.warehouse.moments import require_offsets_kept

_Kind = duckdb.StatementType
# Nothing here can write a file: what is created or changed lives in memory.
_ALLOWED = {
    _Kind.SELECT,
    _Kind.SET,
    _Kind.VARIABLE_SET,
    _Kind.CREATE,
    _Kind.CREATE_FUNC,
    _Kind.INSERT,
    _Kind.UPDATE,
    _Kind.DELETE,
    _Kind.MERGE_INTO,
    _Kind.DROP,
    _Kind.ALTER,
    _Kind.TRANSACTION,
    _Kind.RELATION,
}
# Functions that write files, open other databases, run text as SQL, or take raw pointers.
_REFUSED = frozenset(
    {
        "enable_logging",
        "disable_logging",
        "truncate_duckdb_logs",
        "write_log",
        "enable_profiling",
        "disable_profiling",
        "checkpoint",
        "force_checkpoint",
        "query",
        "json_execute_serialized_sql",
        "sqlite_attach",
        "sqlite_query",
        "sqlite_scan",
        "read_duckdb",
        "arrow_scan",
        "arrow_scan_dumb",
        "pandas_scan",
        "python_map_function",
    }
)
# Table functions that strangers may use, beside our own macros: they read the lake's files, or
# nothing outside of the session.
_FOR_STRANGERS = frozenset(
    {
        "unnest",
        "range",
        "generate_series",
        "repeat",
        "repeat_row",
        "json_each",
        "json_tree",
        "histogram",
        "histogram_values",
        "summary",
        "read_parquet",
        "parquet_scan",
        "parquet_metadata",
        "parquet_schema",
        "parquet_file_metadata",
        "duckdb_columns",
        "duckdb_tables",
        "duckdb_views",
        "duckdb_functions",
        "duckdb_types",
        "duckdb_keywords",
        "pragma_table_info",
        "pragma_version",
        "pragma_show",
    }
)
# These tell of the machine (paths, settings), write, or only waste time.
_NOT_FOR_STRANGERS = frozenset(
    {
        "current_setting",
        "getvariable",
        "getenv",
        "write_log",
        "sleep_ms",
    }
)
# DuckDB's own views that strangers may use. The others tell of the machine as the functions do
# that they stand on (pg_settings: paths, settings).
_VIEWS_FOR_STRANGERS = frozenset(
    {
        "columns",
        "schemata",
        "tables",
        "duckdb_columns",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "pg_tables",
        "pg_views",
        "sqlite_master",
        "sqlite_schema",
    }
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_EXPLAIN_WORDS = frozenset({"explain", "analyze", "verbose"})


def require_own(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let pass what reads, or changes only what lives in the session's memory.

    Raises:
        InvalidRequest: The SQL cannot be understood, would write, opens another database, or
            holds an offset that would be dropped.
    """
    require_offsets_kept(sql)
    for name in _called(sql):
        if name in _REFUSED:
            raise InvalidRequest(
                f"{name}(...) is not possible here: it can write files or open databases behind "
                "the lake's back. The catalog is the schema catalog: from catalog.partitions. To "
                "save an answer use --output FILE."
            )
    kinds = _kinds(connection, sql)
    if not kinds:
        raise InvalidRequest("The SQL is empty. Write for example: from ohlcv_1h limit 5")
    if _Kind.EXPLAIN in kinds:
        if len(kinds) > 1:
            raise InvalidRequest("EXPLAIN stands alone; run the other statements before it.")
        kinds = _kinds(connection, _explained(sql))
    for kind in kinds:
        if kind not in _ALLOWED:
            raise InvalidRequest(
                f"{kind.name} is not possible here: SQL cannot write the lake or open other "
                "databases. To save an answer use --output FILE."
            )


def require_locked(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let one SELECT pass that uses nothing but known harmless functions.

    Raises:
        InvalidRequest: It is anything else, or holds an offset that would be dropped.
    """
    require_offsets_kept(sql)
    if _kinds(connection, sql) != [_Kind.SELECT]:
        raise InvalidRequest(
            "Locked SQL is exactly one SELECT. (A PIVOT needs its columns written out: IN (...).)"
        )
    [(text,)] = connection.execute("select json_serialize_sql($1::varchar)", [sql]).fetchall()
    tree = json.loads(text)
    if tree.get("error"):
        raise InvalidRequest(f"Locked SQL cannot hold this: {tree.get('error_message')}.")
    ours = _macros(connection)
    for name, is_table in _functions(tree):
        if is_table and name not in _FOR_STRANGERS and name not in ours:
            raise InvalidRequest(f"{name}(...) is not possible in locked SQL.")
        if name in _NOT_FOR_STRANGERS or name in _REFUSED:
            raise InvalidRequest(f"{name}(...) is not possible in locked SQL.")
    hidden = _internal_views(connection) - _VIEWS_FOR_STRANGERS
    for name in _tables(tree):
        if name in hidden:
            raise InvalidRequest(f"{name} is not possible in locked SQL.")


def _kinds(connection: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.StatementType]:
    try:
        return [statement.type for statement in connection.extract_statements(sql)]
    except duckdb.Error as error:
        raise InvalidRequest(f"The SQL cannot be understood: {error}") from error


def _called(sql: str) -> Iterator[str]:
    """The names in *sql* that are followed by a parenthesis, in lower case, by DuckDB's lexer."""
    tokens = _tokens(sql)
    for (word, _), (following, _) in pairwise(tokens):
        if following.startswith("("):
            yield (word[1:-1].replace('""', '"') if word.startswith('"') else word).lower()


def _explained(sql: str) -> str:
    """The statement behind EXPLAIN and its options."""
    data = sql.encode()
    depth = 0
    for word, offset in _tokens(sql):
        if word == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        elif depth == 0 and word.lower() not in _EXPLAIN_WORDS:
            return data[offset:].decode()
    return sql


def _tokens(sql: str) -> list[tuple[str, int]]:
    """Words and signs of *sql*, each with its offset in bytes; without comments."""
    data = sql.encode()
    # The lexer says where tokens begin. A token ends where the next one does, less blanks and
    # comments, neither of which it reports.
    starts = [offset for offset, _ in duckdb.tokenize(sql)]
    tokens = []
    for start, end in zip(starts, [*starts, len(data)][1:], strict=True):
        word = data[start:end].decode(errors="replace")
        tokens.append((_without_comments(word), start))
    return tokens


def _without_comments(word: str) -> str:
    """One token without the blanks and comments behind it."""
    if quoted := _QUOTED.match(word):
        return quoted[0]
    for sign in ("--", "/*"):
        found = word.find(sign)
        if found > 0:
            word = word[:found]
    return word.split()[0] if word.split() else word


def _macros(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute(
        "select distinct lower(function_name) from duckdb_functions() "
        "where function_type in ('macro', 'table_macro') and not internal"
    ).fetchall()
    return {name for (name,) in rows if not name.startswith("lake_")}


def _internal_views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("select lower(view_name) from duckdb_views() where internal")
    return {name for (name,) in rows.fetchall()}


def _tables(node: Any) -> Iterator[str]:
    """The name of every table and view in a parsed statement, in lower case."""
    if isinstance(node, list):
        for each in node:
            yield from _tables(each)
    elif isinstance(node, dict):
        if node.get("type") == "BASE_TABLE":
            yield str(node["table_name"]).lower()
        for value in node.values():
            yield from _tables(value)


def _functions(node: Any) -> Iterator[tuple[str, bool]]:
    """Every function in a parsed statement: its name, and whether it stands as a table."""
    if isinstance(node, list):
        for each in node:
            yield from _functions(each)
    elif isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            yield str(node["function"].get("function_name", "")).lower(), True
        elif node.get("class") == "FUNCTION":
            yield str(node.get("function_name", "")).lower(), False
        for value in node.values():
            yield from _functions(value)
