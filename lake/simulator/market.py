"""Write a lake of synthetic markets: seeded, month by month, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.domain.identifiers import Series
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import utc
from lake.errors import InvalidRequest
from lake.simulator.instruments import Market, markets
from lake.simulator.settlements import FundingSchedule
from lake.simulator.tables import TradeForm
from lake.simulator.tape import Tape
from lake.simulator.writing import Wanted, Writer
from lake.storage.lake import Storage

DEFAULT_INSTRUMENTS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
DEFAULT_TIMEFRAMES = (TimeFrame.MINUTE_1, TimeFrame.HOUR_1)
DEFAULT_RATE = 0.2
DEFAULT_LEVELS = 20
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far :func:`generate` is: *share* runs from 0 to 1 over all instruments."""

    instrument: str
    month: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Generated:
    """What :func:`generate` wrote: rows of candles, and the trades they are made of."""

    series: tuple[Series, ...]
    rows: int
    trades: int
    seconds: float


def generate(
    storage: Storage,
    *,
    seed: int,
    start: datetime,
    end: datetime,
    instruments: Iterable[str | Market] = DEFAULT_INSTRUMENTS,
    timeframes: Sequence[TimeFrame] = DEFAULT_TIMEFRAMES,
    rate: float = DEFAULT_RATE,
    listings: Mapping[str, datetime] | None = None,
    outages: Sequence[TimeRange] = (),
    store_trades: bool = False,
    trade_form: TradeForm = TradeForm.AGGREGATE,
    books: timedelta | None = None,
    book_levels: int = DEFAULT_LEVELS,
    funding: Mapping[datetime, int] | int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Generated:
    """Write synthetic candles, each exactly the aggregate of the trades that were generated.

    Args:
        storage: A lake whose origin is not the venue (``Storage.open(..., origin="synthetic")``).
        seed: The same arguments give the same rows; a day's trades depend on nothing else
            than the seed, the instrument and the rate.
        start: First moment (UTC), cut to the minute; the market has a trade in that minute.
        end: Candles that close later are not written.
        instruments: ccxt symbols, our ids, or ready markets.
        timeframes: Which candles to write.
        rate: Trades per second of a market as lively as BTC.
        listings: Instruments that begin to trade later than *start*.
        outages: When all venues were down: no trades, and no candle that lies wholly inside.
        store_trades: Also store the trades.
        trade_form: As Binance aggregates them, or every fill by itself.
        books: Also store an order book so often.
        book_levels: Levels on each side of a book.
        funding: Also store the funding rates of perpetuals: hours between settlements, or
            such hours by the moment from which they hold.
        on_progress: Called after every month of every instrument.

    Raises:
        InvalidRequest: The lake holds a real venue's data, or a name or rate is wrong.
    """
    if storage.origin == "venue":
        raise InvalidRequest(
            f"{storage.root} is a lake of real data, and synthetic candles must not join it. "
            "Generate into another folder: --data PATH."
        )
    began = time.monotonic()
    window = TimeRange(utc(start), utc(end))
    chosen = markets(instruments, listings=dict(listings or {}))
    wanted = Wanted(
        sorted(set(timeframes), key=lambda each: each.nominal_us),
        trades=trade_form if store_trades else None,
        books_us=None if books is None else books // _MICROSECOND,
        levels=book_levels,
        funding=None if funding is None else FundingSchedule.of(funding),
    )
    by_venue: dict[str, list[Market]] = {}
    for each in chosen:
        by_venue.setdefault(each.instrument.venue.name, []).append(each)
    for members in by_venue.values():
        storage.catalog.upsert_instruments([each.instrument for each in members])
    step_us = 1_000_000 if TimeFrame.SECOND_1 in wanted.timeframes else 60_000_000
    series: list[Series] = []
    rows = trades = 0
    for number, each in enumerate(chosen):
        tape = Tape(each, window, seed, rate, step_us, tuple(outages))
        writer = Writer(storage, tape, wanted)
        series.extend(writer.series)

        writer.run(_reporter(writer, rows, number, len(chosen), on_progress))
        rows += writer.rows
        trades += writer.trades
    return Generated(tuple(series), rows, trades, time.monotonic() - began)


def _reporter(
    writer: Writer,
    rows_before: int,
    done: int,
    total: int,
    on_progress: Callable[[Progress], None] | None,
) -> Callable[[str, float], None]:
    name = str(writer.tape.market.instrument.id)

    def report(month: str, share: float) -> None:
        if on_progress:
            on_progress(Progress(name, month, rows_before + writer.rows, (done + share) / total))

    return report
