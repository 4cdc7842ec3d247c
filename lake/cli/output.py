"""What commands print: tables for people, JSON for programs, errors in three parts."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TextIO

from lake.domain.identifiers import DataType
from lake.domain.times import iso

Row = dict[str, object]
# What the rows of a data type are called.
_NOUNS = {
    DataType.OHLCV: ("candle", "candles"),
    DataType.TRADES: ("trade", "trades"),
    DataType.ORDERBOOK: ("snapshot", "snapshots"),
    DataType.FUNDING_RATES: ("settlement", "settlements"),
}
# Columns that only some data types have.
_ONLY_WHERE_KNOWN = frozenset({"timeframe", "variant", "listed_from", "listed_to", "settle"})
_MINUTES_FROM_S = 90
_LARGE = 1e9  # ten digits of what is larger would round cents away
_INDENT = "    "  # of the second line of a row that does not fit the terminal


class Digits(Enum):
    """How a table for people writes numbers."""

    GROUPED = "12,345"
    """Counts of our own tables."""
    PLAIN = "12345"
    """Answers of SQL: a year, an id or a price is no count."""


def print_rows(
    rows: Sequence[Row],
    *,
    as_json: bool,
    empty: str,
    out: TextIO | None = None,
    digits: Digits = Digits.GROUPED,
) -> None:
    """Print *rows*: a JSON list of objects, or a table; *empty* is said where there is none.

    All rows have the same keys in the same order; they are the column names.
    """
    out = out or sys.stdout
    if as_json:
        # What is no JSON (NaN) must fail here rather than in somebody's parser.
        text = json.dumps([_plain(row) for row in rows], indent=1, allow_nan=False)
        print(text, file=out)
    elif not rows:
        print(empty, file=out)
    else:
        print_table(rows, out=out, digits=digits)


def print_table(
    rows: Sequence[Row], *, out: TextIO | None = None, digits: Digits = Digits.GROUPED
) -> None:
    """Print *rows* as a table that fits the terminal; a pipe or a file takes any width."""
    out = out or sys.stdout
    width = shutil.get_terminal_size().columns if out.isatty() else None
    for line in table_lines(rows, width=width, digits=digits):
        print(line, file=out)


def table_lines(
    rows: Sequence[Row], *, width: int | None = None, digits: Digits = Digits.GROUPED
) -> Iterable[str]:
    """*rows* as aligned text: numbers to the right, one blank column pair between columns.

    Where *width* is too narrow a row goes on in a second, indented line. No value is broken;
    only a sentence too long for a line of its own is cut, and ends in an ellipsis.
    """
    names = [name for name in rows[0] if not _says_nothing(name, rows)]
    cells = [[cell_text(row[name], digits) for name in names] for row in rows]
    right = [
        all(row[name] is None or _is_number(row[name]) for row in rows)
        and any(_is_number(row[name]) for row in rows)
        for name in names
    ]
    if width is not None:
        cells = [[_cut(cell, width - len(_INDENT)) for cell in line] for line in cells]
    widths = [max(len(line[index]) for line in [names, *cells]) for index in range(len(names))]
    folds = _folds(widths, width)
    for line in [names, *cells]:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        for number, (first, last) in enumerate(folds):
            yield _INDENT * (number > 0) + "  ".join(padded[first:last]).rstrip()


def _folds(widths: Sequence[int], width: int | None) -> list[tuple[int, int]]:
    """Which columns stand in a row's first line, which in its second, and so on."""
    if width is None:
        return [(0, len(widths))]
    folds: list[tuple[int, int]] = []
    first, used = 0, 0
    for index, each in enumerate(widths):
        needed = each if index == first else used + 2 + each
        if index > first and needed > width:
            folds.append((first, index))
            first, needed = index, len(_INDENT) + each
        used = needed
    return [*folds, (first, len(widths))]


def _cut(text: str, width: int) -> str:
    """A sentence longer than *width* up to its last word that fits; a single word whole."""
    if len(text) <= width or " " not in text[:width]:
        return text
    return text[:width].rpartition(" ")[0].rstrip(",;:") + "\N{HORIZONTAL ELLIPSIS}"


def _says_nothing(name: str, rows: Sequence[Row]) -> bool:
    """Whether a column can go from a table for people: candles are what nearly all is about."""
    if name == "data_type":
        return all(str(row[name]) == DataType.OHLCV.value for row in rows)
    return name in _ONLY_WHERE_KNOWN and all(row[name] is None for row in rows)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def cell_text(value: object, digits: Digits = Digits.GROUPED) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    comma = "," if digits is Digits.GROUPED else ""
    if isinstance(value, int):
        return f"{value:{comma}}"
    if isinstance(value, float):
        return f"{value:{comma}.10g}" if abs(value) < _LARGE else f"{value:{comma}.15g}"
    if isinstance(value, datetime):
        return time_text(value)
    return " ".join(str(value).split())


def time_text(moment: datetime) -> str:
    """*moment* as short as it can be said exactly: without seconds that are zero."""
    if moment.second or moment.microsecond:
        return iso(moment)
    return moment.isoformat(timespec="minutes")


def rows_text(count: int, data_type: DataType) -> str:
    """So many rows, by their name: ``1 candle``, ``12,345 trades``."""
    one, many = _NOUNS[data_type]
    return f"{count:,} {one if count == 1 else many}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """So many things: ``1 file``, ``12,345 files``; *many* where an s does not do."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def noun(data_type: DataType) -> str:
    """What rows of that type are called: ``candles``."""
    return _NOUNS[data_type][1]


def size_text(size: float) -> str:
    """*size* in bytes for people, in powers of 1000: ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def span_text(seconds: float) -> str:
    """A span that was asked for, exactly where it is a whole number of a unit: ``2 days``."""
    for unit, length in (("day", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count:,} {unit}{'s' if unit == 'day' and count != 1 else ''}"
    return f"{seconds:g} s" if seconds < _MINUTES_FROM_S else seconds_text(seconds)


def seconds_text(seconds: float) -> str:
    """A span for people: ``0.4 s``, ``12 s``, ``4 min``, ``2 h 5 min``."""
    if seconds < 9.5:
        return f"{max(seconds, 0):.1f} s"
    if seconds < _MINUTES_FROM_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48 and not minutes:
        return f"{hours} h"
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:,.0f} days"


def _plain(row: Row) -> dict[str, object]:
    return {name: _json_value(value) for name, value in row.items()}


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        # JSON has no word for NaN and infinities.
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)  # the sum of integers is a decimal to DuckDB
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _json_value(each) for name, each in value.items()}
    return str(value)


def json_text(value: object) -> str:
    """*value* as JSON in one line, as it stands in a cell of a CSV file."""
    return json.dumps(_json_value(value), allow_nan=False, ensure_ascii=False)


def print_error(command: str, message: str) -> None:
    """Say on stderr which command failed and the message, whose own parts say what to do."""
    print(f"{command}: {message}", file=sys.stderr)


def shown_path(path: Path) -> str:
    return str(path.absolute())
