"""Trades and funding of Bybit, OKX, Bitget and Gate, from servers that behave as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import from_us
from tests.sources.stand_ins import bitget, gate, okx, truth
from tests.sources.stand_ins.asking import all_pages, opened, rows_of
from tests.sources.stand_ins.bitget import Bitget
from tests.sources.stand_ins.bybit import Bybit
from tests.sources.stand_ins.gate import Gate
from tests.sources.stand_ins.market import INVERSE, Market, market
from tests.sources.stand_ins.okx import Okx
from tests.sources.stand_ins.server import StandIn
from tests.sources.stand_ins.truth import Trade

NOW = datetime(2024, 6, 3, 12, 0, 30)
BEGIN = NOW - timedelta(hours=6)
# Bursts of up to 60 in a millisecond lie across every border of pages of 100.
TRADES = truth.trades(BEGIN, 6_000, longest_ms=2_500, burst=60)
LAST = from_us(TRADES[-1].ts_ms * 1_000)
SETTLEMENTS = truth.settlements(
    datetime(2021, 6, 1),
    NOW + timedelta(hours=1),
    {datetime(2021, 6, 1): 8, datetime(2022, 9, 1, 8): 4, datetime(2024, 3, 20): 1},
)
QUARTER = truth.settlements(
    NOW.replace(minute=0, second=0) - timedelta(days=120),
    NOW,
    {datetime(2024, 1, 1): 8, datetime(2024, 4, 10): 4, datetime(2024, 5, 20): 1},
)


def made(
    stand_in: Callable[..., StandIn], symbol: str, native_id: str, size: str | None = None
) -> tuple[Callable[..., StandIn], Market]:
    venue = stand_in.venue  # type: ignore[attr-defined]
    told = QUARTER if venue == "OKX" else SETTLEMENTS
    own = market(venue, symbol, native_id, size=size, trades=TRADES, settlements=told)
    return stand_in, own


MARKETS = {
    "BYBIT linear": made(Bybit, "BTC/USDT:USDT", "BTCUSDT", "1"),
    "BYBIT inverse": made(Bybit, "BTC/USD:BTC", "BTCUSD", "1"),
    "OKX spot": made(Okx, "BTC/USDT", "BTC-USDT"),
    "OKX linear": made(Okx, "BTC/USDT:USDT", "BTC-USDT-SWAP", "0.01"),
    "OKX inverse": made(Okx, "BTC/USD:BTC", "BTC-USD-SWAP", "100"),
    "BITGET spot": made(Bitget, "BTC/USDT", "BTCUSDT"),
    "BITGET linear": made(Bitget, "BTC/USDT:USDT", "BTCUSDT", "1"),
    "BITGET inverse": made(Bitget, "BTC/USD:BTC", "BTCUSD", "1"),
    "GATE spot": made(Gate, "BTC/USDT", "BTC_USDT"),
    "GATE linear": made(Gate, "BTC/USDT:USDT", "BTC_USDT", "0.0001"),
    "GATE inverse": made(Gate, "BTC/USD:BTC", "BTC_USD", "1"),
}
WITH_TRADES = [name for name in MARKETS if not name.startswith("BYBIT")]
PERPETUALS = [name for name in MARKETS if not name.endswith("spot")]


def fetched(
    name: str,
    kind: DataType,
    window: TimeRange,
    *,
    rate: float = 0.0,
    seed: int = 0,
    kinds: tuple[str, ...] = (),
    trades: list[Trade] | None = None,
    **options: Any,
) -> tuple[Market, StandIn, list[Page]]:
    """All pages of *window* through the real client; faults begin when the clock is read."""
    venue, own = MARKETS[name]
    if trades is not None:
        own = Market(own.instrument, own.size, trades=trades)
    stand_in = venue(NOW, own, **options)

    async def main() -> list[Page]:
        async with opened(stand_in) as source:
            stand_in.trouble.rate, stand_in.trouble.seed = rate, seed
            stand_in.trouble.kinds = kinds
            series = Series(kind, own.instrument.id)
            return await all_pages(source, own.instrument, series, window)

    return own, stand_in, asyncio.run(main())


def told(own: Market, each: Trade) -> tuple[int, int]:
    """Time (us) and id as the venue tells them."""
    name = own.instrument.venue.name
    if name == "OKX":
        return each.ts_ms * 1_000, okx.number(each)
    if name == "BITGET":
        return each.ts_ms // 1_000 * 1_000_000, bitget.number(each)
    return gate.microseconds(own, each), gate.number(own, each)


def expected_trades(own: Market, trades: list[Trade], window: TimeRange) -> list[tuple[Any, ...]]:
    """The truth in our columns and units, in order of time and id."""
    found = []
    for each in trades:
        ts_us, number = told(own, each)
        amount = float(each.units * own.size)
        if own.instrument.kind is INVERSE:
            amount /= float(each.price)
        if own.instrument.venue.name == "BITGET":
            amount = float(own.base(each.price, each.units))
        side = "buy" if each.bought else "sell"
        if from_us(ts_us) in window:
            found.append((from_us(ts_us), number, float(each.price), side, amount))
    return sorted(found)


def stored(pages: list[Page]) -> list[tuple[Any, ...]]:
    names = ("ts", "trade_id", "price", "side", "quantity")
    rows = rows_of(pages)
    return sorted(zip(*(rows[name].to_pylist() for name in names), strict=True))


def assert_trades(own: Market, trades: list[Trade], pages: list[Page], window: TimeRange) -> None:
    ours, theirs = stored(pages), expected_trades(own, trades, window)
    assert [each[:4] for each in ours] == [each[:4] for each in theirs]
    assert [each[4] for each in ours] == pytest.approx([each[4] for each in theirs], rel=1e-14)
    assert all(page.rejected == () for page in pages)
    assert [claim.range.start for claim in pages[0].claims][:1] == [window.start]
    ends = [claim.range.end for page in pages for claim in page.claims]
    starts = [claim.range.start for page in pages for claim in page.claims]
    assert starts[1:] == ends[:-1]
    assert ends[-1] == window.end


INSIDE = TimeRange(BEGIN + timedelta(minutes=7, milliseconds=1), BEGIN + timedelta(minutes=52))


@pytest.mark.parametrize("name", WITH_TRADES)
def test_trades_come_back_exact_though_bursts_lie_across_pages(name: str) -> None:
    own, _, pages = fetched(name, DataType.TRADES, INSIDE)

    assert_trades(own, TRADES, pages, INSIDE)


@pytest.mark.parametrize("name", WITH_TRADES)
def test_trades_come_back_exact_under_faults(name: str) -> None:
    """Two in five answers are faulty; those that are true but short give nothing away."""
    own, stand_in, pages = fetched(name, DataType.TRADES, INSIDE, rate=0.4, seed=5)

    assert_trades(own, TRADES, pages, INSIDE)
    assert stand_in.trouble.given


@pytest.mark.parametrize("name", WITH_TRADES)
def test_trades_whose_times_come_in_another_unit_are_asked_for_again(name: str) -> None:
    """Times that lost their fraction would be rows that no later answer shows again."""
    own, stand_in, pages = fetched(
        name, DataType.TRADES, INSIDE, rate=0.4, kinds=("seconds", "microseconds")
    )

    assert_trades(own, TRADES, pages, INSIDE)
    assert stand_in.trouble.given


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", WITH_TRADES)
def test_trades_come_back_exact_under_every_seed(name: str, seed: int) -> None:
    window = TimeRange(BEGIN - timedelta(minutes=20), LAST + timedelta(minutes=20))

    own, _, pages = fetched(name, DataType.TRADES, window, rate=0.4, seed=seed)

    assert_trades(own, TRADES, pages, window)


@pytest.mark.parametrize("name", ["OKX linear", "BITGET spot", "GATE spot", "GATE linear"])
def test_a_second_with_more_trades_than_a_page_is_read_on(name: str) -> None:
    """By the ids before it at OKX and Bitget, by the number of the page at Gate."""
    size = 100 if name.startswith("OKX") else 1_000
    crowd = int(2.3 * size)
    second = (TRADES[400].ts_ms // 1_000 + 1) * 1_000
    trades = [each for each in TRADES[:400] if each.ts_ms < second]
    for at in range(crowd):
        # All in one millisecond for OKX, whose times are as fine.
        moment = second if size == 100 else second + at % 1_000
        trades.append(Trade(0, moment, TRADES[at].price, 1 + at, at % 3 == 0))
    trades.sort(key=lambda each: each.ts_ms)
    later = [each for each in TRADES[400:1_200] if each.ts_ms >= second + 1_000]
    trades = [
        Trade(at + 1, each.ts_ms, each.price, each.units, each.bought)
        for at, each in enumerate([*trades, *later])
    ]
    window = TimeRange(BEGIN, from_us(later[-1].ts_ms * 1_000 // 10**6 * 10**6))

    own, _, pages = fetched(name, DataType.TRADES, window, trades=trades)

    assert_trades(own, trades, pages, window)


@pytest.mark.parametrize("by_seconds", [True, False])
def test_gates_last_second_may_be_compared_in_two_ways(by_seconds: bool) -> None:
    """Its docs do not say whether 5.5 lies before an end of 5: neither loses a trade."""
    own, _, pages = fetched("GATE linear", DataType.TRADES, INSIDE, by_seconds=by_seconds)

    assert_trades(own, TRADES, pages, INSIDE)


@pytest.mark.parametrize("end_included", [True, False])
def test_bitgets_end_of_trades_may_be_included_or_not(end_included: bool) -> None:
    own, _, pages = fetched("BITGET linear", DataType.TRADES, INSIDE, end_included=end_included)

    assert_trades(own, TRADES, pages, INSIDE)


# Funding.


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("name", PERPETUALS)
def test_settlements_come_back_exact_though_their_interval_changed(name: str, rate: float) -> None:
    """From eight hours to four to one, over three years; three months at OKX."""
    assert_settlements(name, rate=rate, seed=2)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", PERPETUALS)
def test_settlements_come_back_exact_under_every_seed(name: str, seed: int) -> None:
    assert_settlements(name, rate=0.4, seed=seed)


def assert_settlements(name: str, *, rate: float, seed: int) -> None:
    days = 89 if name.startswith("OKX") else 1_090
    window = TimeRange(
        NOW.replace(minute=0, second=0) - timedelta(days=days), NOW - timedelta(hours=2)
    )
    source = QUARTER if name.startswith("OKX") else SETTLEMENTS

    _, _, pages = fetched(name, DataType.FUNDING_RATES, window, rate=rate, seed=seed)

    rows = rows_of(pages)
    theirs = [each for each in source if from_us(each.ts_ms * 1_000) in window]
    times = [from_us(each.ts_ms * 1_000) for each in theirs]
    assert rows["ts"].to_pylist() == rows["settled_at"].to_pylist() == times
    assert rows["funding_rate"].to_pylist() == [float(each.rate) for each in theirs]
    hours = [1.0 if ts >= CHANGES[name][1] else 4.0 if ts >= CHANGES[name][0] else 8.0
             for ts in times]  # fmt: skip
    assert rows["interval_hours"].to_pylist() == hours
    assert all(page.rejected == () for page in pages)
    ranges = [claim.range for page in pages for claim in page.claims]
    assert [ranges[0].start, ranges[-1].end] == [window.start, window.end]
    assert all(one.end == other.start for one, other in pairwise(ranges))


# The first settlement that closes an interval of four hours, and of one.
CHANGES = {
    name: (datetime(2024, 4, 10, 8), datetime(2024, 5, 20, 1))
    if name.startswith("OKX")
    else (datetime(2022, 9, 1, 12), datetime(2024, 3, 20, 1))
    for name in PERPETUALS
}


def test_a_settlement_of_okx_has_what_was_predicted_of_it() -> None:
    window = TimeRange(NOW - timedelta(days=10), NOW - timedelta(hours=1))

    _, _, pages = fetched("OKX linear", DataType.FUNDING_RATES, window)

    rows = rows_of(pages)
    theirs = [each for each in QUARTER if from_us(each.ts_ms * 1_000) in window]
    assert rows["predicted_rate"].to_pylist() == [float(okx.predicted(t.rate)) for t in theirs]
    assert rows["mark_price"].null_count == rows.num_rows
