"""What commands print: tables for people, JSON for programs, errors in three parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TextIO

from lake.domain.times import iso

Row = dict[str, object]


def print_rows(
    rows: Sequence[Row], *, as_json: bool, empty: str, out: TextIO | None = None
) -> None:
    """Print *rows*: a JSON list of objects, or a table; *empty* is said where there is none.

    All rows have the same keys in the same order; they are the column names.
    """
    out = out or sys.stdout
    if as_json:
        print(json.dumps([_plain(row) for row in rows], indent=1), file=out)
    elif not rows:
        print(empty, file=out)
    else:
        for line in table_lines(rows):
            print(line, file=out)


def table_lines(rows: Sequence[Row], *, indent: str = "") -> Iterable[str]:
    """*rows* as aligned text: numbers to the right, one blank column pair between columns."""
    names = [name for name in rows[0] if not _says_nothing(name, rows)]
    cells = [[cell_text(row[name]) for name in names] for row in rows]
    right = [
        all(row[name] is None or _is_number(row[name]) for row in rows)
        and any(_is_number(row[name]) for row in rows)
        for name in names
    ]
    widths = [max(len(line[index]) for line in [names, *cells]) for index in range(len(names))]
    for line in [names, *cells]:
        padded = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        )
        yield indent + "  ".join(padded).rstrip()


def _says_nothing(name: str, rows: Sequence[Row]) -> bool:
    """Whether a column can go from a table for people: candles are what nearly all is about."""
    return name == "data_type" and all(str(row[name]) == "ohlcv" for row in rows)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, datetime):
        return time_text(value)
    return " ".join(str(value).split())


def time_text(moment: datetime) -> str:
    """*moment* as short as it can be said exactly: without seconds that are zero."""
    if moment.second or moment.microsecond:
        return iso(moment)
    return moment.isoformat(timespec="minutes")


def size_text(size: float) -> str:
    """*size* in bytes for people, in powers of 1000: ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def seconds_text(seconds: float) -> str:
    """A span for people: ``0.4 s``, ``12 s``, ``4 min``, ``2 h 5 min``."""
    if seconds < 9.5:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.0f} days"


def _plain(row: Row) -> dict[str, object]:
    return {name: _json_value(value) for name, value in row.items()}


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_json_value(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _json_value(each) for name, each in value.items()}
    return str(value)


def print_error(command: str, message: str) -> None:
    """Say on stderr which command failed and the message, whose own parts say what to do."""
    print(f"{command}: {message}", file=sys.stderr)


def shown_path(path: Path) -> str:
    return str(path.absolute())
