"""Columns of numbers as bytes of JSON, by integer arithmetic on whole columns. Pure.

About 2 million rows a second, and every text reads back as exactly the double that is given.
Numbers that eight decimals cannot hold (data of other venues) take a slow exact path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_Bytes = npt.NDArray[np.uint8]

_SCALE = 10**8
# Below this, value * 10**8 is an exact integer in a double.
_EXACT_BELOW = 2.0**53 / _SCALE
_LARGEST = float(2**62)
# Four digits at a time: entry 42 is the bytes "0042", seen as one 32-bit word.
_FOUR_DIGITS = np.frombuffer("".join(f"{i:04}" for i in range(10_000)).encode(), dtype=np.uint32)
# Rows put together at a time: their bytes stay in the processor's cache (measured: 1.3 x).
_BLOCK = 4_096
_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)


def decimals_of(step: float | None, unknown: int = 8) -> int:
    """How many decimals the multiples of *step* have."""
    if not step:
        return unknown
    exponent = Decimal(repr(step)).normalize().as_tuple().exponent
    return min(8, max(0, -int(exponent)))


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as text: ``text[offsets[i]:offsets[i + 1]]`` is row i and its comma.

    Attributes:
        ts_ms: The time of each row, ascending.
    """

    ts_ms: Ints
    text: bytes
    offsets: Ints

    @classmethod
    def of(cls, ts_ms: Ints, parts: list[Part]) -> Sheet:
        """A row for each of *ts_ms*, put together of *parts*."""
        offsets = np.zeros(len(ts_ms) + 1, np.int64)
        if len(ts_ms) == 0:
            return cls(ts_ms, b"", offsets)
        text, lengths = _assemble(parts, len(ts_ms))
        np.cumsum(lengths, out=offsets[1:])
        return cls(ts_ms, text, offsets)

    def rows(self, first: int, stop: int) -> bytes:
        """Rows *first* to *stop*, each followed by a comma."""
        return self.text[self.offsets[first] : self.offsets[stop]]

    @property
    def size_bytes(self) -> int:
        return len(self.text) + self.ts_ms.nbytes + self.offsets.nbytes


@dataclass(frozen=True, slots=True)
class Cells:
    """One piece of every row: right-aligned bytes, and how many of them each row uses."""

    text: _Bytes
    lengths: Ints | None = None


Part = bytes | Cells
Column = Floats | None


def quoted(values: Column, decimals: int, *, before: bytes = b",") -> list[Part]:
    """``,"1.50000000"`` for every row, *before* first; ``,null`` where the lake holds none."""
    if values is None:
        return [before + b"null"]
    split = _split(values)
    if split is None:
        return _slow(values, decimals, before)
    whole, fraction = split
    while decimals < 8 and bool((fraction % 10 ** (8 - decimals)).any()):
        decimals += 1
    parts: list[Part] = [before + b'"', integers(whole)]
    if decimals:
        digits = _digits(fraction // 10 ** (8 - decimals), decimals)
        parts += [b".", Cells(digits)]
    return [*parts, b'"']


def _split(values: Floats) -> tuple[Ints, Ints] | None:
    """Whole part and eight decimals of each value; None where one needs more than that."""
    scaled = np.rint(values * _SCALE)
    large = ~(values < _EXACT_BELOW)
    exact = scaled / _SCALE == values
    if not bool((exact | large).all()) or bool(((values < 0) | ~(values < _LARGEST)).any()):
        return None
    if not large.any():
        ticks = scaled.astype(np.int64)
        whole = ticks // _SCALE
        return whole, ticks - whole * _SCALE
    whole = np.floor(values).astype(np.int64)
    # Doubles this large stand further apart than 1e-8, so that eight decimals always suffice...
    fraction = np.rint((values - whole) * _SCALE).astype(np.int64)
    whole += fraction == _SCALE
    fraction[fraction == _SCALE] = 0
    # ... but fewer, where they do, are the digits that the venue wrote.
    for decimals in range(8):
        unit = 10**decimals
        scaled = np.rint(values * unit)
        fits = (scaled < 2.0**53) & (scaled / unit == values)
        ticks = scaled[fits].astype(np.int64)
        whole[fits], fraction[fits] = ticks // unit, ticks % unit * (_SCALE // unit)
    return whole, fraction


def _slow(values: Floats, decimals: int, before: bytes) -> list[Part]:
    """The same, number by number, for what eight decimals or 53 bits cannot hold."""
    texts = [exact_text(value, decimals) for value in values.tolist()]
    width = max(len(text) for text in texts)
    joined = b"".join(text.rjust(width).encode() for text in texts)
    cells = np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), width)
    return [before, Cells(cells, np.array([len(text) for text in texts]))]


def exact_text(value: float, decimals: int) -> str:
    if math.isnan(value):
        return "null"
    fixed = f"{value:.{decimals}f}"
    return f'"{fixed if float(fixed) == value else format(Decimal(repr(value)), "f")}"'


def integers(values: Ints | None) -> Part:
    """Integers without leading zeros."""
    if values is None:
        return b"null"
    lengths = np.searchsorted(_POWERS, values, side="right") + 1
    return Cells(_digits(values, int(lengths.max())), lengths)


def _digits(values: Ints, width: int) -> _Bytes:
    """The last *width* decimal digits of each value, as ASCII."""
    groups = -(-width // 4)
    words = np.empty((len(values), groups), np.uint32)
    for group in range(groups - 1, 0, -1):
        values, low = np.divmod(values, 10_000)
        words[:, group] = _FOUR_DIGITS[low]
    words[:, 0] = _FOUR_DIGITS[values % 10_000]
    return words.view(np.uint8)[:, groups * 4 - width :]


def _assemble(parts: list[Part], count: int) -> tuple[bytes, Ints]:
    """All parts of all rows in one piece of text, and the length of each row."""
    widths = [len(part) if isinstance(part, bytes) else part.text.shape[1] for part in parts]
    lengths = np.full(count, sum(widths))
    matrix = np.empty((min(count, _BLOCK), sum(widths)), np.uint8)
    used = np.empty(matrix.shape, bool)
    cells: list[tuple[int, Cells]] = []
    at = 0
    for part, width in zip(parts, widths, strict=True):
        if isinstance(part, bytes):
            matrix[:, at : at + width] = np.frombuffer(part, np.uint8)
        else:
            cells.append((at, part))
            if part.lengths is not None:
                lengths -= width - part.lengths
        at += width
    blocks = []
    for first in range(0, count, _BLOCK):
        rows = slice(0, min(_BLOCK, count - first))
        span = slice(first, first + _BLOCK)
        used[rows] = True
        for at, cell in cells:
            width = cell.text.shape[1]
            matrix[rows, at : at + width] = cell.text[span]
            if cell.lengths is not None:
                blank = width - cell.lengths[span]
                for column in range(int(blank.max())):
                    used[rows, at + column] = blank <= column
        blocks.append(matrix[rows][used[rows]].tobytes())
    return b"".join(blocks), lengths
