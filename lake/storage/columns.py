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
    moments = micros(table["ts"])
    if is_increasing(moments):
        return table
    if spec.sort_order == ("ts",):
        return table.take(np.argsort(moments, kind="stable"))
    return table.sort_by([(name, "ascending") for name in spec.sort_order])


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


def absent_runs(rows: pa.Table, grid: Grid) -> tuple[tuple[TimeRange, ...], int]:
    """The maximal runs of candles that are missing between the first and the last of *rows*.

    Returns:
        The runs, ascending, and how many candles they lack together.
    """
    moments = micros(rows["ts"])
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


def _valid(column: pa.Array) -> Bools:
    valid: Bools = column.is_valid().to_numpy(zero_copy_only=False)
    return valid


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
