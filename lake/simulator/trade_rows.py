"""Trades as Binance writes them: aggregates as whole columns of text, fills one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.simulator.rows import WireFormat
from lake.simulator.tables import split_lots
from lake.simulator.text import Cells, Floats, Ints, Sheet, exact_text, integers, quoted

COLUMNS = ("ts", "trade_id", "price", "quantity", "side", "first_trade_id", "last_trade_id")
_FALSE_TRUE_NULL = np.array([list(b"false"), list(b" true"), list(b" null")], np.uint8)
# A quotient this close to a whole number of contracts is one.
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class TradeRows:
    """Some trades by column, in the venue's units.

    Attributes:
        quantity: Base asset; contracts for inverse instruments.
        seller: 1 where the taker sold (the buyer was the maker), 0 where not, 2 unknown.
    """

    ts_ms: Ints
    ids: Ints
    price: Floats
    quantity: Floats
    seller: Ints
    first: Ints
    last: Ints

    @classmethod
    def of(cls, table: pa.Table, wire: WireFormat) -> TradeRows:
        """The rows of *table* (:data:`COLUMNS`); a trade without first and last is one fill."""
        ids = table["trade_id"].to_numpy()
        price = table["price"].to_numpy()
        quantity = table["quantity"].to_numpy()
        if wire.contract_size is not None:
            quantity = quantity * price / wire.contract_size
            near = np.rint(quantity)
            quantity = np.where(np.abs(quantity - near) < _CLOSE, near, quantity)
        sides = table["side"].combine_chunks()
        if isinstance(sides, pa.DictionaryArray):
            sides = sides.dictionary_decode()
        known = pa.array(["buy", "sell"])
        seller = pc.index_in(sides, value_set=known).fill_null(2)
        return cls(
            table["ts"].cast(pa.int64()).to_numpy() // 1_000,
            ids,
            price,
            quantity,
            seller.to_numpy(zero_copy_only=False).astype(np.int64),
            _or_own(table["first_trade_id"], ids),
            _or_own(table["last_trade_id"], ids),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__slots__)

    def slice(self, first: int, stop: int) -> TradeRows:
        return TradeRows(*(getattr(self, name)[first:stop] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class TradeSheet(Sheet):
    """Aggregates as text, with their ids."""

    ids: Ints

    @property
    def size_bytes(self) -> int:
        columns = self.ts_ms.nbytes + self.offsets.nbytes + self.ids.nbytes
        return len(self.text) + columns


def aggregates(rows: TradeRows, wire: WireFormat, *, best_match: bool) -> TradeSheet:
    """*rows* as objects of aggTrades.

    Args:
        rows: Trades, sorted.
        wire: The instrument's format.
        best_match: Spot says ``"M":true``; futures say nothing.
    """
    if not len(rows):
        empty = Sheet.of(rows.ts_ms, [])
        return TradeSheet(empty.ts_ms, empty.text, empty.offsets, rows.ids)
    flags = Cells(_FALSE_TRUE_NULL[rows.seller], np.where(rows.seller == 0, 5, 4))
    sheet = Sheet.of(
        rows.ts_ms,
        [
            b'{"a":',
            integers(rows.ids),
            *quoted(rows.price, wire.price_decimals, before=b',"p":'),
            *quoted(rows.quantity, wire.quantity_decimals, before=b',"q":'),
            b',"f":',
            integers(rows.first),
            b',"l":',
            integers(rows.last),
            b',"T":',
            integers(rows.ts_ms),
            b',"m":',
            flags,
            b',"M":true},' if best_match else b"},",
        ],
    )
    return TradeSheet(sheet.ts_ms, sheet.text, sheet.offsets, rows.ids)


def fills(rows: TradeRows, wire: WireFormat, *, lot_decimals: int, spot: bool) -> list[Any]:
    """The fills that *rows* are made of, as objects of trades, split as the generator does."""
    count = rows.last - rows.first + 1
    unit = 10**lot_decimals
    lots = np.rint(rows.quantity * unit).astype(np.int64)
    index = np.repeat(np.arange(len(rows)), count)
    numbers = rows.first[index] + np.arange(len(index)) - (np.cumsum(count) - count)[index]
    quantity = split_lots(lots, count) / unit
    price = rows.price[index]
    if wire.contract_size is None:
        worth_name, worth = "quoteQty", price * quantity
    else:
        worth_name, worth = "baseQty", quantity * wire.contract_size / price
    made = []
    for at in range(len(index)):
        row = {
            "id": int(numbers[at]),
            "price": exact_text(price[at], wire.price_decimals).strip('"'),
            "qty": exact_text(quantity[at], wire.quantity_decimals).strip('"'),
            worth_name: f"{worth[at]:.8f}",
            "time": int(rows.ts_ms[index[at]]),
            "isBuyerMaker": (False, True, None)[rows.seller[index[at]]],
        }
        made.append(row | {"isBestMatch": True} if spot else row)
    return made


def _or_own(column: pa.ChunkedArray, ids: Ints) -> Ints:
    if column.null_count == len(column):
        return ids
    if column.null_count == 0:
        values: Ints = column.to_numpy()
        return values
    filled: Ints = pc.coalesce(column, pa.chunked_array([ids])).to_numpy()
    return filled
