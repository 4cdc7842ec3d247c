"""Candles as the exact aggregate of trades, and of finer candles. Integers throughout.

Sums of integers do not depend on their order, so an hour made of its minutes equals the
hour made of its trades, bit for bit, and the division into floats happens once, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid
from lake.simulator.instruments import Market
from lake.simulator.trades import Ints, Trades
from lake.storage.columns import opens_of

Bools = npt.NDArray[np.bool_]

_LOWEST, _HIGHEST = -1, np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles in the integer units of one market; ``ts`` is the open in microseconds."""

    ts: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    base: Ints
    quote: Ints
    count: Ints
    taker_base: Ints
    taker_quote: Ints

    def __len__(self) -> int:
        return len(self.ts)

    def slice(self, start: int, stop: int) -> Candles:
        return Candles(*(column[start:stop] for column in self.columns))

    @property
    def columns(self) -> tuple[Ints, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


def join(parts: Sequence[Candles]) -> Candles:
    """*parts* one after the other."""
    if not parts:
        return Candles(*(np.empty(0, np.int64) for _ in Candles.__slots__))
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns for part in parts), strict=True)
    return Candles(*(np.concatenate(column) for column in columns))


def from_trades(
    trades: Trades, slots: Ints, *, step_us: int, previous_close: int | None
) -> Candles:
    """One candle for each of *slots*; quiet ones are flat at the close before, volume 0.

    Args:
        trades: In time order, all inside slots.
        slots: Ascending open times (us) of the candles that exist.
        step_us: Length of a candle.
        previous_close: Ticks; None where nothing traded yet: then slots before the first
            trade have no candle, as a venue has none before its first trade.
    """
    if len(trades) == 0:
        if previous_close is None:
            return join([])
        return _flat(slots, np.full(len(slots), previous_close))
    trade_slot = np.searchsorted(slots, trades.ms * 1_000, side="right") - 1
    starts = np.flatnonzero(np.diff(trade_slot, prepend=-1))
    traded = _reduce(
        slots[trade_slot[starts]],
        starts,
        Candles(
            trades.ms,
            trades.price,
            trades.price,
            trades.price,
            trades.price,
            trades.base,
            trades.quote,
            trades.fills,
            np.where(trades.buy, trades.base, 0),
            np.where(trades.buy, trades.quote, 0),
        ),
    )
    if previous_close is None:
        slots = slots[slots >= traded.ts[0]]
    where = np.searchsorted(slots, traded.ts)
    if len(where) == len(slots):
        return traded
    # Each slot's close is that of the newest traded slot at or before it.
    newest = np.full(len(slots), -1)
    newest[where] = np.arange(len(where))
    newest = np.maximum.accumulate(newest)
    before = previous_close if previous_close is not None else 0
    whole = _flat(slots, np.where(newest >= 0, traded.close[newest], before))
    for ours, theirs in zip(whole.columns[1:], traded.columns[1:], strict=True):
        ours[where] = theirs
    return whole


def roll_up(fine: Candles, grid: Grid) -> Candles:
    """Candles of *grid* made of finer ones; the first and the last may be incomplete.

    They are the aggregate of the trades: a quiet minute at the old price is no part of them
    unless all minutes are quiet.
    """
    if len(fine) == 0:
        return fine
    opens = opens_of(fine.ts, grid)
    starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    whole = _reduce(opens[starts], starts, fine)
    traded = fine.count > 0
    if traded.all():
        return whole
    some = whole.count > 0
    places = np.where(traded, np.arange(len(fine)), len(fine))
    first = np.minimum.reduceat(places, starts)[some]
    whole.open[some] = fine.open[first]
    highs, lows = np.where(traded, fine.high, _LOWEST), np.where(traded, fine.low, _HIGHEST)
    whole.high[some] = np.maximum.reduceat(highs, starts)[some]
    whole.low[some] = np.minimum.reduceat(lows, starts)[some]
    return whole


def to_table(candles: Candles, market: Market) -> pa.Table:
    """*candles* in the lake's ``ohlcv`` schema: each number the double nearest its decimal."""
    tick = float(10**market.price_decimals)
    base, quote = float(10**market.base_decimals), float(10**market.quote_decimals)
    columns = [
        pa.array(candles.ts.view("datetime64[us]")),
        pa.array(candles.open / tick),
        pa.array(candles.high / tick),
        pa.array(candles.low / tick),
        pa.array(candles.close / tick),
        pa.array(candles.base / base),
        pa.array(candles.quote / quote),
        pa.array(candles.count),
        pa.array(candles.taker_base / base),
        pa.array(candles.taker_quote / quote),
    ]
    return pa.Table.from_arrays(columns, schema=OHLCV.schema)


def _reduce(ts: Ints, starts: Ints, fine: Candles) -> Candles:
    last = np.append(starts[1:], len(fine)) - 1
    return Candles(
        ts,
        fine.open[starts],
        np.maximum.reduceat(fine.high, starts),
        np.minimum.reduceat(fine.low, starts),
        fine.close[last],
        np.add.reduceat(fine.base, starts),
        np.add.reduceat(fine.quote, starts),
        np.add.reduceat(fine.count, starts),
        np.add.reduceat(fine.taker_base, starts),
        np.add.reduceat(fine.taker_quote, starts),
    )


def _flat(slots: Ints, close: Ints) -> Candles:
    def zeros() -> Ints:
        return np.zeros(len(slots), np.int64)

    return Candles(
        slots,
        close.copy(),
        close.copy(),
        close.copy(),
        close.copy(),
        zeros(),
        zeros(),
        zeros(),
        zeros(),
        zeros(),
    )
