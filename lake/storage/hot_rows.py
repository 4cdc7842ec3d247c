"""How rows stand in the tables of ``hot.sqlite``, and the statements that read and write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import DataType
from lake.domain.schemas import ROW_SPECS

_TABLES = {
    DataType.OHLCV: "ohlcv_data",
    DataType.TRADES: "trade_data",
    DataType.ORDERBOOK: "orderbook_data",
    DataType.FUNDING_RATES: "funding_rate_data",
}
# Several of their rows may be of one moment.
_WITH_POSITION = frozenset({DataType.TRADES, DataType.ORDERBOOK})


@dataclass(frozen=True, slots=True)
class HotTable:
    """One table: the columns of its data type, and its statements."""

    name: str
    columns: tuple[str, ...]
    has_position: bool
    insert: str
    newest: str
    newest_before: str
    newest_key: str
    delete: str
    trim: str

    def encoded(self, series_id: int, rows: pa.Table, first_position: int) -> list[tuple[Any, ...]]:
        """*rows* as bindings of ``insert``; positions count from *first_position*."""
        columns: list[Sequence[Any]] = [[series_id] * rows.num_rows]
        for field in rows.schema:
            columns.append(_encoded(rows[field.name], field.type))
            if field.name == "ts" and self.has_position:
                columns.append(range(first_position, first_position + rows.num_rows))
        return list(zip(*columns, strict=True))


@cache
def hot_table(data_type: DataType) -> HotTable:
    """The table of a data type."""
    name = _TABLES[data_type]
    columns = tuple(ROW_SPECS[data_type].schema.names)
    has_position = data_type in _WITH_POSITION
    order = "ts desc, position desc" if has_position else "ts desc"
    written = ["series_id", "ts", *(["position"] if has_position else []), *columns[1:]]
    key = "(ts, position)" if has_position else "(ts)"
    shown = ", ".join(columns)
    return HotTable(
        name,
        columns,
        has_position,
        insert=f"insert into {name} ({', '.join(written)}) "
        f"values ({', '.join('?' * len(written))})",
        newest=f"select {shown} from {name} where series_id = ? order by {order} limit ?",
        newest_before=f"select {shown} from {name} where series_id = ? and ts >= ? and ts < ? "
        f"order by {order} limit ?",
        newest_key=f"select ts, {'position' if has_position else 0} from {name} "
        f"where series_id = ? order by {order} limit 1",
        delete=f"delete from {name} where series_id = ?",
        # All but the newest rows.
        trim=f"delete from {name} where series_id = ?1 and {key} < (select {key[1:-1]} from {name} "
        f"where series_id = ?1 order by {order} limit 1 offset ?2 - 1)",
    )


def _encoded(column: pa.ChunkedArray, kind: pa.DataType) -> Sequence[Any]:
    if pa.types.is_timestamp(kind):
        return list(column.cast(pa.int64()).to_pylist())
    if pa.types.is_list(kind):
        values = column.combine_chunks()
        flat = np.asarray(values.flatten(), dtype="<f8")
        ends = np.cumsum(values.value_lengths().to_numpy(zero_copy_only=False))
        starts = [0, *ends[:-1].tolist()]
        return [flat[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)]
    return list(column.to_pylist())
