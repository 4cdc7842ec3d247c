"""Candles and books of Kraken, Coinbase, KuCoin, Hyperliquid and dYdX, from servers like theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import from_us
from lake.errors import InvalidRequest, SourceError
from tests.sources.stand_ins import truth
from tests.sources.stand_ins.asking import all_candles, opened, rows_of
from tests.sources.stand_ins.coinbase import Coinbase
from tests.sources.stand_ins.dydx import Dydx
from tests.sources.stand_ins.hyperliquid import COIN, Hyperliquid
from tests.sources.stand_ins.kraken import Kraken
from tests.sources.stand_ins.krakenfutures import KrakenFutures
from tests.sources.stand_ins.kucoin import CONTRACT, Kucoin, KucoinFutures, turnover
from tests.sources.stand_ins.server import StandIn
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle

MINUTES = Grid(TimeFrame.MINUTE_1)
# Half a minute into a candle, which therefore is still running.
NOW = datetime(2024, 3, 1, 12, 0, 30)
START = datetime(2024, 3, 1, 1, 0)
# Three minutes without trades, and two that lie at the end of a page of 200.
HOLES = ((100, 103), (198, 201))
RUNNING = NOW + timedelta(minutes=1)
HOUR = timedelta(hours=1)
Amounts = tuple[float, float | None, int | None]


def coins(each: Candle) -> Decimal:
    return each.units * COIN_PART


@dataclass(frozen=True)
class Market:
    """One market of a stand-in: how it is built, and what its candles hold beside prices.

    ``amounts`` are volume, quote volume and count of trades.
    """

    stand_in: Callable[[list[Candle], Book], StandIn]
    code: str
    amounts: Callable[[Candle], Amounts]
    unit: Callable[[Decimal, int], float]
    depth: int = 20
    tells_time: bool = True
    sequenced: bool = False


def in_coins(price: Decimal, units: int) -> float:
    return float(units * COIN_PART)


def in_contracts(price: Decimal, units: int) -> float:
    return float(units * CONTRACT)


def in_dollars(price: Decimal, units: int) -> float:
    return float(units / price)


MARKETS = {
    "KRAKEN": Market(
        lambda rows, book: Kraken(NOW, candles={1: rows}, book=book),
        "BTCUSD",
        lambda each: (float(coins(each)), None, each.count),
        in_coins,
        depth=300,
        tells_time=False,
    ),
    "KRAKENFUTURES": Market(
        lambda rows, book: KrakenFutures(NOW, candles={"1m": rows}, book=book),
        "BTCUSD-PERP",
        lambda each: (float(coins(each)), None, None),
        in_coins,
        depth=300,
    ),
    "COINBASE": Market(
        lambda rows, book: Coinbase(NOW, candles={"ONE_MINUTE": rows}, book=book),
        "BTCUSD",
        lambda each: (float(coins(each)), None, None),
        in_coins,
        depth=300,
    ),
    "KUCOIN": Market(
        lambda rows, book: Kucoin(NOW, candles={"1min": rows}, book=book),
        "BTCUSDT",
        lambda each: (float(coins(each)), float(coins(each) * each.open), None),
        in_coins,
        sequenced=True,
    ),
    "KUCOINFUTURES linear": Market(
        lambda rows, book: KucoinFutures(NOW, candles={1: rows}, book=book),
        "BTCUSDT-PERP",
        lambda each: (float(each.units * CONTRACT), turnover(each, inverse=False), None),
        in_contracts,
        depth=60,
        sequenced=True,
    ),
    "KUCOINFUTURES inverse": Market(
        lambda rows, book: KucoinFutures(NOW, candles={1: rows}, book=book),
        "BTCUSD-PERP-BTC",
        lambda each: (turnover(each, inverse=True), float(each.units), None),
        in_dollars,
        sequenced=True,
    ),
    "HYPERLIQUID": Market(
        lambda rows, book: Hyperliquid(NOW, candles={"1m": rows}, book=book),
        "KPEPEUSDC-PERP",
        lambda each: (float(coins(each)), None, each.count),
        in_coins,
    ),
    "DYDX": Market(
        lambda rows, book: Dydx(NOW, candles={"1MIN": rows}, book=book),
        "BTCUSDC-PERP",
        lambda each: (float(coins(each)), float(coins(each) * each.open), each.count),
        in_coins,
        depth=60,
        tells_time=False,
    ),
}
CANDLES = truth.candles(MINUTES, START, RUNNING, holes=HOLES)
BOOK = truth.book(NOW - timedelta(seconds=2), levels=400)


def fetched(
    name: str, window: TimeRange, *, rate: float = 0.0, seed: int = 0
) -> tuple[StandIn, list[Page]]:
    """All pages of *window*, with faults once the source knows its instruments."""
    market = MARKETS[name]
    stand_in = market.stand_in(CANDLES, BOOK)

    async def main() -> list[Page]:
        async with opened(stand_in) as source:
            instrument = found(await source.instruments(), market.code)
            series = Series(DataType.OHLCV, instrument.id, TimeFrame.MINUTE_1)
            stand_in.trouble.rate, stand_in.trouble.seed = rate, seed
            if not rate:
                return await all_candles(source, instrument, series, window)
            # In hours, so that venues of long pages are asked often enough to fail.
            hours = Grid(TimeFrame.HOUR_1).opens(window)
            pieces = [TimeRange(each, min(each + HOUR, window.end)) for each in hours]
            return [
                page
                for each in pieces
                for page in await all_candles(source, instrument, series, each)
            ]

    return stand_in, asyncio.run(main())


def found(instruments: list[Instrument], code: str) -> Instrument:
    [instrument] = [each for each in instruments if each.code == code]
    return instrument


def expected(name: str, window: TimeRange) -> list[tuple[object, ...]]:
    amounts = MARKETS[name].amounts
    return [
        (
            from_us(each.ts_us), float(each.open), float(each.high), float(each.low),
            float(each.close), *amounts(each),
        )
        for each in CANDLES
        if from_us(each.ts_us) in window and from_us(each.ts_us + 60_000_000) <= NOW
    ]  # fmt: skip


def told(pages: list[Page]) -> list[tuple[object, ...]]:
    names = ("ts", "open", "high", "low", "close", "volume", "quote_volume", "trade_count")
    rows = rows_of(pages)
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def is_true(name: str, pages: list[Page], window: TimeRange) -> None:
    ours, theirs = told(pages), expected(name, window)
    assert [row[:5] for row in ours] == [row[:5] for row in theirs]
    for mine, truly in zip(ours, theirs, strict=True):
        assert mine[5:] == pytest.approx(truly[5:])
    assert sum(len(page.rejected) for page in pages) == 0
    # An hour before its clock a venue is taken at its word about what it lacks.
    covered = sum((each.range.duration for p in pages for each in p.claims), timedelta())
    assert covered == window.duration


WINDOW = TimeRange(START, datetime(2024, 3, 1, 11, 50))


@pytest.mark.parametrize("name", MARKETS)
def test_every_candle_comes_back_and_the_absent_ones_are_confirmed(name: str) -> None:
    """Pages, order, units and columns of each venue; quiet minutes are holes beyond doubt."""
    _, pages = fetched(name, WINDOW)

    is_true(name, pages, WINDOW)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", MARKETS)
def test_forty_percent_faults_end_equal_to_the_truth(name: str, seed: int) -> None:
    stand_in, pages = fetched(name, WINDOW, rate=0.4, seed=seed)

    is_true(name, pages, WINDOW)
    assert stand_in.trouble.given.total() > 0


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 130))
@pytest.mark.parametrize("name", MARKETS)
def test_forty_percent_faults_end_equal_to_the_truth_often(name: str, seed: int) -> None:
    _, pages = fetched(name, WINDOW, rate=0.4, seed=seed)

    is_true(name, pages, WINDOW)


@pytest.mark.parametrize("name", MARKETS)
def test_the_running_candle_is_left_out(name: str) -> None:
    window = TimeRange(NOW - timedelta(minutes=10, seconds=30), NOW + timedelta(minutes=5))

    _, pages = fetched(name, window)

    times = [row[0] for row in told(pages)]
    assert times[-1] == datetime(2024, 3, 1, 11, 59)
    assert len(times) == 10


def test_kraken_claims_nothing_of_candles_that_it_no_longer_has() -> None:
    """Its answer begins where its newest 720 do, whatever was asked."""
    old = truth.candles(MINUTES, NOW - timedelta(days=2), RUNNING)
    stand_in = Kraken(NOW, candles={1: old})

    async def main() -> None:
        async with opened(stand_in) as source:
            [instrument] = await source.instruments()
            series = Series(DataType.OHLCV, instrument.id, TimeFrame.MINUTE_1)
            start = NOW.replace(second=0) - timedelta(minutes=800)
            obtainable, why = source.obtainable(series, now=NOW)
            assert obtainable is not None
            assert obtainable.start == NOW.replace(second=0) - timedelta(minutes=719)
            assert "newest 720" in why
            for minutes in (60, 300):
                window = TimeRange(start, start + timedelta(minutes=minutes))
                with pytest.raises(SourceError, match="nothing is claimed"):
                    await source.candles(instrument, series, window)

    asyncio.run(main())


@pytest.mark.parametrize("name", MARKETS)
def test_the_book_of_now_comes_back_in_the_base_asset(name: str) -> None:
    market = MARKETS[name]
    stand_in = market.stand_in(CANDLES, BOOK)

    async def main() -> Page:
        async with opened(stand_in) as source:
            instrument = found(await source.instruments(), market.code)
            stand_in.trouble.rate, stand_in.trouble.seed = 0.4, 3
            return await source.book(instrument, market.depth)

    page = asyncio.run(main())

    [row] = page.rows.to_pylist()
    for side, levels in (("bid", BOOK.bids), ("ask", BOOK.asks)):
        wanted = levels[: market.depth]
        assert row[f"{side}_prices"] == [float(price) for price, _ in wanted]
        assert row[f"{side}_quantities"] == pytest.approx(
            [market.unit(price, units) for price, units in wanted], rel=5e-4
        )
    assert row["sequence"] == (BOOK.sequence if market.sequenced else None)
    assert row["ts"] == (from_us(BOOK.ts_ms * 1_000) if market.tells_time else row["received_at"])


@pytest.mark.parametrize(("name", "depth"), [("KUCOIN", 101), ("HYPERLIQUID", 21), ("DYDX", 101)])
def test_a_book_deeper_than_the_venue_gives_is_refused(name: str, depth: int) -> None:
    market = MARKETS[name]

    async def main() -> None:
        async with opened(market.stand_in(CANDLES, BOOK)) as source:
            instrument = found(await source.instruments(), market.code)
            with pytest.raises(InvalidRequest, match=f"gives 1 to {depth - 1}"):
                await source.book(instrument, depth)

    asyncio.run(main())


def test_hyperliquid_is_asked_for_coins_as_it_spells_them() -> None:
    """ccxt's id of a perpetual is a place in a list, and its code is in capitals."""

    async def main() -> dict[str, str]:
        async with opened(Hyperliquid(NOW)) as source:
            return {each.code: each.native_id for each in await source.instruments()}

    known = asyncio.run(main())

    assert known == {"KPEPEUSDC-PERP": COIN, "BTCUSDC-PERP": "BTC", "PURRUSDC": "PURR/USDC"}


def test_inverse_candles_of_kraken_are_refused_for_their_unit() -> None:
    """They count dollars, and what price these were paid at is not said."""

    async def main() -> None:
        async with opened(KrakenFutures(NOW)) as source:
            instrument = found(await source.instruments(), "BTCUSD-PERP-BTC")
            with pytest.raises(InvalidRequest, match="unit"):
                source.check(instrument, Series(DataType.OHLCV, instrument.id, TimeFrame.MINUTE_1))

    asyncio.run(main())


def test_weeks_that_begin_on_thursdays_are_refused() -> None:
    """Ours begin on Mondays; every candle would be off the grid."""

    async def main() -> None:
        async with opened(Kucoin(NOW)) as source:
            [instrument] = await source.instruments()
            with pytest.raises(InvalidRequest, match="has only"):
                source.check(instrument, Series(DataType.OHLCV, instrument.id, TimeFrame.WEEK_1))

    asyncio.run(main())
