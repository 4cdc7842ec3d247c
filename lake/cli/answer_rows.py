"""Values of an answer as Python values, for people and JSON, whatever moments it holds.

DuckDB knows moments that Python does not (infinity, years beyond 9999, nanoseconds); those
become text instead of an error. So do intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lake.cli.output import Row

if TYPE_CHECKING:
    import pyarrow as pa

_INFINITE = {2**63 - 1: "infinity", -(2**63) + 1: "-infinity"}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Days since 1970 of 0001-01-01 and 10000-01-01.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_INFINITE_DAYS = {2**31 - 1: "infinity", -(2**31) + 1: "-infinity"}


def rows_of(answer: pa.Table) -> list[Row]:
    """The rows of *answer*, in order; its column names differ from one another."""
    columns = [values_of(column) for column in answer.columns]
    return [
        dict(zip(answer.column_names, values, strict=True)) for values in zip(*columns, strict=True)
    ]


def values_of(column: pa.ChunkedArray) -> list[object]:
    """The values of *column*, in order; intervals as text."""
    import pyarrow as pa

    if pa.types.is_interval(column.type):
        return [None if value is None else _span(value) for value in column.to_pylist()]
    try:
        values: list[object] = column.to_pylist()
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]
    return values


def _span(value: pa.MonthDayNano) -> str:
    """An interval as DuckDB writes it: ``2 days 23:00:00``."""
    parts = [
        f"{number} {unit}{'' if abs(number) == 1 else 's'}"
        for number, unit in ((value.months, "month"), (value.days, "day"))
        if number
    ]
    if value.nanoseconds or not parts:
        seconds, below = divmod(abs(value.nanoseconds) // 1_000, 1_000_000)
        sign = "-" if value.nanoseconds < 0 else ""
        clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        parts.append(f"{clock}.{below:06}".rstrip("0") if below else clock)
    return " ".join(parts)


def is_beyond_python(column: pa.ChunkedArray) -> bool:
    """Whether some moment in *column* lies outside of the years 1 to 9999."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date32(column.type):
        numbers, per_day = column.cast(pa.int32()), 1
    elif pa.types.is_timestamp(column.type):
        numbers, per_day = column.cast(pa.int64()), 86_400 * _PER_SECOND[column.type.unit]
    else:
        return False
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is None:
        return False
    return bool(bounds["min"] < _FIRST_DAY * per_day or bounds["max"] >= _END_DAY * per_day)


def _value(scalar: pa.Scalar) -> object:
    import pyarrow as pa

    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_map(kind):
        return [(_value(each["key"]), _value(each["value"])) for each in scalar.values]
    if pa.types.is_struct(kind):
        return {field.name: _value(scalar[field.name]) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_value(each) for each in scalar.values]
    try:
        value: object = scalar.as_py()
    except (OverflowError, ValueError):
        return _text(scalar)
    return value


def _text(scalar: pa.Scalar) -> str:
    import numpy as np
    import pyarrow as pa

    is_date = pa.types.is_date32(scalar.type)
    value = scalar.cast(pa.int32() if is_date else pa.int64()).as_py()
    infinite = _INFINITE_DAYS if is_date else _INFINITE
    return infinite.get(value) or str(np.datetime64(value, "D" if is_date else scalar.type.unit))
