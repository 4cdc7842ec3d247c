"""Rows of a JSON answer into columns, by a description of where each value lies. Pure, strict.

For venues whose rate limit, not our decoding, sets the pace: values are picked one by one. A
body that has no list of rows where one belongs is refused, never read as "nothing there". What
cannot be read becomes a value that the checks reject, never a null that would read as "the
venue does not say".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from lake.sources.decode import as_integer, as_number, refused

Place: TypeAlias = int | str
Pick: TypeAlias = Callable[[Any], Any]

# Of these an unreadable value is null, which the checks reject by itself.
_REQUIRED = frozenset({"ts", "settled_at", "open", "high", "low", "close", "volume", "trade_id"})
_INTEGERS = frozenset({"ts", "settled_at", "trade_count", "trade_id", "close_time", "sequence"})
ODD_INTEGER = -1
ODD_NUMBER = float("nan")


@dataclass(frozen=True, slots=True)
class Field:
    """Where a column's value lies in a row, and how it is turned into the column's unit.

    Attributes:
        place: Index of a list row, key of a dict row, or a function of the row.
        into: Turns the value as written into the column's (a side's name into 1 or -1, an ISO
            time into microseconds); None parses a number.
    """

    place: Place | Pick
    into: Callable[[Any], Any] | None = None


def parsed(body: bytes) -> Any:
    """The JSON of *body*.

    Raises:
        SourceError: It is not whole JSON (retryable).
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(body, "is not whole JSON") from error


def rows_at(body: bytes, *path: str) -> list[Any]:
    """The list of rows at *path* in the JSON of *body*; ``*`` is the only list there.

    Raises:
        SourceError: There is no such list (retryable).
    """
    at = parsed(body)
    for name in path:
        if not isinstance(at, dict):
            raise refused(body, f"has no {'.'.join(path)}")
        if name == "*":
            lists = [each for each in at.values() if isinstance(each, list)]
            at = lists[0] if len(lists) == 1 else None
        else:
            at = at.get(name)
    if not isinstance(at, list):
        raise refused(body, f"has no list of rows at {'.'.join(path) or 'its top'}")
    return at


def columns_of(
    rows: Sequence[Any], fields: Mapping[str, Field | Place], *, texts: frozenset[str] = frozenset()
) -> dict[str, pa.Array]:
    """The columns of *rows*, in their order.

    Args:
        rows: Lists or dicts; a row that is neither gives unreadable values.
        fields: Where each column lies. A bare place is a number.
        texts: Columns that are text.
    """
    return {
        name: _column(rows, name, each if isinstance(each, Field) else Field(each), name in texts)
        for name, each in fields.items()
    }


def _column(rows: Sequence[Any], name: str, field: Field, is_text: bool) -> pa.Array:
    if not is_text and name != "taker" and (found := _plain(rows, name, field)) is not None:
        return found
    values = [_value(row, field) for row in rows]
    if is_text:
        return pa.array([None if each is None else str(each) for each in values], pa.string())
    if name == "taker":
        return pa.array(values, pa.int8())
    if name in _INTEGERS:
        odd = None if name in _REQUIRED else ODD_INTEGER
        return pa.array([_read(each, as_integer, odd) for each in values], pa.int64())
    odd_number = None if name in _REQUIRED else ODD_NUMBER
    return pa.array([_read(each, as_number, odd_number) for each in values], pa.float64())


def _plain(rows: Sequence[Any], name: str, field: Field) -> pa.Array | None:
    """The column where every row has its number as text, which is the common case; else None."""
    place = field.place
    if field.into is not None or callable(place):
        return None
    kind = list if isinstance(place, int) else dict
    if any(type(row) is not kind for row in rows):
        return None
    try:
        values = [row[place] for row in rows]
        if any(type(each) is not str for each in values):
            return None
        if name in _INTEGERS:
            return pa.array([int(each) for each in values], pa.int64())
        return pa.array([float(each) for each in values], pa.float64())
    except (LookupError, ValueError, pa.ArrowInvalid, OverflowError):
        return None


def _value(row: Any, field: Field) -> Any:
    """The value in its unit; None where the row has none."""
    try:
        if callable(field.place):
            value = field.place(row)
        elif isinstance(field.place, int):
            value = row[field.place] if isinstance(row, list) else None
        else:
            value = row.get(field.place) if isinstance(row, dict) else None
        return value if value is None or field.into is None else field.into(value)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        # A row of another shape; what it lacks is required somewhere and rejects it.
        return None


def _read(value: Any, read: Callable[[Any], Any], odd: Any) -> Any:
    if value is None:
        return None
    number = read(value)
    return odd if number is None else number


def raw_of(rows: Sequence[Any]) -> Callable[[int], str]:
    """Gives each row as JSON, for the quarantine."""

    def raw(row: int) -> str:
        return msgspec.json.encode(rows[row]).decode()

    return raw


_SIDES = {"buy": 1, "sell": -1, "b": 1, "s": -1, "bid": 1, "ask": -1}
# Beyond what a side can be, so that the checks reject it.
_ODD_SIDE = 0


def side(value: Any) -> int | None:
    """1 where the taker bought, -1 where it sold, None where nothing is said, 0 if odd."""
    if value in (None, ""):
        return None
    return _SIDES.get(str(value).lower(), _ODD_SIDE)
