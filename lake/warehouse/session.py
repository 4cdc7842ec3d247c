"""What a DuckDB session over a lake consists of: statements, in order, from ``sql/``.

The same texts prepare our own connections and the init file of any other DuckDB client. Nothing
here opens or runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache

import pyarrow as pa

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import HIVE_TYPES, Partition
from lake.domain.schemas import ROW_SPECS, RowSpec
from lake.domain.timeframe import TimeFrame
from lake.sql_files import sql_file, sql_files

KINDS = tuple(spec.data_type.value for spec in ROW_SPECS.values())
# Candles of all timeframes have one column more.
_EVERY_CANDLE = "ohlcv_all"
_TEMPLATE = "ohlcv_timeframe"
# Base macros come before those that build on them, and before the rows of a data type.
_FIRST_TABLE_MACRO = "20"
_READERS = ("macros", "views", "analytics")
_CHECKS = ("scope", "checks", "reasons")
_OF_LAKE = re.compile(r"\blake\.(\w+)")


def versions() -> str:
    """The schema version of each data type that this program writes, as a map of DuckDB."""
    pairs = (f"'{spec.data_type.value}': {spec.version}" for spec in ROW_SPECS.values())
    return f"set variable lake_versions = map {{{', '.join(pairs)}}}"


def nothing() -> Iterator[str]:
    """Makes every data type look empty, so that making views opens no file."""
    text = sql_file("session", "nothing").text
    for kind in KINDS:
        yield text.replace("{kind}", kind)


def macros() -> Iterator[str]:
    """Macros: ours, then the rows of each data type, then those that people call."""
    files = sql_files("macros")
    yield from (file.text for file in files if file.name < _FIRST_TABLE_MACRO)
    for spec in ROW_SPECS.values():
        yield _rows(spec, spec.data_type.value)
    yield _rows(ROW_SPECS[DataType.OHLCV], _EVERY_CANDLE)
    yield from (file.text for file in files if file.name >= _FIRST_TABLE_MACRO)


def views() -> Iterator[str]:
    """Views that are there whatever the lake holds."""
    yield from (file.text for file in sql_files("views") if file.name != _TEMPLATE)


def analytics() -> Iterator[str]:
    """What is computed from candles, trades, books and funding rates."""
    # DuckDB looks a macro's names up when it is made; none needs one that itself needs another.
    files = sorted(sql_files("analytics"), key=lambda file: "needs" in file.header)
    yield from (file.text for file in files)


def view_names() -> list[str]:
    """The views that are there whatever the lake holds."""
    return [file.name for file in sql_files("views") if file.name != _TEMPLATE]


def checked() -> Iterator[str]:
    """The names that checks read: the whole lake, until :func:`scope` says less."""
    yield from scope()
    yield from (file.text for file in sql_files("scope"))
    for kind in KINDS:
        shape = _EVERY_CANDLE if kind == DataType.OHLCV.value else kind
        text = sql_file("session", "checked").text
        yield text.replace("{kind}", kind).replace("{shape}", shape)


def scope() -> Iterator[str]:
    """Chooses the files that checks read, by what ``check_series`` and the like are set to."""
    text = sql_file("session", "scope").text
    yield from (text.replace("{kind}", kind) for kind in KINDS)


@cache
def tables(*, checks: bool = False) -> frozenset[str]:
    """The tables of the catalog that our views and macros read, in the schema ``lake``.

    Args:
        checks: Those that checks read, too.
    """
    folders = (*_READERS, *_CHECKS) if checks else _READERS
    texts = [file.text for folder in folders for file in sql_files(folder)]
    texts.append(sql_file("session", "files").text)
    return frozenset(name for text in texts for name in _OF_LAKE.findall(text))


def timeframe_view(timeframe: TimeFrame) -> str:
    """The view of all candles of *timeframe*."""
    return sql_file("views", _TEMPLATE).text.replace("{timeframe}", timeframe.value)


def kind(name: str) -> str:
    """Takes over what is held of the data type *name*, from ``lake.held``."""
    return sql_file("session", "kind").text.replace("{kind}", name)


def bucket(name: str, number: int) -> str:
    """Takes over one part of what is held of the data type *name*."""
    text = sql_file("session", "bucket").text
    return text.replace("{kind}", name).replace("{bucket}", str(number))


def _rows(spec: RowSpec, shape: str) -> str:
    keys = _hive_keys(spec.data_type)
    typed = [("venue", "varchar"), ("instrument", "varchar")]
    if shape == _EVERY_CANDLE:
        typed.append(("timeframe", "varchar"))
    columns = [f"rows.{name}" for name, _ in typed]
    for field in spec.schema:
        typed.append((field.name, _duckdb_type(field.type)))
        columns.append(f"rows.{field.name}")
    if spec.data_type is DataType.OHLCV:
        length = "rows.timeframe" if shape == _EVERY_CANDLE else "name"
        typed.append(("close_ts", "timestamp"))
        columns.append(f"rows.ts + lake_length({length}) as close_ts")
    values = {
        "shape": shape,
        "kind": spec.data_type.value,
        "hive": "{" + ", ".join(f"'{key}': {HIVE_TYPES[key].lower()}" for key in keys) + "}",
        "typed": ",\n    ".join(f"null::{kind} as {name}" for name, kind in typed),
        "columns": ",\n        ".join(columns),
    }
    text = sql_file("session", "rows").text
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _hive_keys(data_type: DataType) -> list[str]:
    timeframe = TimeFrame.HOUR_1 if data_type is DataType.OHLCV else None
    series = Series(data_type, InstrumentId("_", Venue("_")), timeframe)
    parts = Partition.of(series, datetime(1970, 1, 1)).path.split("/")
    return [part.partition("=")[0] for part in parts if "=" in part]


def _duckdb_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_duckdb_type(kind.value_type)}[]"
    names = {"timestamp[us]": "timestamp", "double": "double", "int64": "bigint"}
    return names.get(str(kind), "varchar")
