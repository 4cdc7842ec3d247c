"""Candles as the exact aggregate of trades, table after table, in bounded memory. Pure.

Amounts are decimals at every venue, so they are summed as whole numbers of their last decimal:
the sum does not depend on the order or on where tables end, and is the double nearest to the
true one. Amounts that are no short decimals (coins of an inverse contract) are summed exactly as
the doubles that they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid
from lake.storage.columns import micros, opens_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Doubles hold whole numbers exactly up to here, and powers of ten up to 10**22.
_EXACT = 2**53
_MOST_DECIMALS = 15
# Sums of int64 stay clear of its end.
_ROOM = 2**62
# A contract count is off a whole number by the rounding of the coin amount only.
_WHOLE = 0.1


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts of a table's trades, each in one of two parts and 0 in the other.

    Attributes:
        whole: Those that are short decimals, as whole numbers of ``10 ** -decimals``.
        decimals: Of the finest of them.
        rest: Those that are not, as the doubles that they are; None where there are none.
    """

    whole: npt.NDArray[Any]
    decimals: int
    rest: Floats | None = None

    def only(self, chosen: Bools) -> Amounts:
        """The same with 0 where not *chosen*."""
        whole = np.where(chosen, self.whole, self.whole.dtype.type(0))
        rest = None if self.rest is None else np.where(chosen, self.rest, 0.0)
        return Amounts(whole, self.decimals, rest)

    def grouped(self, starts: Ints) -> Sums:
        """The exact sum of each group."""
        whole = self.whole
        if whole.dtype != object and float(whole.sum(dtype=np.float64)) >= _ROOM:
            whole = whole.astype(object)
        sums = np.add.reduceat(whole, starts)
        if self.rest is None:
            return Sums(sums, self.decimals)
        ends = [*starts[1:].tolist(), len(whole)]
        values = self.rest.tolist()
        pairs = [_two_sum(values[start:end]) for start, end in zip(starts, ends, strict=True)]
        return Sums(sums, self.decimals, np.array(pairs, np.float64).reshape(-1, 2))


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums of groups: as :class:`Amounts`, doubles as pairs of their sum and its error."""

    whole: npt.NDArray[Any]
    decimals: int
    rest: Floats | None = None

    def exact(self, group: int) -> Fraction:
        """The sum of one group."""
        total = Fraction(int(self.whole[group]), 10**self.decimals)
        if self.rest is not None:
            total += sum(map(Fraction, self.rest[group].tolist()))
        return total

    def doubles(self, first: int, end: int) -> Floats:
        """The sums of some groups, each the double nearest to it."""
        whole = self.whole[first:end]
        if self.rest is not None:
            if not whole.any():
                return np.ascontiguousarray(self.rest[first:end, 0])
            return np.array([float(self.exact(group)) for group in range(first, end)])
        scale = 10**self.decimals
        if whole.dtype == object or (len(whole) and int(whole.max()) >= _EXACT):
            return np.array([int(each) / scale for each in whole], np.float64)
        return np.asarray(whole / float(scale), np.float64)


@dataclass(frozen=True, slots=True)
class TradeTable:
    """What candles need of a table of trades, computed once for all timeframes."""

    ts: Ints
    price: Floats
    base: Amounts
    quote: Amounts
    taker_base: Amounts
    taker_quote: Amounts
    no_side: Bools
    fills: Ints
    no_fills: Bools


class TradeReader:
    """Turns tables of one series' trades into numbers.

    Args:
        is_aggregate: A row stands for several fills, from its first id to its last.
        contract_value: Quote units of one contract, for inverse instruments: their quote
            amounts are whole contracts, not price times a rounded amount of coins.
    """

    def __init__(self, *, is_aggregate: bool, contract_value: float | None = None) -> None:
        self._is_aggregate = is_aggregate
        self._contract_value = contract_value
        self._price_decimals = 0
        self._quantity_decimals = 0

    def read(self, trades: pa.Table) -> TradeTable:
        """*trades* (in the lake's schema, ascending) as numbers."""
        price = _doubles(trades["price"])
        quantity = _doubles(trades["quantity"])
        ticks = decimal_amounts(price, self._price_decimals)
        base = decimal_amounts(quantity, self._quantity_decimals)
        self._price_decimals = ticks.decimals if ticks.rest is None else self._price_decimals
        self._quantity_decimals = base.decimals if base.rest is None else self._quantity_decimals
        quote = self._contracts(price, quantity) or _product(price, quantity, ticks, base)
        side = trades["side"]
        bought = pc.fill_null(pc.equal(side, "buy"), False).combine_chunks()
        buys = bought.to_numpy(zero_copy_only=False)
        fills, no_fills = self._fills(trades)
        return TradeTable(
            micros(trades["ts"]),
            price,
            base,
            quote,
            base.only(buys),
            quote.only(buys),
            side.is_null().to_numpy(),
            fills,
            no_fills,
        )

    def _fills(self, trades: pa.Table) -> tuple[Ints, Bools]:
        count = trades.num_rows
        if not self._is_aggregate:
            return np.ones(count, np.int64), np.zeros(count, np.bool_)
        fills = pc.add(pc.subtract(trades["last_trade_id"], trades["first_trade_id"]), 1)
        return pc.fill_null(fills, 0).to_numpy(), fills.is_null().to_numpy()

    def _contracts(self, price: Floats, quantity: Floats) -> Amounts | None:
        """Quote amounts as whole contracts; None where the trades are not of such."""
        value = self._contract_value
        if value is None or value != int(value):
            return None
        told = price * quantity / value
        count = np.rint(told)
        if (np.abs(told - count) > _WHOLE).any():
            return None
        return Amounts(count.astype(np.int64) * int(value), 0)


class CandleBuilder:
    """Builds the candles of one timeframe out of trades that come in order."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._open: _Running | None = None

    def feed(self, trades: TradeTable) -> pa.Table:
        """The candles that the trades after them close; the last one goes on."""
        if len(trades.ts) == 0:
            return OHLCV.schema.empty_table()
        groups = _Groups(trades, self._grid)
        last = len(groups) - 1
        running = self._open
        done = []
        first = 0
        if running is not None and running.ts_us == groups.opens[0]:
            running = running.followed_by(groups.running(0))
            first = 1
        if last < first:
            self._open = running
            return OHLCV.schema.empty_table()
        if running is not None:
            done.append(running.table())
        if last > first:
            done.append(groups.table(first, last))
        self._open = groups.running(last)
        return pa.concat_tables(done) if done else OHLCV.schema.empty_table()

    def close(self, until_us: int) -> pa.Table:
        """The running candle, where it ends at or before *until_us* and all its trades came."""
        running = self._open
        if running is None or self._grid.next_us(running.ts_us) > until_us:
            return OHLCV.schema.empty_table()
        self._open = None
        return running.table()


@dataclass(frozen=True, slots=True)
class _Running:
    """A candle that may go on in the next table, its sums exact."""

    ts_us: int
    open: float
    high: float
    low: float
    close: float
    sums: tuple[Fraction, Fraction, Fraction, Fraction]
    fills: int
    no_fills: bool
    no_side: bool

    def followed_by(self, other: _Running) -> _Running:
        base, quote, taker_base, taker_quote = (
            ours + theirs for ours, theirs in zip(self.sums, other.sums, strict=True)
        )
        return _Running(
            self.ts_us,
            self.open,
            max(self.high, other.high),
            min(self.low, other.low),
            other.close,
            (base, quote, taker_base, taker_quote),
            self.fills + other.fills,
            self.no_fills or other.no_fills,
            self.no_side or other.no_side,
        )

    def table(self) -> pa.Table:
        base, quote, taker_base, taker_quote = map(float, self.sums)
        row = [
            self.ts_us,
            self.open,
            self.high,
            self.low,
            self.close,
            base,
            quote,
            None if self.no_fills else self.fills,
            None if self.no_side else taker_base,
            None if self.no_side else taker_quote,
        ]
        columns = [
            pa.array([value], field.type) for value, field in zip(row, OHLCV.schema, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=OHLCV.schema)


class _Groups:
    """The trades of one table, grouped by candle."""

    def __init__(self, trades: TradeTable, grid: Grid) -> None:
        opens = opens_of(trades.ts, grid)
        starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
        ends = np.append(starts[1:], len(opens)) - 1
        self.opens: Ints = opens[starts]
        self._prices: Sequence[Floats] = (
            trades.price[starts],
            np.maximum.reduceat(trades.price, starts),
            np.minimum.reduceat(trades.price, starts),
            trades.price[ends],
        )
        self._sums = [
            each.grouped(starts)
            for each in (trades.base, trades.quote, trades.taker_base, trades.taker_quote)
        ]
        self._fills: Ints = np.add.reduceat(trades.fills, starts)
        self._no_fills: Bools = np.logical_or.reduceat(trades.no_fills, starts)
        self._no_side: Bools = np.logical_or.reduceat(trades.no_side, starts)

    def __len__(self) -> int:
        return len(self.opens)

    def running(self, group: int) -> _Running:
        opened, high, low, close = (float(each[group]) for each in self._prices)
        base, quote, taker_base, taker_quote = (each.exact(group) for each in self._sums)
        return _Running(
            int(self.opens[group]),
            opened,
            high,
            low,
            close,
            (base, quote, taker_base, taker_quote),
            int(self._fills[group]),
            bool(self._no_fills[group]),
            bool(self._no_side[group]),
        )

    def table(self, first: int, end: int) -> pa.Table:
        part = slice(first, end)
        volume, quote_volume, taker_base, taker_quote = (
            each.doubles(first, end) for each in self._sums
        )
        no_side = self._no_side[part]
        columns = [
            pa.array(self.opens[part].view("datetime64[us]")),
            *(pa.array(each[part]) for each in self._prices),
            pa.array(volume),
            pa.array(quote_volume),
            pa.array(self._fills[part], mask=self._no_fills[part]),
            pa.array(taker_base, mask=no_side),
            pa.array(taker_quote, mask=no_side),
        ]
        return pa.Table.from_arrays(columns, schema=OHLCV.schema)


def decimal_amounts(values: Floats, likely: int = 0) -> Amounts:
    """*values* as whole numbers of their last decimal, those that have one.

    What is said of a value depends on it alone, not on the others.

    Args:
        values: Positive doubles, each the nearest to what a venue wrote.
        likely: How many decimals the values before had.
    """
    whole, fits = _whole_numbers(values, likely)
    if fits.all():
        return Amounts(whole, likely)
    places = np.full(len(values), -1)
    places[fits] = likely
    for decimals in range(_MOST_DECIMALS + 1):
        left = np.flatnonzero(places < 0)
        _, fits = _whole_numbers(values[left], decimals)
        places[left[fits]] = decimals
    finest = max(0, int(places.max()))
    known = places >= 0
    scale = 10**finest
    numbers: npt.NDArray[Any] = np.zeros(len(values), np.int64)
    if float(np.max(values[known], initial=0.0)) * scale >= _ROOM:
        numbers = numbers.astype(object)
    for decimals in np.unique(places[known]).tolist():
        here = places == decimals
        whole, _ = _whole_numbers(values[here], decimals)
        numbers[here] = whole.astype(numbers.dtype) * 10 ** (finest - decimals)
    return Amounts(numbers, finest, None if known.all() else np.where(known, 0.0, values))


def _whole_numbers(values: Floats, decimals: int) -> tuple[Ints, Bools]:
    """*values* times ``10 ** decimals``, and which of them are exactly that."""
    scale = float(10**decimals)
    scaled = values * scale
    fits = scaled < _EXACT
    whole = np.rint(np.where(fits, scaled, 0.0))
    return whole.astype(np.int64), fits & (whole / scale == values)


def _product(price: Floats, quantity: Floats, ticks: Amounts, lots: Amounts) -> Amounts:
    one, other = ticks.whole, lots.whole
    if len(one) and float(one.max()) * float(other.max()) >= _ROOM:
        one = one.astype(object)
    whole, decimals = one * other, ticks.decimals + lots.decimals
    if ticks.rest is None and lots.rest is None:
        return Amounts(whole, decimals)
    # Where either is no short decimal its whole part is 0, and so is the product of those.
    return Amounts(whole, decimals, np.where(whole != 0, 0.0, price * quantity))


def _two_sum(values: Sequence[float]) -> tuple[float, float]:
    """The sum of *values* as a double, and what that leaves of it."""
    total = math.fsum(values)
    return total, math.fsum([*values, -total])


def _doubles(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.to_numpy()
    return values
