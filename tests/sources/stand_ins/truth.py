"""What stand-ins tell: candles, trades, settlements and a book, generated under a seed.

Amounts are whole numbers of a venue's unit (contracts, or ten-thousandths of a coin), and
prices have two digits, so that every wire format can write them exactly.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from lake.domain.timeframe import Grid
from lake.domain.times import to_us

CENT = Decimal("0.01")
COIN_PART = Decimal("0.0001")


@dataclass(frozen=True)
class Candle:
    """One candle: prices, and ``units`` traded; ``count`` trades."""

    ts_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    units: int
    count: int

    @property
    def ts_ms(self) -> int:
        return self.ts_us // 1_000


@dataclass(frozen=True)
class Trade:
    """One trade: a dense ``number`` from 1, its price, ``units``, and whether the taker bought."""

    number: int
    ts_ms: int
    price: Decimal
    units: int
    bought: bool


@dataclass(frozen=True)
class Settlement:
    """One funding settlement: when it was due, and the rate of its interval."""

    ts_ms: int
    rate: Decimal


@dataclass(frozen=True)
class Book:
    """A book: levels (price, units) best first, its time and its sequence."""

    ts_ms: int
    sequence: int
    bids: tuple[tuple[Decimal, int], ...]
    asks: tuple[tuple[Decimal, int], ...]


def candles(
    grid: Grid,
    start: datetime,
    end: datetime,
    *,
    seed: int = 1,
    holes: tuple[tuple[int, int], ...] = (),
) -> list[Candle]:
    """All candles that open in ``[start, end)``, but those in *holes* (first, past last)."""
    rng = random.Random(f"{seed}|{grid.timeframe.value}")
    found, price = [], 6_000_000
    moment, at = grid.ceil(start), 0
    while moment < end:
        opened, price = price, max(1_000, price + rng.randrange(-900, 901))
        high, low = max(opened, price) + rng.randrange(300), min(opened, price) - rng.randrange(300)
        row = Candle(
            to_us(moment), *(each * CENT for each in (opened, high, low, price)),
            rng.randrange(1, 10**7), rng.randrange(1, 5_000),
        )  # fmt: skip
        if not any(first <= at < last for first, last in holes):
            found.append(row)
        moment, at = grid.next(moment), at + 1
    return found


def trades(
    start: datetime, count: int, *, seed: int = 1, longest_ms: int = 900, burst: int = 40
) -> list[Trade]:
    """*count* trades from *start* on; every few of them up to *burst* share a millisecond."""
    rng = random.Random(f"{seed}|trades")
    found: list[Trade] = []
    ts_ms, price = to_us(start) // 1_000, 6_000_000
    while len(found) < count:
        together = rng.randrange(2, burst) if rng.random() < 0.1 else 1
        for _ in range(min(together, count - len(found))):
            price = max(1_000, price + rng.randrange(-50, 51))
            found.append(
                Trade(
                    len(found) + 1, ts_ms, price * CENT, rng.randrange(1, 50_000),
                    rng.random() < 0.5,
                )
            )  # fmt: skip
        ts_ms += rng.randrange(1, longest_ms)
    return found


def settlements(
    start: datetime, end: datetime, hours: Mapping[datetime, int], *, seed: int = 1
) -> list[Settlement]:
    """Settlements in ``[start, end)``; *hours* says from when on they lie how far apart."""
    rng = random.Random(f"{seed}|funding")
    found, moment = [], start
    while moment < end:
        rate = Decimal(rng.randrange(-7_500, 7_501)) / 10**7
        found.append(Settlement(to_us(moment) // 1_000, rate))
        step = [each for since, each in sorted(hours.items()) if since <= moment][-1]
        moment += timedelta(hours=step)
    return found


def book(now: datetime, *, levels: int, seed: int = 1) -> Book:
    """A book of *levels* a side at *now*."""
    rng = random.Random(f"{seed}|book")
    bid, ask = 5_999_990, 6_000_010
    bids, asks = [], []
    for _ in range(levels):
        bids.append((bid * CENT, rng.randrange(1, 50_000)))
        asks.append((ask * CENT, rng.randrange(1, 50_000)))
        bid, ask = bid - rng.randrange(1, 50), ask + rng.randrange(1, 50)
    return Book(to_us(now) // 1_000, rng.randrange(10**9, 10**10), tuple(bids), tuple(asks))
