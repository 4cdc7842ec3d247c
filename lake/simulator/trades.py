"""Seeded trades of one synthetic market, a day at a time.

A day's trades follow from the seed, the instrument and the day alone, so days may be made
in any order and a longer range begins with the shorter one. All numbers are integers on
the market's grids (ticks, base units, quote units): sums of them are exact.
"""

from __future__ import annotations

import zlib
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
# A day is the unit of work: 20 trades/s of a market with liveliness 1 are 1.7 million rows.
MAX_RATE = 20.0
_PULL = 0.99  # how much of its distance from the typical price a day begins with
_SHARED = 0.7  # how much of a day's move all instruments share
_QUIET_NIGHT = 0.55
_WEEKEND = 0.6
# What a stream of random numbers is for; one each, so that none depends on another.
_PATH, _MARKET_PATH, _DAY = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of one market in time order.

    Attributes:
        ms: Milliseconds since 1970.
        price: Ticks.
        base: Base units (``10 ** -base_decimals`` each).
        quote: Quote units (``10 ** -quote_decimals`` each).
        buy: Whether the taker bought.
    """

    ms: Ints
    price: Ints
    base: Ints
    quote: Ints
    buy: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ms)

    def where(self, keep: npt.NDArray[np.bool_]) -> Trades:
        if keep.all():
            return self
        return Trades(
            self.ms[keep], self.price[keep], self.base[keep], self.quote[keep], self.buy[keep]
        )


def trades_of_day(
    market: Market, day: int, *, seed: int, rate: float, opening_minute: int | None = None
) -> Trades:
    """The trades of *market* on *day*.

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
    path = _price_path(str(market.instrument.id), market.daily_volatility, seed, day + 2)
    opened, closed = path[day - _FIRST_DAY], path[day + 1 - _FIRST_DAY]
    draw = _stream(seed, str(market.instrument.id), _DAY, day)
    counts = draw.poisson(_minute_rates(draw, day, rate * market.liveliness * 60))
    if opening_minute is not None:
        counts[opening_minute] = max(1, counts[opening_minute])
    total = int(counts.sum())

    ms = np.repeat(np.arange(MINUTES_PER_DAY) * _MINUTE_MS, counts)
    ms += draw.integers(0, _MINUTE_MS, total)
    ms.sort()
    buy = draw.random(total) < 0.5
    walk = draw.standard_normal(total)
    walk *= market.daily_volatility / max(1.0, total**0.5)
    np.cumsum(walk, out=walk)
    if total:
        # A bridge: the day's walk ends where the next day's begins.
        walk += np.linspace(0.0, closed - opened - walk[-1], total)
    level = market.price * 10**market.price_decimals
    price = np.rint(np.exp(walk + opened) * level).astype(np.int64)
    price += buy  # takers buy one tick above where they sell
    np.maximum(price, 1, out=price)
    # The square of an exponential has a heavy tail, as sizes of real trades do.
    size = draw.standard_exponential(total)
    size *= size
    lots = 1 + (size * (market.typical_lots / 2)).astype(np.int64)
    base, quote = _amounts(market, price, lots)
    return Trades(ms + day * DAY_MS, price, base, quote, buy)


def _amounts(market: Market, price: Ints, lots: Ints) -> tuple[Ints, Ints]:
    """Base and quote units of *lots* at *price*, exact for linear markets."""
    if not market.is_inverse:
        return lots, price * lots
    worth = lots * market.contract_units
    per_coin = worth * float(10 ** (market.base_decimals + market.price_decimals)) / price
    return np.maximum(1, np.rint(per_coin)).astype(np.int64), worth


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
    own = _stream(seed, name, _PATH, 0).standard_normal(days)
    shared = _stream(seed, "", _MARKET_PATH, 0).standard_normal(days)
    steps = volatility * (_SHARED * shared + (1 - _SHARED**2) ** 0.5 * own)
    path = np.empty(days)
    level = 0.0
    for index, step in enumerate(steps.tolist()):
        path[index] = level
        level = _PULL * level + step
    return path


def _stream(seed: int, name: str, purpose: int, day: int) -> np.random.Generator:
    key = [abs(seed), int(seed < 0), zlib.crc32(name.encode()), purpose, day]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
