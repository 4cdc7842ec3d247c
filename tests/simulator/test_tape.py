"""The generator's pure part: trades first, candles exactly their aggregate."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import numpy as np
import pytest

from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import to_us
from lake.errors import InvalidRequest
from lake.simulator.candles import Candles, join, roll_up, to_table
from lake.simulator.instruments import Market, market, markets, universe
from lake.simulator.tape import Day, RollUp, Tape
from lake.simulator.trades import plan_of_day

START = datetime(2024, 1, 30)
BINANCE = Venue("BINANCE")


def tape(name: str = "BTC/USDT", *, days: int = 3, seed: int = 1, rate: float = 0.05) -> Tape:
    return Tape(market(name), TimeRange(START, START + timedelta(days=days)), seed, rate)


def played(tape: Tape) -> tuple[list[Day], Candles]:
    days = list(tape.days())
    return days, join([day.candles for day in days])


def by_hand(days: list[Day], minute_us: int) -> tuple[int, ...]:
    """One candle of the minute, added up trade by trade."""
    rows = [
        (int(p), int(b), int(q), bool(taker), int(fills))
        for day in days
        for ms, p, b, q, taker, fills in zip(
            day.trades.ms,
            day.trades.price,
            day.trades.base,
            day.trades.quote,
            day.trades.buy,
            day.trades.fills,
            strict=True,
        )
        if minute_us <= ms * 1_000 < minute_us + 60_000_000
    ]
    prices = [row[0] for row in rows]
    return (
        minute_us,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(row[1] for row in rows),
        sum(row[2] for row in rows),
        sum(row[4] for row in rows),
        sum(row[1] for row in rows if row[3]),
        sum(row[2] for row in rows if row[3]),
    )


@pytest.mark.parametrize("name", ["BTC/USDT", "PEPE/USDT", "ETH/USDT:USDT", "BTC/USD:BTC"])
def test_a_candle_is_exactly_the_aggregate_of_its_trades(name: str) -> None:
    """Every column of every candle that traded equals the sum made by hand."""
    days, candles = played(tape(name, days=1, rate=0.01))

    assert len(candles) == 1_440
    for index in np.flatnonzero(candles.count)[::37].tolist():
        row = tuple(int(column[index]) for column in candles.columns)
        assert row == by_hand(days, row[0])


def test_quiet_minutes_are_rows_flat_at_the_close_before() -> None:
    """Binance writes a quiet minute as a row with volume 0, and so does the generator."""
    _, candles = played(tape(rate=0.005))

    quiet = np.flatnonzero(candles.count == 0)

    assert len(quiet) > 100
    for name in ("open", "high", "low", "close"):
        assert (getattr(candles, name)[quiet] == candles.close[quiet - 1]).all()
    for name in ("base", "quote", "taker_base", "taker_quote"):
        assert (getattr(candles, name)[quiet] == 0).all()


@pytest.mark.parametrize("timeframe", ["5m", "1h", "12h", "1d"])
def test_a_longer_candle_is_the_aggregate_of_the_minutes(timeframe: str) -> None:
    """An hour made of minutes and an hour made of trades are the same, in every column.

    A quiet minute is flat at the price before: no trade of the hour, so no part of its prices.
    """
    grid = grid_of(BINANCE, TimeFrame(timeframe))
    step_us = grid.timeframe.step_us
    assert step_us is not None
    minutes = tape(rate=0.02)
    _, fine = played(minutes)

    made = roll_up(fine, grid)

    index = len(made) // 2
    inside = (fine.ts >= made.ts[index]) & (fine.ts < made.ts[index] + step_us) & (fine.count > 0)
    assert made.open[index] == fine.open[inside][0]
    assert made.close[index] == fine.close[inside][-1]
    assert made.high[index] == fine.high[inside].max()
    assert made.low[index] == fine.low[inside].min()
    for name in ("base", "quote", "count", "taker_base", "taker_quote"):
        assert getattr(made, name)[index] == getattr(fine, name)[inside].sum()
        assert getattr(made, name).sum() == getattr(fine, name).sum()


@pytest.mark.parametrize("timeframe", ["1h", "3d", "1w", "1mo"])
def test_rolling_up_in_pieces_equals_rolling_up_at_once(timeframe: str) -> None:
    """Weeks cross months: the roll-up keeps what is unfinished and gives out only whole ones."""
    grid = grid_of(BINANCE, TimeFrame(timeframe))
    whole = tape(days=70, rate=0.002)
    days, fine = played(whole)
    roller = RollUp(grid)

    parts = [
        roller.push(day.candles, known_until_us=(day.number + 1) * 86_400_000_000) for day in days
    ]

    at_once = roll_up(fine, grid)
    closed = sum(grid.next_us(int(ts)) <= whole.end_us for ts in at_once.ts)
    pieces = join(parts)
    assert len(pieces) == closed > 0
    for ours, theirs in zip(pieces.columns, at_once.slice(0, closed).columns, strict=True):
        assert (ours == theirs).all()


def test_the_seed_and_only_the_seed_decides() -> None:
    """The same seed gives the same rows; another seed or instrument gives others."""
    _, one = played(tape(seed=7))
    _, again = played(tape(seed=7))
    _, other = played(tape(seed=8))
    _, ether = played(tape("ETH/USDT", seed=7))

    assert all((a == b).all() for a, b in zip(one.columns, again.columns, strict=True))
    assert not (one.base[:100] == other.base[:100]).all()
    assert not (one.count[:1000] == ether.count[:1000]).all()


def test_a_longer_range_begins_with_the_shorter_one() -> None:
    """A lake can be extended with the same seed: what was generated before comes out again."""
    _, short = played(tape(days=2))
    _, long = played(tape(days=5))

    for ours, theirs in zip(short.columns, long.slice(0, len(short)).columns, strict=True):
        assert (ours == theirs).all()


def test_days_join_without_a_jump() -> None:
    """The price at midnight moves no more than within a day: paths are bridges."""
    days, _ = played(tape(days=20, rate=0.2))

    jumps = [
        abs(int(b.trades.price[0]) / int(a.trades.price[-1]) - 1)
        for a, b in itertools.pairwise(days)
    ]

    assert max(jumps) < 0.005


def test_a_late_listing_begins_with_a_trade() -> None:
    """The first candle is the minute of the listing, not one before, not a quiet one."""
    listed = START + timedelta(hours=30, minutes=7)
    [late] = markets(["SOL/USDT"], listings={"SOL/USDT": listed})
    whole = Tape(late, TimeRange(START, START + timedelta(days=3)), 1, 0.001)

    _, candles = played(whole)

    assert candles.ts[0] == to_us(listed)
    assert candles.count[0] >= 1
    assert len(candles) == 3 * 1_440 - 30 * 60 - 7


def test_an_outage_removes_trades_and_whole_candles() -> None:
    """Candles inside the outage are absent; the one it cuts short stays and is noted."""
    down = TimeRange(datetime(2024, 1, 30, 12, 39, 41, 647_000), datetime(2024, 1, 30, 14))
    whole = Tape(
        market("BTC/USDT"), TimeRange(START, START + timedelta(days=1)), 1, 0.2, outages=(down,)
    )

    _, candles = played(whole)
    hours = roll_up(candles, grid_of(BINANCE, TimeFrame.HOUR_1))
    [minute] = whole.early_closes(grid_of(BINANCE, TimeFrame.MINUTE_1))
    [hour] = whole.early_closes(grid_of(BINANCE, TimeFrame.HOUR_1))

    assert len(candles) == 1_440 - 80
    assert len(hours) == 23
    assert minute.ts == datetime(2024, 1, 30, 12, 39)
    assert hour.ts == datetime(2024, 1, 30, 12)
    assert minute.text == hour.text == "closed at 2024-01-30T12:39:41.646000"


def test_rows_have_the_lakes_schema_and_decimals() -> None:
    """Prices lie on the tick grid as the doubles that parsing their decimals gives."""
    _, candles = played(tape(days=1))

    table = to_table(candles, market("BTC/USDT"))

    for name in ("open", "high", "low", "close", "volume", "quote_volume"):
        for value in table[name].to_pylist()[:500]:
            assert float(f"{value:.8f}") == value


def test_names_are_understood() -> None:
    """ccxt symbols and our ids name the same market; the venue follows from the kind."""
    assert market("BTC/USDT").instrument == market("BTCUSDT.BINANCE").instrument
    assert market("BTCUSDT-PERP.BINANCEUSDM").instrument.symbol == "BTC/USDT:USDT"
    inverse = market("BTC/USD:BTC").instrument
    assert (inverse.code, inverse.native_id) == ("BTCUSD-PERP-BTC", "BTCUSD_PERP")
    assert inverse.contract_size == 100
    assert len({market(name).instrument.code for name in universe(50)}) == 50
    with pytest.raises(InvalidRequest, match="does not name an instrument"):
        market("WHATEVER")


def test_nonsense_is_refused() -> None:
    """A rate that would not fit in memory, and ticks that the wire format cannot write."""
    with pytest.raises(InvalidRequest, match="trades per second"):
        plan_of_day(market("BTC/USDT"), 19_000, seed=1, rate=1_000)
    with pytest.raises(InvalidRequest, match="decimals"):
        Market(market("BTC/USDT").instrument, 1.0, 6, 6)
