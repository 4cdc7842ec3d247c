"""generate and serve: the exchange in the box."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import (
    HERE,
    UNBOUNDED,
    Place,
    Span,
    announce,
    span_of,
    timeframes,
    utc_now,
    words,
)
from lake.cli.output import rows_text, seconds_text
from lake.domain.identifiers import DataType
from lake.domain.ranges import TimeRange
from lake.domain.times import EPOCH, parse_moment
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.simulator.market import Generated
    from lake.simulator.tables import TradeForm
    from lake.storage.lake import Storage

# Before any range: what is said without a moment holds from the beginning.
_ALWAYS = EPOCH
# Candles of a month at 1m of ten instruments take a few seconds to write.
_DAYS = 30
_PORT_MAX = 65_535


def serve(
    *,
    port: int = 0,
    faults: float = 0.0,
    seed: int = 0,
    no_limits: bool = False,
    now: str | None = None,
    clock_rate: float = 1.0,
    place: Place = HERE,
) -> int:
    """Be an exchange on loopback that answers from a lake, in Binance's wire format.

    The first line on stdout is its URL. Ends with Ctrl-C.

    For example:

      lake serve --data build/market --port 8080

      lake backfill binance BTC/USDT --days 7 --base-url http://127.0.0.1:8080 --data other

    Args:
        port: 0 takes a free one.
        faults: Share of answers that are replaced by random faults, 0 to 1.
        seed: Which faults.
        no_limits: Do not enforce Binance's request weights.
        now: Its clock starts here instead of at the real time.
        clock_rate: How fast that clock runs; 0 stands still.
    """
    if not 0 <= port <= _PORT_MAX:
        raise InvalidRequest(f"--port {port} is no port. Give one up to {_PORT_MAX}, or 0.")
    if not 0 <= faults <= 1:
        raise InvalidRequest(f"--faults {faults:g} is no share. Give a number from 0 to 1.")
    root = place.root()
    from lake.simulator.server import run_server

    run_server(
        root,
        port=port,
        faults=faults,
        seed=seed,
        limits=not no_limits,
        clock_start=None if now is None else parse_moment(now, now=utc_now()),
        clock_rate=clock_rate,
    )
    return 0


def generate(
    *,
    data: Annotated[Path, Parameter(name=["--data", "--datadir", "-d"])],
    seed: int = 0,
    instruments: Annotated[
        list[str] | None,
        Parameter(name=["--instrument", "--instruments", "--pairs", "-p"], consume_multiple=True),
    ] = None,
    timeframe: Annotated[
        list[str] | None, Parameter(name=["--timeframe", "--timeframes", "-t"])
    ] = None,
    span: Span = UNBOUNDED,
    rate: float = 0.2,
    outage: Annotated[list[str] | None, Parameter(name=["--outage"])] = None,
    listed: Annotated[list[str] | None, Parameter(name=["--listed"])] = None,
    trades: bool = False,
    trade_form: Annotated[str, Parameter(name=["--trade-form"])] = "aggregate",
    books: str | None = None,
    depth: int = 20,
    funding: Annotated[list[str] | None, Parameter(name=["--funding"])] = None,
) -> int:
    """Write a lake of synthetic markets: candles that are exactly the sum of their trades.

    The same seed gives the same rows.

    For example:

      lake generate --data build/market --seed 7 --instruments BTC/USDT,ETH/USDT --days 90

      lake generate --data build/perps -p BTC/USDT:USDT --days 2 --trades --books 10s --funding 8

    Args:
        data: The folder of the new lake; rows of a real venue are never joined.
        seed: Which of the possible histories.
        instruments: ccxt symbols or our ids (default BTC/USDT, ETH/USDT, SOL/USDT), over the last
            30 days where no range is given.
        timeframe: Which candles (default 1m,1h).
        rate: Trades a second of the liveliest market.
        outage: When the venue was down: 2024-01-02T03:10..2024-01-02T05:40; several possible.
        listed: When an instrument began to trade: SOL/USDT=2024-01-02T09:00; several possible.
        trades: Store the trades too.
        trade_form: aggregate (as Binance's REST gives them) or single (every fill).
        books: Store an order book so often too: 10s.
        depth: Levels of each side of a book.
        funding: Store the funding rates of perpetuals too, settled every so many hours: 8; and
            from a later moment on every so many: 2024-02-01=4; several possible.
    """
    if span in (UNBOUNDED, Span(end=span.end)):
        span = replace(span, days=_DAYS)
    start, end = span.bounds(utc_now())
    frames = timeframes(timeframe or ["1m,1h"])
    if rate <= 0:
        raise InvalidRequest(f"--rate {rate:g} makes no trades. Give a number above 0.")
    outages = [_outage(each) for each in outage or ()]
    listings = dict(_listing(each) for each in listed or ())
    from lake.simulator.market import DEFAULT_INSTRUMENTS, Progress
    from lake.simulator.market import generate as write

    form = _form(trade_form)
    schedule = _funding(funding)
    every = None if books is None else span_of(books, flag="--books")
    if every is not None and not every:
        raise InvalidRequest(f"--books {books!r} is no time. Write for example 10s.")

    def say(progress: Progress) -> None:
        if sys.stderr.isatty():
            text = f"{progress.share:4.0%} {progress.instrument} {progress.month}"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with Place(data=data).open_or_create(origin="synthetic") as storage:
        made = write(
            storage,
            seed=seed,
            start=start,
            end=end or utc_now(),
            instruments=words(instruments) if instruments else DEFAULT_INSTRUMENTS,
            timeframes=frames,
            rate=rate,
            outages=outages,
            listings=listings,
            store_trades=trades,
            trade_form=form,
            books=every,
            book_levels=depth,
            funding=schedule,
            on_progress=say,
        )
        if schedule and not any(each.data_type is DataType.FUNDING_RATES for each in made.series):
            print("no funding: none of the instruments is a perpetual", file=sys.stderr)
        announce(storage)
        counts = _counts(storage, made)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(
        f"generated {counts} of {len(made.series)} series "
        f"in {seconds_text(made.seconds)} (seed {seed})"
    )
    return 0


def _counts(storage: Storage, made: Generated) -> str:
    """How many rows of each type the lake holds of the series made."""
    texts = [rows_text(made.rows, DataType.OHLCV)]
    for kind in DataType:
        of_kind = [each for each in made.series if each.data_type is kind]
        if kind is not DataType.OHLCV and of_kind:
            count = sum(part.rows for each in of_kind for part in storage.catalog.partitions(each))
            texts.append(rows_text(count, kind))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _form(text: str) -> TradeForm:
    from lake.simulator.tables import TradeForm

    try:
        return TradeForm(text.strip().lower())
    except ValueError:
        names = " or ".join(each.value for each in TradeForm)
        raise InvalidRequest(f"--trade-form {text!r} is not known. Write {names}.") from None


def _funding(texts: list[str] | None) -> dict[datetime, int] | None:
    """Hours between settlements, by the moment from which they hold."""
    if not texts:
        return None
    hours: dict[datetime, int] = {}
    for text in words(texts):
        moment, equals, count = text.rpartition("=")
        if not count.isdecimal():
            raise InvalidRequest(
                f"--funding {text!r} is not HOURS or TIME=HOURS. Write for example 8, or "
                "2024-02-01=4 for what holds from then on."
            )
        since = parse_moment(moment, now=utc_now()) if equals else _ALWAYS
        hours[since] = int(count)
    return hours


def _outage(text: str) -> TimeRange:
    start, dots, end = text.partition("..")
    if not dots:
        raise InvalidRequest(f"--outage {text!r} is not START..END. Write two times (UTC).")
    now = utc_now()
    return TimeRange(parse_moment(start, now=now), parse_moment(end, now=now))


def _listing(text: str) -> tuple[str, datetime]:
    name, equals, moment = text.partition("=")
    if not equals:
        raise InvalidRequest(f"--listed {text!r} is not INSTRUMENT=TIME, for example SOL/USDT=30d.")
    return name, parse_moment(moment, now=utc_now())
