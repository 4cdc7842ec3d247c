"""Lazy reads: a polars LazyFrame whose files are listed when it is collected, and no earlier.

What the plan asks for is pushed down: only the columns wanted are decoded, and only files whose
range and instrument the predicate admits are opened. What cannot be understood of a predicate
prunes nothing; every row is compared with the whole predicate in any case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from lake.domain.held import SeriesFiles
from lake.domain.identifiers import Series
from lake.domain.schemas import RowSpec
from lake.domain.times import from_us, to_us
from lake.warehouse.contents import FileGone, in_batches
from lake.warehouse.reader import NAMES, polars_schema, read_rows, with_names

# Read at a time: enough for polars to decode in parallel, little enough to stop early.
_BATCH_FILES = 64
_BATCH_BYTES = 64 << 20
_LOOKS = 5

Files = Callable[[Series, datetime | None, datetime | None], SeriesFiles]
"""Lists the files of a series that may hold rows of a range."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Moments in microseconds that a predicate leaves: ``[low, high)``; None where it is open."""

    low: int | None = None
    high: int | None = None

    def within(self, other: Bounds) -> Bounds:
        lows = [each for each in (self.low, other.low) if each is not None]
        highs = [each for each in (self.high, other.high) if each is not None]
        return Bounds(max(lows, default=None), min(highs, default=None))

    @property
    def is_empty(self) -> bool:
        return self.low is not None and self.high is not None and self.low >= self.high


def scan(
    parquet: Path,
    spec: RowSpec,
    series: Sequence[Series],
    files: Files,
    *,
    columns: Sequence[str],
    start: datetime | None = None,
    end: datetime | None = None,
    named: bool = False,
    on_read: Callable[[Sequence[Series], datetime | None, datetime | None], None],
) -> pl.LazyFrame:
    """Rows of *series* in ``[start, end)`` as a LazyFrame; files are listed at each collect.

    Args:
        parquet: The lake's ``parquet/`` folder.
        spec: Their data type.
        series: One after the other, each ascending by ``ts``.
        files: Lists a series' files.
        columns: The columns that the frame has.
        start: First moment wanted (naive UTC).
        end: First moment not wanted any more.
        named: Put ``venue`` and ``instrument`` in front.
        on_read: Told what is about to be read, at each collect.
    """
    types = polars_schema(spec.data_type)
    schema: dict[str, pl.DataType] = dict.fromkeys(NAMES, pl.String()) if named else {}
    schema |= {name: types[name] for name in columns}
    asked = Bounds(
        None if start is None else to_us(start),
        None if end is None else to_us(end),
    )

    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        wanted = list(schema) if with_columns is None else with_columns
        tree = None if predicate is None else _tree(predicate)
        bounds = asked if tree is None else asked.within(bounds_of(tree))
        chosen = series if tree is None else _admitted(tree, series)
        tested = [] if predicate is None else predicate.meta.root_names()
        needed = list(dict.fromkeys([*wanted, *tested]))
        left = n_rows
        if not bounds.is_empty:
            low, high = _moment(bounds.low), _moment(bounds.high)
            on_read(chosen, low, high)
            for frame in _frames(parquet, spec, chosen, files, needed, low, high, named):
                kept = frame if predicate is None else frame.filter(predicate)
                kept = kept.select(wanted)
                if left is not None:
                    kept = kept.head(left)
                    left -= kept.height
                yield kept
                if left == 0:
                    return
        yield pl.DataFrame(schema={name: schema[name] for name in wanted})

    return register_io_source(source, schema=schema)


def _frames(
    parquet: Path,
    spec: RowSpec,
    series: Sequence[Series],
    files: Files,
    needed: Sequence[str],
    low: datetime | None,
    high: datetime | None,
    named: bool,
) -> Iterator[pl.DataFrame]:
    names = [name for name in needed if name not in NAMES] or ["ts"]
    for each in series:
        listed = files(each, low, high)
        batches = in_batches(listed.files, most_files=_BATCH_FILES, most_bytes=_BATCH_BYTES)
        for batch in batches:
            part = SeriesFiles(each, batch)
            for look in range(1, _LOOKS + 1):
                try:
                    rows = read_rows(parquet, spec, [part], names, start=low, end=high)
                    break
                except FileGone:
                    if look == _LOOKS:
                        raise
                    # The same stretch again, from what the catalog says of it now.
                    span = from_us(batch[0].start_us), from_us(batch[-1].end_us)
                    part = files(each, *span)
            yield with_names(rows, [each]) if named else rows.frame


def _moment(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _tree(predicate: pl.Expr) -> Any:
    """*predicate* as nested mappings; None where polars does not give it."""
    try:
        return json.loads(predicate.meta.serialize(format="json"))
    except (ValueError, TypeError, pl.exceptions.PolarsError):
        return None


def _conjuncts(tree: Any) -> Iterator[Any]:
    """The parts of *tree* that all have to hold."""
    match tree:
        case {"BinaryExpr": {"left": left, "op": "And" | "LogicalAnd", "right": right}}:
            yield from _conjuncts(left)
            yield from _conjuncts(right)
        case _:
            yield tree


def bounds_of(tree: Any) -> Bounds:
    """What *tree*, a predicate as polars writes it in JSON, demands of ``ts``."""
    bounds = Bounds()
    for part in _conjuncts(tree):
        bounds = bounds.within(_bounds_of_one(part))
    return bounds


_TURNED = {"Gt": "Lt", "GtEq": "LtEq", "Lt": "Gt", "LtEq": "GtEq", "Eq": "Eq"}


def _bounds_of_one(part: Any) -> Bounds:
    match part:
        case {"BinaryExpr": {"left": {"Column": "ts"}, "op": str(op), "right": right}}:
            moment = _literal(right)
        case {"BinaryExpr": {"left": left, "op": str(op), "right": {"Column": "ts"}}}:
            moment, op = _literal(left), _TURNED.get(op, "")
        case {
            "Function": {
                "input": [{"Column": "ts"}, first, last],
                "function": {"Boolean": {"IsBetween": _}},
            }
        }:
            low, high = _literal(first), _literal(last)
            return Bounds(low, None if high is None else high + 1)
        case _:
            return Bounds()
    if moment is None:
        return Bounds()
    low = {"Gt": moment + 1, "GtEq": moment, "Eq": moment}.get(op)
    high = {"Lt": moment, "LtEq": moment + 1, "Eq": moment + 1}.get(op)
    return Bounds(low, high)


_UNITS = {"Microseconds": (1, 1), "Milliseconds": (1_000, 1), "Nanoseconds": (1, 1_000)}


def _literal(tree: Any) -> int | None:
    """The moment that a literal stands for, microseconds; None where it is none we can read."""
    match tree:
        case {"Literal": {"Scalar": {"Datetime": [int(number), str(unit), None]}}}:
            times, per = _UNITS.get(unit, (0, 1))
            # Between two microseconds there is no row: rounding must not cut one off.
            return number * times // per if times and number % per == 0 else None
        case {"Literal": {"Scalar": {"Date": int(days)}}}:
            return days * 86_400_000_000
    return None


def _admitted(tree: Any, series: Sequence[Series]) -> Sequence[Series]:
    """The series whose names the predicate admits."""
    parts = [part for part in _conjuncts(tree) if _roots(part) and _roots(part) <= set(NAMES)]
    if not parts:
        return series
    names = pl.DataFrame(
        {
            "venue": [each.venue.name for each in series],
            "instrument": [each.instrument_id.symbol for each in series],
        },
        schema=dict.fromkeys(NAMES, pl.String),
    )
    try:
        tests = [pl.Expr.deserialize(json.dumps(part).encode(), format="json") for part in parts]
        admitted = names.select(pl.all_horizontal(tests).fill_null(False)).to_series()
    except (ValueError, pl.exceptions.PolarsError):
        return series
    return [each for each, fits in zip(series, admitted, strict=True) if fits]


def _roots(tree: Any) -> set[str]:
    """The columns that an expression names."""
    if isinstance(tree, Mapping):
        if set(tree) == {"Column"}:
            return {str(tree["Column"])}
        return {name for each in tree.values() for name in _roots(each)}
    if isinstance(tree, list):
        return {name for each in tree for name in _roots(each)}
    return set()
