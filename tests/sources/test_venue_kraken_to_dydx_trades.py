"""Trades and settlements of Kraken to dYdX, from servers that behave as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import from_us
from lake.errors import SourceError
from tests.sources.stand_ins import dydx, hyperliquid, krakenfutures, truth
from tests.sources.stand_ins.asking import all_pages, opened, rows_of
from tests.sources.stand_ins.coinbase import Coinbase
from tests.sources.stand_ins.dydx import Dydx
from tests.sources.stand_ins.hyperliquid import Hyperliquid
from tests.sources.stand_ins.kraken import Kraken
from tests.sources.stand_ins.krakenfutures import KrakenFutures
from tests.sources.stand_ins.kucoin import KucoinFutures
from tests.sources.stand_ins.server import StandIn
from tests.sources.stand_ins.truth import COIN_PART, Settlement, Trade

NOW = datetime(2024, 3, 1, 12, 0, 30)
START = datetime(2024, 3, 1, 8, 0)
TRADES = truth.trades(START, 6_000)
# Neither end lies between trades of different times only by chance: trades share milliseconds.
WINDOW = TimeRange(from_us(TRADES[700].ts_ms * 1_000), from_us(TRADES[4_900].ts_ms * 1_000))


@dataclass(frozen=True)
class Tape:
    """One market's trades: how its stand-in is built, and what a trade is called and worth."""

    stand_in: Callable[[list[Trade]], StandIn]
    code: str
    name: Callable[[Trade], int | str] = lambda each: each.number
    amount: Callable[[Trade], Decimal] = lambda each: each.units * COIN_PART


TAPES = {
    "KRAKEN": Tape(lambda rows: Kraken(NOW, trades=rows), "BTCUSD"),
    "KRAKENFUTURES linear": Tape(
        lambda rows: KrakenFutures(NOW, trades=rows), "BTCUSD-PERP", krakenfutures.uid
    ),
    "KRAKENFUTURES inverse": Tape(
        lambda rows: KrakenFutures(NOW, trades=rows),
        "BTCUSD-PERP-BTC",
        krakenfutures.uid,
        lambda each: each.units / each.price,
    ),
    "COINBASE": Tape(lambda rows: Coinbase(NOW, trades=rows), "BTCUSD"),
    "DYDX": Tape(lambda rows: Dydx(NOW, trades=rows), "BTCUSDC-PERP", dydx.ref),
}


def fetched(
    stand_in: StandIn, code: str, kind: DataType, window: TimeRange, rate: float, seed: int
) -> list[Page]:
    async def main() -> list[Page]:
        async with opened(stand_in) as source:
            [instrument] = [each for each in await source.instruments() if each.code == code]
            stand_in.trouble.rate, stand_in.trouble.seed = rate, seed
            return await all_pages(source, instrument, Series(kind, instrument.id), window)

    return asyncio.run(main())


def trades_come_back(
    name: str, window: TimeRange = WINDOW, *, rate: float = 0.0, seed: int = 0
) -> StandIn:
    tape = TAPES[name]
    stand_in = tape.stand_in(TRADES)

    pages = fetched(stand_in, tape.code, DataType.TRADES, window, rate, seed)

    wanted = [each for each in TRADES if from_us(each.ts_ms * 1_000) in window]
    rows = rows_of(pages).to_pylist()
    ids = "trade_id" if isinstance(tape.name(TRADES[0]), int) else "trade_ref"
    assert [(row["ts"], row[ids]) for row in rows] == sorted(
        (from_us(each.ts_ms * 1_000), tape.name(each)) for each in wanted
    )
    told = {row[ids]: (row["price"], row["quantity"], row["side"]) for row in rows}
    assert told == {
        tape.name(each): (
            float(each.price), pytest.approx(float(tape.amount(each))),
            "buy" if each.bought else "sell",
        )
        for each in wanted
    }  # fmt: skip
    assert all(page.rejected == () for page in pages)
    assert (pages[0].window.start, pages[-1].window.end) == (window.start, window.end)
    covered = sum((each.range.duration for p in pages for each in p.claims), timedelta())
    assert covered == window.duration
    return stand_in


@pytest.mark.parametrize("name", TAPES)
def test_every_trade_comes_back_once(name: str) -> None:
    """Trades that share a millisecond across the border of a page are neither lost nor doubled."""
    stand_in = trades_come_back(name)

    paths = {"KRAKEN": "Trades", "COINBASE": "ticker", "DYDX": "trades/"}
    asked = stand_in.asked(paths.get(name, "executions"))
    assert len(asked) >= len(TRADES) // 1_000 - 2


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", TAPES)
def test_forty_percent_faults_end_equal_to_the_truth(name: str, seed: int) -> None:
    stand_in = trades_come_back(name, rate=0.4, seed=seed)

    assert stand_in.trouble.given.total() > 0


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize("name", TAPES)
def test_forty_percent_faults_end_equal_to_the_truth_often(name: str, seed: int) -> None:
    trades_come_back(name, rate=0.4, seed=seed)


def test_trades_of_kraken_whose_times_are_rounded_up_are_found_again() -> None:
    """A cursor is cut at whole seconds, and each of these came 40 ns before one.

    Their times say the second itself, since doubles hold no nanoseconds.
    """
    sharp = [
        replace(each, ts_ms=TRADES[0].ts_ms // 1_000 * 1_000 + at // 3 * 1_000)
        for at, each in enumerate(TRADES[:3_000])
    ]
    stand_in = Kraken(NOW, trades=sharp, early_ns=40)
    window = TimeRange(from_us(sharp[0].ts_ms * 1_000), from_us(sharp[-1].ts_ms * 1_000))

    pages = fetched(stand_in, "BTCUSD", DataType.TRADES, window, 0.0, 0)

    rows = rows_of(pages)
    assert rows["trade_id"].to_pylist() == list(range(1, 2_998))
    assert rows["ts"].to_pylist()[-1] == window.end - timedelta(seconds=1)


def test_trades_of_kraken_from_before_it_gave_ids_are_refused() -> None:
    """A series holds one scheme of ids; made-up ones would not join with the venue's."""
    stand_in = Kraken(NOW, trades=TRADES, without_ids=3_000)

    with pytest.raises(SourceError, match="without ids"):
        fetched(stand_in, "BTCUSD", DataType.TRADES, WINDOW, 0.0, 0)


FUNDING_START = datetime(2024, 1, 1)
SETTLEMENTS = truth.settlements(
    FUNDING_START, NOW, {FUNDING_START: 8, datetime(2024, 1, 20): 4, datetime(2024, 2, 10): 1}
)
FUNDING_WINDOW = TimeRange(datetime(2024, 1, 3), datetime(2024, 2, 28))


@dataclass(frozen=True)
class Funding:
    """One market's settlements: its stand-in, and when it says that each came."""

    stand_in: Callable[[list[Settlement]], StandIn]
    code: str
    told_ms: Callable[[Settlement], int] = lambda each: each.ts_ms
    index_price: float | None = None


FUNDINGS = {
    "KRAKENFUTURES": Funding(lambda rows: KrakenFutures(NOW, settlements=rows), "BTCUSD-PERP"),
    "KUCOINFUTURES": Funding(lambda rows: KucoinFutures(NOW, settlements=rows), "BTCUSDT-PERP"),
    "HYPERLIQUID": Funding(
        lambda rows: Hyperliquid(NOW, settlements=rows), "KPEPEUSDC-PERP", hyperliquid.late_ms
    ),
    "DYDX": Funding(
        lambda rows: Dydx(NOW, settlements=rows), "BTCUSDC-PERP", dydx.late_ms, 116302.62419
    ),
}


def settlements_come_back(name: str, *, rate: float = 0.0, seed: int = 0) -> StandIn:
    market = FUNDINGS[name]
    stand_in = market.stand_in(SETTLEMENTS)

    pages = fetched(stand_in, market.code, DataType.FUNDING_RATES, FUNDING_WINDOW, rate, seed)

    wanted = [each for each in SETTLEMENTS if from_us(each.ts_ms * 1_000) in FUNDING_WINDOW]
    rows = rows_of(pages).to_pylist()
    assert [
        (row["ts"], row["settled_at"], row["funding_rate"], row["index_price"]) for row in rows
    ] == [
        (
            from_us(each.ts_ms * 1_000), from_us(market.told_ms(each) * 1_000), float(each.rate),
            market.index_price,
        )
        for each in wanted
    ]  # fmt: skip
    assert [row["interval_hours"] for row in rows[:1] + rows[-1:]] == [8.0, 1.0]
    assert all(page.rejected == () for page in pages)
    covered = sum((each.range.duration for p in pages for each in p.claims), timedelta())
    assert covered == FUNDING_WINDOW.duration
    return stand_in


@pytest.mark.parametrize("name", FUNDINGS)
def test_every_settlement_comes_back_though_its_interval_changes(name: str) -> None:
    """8 hours, then 4, then 1: a page is full of one and not of the other."""
    settlements_come_back(name)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", FUNDINGS)
def test_settlements_survive_forty_percent_faults(name: str, seed: int) -> None:
    settlements_come_back(name, rate=0.4, seed=seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize("name", FUNDINGS)
def test_settlements_survive_forty_percent_faults_often(name: str, seed: int) -> None:
    settlements_come_back(name, rate=0.4, seed=seed)
