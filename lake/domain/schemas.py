"""The columns of every data type: the only column list there is.

Types here are what files hold. Prices and quantities are float64; times are UTC without a
zone in microseconds. The hive columns (venue, instrument, ...) live in the path, not here.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from lake.domain.identifiers import DataType

TIMESTAMP = pa.timestamp("us")
_FIELD_ID = b"PARQUET:field_id"


@dataclass(frozen=True, slots=True)
class RowSpec:
    """What rows of one data type look like.

    ``key`` names a row; rows of a file are sorted by ``ts``, then key. ``version`` goes
    into each file's footer and rises when columns are added (at the end, nullable).
    """

    data_type: DataType
    schema: pa.Schema
    key: tuple[str, ...]
    version: int

    @property
    def sort_order(self) -> tuple[str, ...]:
        return ("ts", *(name for name in self.key if name != "ts"))


def _schema(*fields: tuple[str, pa.DataType, bool]) -> pa.Schema:
    """Fields numbered from 1 in order; a number is never given to another column again."""
    return pa.schema(
        [
            pa.field(name, kind, nullable=nullable, metadata={_FIELD_ID: str(number).encode()})
            for number, (name, kind, nullable) in enumerate(fields, start=1)
        ]
    )


_F64, _I64, _TEXT = pa.float64(), pa.int64(), pa.string()
# List elements carry no field id of their own; Parquet readers match them by position.
_LEVELS = pa.list_(pa.field("element", pa.float64(), nullable=False))

OHLCV = RowSpec(
    DataType.OHLCV,
    _schema(
        ("ts", TIMESTAMP, False),
        ("open", _F64, False),
        ("high", _F64, False),
        ("low", _F64, False),
        ("close", _F64, False),
        ("volume", _F64, False),
        ("quote_volume", _F64, True),
        ("trade_count", _I64, True),
        ("taker_buy_volume", _F64, True),
        ("taker_buy_quote_volume", _F64, True),
    ),
    key=("ts",),
    version=1,
)
TRADES = RowSpec(
    DataType.TRADES,
    _schema(
        ("ts", TIMESTAMP, False),
        ("trade_id", _I64, True),
        ("trade_ref", _TEXT, True),
        ("price", _F64, False),
        ("quantity", _F64, False),
        ("side", _TEXT, True),
        ("first_trade_id", _I64, True),
        ("last_trade_id", _I64, True),
        ("received_at", TIMESTAMP, True),
    ),
    key=("trade_id", "trade_ref"),
    version=1,
)
ORDERBOOK = RowSpec(
    DataType.ORDERBOOK,
    _schema(
        ("ts", TIMESTAMP, False),
        ("sequence", _I64, True),
        ("best_bid", _F64, True),
        ("best_bid_quantity", _F64, True),
        ("best_ask", _F64, True),
        ("best_ask_quantity", _F64, True),
        ("bid_prices", _LEVELS, False),
        ("bid_quantities", _LEVELS, False),
        ("ask_prices", _LEVELS, False),
        ("ask_quantities", _LEVELS, False),
        ("received_at", TIMESTAMP, True),
    ),
    key=("ts", "sequence"),
    version=1,
)
FUNDING_RATES = RowSpec(
    DataType.FUNDING_RATES,
    _schema(
        ("ts", TIMESTAMP, False),
        ("settled_at", TIMESTAMP, True),
        ("funding_rate", _F64, False),
        ("interval_hours", _F64, True),
        ("predicted_rate", _F64, True),
        ("next_funding_time", TIMESTAMP, True),
        ("mark_price", _F64, True),
        ("index_price", _F64, True),
    ),
    key=("ts",),
    version=1,
)

ROW_SPECS: dict[DataType, RowSpec] = {
    spec.data_type: spec for spec in (OHLCV, TRADES, ORDERBOOK, FUNDING_RATES)
}
