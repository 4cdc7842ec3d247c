"""What DuckDB's errors mean: a file that was replaced under a query, or something for the user."""

from __future__ import annotations

import re

import duckdb

from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, LakeError, SeriesNotFound, StorageError
from lake.warehouse.connection import Access, Holdings

# DuckDB reads a file's footer through one descriptor and its pages through another. Where the
# file was replaced in between it fails with one of these, or with its bare base class
# ("don't know what type", "TProtocolException"); a file that is really damaged keeps failing.
_MAY_PASS = (duckdb.IOException, duckdb.SerializationException)
# Invalid input is what a file that was cut short or mixed up is called, and also a setting that may
# not be changed or a text that is no time: those come again at once, and nobody should wait.
_OF_A_FILE = re.compile(r"parquet|magic bytes|\bpage|dictionary|decompress|corrupt", re.I)
# After one of these DuckDB answers nothing any more and has to be opened anew.
BROKEN = (duckdb.InternalException, duckdb.FatalException)
_OURS = re.compile(r"lake: (.*?)(?:\n\nLINE|\Z)", re.S)
_OUTSIDE = re.compile(r'Cannot access (?:file|directory) (".*?") - file system operations')
_WAY_OUT = {
    Access.OWN: "",
    Access.SHARED: (
        "This process has the lake open, and closing one of its files a second time would lose "
        "commits, so SQL reads only the lake's rows and the schema catalog. Read other files with "
        "polars and hand the frames in by name."
    ),
    Access.LOCKED: "Locked SQL reads only the lake's rows and the schema catalog.",
}
# DuckDB calls it invalid input where a file is cut short, which is no fault of the SQL.
_OUR_FILE = re.compile(r"/parquet/\S*/data\.parquet'")
_NO_VIEW = re.compile(r"Table with name ohlcv_(\w+) does not exist")


def may_pass(error: duckdb.Error) -> bool:
    """Whether *error* is what a file replaced under a query looks like."""
    if _OURS.search(str(error)):
        return False
    if isinstance(error, duckdb.InvalidInputException):
        return _OF_A_FILE.search(str(error)) is not None
    return type(error) is duckdb.Error or isinstance(error, (*_MAY_PASS, *BROKEN))


def translated(error: duckdb.Error, holdings: Holdings, access: Access) -> LakeError:
    """*error* in words that say what was asked, what is wrong and what to do."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException) and (out := _OUTSIDE.search(text)):
        return InvalidRequest(f"{out[1]} cannot be opened here. {_WAY_OUT[access]}")
    if ours := _OURS.search(text):
        return SeriesNotFound(ours[1][0].upper() + ours[1][1:])
    if view := _NO_VIEW.search(text):
        held = holdings.timeframes
        name = view[1]
        what = f"No {name} candles are held" if name in _names() else f"{name} is no timeframe"
        return SeriesNotFound(
            f"{what}: there is no view ohlcv_{name}. Held are: {', '.join(held) or 'none'}."
        )
    is_ours = isinstance(error, duckdb.InvalidInputException) and _OUR_FILE.search(text)
    if type(error) is duckdb.Error or is_ours or isinstance(error, (duckdb.IOException, *BROKEN)):
        return StorageError(
            f"The lake's files cannot be read: {text}. `lake doctor` tells what is wrong with them."
        )
    return InvalidRequest(text)


def _names() -> set[str]:
    return {each.value for each in TimeFrame}
