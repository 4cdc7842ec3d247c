"""Candles as the bytes of Binance's kline rows, a partition at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Instrument, InstrumentKind
from lake.domain.timeframe import Grid
from lake.simulator.text import Column, Floats, Ints, Part, Sheet, decimals_of, integers, quoted
from lake.storage.columns import opens_of

__all__ = ["Sheet", "WireFormat", "decimals_of", "sheet"]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """Which numbers stand in the twelve fields of an instrument's rows, and how.

    Attributes:
        price_decimals: Prices have at least so many decimals.
        quantity_decimals: So have the volumes in fields 5 and 9.
        worth_decimals: So have the volumes in fields 7 and 10.
        contract_size: For inverse instruments: fields 5 and 9 count contracts of this many
            quote units, fields 7 and 10 the base asset.
    """

    price_decimals: int
    quantity_decimals: int
    worth_decimals: int
    contract_size: float | None = None

    @classmethod
    def of(cls, instrument: Instrument) -> WireFormat:
        """Spot writes eight decimals throughout; futures as many as there are."""
        if instrument.kind is InstrumentKind.SPOT:
            return cls(8, 8, 8)
        size = instrument.contract_size if instrument.kind is InstrumentKind.INVERSE else None
        tick, lot = decimals_of(instrument.tick_size, 0), decimals_of(instrument.lot_size, 0)
        return cls(tick, lot, 0, size)


def sheet(
    table: pa.Table, grid: Grid, wire: WireFormat, *, closes_ms: Mapping[int, int] | None = None
) -> Sheet:
    """The candles of *table* as kline rows.

    Args:
        table: Candles in the lake's schema, sorted.
        grid: Their grid; a row closes a millisecond before the next opens.
        wire: The instrument's format.
        closes_ms: Candles (by open, ms) that closed early, with that moment.
    """
    ts_us = table["ts"].cast(pa.int64()).to_numpy()
    ts_ms: Ints = ts_us // 1_000
    close_ms = _next_us(ts_us, grid) // 1_000 - 1
    for opened, closed in (closes_ms or {}).items():
        close_ms[ts_ms == opened] = closed
    if len(ts_ms) == 0:
        return Sheet.of(ts_ms, [])
    base, quote = _amount(table, "volume"), _amount(table, "quote_volume")
    taker, taker_quote = (
        _amount(table, "taker_buy_volume"),
        _amount(table, "taker_buy_quote_volume"),
    )
    if wire.contract_size is not None:
        # COIN-M counts contracts where the others count the base asset.
        base, quote = _contracts(quote, wire.contract_size), base
        taker, taker_quote = _contracts(taker_quote, wire.contract_size), taker
    parts: list[Part] = [b"[", integers(ts_ms)]
    for name in ("open", "high", "low", "close"):
        parts += quoted(_amount(table, name), wire.price_decimals)
    parts += quoted(base, wire.quantity_decimals)
    parts += [b",", integers(close_ms)]
    parts += quoted(quote, wire.worth_decimals)
    parts += [b",", integers(_counts(table))]
    parts += quoted(taker, wire.quantity_decimals)
    parts += quoted(taker_quote, wire.worth_decimals)
    parts += [b',"0"],']
    return Sheet.of(ts_ms, parts)


def _amount(table: pa.Table, name: str) -> Column:
    """The column as doubles, NaN where null; None where it is null throughout."""
    column = table[name].combine_chunks()
    if column.null_count == len(column):
        return None
    values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _contracts(quote: Column, size: float) -> Column:
    return None if quote is None else quote / size


def _counts(table: pa.Table) -> Ints | None:
    column = table["trade_count"].combine_chunks()
    if column.null_count == len(column):
        return None
    values: Ints = column.fill_null(0).to_numpy(zero_copy_only=False)
    return values


def _next_us(ts_us: Ints, grid: Grid) -> Ints:
    step = grid.timeframe.step_us
    if step is not None:
        return ts_us + step
    return opens_of(ts_us + 32 * 86_400_000_000, grid)
