"""generate and serve: the exchange in the box."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lake.cli.arguments import (
    HERE,
    UNBOUNDED,
    Place,
    Span,
    timeframes,
    utc_now,
    without_mirror,
    words,
)
from lake.cli.output import seconds_text
from lake.domain.ranges import TimeRange
from lake.domain.times import parse_moment
from lake.errors import InvalidRequest

# Candles of a month at 1m of ten instruments take a few seconds to write.
_DAYS = 30


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
    data: Annotated[Path, Parameter(name=["--data", "-d"])],
    seed: int = 0,
    instruments: Annotated[
        list[str] | None, Parameter(name=["--instruments", "-p"], consume_multiple=True)
    ] = None,
    timeframe: Annotated[list[str] | None, Parameter(name=["--timeframe", "-t"])] = None,
    span: Span = UNBOUNDED,
    rate: float = 0.2,
    outage: Annotated[list[str] | None, Parameter(name=["--outage"])] = None,
    listed: Annotated[list[str] | None, Parameter(name=["--listed"])] = None,
    trades: bool = False,
) -> int:
    """Write a lake of synthetic markets: candles that are exactly the sum of their trades.

    The same seed gives the same rows.

    For example:

      lake generate --data build/market --seed 7 --instruments BTC/USDT,ETH/USDT --days 90

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
    from lake.storage.lake import Storage

    def say(progress: Progress) -> None:
        if sys.stderr.isatty():
            text = f"{progress.share:4.0%} {progress.instrument} {progress.month}"
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with Storage.open(data, create=True, origin="synthetic") as storage:
        if storage.created:
            print(f"new lake of synthetic data at {storage.root}", file=sys.stderr)
        try:
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
                on_progress=say,
            )
        except InvalidRequest as error:
            raise InvalidRequest(without_mirror(str(error))) from error
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(
        f"generated {made.rows:,} candles of {len(made.series)} series "
        f"in {seconds_text(made.seconds)} (seed {seed})"
    )
    return 0


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
