"""What faulty rows look like, for each kind of list that a venue gives. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Field = int | str
Change = Callable[["Shape", list[Any], int], None]
_DISTANT_MS = 10**10


@dataclass(frozen=True, slots=True)
class Shape:
    """Which fields of a row are what.

    Attributes:
        times: Fields that are times.
        prices: Four fields for faults of single numbers, in any order, repeated where there
            are fewer.
        last: Fields from here on are what a short row lacks.
        number: A dense id; a row from the future continues it.
        sides: Names of the lists in a body that is an object; none where the body is a list.
    """

    times: tuple[Field, ...]
    prices: tuple[Field, Field, Field, Field]
    last: tuple[Field, ...] = ()
    number: Field | None = None
    sides: tuple[str, ...] = ()

    def rows_of(self, body: Any, draw: int) -> list[Any]:
        """The list in *body* that is spoiled."""
        rows: list[Any] = body[self.sides[draw // 11 % len(self.sides)]] if self.sides else body
        return rows

    def timed(self, body: Any) -> list[Any]:
        """What carries times: the rows, or the body itself."""
        return [body] if self.sides else body


KLINES = Shape((0, 6), (1, 2, 3, 4))
SHAPES = {
    "klines": KLINES,
    "aggTrades": Shape(("T",), ("p", "q", "p", "q"), ("q", "f", "l", "m"), "a"),
    "trades": Shape(("time",), ("price", "qty", "price", "qty"), ("qty", "isBuyerMaker"), "id"),
    "fundingRate": Shape(("fundingTime",), ("fundingRate",) * 4, ("fundingRate",)),
    "depth": Shape(("E", "T"), (0, 1, 0, 1), (1,), sides=("bids", "asks")),
}


def shape_of(path: str) -> Shape | None:
    """The shape of what *path* answers; None: it has no rows."""
    return SHAPES.get(path.rpartition("/")[2])


def has_rows(shape: Shape, body: bytes) -> bool:
    """Whether *body* is a true list of rows, or a book with levels."""
    if shape.sides:
        return body.startswith(b'{"lastUpdateId"') and b'[["' in body
    return body.startswith((b"[[", b"[{"))


def spoiled(shape: Shape, body: bytes, draw: int, change: Change, *, whole: bool) -> bytes:
    """*body* with *change* made to one of its lists, or, where *whole*, to what has times."""
    found = json.loads(body)
    rows = shape.timed(found) if whole else shape.rows_of(found, draw)
    if rows:
        change(shape, rows, draw)
    return json.dumps(found, separators=(",", ":")).encode()


def set_price(which: int, value: Any) -> Change:
    def change(shape: Shape, rows: list[Any], draw: int) -> None:
        rows[draw % len(rows)][shape.prices[which]] = value

    return change


def negative(shape: Shape, rows: list[Any], draw: int) -> None:
    row, field = rows[draw % len(rows)], shape.prices[2]
    text = str(row[field])
    # A funding rate may well be negative: then it is one that no venue has.
    row[field] = "-9.5" if text.startswith("-") or field == "fundingRate" else f"-{text}"


def null_time(shape: Shape, rows: list[Any], draw: int) -> None:
    row = rows[draw % len(rows)]
    if shape.times and _has(row, shape.times[0]):
        row[shape.times[0]] = None


def convert_times(convert: Callable[[int], int]) -> Change:
    def change(shape: Shape, rows: list[Any], draw: int) -> None:
        for row in rows:
            for field in shape.times:
                if _has(row, field):
                    row[field] = convert(row[field])

    return change


def short_row(shape: Shape, rows: list[Any], draw: int) -> None:
    row = rows[draw % len(rows)]
    if not shape.last:
        del row[4:]
        return
    for field in reversed(shape.last):
        if _has(row, field):
            del row[field]


def duplicate(shape: Shape, rows: list[Any], draw: int) -> None:
    at = draw % len(rows)
    rows.insert(at, copy.copy(rows[at]))


def drop_some(shape: Shape, rows: list[Any], draw: int) -> None:
    """Holes in the middle: the hardest to notice, every row that is there is true."""
    first = draw % len(rows)
    del rows[first : first + 1 + draw // 7 % 5]


def drop_tail(shape: Shape, rows: list[Any], draw: int) -> None:
    del rows[draw % len(rows) :]


def drop_head(shape: Shape, rows: list[Any], draw: int) -> None:
    del rows[: 1 + draw % len(rows)]


def future(shape: Shape, rows: list[Any], draw: int) -> None:
    later = copy.copy(rows[-1])
    span = _DISTANT_MS
    if shape is KLINES:
        span = 1_000_000 * (later[6] + 1 - later[0])
    for field in shape.times:
        if _has(later, field):
            later[field] += span
    if shape.number is not None:
        later[shape.number] += 1
    if shape.sides:
        rows[-1].update(later)
    else:
        rows.append(later)


def _has(row: Any, field: Field) -> bool:
    return field in row if isinstance(row, dict) else isinstance(field, int) and field < len(row)
