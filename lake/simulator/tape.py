"""The tape of one synthetic market: its days in order, as trades and as the finest candles.

Knows when the market exists (listing, end) and when the whole venue is down (outages).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lake.domain.ranges import TimeRange
from lake.domain.rows import Note
from lake.domain.timeframe import Grid
from lake.domain.times import DAY_US, from_us, iso, to_us
from lake.simulator.candles import Candles, from_trades, join, roll_up
from lake.simulator.instruments import Market
from lake.simulator.trades import Ints, Trades, plan_of_day
from lake.storage.columns import opens_of

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day of a market."""

    number: int
    trades: Trades
    candles: Candles


@dataclass(frozen=True, slots=True)
class Block:
    """Some minutes of a market: what happens from ``start_us`` until before ``end_us``."""

    day: int
    start_us: int
    end_us: int
    trades: Trades
    candles: Candles

    @property
    def ends_day(self) -> bool:
        return self.end_us == (self.day + 1) * DAY_US


@dataclass(frozen=True, slots=True)
class Tape:
    """A market between two moments.

    Attributes:
        market: What trades.
        window: The moments that are generated, cut to whole minutes.
        seed: The same seed gives the same market.
        rate: Trades per second of a market with liveliness 1.
        step_us: Length of the finest candles: a second or a minute.
        outages: When the venue was down: no trades, and no candles where one lies wholly inside.
    """

    market: Market
    window: TimeRange
    seed: int
    rate: float
    step_us: int = _MINUTE_US
    outages: Sequence[TimeRange] = ()

    @property
    def opening_us(self) -> int:
        """The first minute in which it can trade."""
        listed = self.market.listed_from
        first = max(self.window.start, listed) if listed else self.window.start
        return to_us(first) // _MINUTE_US * _MINUTE_US

    @property
    def end_us(self) -> int:
        return to_us(self.window.end) // _MINUTE_US * _MINUTE_US

    def days(self) -> Iterator[Day]:
        """Its days in order, each as a whole; the first is the one in which it opens."""
        parts: list[Block] = []
        for block in self.blocks():
            parts.append(block)
            if not block.ends_day:
                continue
            trades = Trades.join([each.trades for each in parts])
            yield Day(block.day, trades, join([each.candles for each in parts]))
            parts = []

    def blocks(self) -> Iterator[Block]:
        """Its days in order in pieces of whole minutes, none too large for memory."""
        opening, end = self.opening_us, self.end_us
        close: int | None = None
        for day in range(opening // DAY_US, -(-end // DAY_US)):
            minute = (opening - day * DAY_US) // _MINUTE_US
            plan = plan_of_day(
                self.market,
                day,
                seed=self.seed,
                rate=self.rate,
                opening_minute=minute if minute >= 0 else None,
            )
            for first, stop, made in plan.blocks():
                trades = self._surviving(made)
                start_us, end_us = (day * DAY_US + each * _MINUTE_US for each in (first, stop))
                candles = from_trades(
                    trades,
                    self._slots(start_us, end_us),
                    step_us=self.step_us,
                    previous_close=close,
                )
                if len(trades):
                    close = int(trades.price[-1])
                yield Block(day, start_us, end_us, trades, candles)

    def early_closes(self, grid: Grid) -> list[Note]:
        """Candles that an outage cut short for good, in the words that sources use."""
        notes = []
        for outage in self.outages:
            cut = to_us(outage.start)
            opened = grid.floor_us(cut)
            if opened == cut or to_us(outage.end) < grid.next_us(opened):
                continue
            if self.opening_us <= opened and grid.next_us(opened) <= self.end_us:
                text = f"closed at {iso(from_us(cut - 1_000))}"
                notes.append(Note(from_us(opened), "early_close", text))
        return notes

    def is_open(self, us: Ints) -> npt.NDArray[np.bool_]:
        """Whether it can trade at each of the moments *us*."""
        alive = (us >= self.opening_us) & (us < self.end_us)
        for outage in self.outages:
            alive &= (us < to_us(outage.start)) | (us >= to_us(outage.end))
        return alive

    def _surviving(self, trades: Trades) -> Trades:
        return trades.where(self.is_open(trades.ms * 1_000))

    def _slots(self, start_us: int, end_us: int) -> Ints:
        first = max(start_us, self.opening_us)
        slots = np.arange(first, min(end_us, self.end_us), self.step_us)
        alive = np.ones(len(slots), bool)
        for outage in self.outages:
            inside = (slots >= to_us(outage.start)) & (slots + self.step_us <= to_us(outage.end))
            alive &= ~inside
        return slots[alive]


class RollUp:
    """Finer candles in, the finished candles of a longer timeframe out; keeps the rest."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._rest = join([])

    def push(self, fine: Candles, *, known_until_us: int) -> Candles:
        """The candles that end at or before *known_until_us*, up to which *fine* is complete."""
        fine = join([self._rest, fine]) if len(self._rest) else fine
        if len(fine) == 0:
            return fine
        opens = opens_of(fine.ts, self._grid)
        running = self._grid.floor_us(known_until_us)
        cut = int(np.searchsorted(opens, running))
        self._rest = fine.slice(cut, len(fine))
        return roll_up(fine.slice(0, cut), self._grid)
