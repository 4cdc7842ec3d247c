"""Arithmetic on Arrow columns: order, keys, comparison, and the runs of absent candles. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.ranges import TimeRange
from lake.domain.schemas import RowSpec
from lake.domain.timeframe import Grid
from lake.domain.times import from_us
from lake.errors import SchemaMismatch

# Odd, so that no two integers meet by it alone (the golden ratio's bits).
_MIX = 0x9E3779B97F4A7C15
_ALL_BITS = 2**64 - 1
_NO_NUMBER = -0x2545F4914F6CDD1D

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """How rows of one table differ from the rows beside them in another.

    ``any``: some value differs or is null in one of them. ``contradicts``: both have a value
    and it is not the same. ``loses``: the other has null where the one has a value.
    """

    any: Bools
    contradicts: Bools
    loses: Bools


def conform(table: pa.Table, spec: RowSpec) -> pa.Table:
    """*table* with exactly the columns of *spec*; columns that it lacks are null.

    Raises:
        SchemaMismatch: A column has another type, or is unknown to *spec*.
    """
    if table.schema.equals(spec.schema, check_metadata=True):
        return table
    columns = []
    for field in spec.schema:
        position = table.schema.get_field_index(field.name)
        if position < 0 and field.nullable:
            columns.append(pa.nulls(table.num_rows, field.type))
        elif position < 0 or not _same_type(table.schema.field(position).type, field.type):
            raise _mismatch(table.schema, spec)
        else:
            columns.append(table.column(position).cast(field.type))
    if set(table.column_names) - set(spec.schema.names):
        raise _mismatch(table.schema, spec)
    return pa.Table.from_arrays(columns, schema=spec.schema)


def require_rows(table: pa.Table, spec: RowSpec, window: TimeRange) -> pa.Table:
    """*table* in the schema of *spec*, checked to have all its values and to lie in *window*.

    Raises:
        SchemaMismatch: It does not.
    """
    rows = conform(table, spec)
    for field in spec.schema:
        if not field.nullable and rows[field.name].null_count:
            raise SchemaMismatch(
                f"Rows for {window} lack {field.name} in {rows[field.name].null_count} of "
                f"{rows.num_rows} rows, which {spec.data_type} must have. Nothing was stored."
            )
    if "ts" not in spec.key and rows.num_rows:
        named = np.zeros(rows.num_rows, np.bool_)
        for name in spec.key:
            named |= _valid(rows[name])
        if not named.all():
            raise SchemaMismatch(
                f"{int((~named).sum())} of {rows.num_rows} rows for {window} have none of "
                f"{', '.join(spec.key)}, so they cannot be told apart. Nothing was stored."
            )
    if rows.num_rows:
        bounds = pc.min_max(rows["ts"])
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low not in window or high not in window:
            raise SchemaMismatch(
                f"Rows from {low} to {high} do not belong to {window}. Nothing was stored."
            )
    return rows


def micros(column: pa.ChunkedArray | pa.Array) -> Ints:
    """A timestamp or integer column without nulls as integers (microseconds)."""
    values: Ints = column.cast(pa.int64()).to_numpy()
    return values


def is_increasing(values: Ints) -> bool:
    """Whether each is greater than the one before."""
    return bool((values[1:] > values[:-1]).all())


def sort_rows(table: pa.Table, spec: RowSpec) -> pa.Table:
    """*table* by ``ts``, then key, nulls last; untouched where it is in order already."""
    if is_sorted(table, spec):
        return table
    if spec.sort_order == ("ts",):
        return table.take(np.argsort(micros(table["ts"]), kind="stable"))
    return table.sort_by([(name, "ascending") for name in spec.sort_order])


def is_sorted(table: pa.Table, spec: RowSpec) -> bool:
    """Whether *table* is by ``ts``, then key; said of few mixed keys only after sorting them."""
    tied = np.ones(max(table.num_rows - 1, 0), np.bool_)
    for name in spec.sort_order:
        column = table[name]
        if not tied.any() or column.null_count == len(column):
            continue
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        if column.null_count:
            # Nulls come last: where both differ in that, the null must be the second.
            here, there = _valid(before), _valid(after)
            if (tied & ~here & there).any():
                return False
            greater = _true(pc.greater(before, after))
            equal = _true(pc.equal(before, after)) | (~here & ~there)
        else:
            greater, equal = _true(pc.greater(before, after)), _true(pc.equal(before, after))
        if (tied & greater).any():
            return False
        tied &= equal
    return True


def key_codes(table: pa.Table, spec: RowSpec) -> Ints:
    """One integer per row, equal exactly where the keys are; null equals null."""
    columns = [table[name] for name in spec.key]
    told = [column for column in columns if column.null_count < len(column)]
    if len(told) == 1 and told[0].null_count == 0 and _is_integral(told[0].type):
        return micros(told[0])
    codes = np.zeros(table.num_rows, np.int64)
    for column in told:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # Two columns of at most 2**31 different values each: the product fits 62 bits.
        codes = codes * (len(encoded.dictionary) + 1) + indices
    return codes


def key_marks(table: pa.Table, spec: RowSpec) -> Ints:
    """One integer per row, equal where keys are, in all tables of this process.

    Different keys have different marks where keys are integers; of texts two may agree, once
    in 2**64, so what a match of marks decides has to look at the keys as well.
    """
    marks = np.zeros(table.num_rows, np.uint64)
    weight = 1
    for name in spec.key:
        column = table[name]
        if _is_integral(column.type):
            filled = pc.fill_null(column.cast(pa.int64()), _NO_NUMBER)
            marks += filled.to_numpy().view(np.uint64) * np.uint64(weight)
        elif column.null_count < len(column):
            texts = (0 if each is None else hash(each) for each in column.to_pylist())
            marks += np.fromiter(texts, np.int64, len(column)).view(np.uint64) * np.uint64(weight)
        weight = weight * _MIX & _ALL_BITS
    return marks.view(np.int64)


def same_keys(one: pa.Table, other: pa.Table, spec: RowSpec) -> Bools:
    """Whether the rows at each place have the same key, null equal to null."""
    difference = compare(one.select(list(spec.key)), other.select(list(spec.key)))
    return ~difference.any


def compare(one: pa.Table, other: pa.Table) -> Difference:
    """How each row of *other* differs from the row at its place in *one*."""
    count = one.num_rows
    anything, contradicts, loses = (np.zeros(count, np.bool_) for _ in range(3))
    for name in one.column_names:
        mine, theirs = one[name].combine_chunks(), other[name].combine_chunks()
        equal = _equal(mine, theirs)
        if mine.null_count == 0 and theirs.null_count == 0:
            contradicts |= ~equal
            continue
        has, gives = _valid(mine), _valid(theirs)
        anything |= has != gives
        contradicts |= has & gives & ~equal
        loses |= has & ~gives
    return Difference(anything | contradicts, contradicts, loses)


def opens_of(ts: Ints, grid: Grid) -> Ints:
    """The open time of the candle of *grid* that contains each of *ts* (us)."""
    step = grid.timeframe.step_us
    if step is not None:
        return ts - (ts - grid.anchor_us) % step
    months: Ints = ts.view("datetime64[us]").astype("datetime64[M]").astype("datetime64[us]")
    return months.astype(np.int64)


def absent_runs(moments: Ints, grid: Grid) -> tuple[tuple[TimeRange, ...], int]:
    """The maximal runs of candles that are missing between the first and last of *moments*.

    Returns:
        The runs, ascending, and how many candles they lack together.
    """
    step = grid.timeframe.step_us
    if step is None:
        following = np.array([grid.next_us(int(moment)) for moment in moments], np.int64)
    else:
        following = moments + step
    before = np.flatnonzero(moments[1:] > following[:-1])
    runs = tuple(
        TimeRange(from_us(int(following[place])), from_us(int(moments[place + 1])))
        for place in before
    )
    return runs, sum(grid.count(run) for run in runs)


def _equal(mine: pa.Array, theirs: pa.Array) -> Bools:
    """Whether values are the same; anything where one of them is null."""
    if pa.types.is_list(mine.type):
        return _equal_lists(mine, theirs)
    equal: Bools = pc.fill_null(pc.equal(mine, theirs), False).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(mine.type) and not equal.all():
        nan = pc.and_(pc.is_nan(mine), pc.is_nan(theirs))
        equal = equal | pc.fill_null(nan, False).to_numpy(zero_copy_only=False)
    return equal


def _equal_lists(mine: pa.Array, theirs: pa.Array) -> Bools:
    lengths = [
        pc.fill_null(pc.list_value_length(each), 0).to_numpy(zero_copy_only=False)
        for each in (mine, theirs)
    ]
    equal: Bools = lengths[0] == lengths[1]
    same_length = np.flatnonzero(equal & (lengths[0] > 0))
    if len(same_length):
        flat = [pc.list_flatten(each.take(same_length)) for each in (mine, theirs)]
        starts = np.concatenate([[0], np.cumsum(lengths[0][same_length])[:-1]])
        equal[same_length] = np.logical_and.reduceat(_equal(*flat), starts)
    return equal


def _valid(column: pa.Array | pa.ChunkedArray) -> Bools:
    return _true(column.is_valid())


def _true(flags: pa.Array | pa.ChunkedArray) -> Bools:
    """Flags for numpy; null is false."""
    if flags.null_count:
        flags = pc.fill_null(flags, False)
    if isinstance(flags, pa.ChunkedArray):
        flags = flags.combine_chunks()
    if isinstance(flags, pa.ChunkedArray):  # what no chunk at all comes to
        return np.zeros(0, np.bool_)
    found: Bools = flags.to_numpy(zero_copy_only=False)
    return found


def _is_integral(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _same_type(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_list(given) and pa.types.is_list(wanted):
        # The element's name and nullability are spelled differently by every writer.
        return bool(given.value_type == wanted.value_type)
    return bool(given == wanted)


def _mismatch(schema: pa.Schema, spec: RowSpec) -> SchemaMismatch:
    given = ", ".join(f"{field.name} {field.type}" for field in schema)
    wanted = ", ".join(f"{field.name} {field.type}" for field in spec.schema)
    return SchemaMismatch(
        f"Rows of {spec.data_type} have the columns ({given}); the lake stores ({wanted}). "
        "Nothing was stored."
    )
