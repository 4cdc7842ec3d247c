"""Synthetic order books: snapshots at fixed moments, around the price that trades then had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lake.domain.schemas import ORDERBOOK
from lake.errors import InvalidRequest
from lake.simulator.instruments import Market
from lake.simulator.tables import prices, quantities
from lake.simulator.tape import Block, Tape
from lake.simulator.trades import BOOKS, Floats, Ints, stream

MAX_LEVELS = 1_000
# Numbers of one column that are made at a time.
_PIECE = 400_000
_SEQUENCE_ZERO_MS = 1_262_304_000_000  # 2010-01-01
_UPDATES_PER_MS = 3
# Snapshots closer than this would not have a rising sequence on a grid of milliseconds.
_SHORTEST_US = 1_000


@dataclass(slots=True)
class LastTrade:
    """The newest trade so far: what a price at a moment between trades is."""

    price: int = 0
    buy: bool = False

    def at(self, block: Block, moments_us: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Price (0: nothing traded yet) and taker side at moments inside *block*."""
        trades = block.trades
        index = np.searchsorted(trades.ms * 1_000, moments_us, side="right")
        price = np.concatenate(([self.price], trades.price))[index]
        buy = np.concatenate(([self.buy], trades.buy))[index]
        return price, buy

    def move_past(self, block: Block) -> None:
        if len(block.trades):
            self.price, self.buy = int(block.trades.price[-1]), bool(block.trades.buy[-1])


@dataclass(frozen=True, slots=True)
class BookMaker:
    """Makes the books of one market.

    The spread is one tick: the last taker bought at the best ask, or sold at the best bid.

    Attributes:
        tape: The market.
        interval_us: A snapshot at every multiple of this since 1970.
        levels: Price levels on each side.
    """

    tape: Tape
    interval_us: int
    levels: int

    def __post_init__(self) -> None:
        if self.interval_us < _SHORTEST_US or self.interval_us % _SHORTEST_US:
            raise InvalidRequest("Books are taken at whole milliseconds. Choose 1 ms or more.")
        if not 1 <= self.levels <= MAX_LEVELS:
            raise InvalidRequest(f"{self.levels} levels. Choose from 1 to {MAX_LEVELS}.")

    def tables(self, block: Block, last: LastTrade) -> Iterator[pa.Table]:
        """The snapshots inside *block*, in the lake's ``orderbook`` schema."""
        step = self.interval_us
        moments = np.arange(-(-block.start_us // step) * step, block.end_us, step)
        moments = moments[self.tape.is_open(moments)]
        price, buy = last.at(block, moments)
        known = price > 0
        moments, price, buy = moments[known], price[known], buy[known]
        size = max(1, _PIECE // self.levels)
        for first in range(0, len(moments), size):
            piece = slice(first, first + size)
            yield self._table(moments[piece], price[piece], buy[piece])

    def _table(self, moments: Ints, price: Ints, buy: npt.NDArray[np.bool_]) -> pa.Table:
        market = self.tape.market
        name = str(market.instrument.id)
        draw = stream(self.tape.seed, name, BOOKS, int(moments[0]) // _SHORTEST_US)
        count = len(moments)
        ask = np.maximum(2, np.where(buy, price, price + 1))
        sides = []
        for best, direction in ((ask - 1, -1), (ask, 1)):
            gaps = 1 + (draw.standard_exponential((count, self.levels)) ** 2).astype(np.int64)
            gaps[:, 0] = 0
            level = best[:, None] + direction * np.cumsum(gaps, axis=1)
            size = draw.standard_exponential((count, self.levels)) ** 2 * market.typical_lots
            sides.append(_Side.of(market, level, 1 + size.astype(np.int64)))
        bids, asks = sides
        sequence = (moments // 1_000 - _SEQUENCE_ZERO_MS) * _UPDATES_PER_MS
        columns = [
            pa.array(moments.view("datetime64[us]")),
            pa.array(sequence + draw.integers(0, _UPDATES_PER_MS, count)),
            *bids.best,
            *asks.best,
            *bids.lists,
            *asks.lists,
            pa.nulls(count, ORDERBOOK.schema.field("received_at").type),
        ]
        return pa.Table.from_arrays(columns, schema=ORDERBOOK.schema)


@dataclass(frozen=True, slots=True)
class _Side:
    price: Floats
    quantity: Floats
    offsets: Ints

    @classmethod
    def of(cls, market: Market, level: Ints, lots: Ints) -> _Side:
        """Levels at or below zero do not exist; the best always does."""
        exists = level > 0
        offsets = np.concatenate(([0], np.cumsum(exists.sum(axis=1))))
        ticks = level[exists]
        return cls(prices(market, ticks), quantities(market, ticks, lots[exists]), offsets)

    @property
    def best(self) -> list[pa.Array]:
        first = self.offsets[:-1]
        return [pa.array(self.price[first]), pa.array(self.quantity[first])]

    @property
    def lists(self) -> list[pa.Array]:
        kind = ORDERBOOK.schema.field("bid_prices").type
        offsets = pa.array(self.offsets.astype(np.int32))
        return [
            pa.ListArray.from_arrays(offsets, pa.array(values), type=kind)
            for values in (self.price, self.quantity)
        ]
