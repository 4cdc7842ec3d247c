"""Generated trades as rows of the lake, in the two forms that Binance publishes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa

from lake.domain.schemas import TRADES
from lake.simulator.instruments import Market
from lake.simulator.trades import Floats, Ints, Trades, coins_of


class TradeForm(Enum):
    """Which trades a series holds; it never holds both."""

    AGGREGATE = "aggregate"
    """One row for what a taker took at one price in one millisecond: Binance's aggTrades."""
    SINGLE = "single"
    """One row for every fill: Binance's historicalTrades, and the ``trades`` archives."""


@dataclass(slots=True)
class Numbering:
    """The ids that come next; both sequences are dense."""

    aggregate: int = 1
    fill: int = 1

    def table(self, trades: Trades, market: Market, form: TradeForm) -> pa.Table:
        """*trades* in the lake's ``trades`` schema, numbered on from the trades before."""
        count, fills = len(trades), int(trades.fills.sum())
        aggregate, fill = self.aggregate, self.fill
        self.aggregate += count
        self.fill += fills
        if form is TradeForm.SINGLE:
            lots = split_lots(trades.lots, trades.fills)
            whole = np.repeat(np.arange(count), trades.fills)
            ids = np.arange(fill, fill + fills)
            return _table(trades, whole, lots, market, trade_id=pa.array(ids))
        last = fill - 1 + np.cumsum(trades.fills)
        return _table(
            trades,
            np.arange(count),
            trades.lots,
            market,
            trade_id=pa.array(np.arange(aggregate, aggregate + count)),
            first_trade_id=pa.array(last - trades.fills + 1),
            last_trade_id=pa.array(last),
        )


def split_lots(lots: Ints, fills: Ints) -> Ints:
    """The lots of every fill: equal ones, and the rest in the last."""
    each = lots // fills
    parts = np.repeat(each, fills)
    parts[np.cumsum(fills) - 1] += lots - each * fills
    return parts


def quantities(market: Market, price: Ints, lots: Ints) -> Floats:
    """*lots* in the base asset, as the doubles that a client makes of the venue's text."""
    if market.is_inverse:
        return coins_of(market, price, lots)
    return lots / float(10**market.quantity_decimals)


def prices(market: Market, ticks: Ints) -> Floats:
    return ticks / float(10**market.price_decimals)


def _table(
    trades: Trades, index: Ints, lots: Ints, market: Market, **columns: pa.Array
) -> pa.Table:
    price, count = trades.price[index], len(index)
    columns |= {
        "ts": pa.array((trades.ms[index] * 1_000).view("datetime64[us]")),
        "price": pa.array(prices(market, price)),
        "quantity": pa.array(quantities(market, price, lots)),
        "side": _SIDES.take(pa.array(trades.buy[index].astype(np.int8))),
    }
    return pa.Table.from_arrays(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in TRADES.schema],
        schema=TRADES.schema,
    )


_SIDES = pa.array(["sell", "buy"])
