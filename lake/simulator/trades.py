"""Seeded trades of one synthetic market, a day at a time, in blocks of bounded size.

A day's trades follow from the seed, the instrument and the day alone, so days may be made
in any order and a longer range begins with the shorter one. All numbers are integers on
the market's grids (ticks, base units, quote units): sums of them are exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lake.domain.times import DAY_US
from lake.errors import InvalidRequest
from lake.simulator.instruments import Market

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MINUTES_PER_DAY = 1_440
_MINUTE_MS = 60_000
DAY_MS = DAY_US // 1_000
# Price paths start here whatever is asked for, so that every range sees the same prices.
_FIRST_DAY = 14_610  # 2010-01-01
# BTC's busiest days on Binance have about 15 million trades, 175 a second.
MAX_RATE = 400.0
# Trades made at a time: about 30 MB of columns, whatever the day holds.
_BLOCK_TRADES = 250_000
# Shares of trades that follow from the trade before: its equal in every column, or the next
# price level that the same taker reached in the same millisecond.
_EQUAL = 0.02
_SWEEP = 0.25
_FILLS_SCALE = 0.8
_PULL = 0.99  # how much of its distance from the typical price a day begins with
_SHARED = 0.7  # how much of a day's move all instruments share
_QUIET_NIGHT = 0.55
_WEEKEND = 0.6
# What a stream of random numbers is for; one each, so that none depends on another.
_PATH, _MARKET_PATH, _DAY, _BLOCK, BOOKS, FUNDING = range(1, 7)


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of one market in time order, as Binance aggregates them.

    Each is what one taker order took at one price in one millisecond: one fill or several.

    Attributes:
        ms: Milliseconds since 1970.
        price: Ticks.
        lots: Lots, for inverse markets contracts.
        base: Base units (``10 ** -base_decimals`` each).
        quote: Quote units (``10 ** -quote_decimals`` each).
        fills: Single trades in each.
        buy: Whether the taker bought.
    """

    ms: Ints
    price: Ints
    lots: Ints
    base: Ints
    quote: Ints
    fills: Ints
    buy: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ms)

    def where(self, keep: npt.NDArray[np.bool_]) -> Trades:
        if keep.all():
            return self
        return Trades(*(getattr(self, name)[keep] for name in self.__slots__))

    @classmethod
    def join(cls, parts: Sequence[Trades]) -> Trades:
        """*parts*, at least one, one after the other."""
        return cls(
            *(np.concatenate([getattr(each, name) for each in parts]) for name in cls.__slots__)
        )


@dataclass(frozen=True, slots=True)
class DayPlan:
    """How busy a day is and where its price goes, minute by minute; its trades on demand.

    Attributes:
        counts: Trades in each minute.
        bounds: Log distance from the typical price at each minute's start, and at the end.
    """

    market: Market
    day: int
    seed: int
    counts: Ints
    bounds: Floats

    def blocks(self) -> Iterator[tuple[int, int, Trades]]:
        """First minute, minute after the last, and trades, until the day is over."""
        first = 0
        while first < MINUTES_PER_DAY:
            reach = np.cumsum(self.counts[first:])
            minutes = int(np.searchsorted(reach, _BLOCK_TRADES, side="right"))
            stop = min(MINUTES_PER_DAY, first + max(1, minutes))
            yield first, stop, self._trades(first, stop)
            first = stop

    def _trades(self, first: int, stop: int) -> Trades:
        market, counts = self.market, self.counts[first:stop]
        draw = stream(self.seed, str(market.instrument.id), _BLOCK, self.day, first)
        total = int(counts.sum())
        minute = np.repeat(np.arange(stop - first), counts)
        ms = (minute + first) * _MINUTE_MS + draw.integers(0, _MINUTE_MS, total)
        ms.sort()
        buy = draw.random(total) < 0.5
        level = market.price * 10**market.price_decimals
        price = np.rint(np.exp(self._walk(draw, first, stop, minute)) * level).astype(np.int64)
        price += buy  # takers buy one tick above where they sell
        # The square of an exponential has a heavy tail, as sizes of real trades do.
        size = draw.standard_exponential(total)
        size *= size
        lots = 1 + (size * (market.typical_lots / 2)).astype(np.int64)
        fills = 1 + (draw.standard_exponential(total) * _FILLS_SCALE).astype(np.int64)
        kind = draw.random(total)
        follows = kind < _SWEEP
        if total:
            follows[np.flatnonzero(np.diff(minute, prepend=-1))] = False
            equal = follows & (kind < _EQUAL)
            index = np.arange(total)
            head = np.maximum.accumulate(np.where(follows, 0, index))
            steps = np.cumsum(follows & ~equal)
            ms, buy = ms[head], buy[head]
            price = price[head] + (steps - steps[head]) * np.where(buy, 1, -1)
            lots = lots[np.maximum.accumulate(np.where(equal, 0, index))]
        np.maximum(price, 1, out=price)
        np.minimum(fills, lots, out=fills)
        base, quote = amounts(market, price, lots)
        return Trades(ms + self.day * DAY_MS, price, lots, base, quote, fills, buy)

    def _walk(self, draw: np.random.Generator, first: int, stop: int, minute: Ints) -> Floats:
        """A random walk that is at each minute's bound when the minute ends."""
        total, counts = len(minute), self.counts[first:stop]
        walk = draw.standard_normal(total)
        walk *= self.market.daily_volatility / max(1.0, float(self.counts.sum()) ** 0.5)
        np.cumsum(walk, out=walk)
        if not total:
            return walk
        after = np.cumsum(counts)
        sums = np.concatenate(([0.0], walk))
        before, at_end = sums[after - counts], sums[after]
        share = (np.arange(1, total + 1) - (after - counts)[minute]) / counts[minute]
        bounds = self.bounds[first : stop + 1]
        walk -= before[minute]
        walk += bounds[:-1][minute]
        walk += share * (np.diff(bounds) - (at_end - before))[minute]
        return walk


def plan_of_day(
    market: Market, day: int, *, seed: int, rate: float, opening_minute: int | None = None
) -> DayPlan:
    """The plan of *market*'s trades on *day*.

    Args:
        market: What trades.
        day: Days since 1970.
        seed: The same seed gives the same trades.
        rate: Trades per second, on average, of a market with liveliness 1.
        opening_minute: This minute of the day has a trade in any case: the market's first.
    """
    if not 0 < rate <= MAX_RATE:
        raise InvalidRequest(
            f"{rate} trades per second cannot be generated. Choose above 0 and up to {MAX_RATE:g}."
        )
    name = str(market.instrument.id)
    path = _price_path(name, market.daily_volatility, seed, day + 2)
    opened, closed = path[day - _FIRST_DAY], path[day + 1 - _FIRST_DAY]
    draw = stream(seed, name, _DAY, day)
    counts = draw.poisson(_minute_rates(draw, day, rate * market.liveliness * 60))
    if opening_minute is not None:
        counts[opening_minute] = max(1, counts[opening_minute])
    total = max(1, int(counts.sum()))
    steps = draw.standard_normal(MINUTES_PER_DAY) * (counts / total) ** 0.5
    walk = np.concatenate(([0.0], np.cumsum(steps * market.daily_volatility)))
    # A bridge: the day's walk ends where the next day's begins.
    busy = np.concatenate(([0.0], np.cumsum(counts) / total))
    return DayPlan(
        market, day, seed, counts, opened + walk + busy * (closed - opened - float(walk[-1]))
    )


def amounts(market: Market, price: Ints, lots: Ints) -> tuple[Ints, Ints]:
    """Base and quote units of *lots* at *price*, exact for linear markets."""
    if not market.is_inverse:
        return lots, price * lots
    coins = coins_of(market, price, lots) * float(10**market.base_decimals)
    return np.maximum(1, np.rint(coins)).astype(np.int64), lots * market.contract_units


def coins_of(market: Market, price: Ints, contracts: Ints) -> Floats:
    """Base asset of inverse contracts, the double that anybody gets from the venue's text."""
    coins: Floats = (
        contracts * float(market.contract_units) / (price / float(10**market.price_decimals))
    )
    return coins


def _minute_rates(draw: np.random.Generator, day: int, per_minute: float) -> Floats:
    """Expected trades in each minute: busy when Europe and America are up, quiet at weekends."""
    minute = np.arange(MINUTES_PER_DAY)
    wave = np.sin((minute / MINUTES_PER_DAY - 0.36) * 2 * np.pi)
    shape = 1.0 + (1.0 - _QUIET_NIGHT) * wave
    if (day + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
        shape *= _WEEKEND
    bursts = draw.standard_gamma(2.0, MINUTES_PER_DAY) / 2.0
    hours = np.repeat(np.exp(draw.normal(-0.08, 0.4, 24)), 60)
    rates: Floats = per_minute * shape * bursts * hours
    return rates


@lru_cache(maxsize=512)
def _price_path(name: str, volatility: float, seed: int, end_day: int) -> Floats:
    """Log distance from the typical price at each midnight before *end_day*."""
    # Whole decades are made, so that the days of a range find one path in the cache.
    days = -(-(end_day - _FIRST_DAY) // 3_653) * 3_653
    return _decades(name, volatility, seed, days)


@lru_cache(maxsize=512)
def _decades(name: str, volatility: float, seed: int, days: int) -> Floats:
    own = stream(seed, name, _PATH, 0).standard_normal(days)
    shared = stream(seed, "", _MARKET_PATH, 0).standard_normal(days)
    steps = volatility * (_SHARED * shared + (1 - _SHARED**2) ** 0.5 * own)
    path = np.empty(days)
    level = 0.0
    for index, step in enumerate(steps.tolist()):
        path[index] = level
        level = _PULL * level + step
    return path


def stream(seed: int, name: str, purpose: int, *numbers: int) -> np.random.Generator:
    key = [abs(seed), int(seed < 0), zlib.crc32(name.encode()), purpose, *numbers]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
