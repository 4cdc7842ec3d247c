"""backfill and plan: ask a venue for rows, or only say what would be asked."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import (
    DIRECT,
    HERE,
    UNBOUNDED,
    Line,
    Place,
    Span,
    data_type,
    timeframes,
    utc_now,
    venue_and_instruments,
)
from lake.cli.output import seconds_text, size_text
from lake.cli.report import plan_line, print_plan, print_report, require_something
from lake.cli.venues import limit_text
from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import iso
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.interrupt import Interrupts
    from lake.config import Settings
    from lake.ingestion import Backfill, Plan, Request
    from lake.ingestion.events import Listener
    from lake.sources.capability import Capability
    from lake.storage.lake import Storage

_ASK_ABOVE_S = 3_600
_ASK_ABOVE_BYTES = 10_000_000_000

Instruments = Annotated[
    tuple[str, ...],
    Parameter(name=["--instrument", "--pairs", "-p"], consume_multiple=True),
]
VenueName = Annotated[str, Parameter(name=["--venue", "--exchange"])]
Timeframes = Annotated[list[str] | None, Parameter(name=["--timeframe", "--timeframes", "-t"])]
TypeName = Annotated[str, Parameter(name=["--type"])]


def backfill(
    venue: VenueName,
    instrument: Instruments = (),
    *,
    timeframe: Timeframes = None,
    type_: TypeName = "ohlcv",
    span: Span = UNBOUNDED,
    refetch: bool = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Fetch candles from a venue and store them.

    Only what the lake does not hold yet is asked for. Makes the lake where there is none.

    For example:

      lake backfill binance BTC/USDT ETH/USDT --timeframe 1m,1h --start 2024-01-01

      lake backfill binanceusdm '*USDT-PERP' --timeframe 1h --days 30 --yes

      lake backfill BTCUSDT.BINANCE --timerange 20240101-20240201

    Args:
        venue: A ccxt exchange id; `lake sources` lists them.
        instrument: BTC/USDT, BTCUSDT, BTCUSDT.BINANCE or a pattern; commas or spaces between.
        timeframe: 1m (default), 5m, 1h, 1d ...; several with commas.
        type_: What to fetch: ohlcv.
        refetch: Ask again for what is held already.
        yes: Do not ask before a run of more than an hour or 10 GB.
        json: Print one JSON object per series.
    """
    settings = line.settings(place.root_or_new())
    asked = request(
        venue,
        instrument,
        timeframe or ["1m"],
        span,
        type_=type_,
        refetch=refetch,
        settings=settings,
    )
    from lake.cli import interrupt

    with place.open_or_create() as storage:
        return interrupt.run(
            lambda interrupts: _backfill(storage, settings, asked, interrupts, yes, json)
        )


def plan(
    venue: VenueName,
    instrument: Instruments = (),
    *,
    timeframe: Timeframes = None,
    type_: TypeName = "ohlcv",
    span: Span = UNBOUNDED,
    refetch: bool = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Say what `lake backfill` with the same arguments would do, and do nothing.

    For example:

      lake plan kraken BTC/USD --timeframe 1m --start 2024-01-01

    Args:
        venue: A ccxt exchange id; `lake sources` lists them.
        instrument: BTC/USDT, BTCUSDT, BTCUSDT.BINANCE or a pattern; commas or spaces between.
        timeframe: 1m (default), 5m, 1h, 1d ...; several with commas.
        type_: What to fetch: ohlcv.
        refetch: As if what is held already were asked for again.
        json: Print one JSON object per series.
    """
    root = place.root_or_new()
    settings = line.settings(root)
    asked = request(
        venue,
        instrument,
        timeframe or ["1m"],
        span,
        type_=type_,
        refetch=refetch,
        settings=settings,
    )
    from lake.cli import interrupt
    from lake.storage.files import is_lake
    from lake.storage.lake import Storage

    async def work(_: Interrupts, storage: Storage) -> Plan:
        async with engine(storage, settings) as backfill:
            return await backfill.plan(asked)

    if is_lake(root):
        with Storage.open(root) as storage:
            made = interrupt.run(lambda each: work(each, storage))
    else:
        # A plan makes no lake: what it learns goes into one that is thrown away.
        with (
            tempfile.TemporaryDirectory() as folder,
            Storage.open(Path(folder) / "lake", create=True) as storage,
        ):
            made = interrupt.run(lambda each: work(each, storage))
    print_plan(made, as_json=json)
    return 0


def engine(storage: Storage, settings: Settings, listener: Listener | None = None) -> Backfill:
    """The engine with the settings in force."""
    from lake.ingestion import Backfill

    return Backfill(
        storage,
        base_url=settings.base_url,
        accept_base_url=settings.accept_base_url,
        rate_share=settings.rate_share,
        max_workers=settings.max_workers,
        min_free=settings.min_free,
        on_event=listener,
    )


def request(
    venue: str,
    instruments: Sequence[str],
    frames: Sequence[str],
    span: Span,
    *,
    type_: str,
    refetch: bool,
    settings: Settings,
) -> Request:
    """The request as a value; all that can be refused without asking anyone is refused here."""
    where, ids = venue_and_instruments(venue, instruments)
    chosen = timeframes(frames)
    data = data_type(type_)
    now = utc_now()
    start, end = span.bounds(now)
    entry = require_venue(where.name)
    for each in chosen:
        _require_timeframe(entry, each)
        # What stands in for a venue may keep another time.
        if settings.base_url is None and end is not None:
            _require_within_reach(entry, each, end, now)
    from lake.ingestion import Request

    return Request(where, ids, chosen, start, end, data_type=data, refetch=refetch)


def require_venue(name: str) -> Capability:
    """What the venue of that name can give.

    Raises:
        InvalidRequest: ccxt knows no such venue; near names are in the message.
    """
    from lake.sources.capabilities import capability

    return capability(Venue(name), DataType.OHLCV)


def _require_timeframe(entry: Capability, timeframe: TimeFrame) -> None:
    if entry.timeframes is not None and timeframe not in entry.timeframes:
        names = " ".join(each.value for each in TimeFrame if each in entry.timeframes)
        raise InvalidRequest(
            f"{timeframe} candles were asked for, but {entry.venue} has only: {names}. "
            "Choose one with --timeframe."
        )


def _require_within_reach(
    entry: Capability, timeframe: TimeFrame, end: datetime, now: datetime
) -> None:
    if entry.depth_candles is None:
        return
    grid = grid_of(entry.venue, timeframe)
    first = grid.advance(grid.floor(now), 1 - entry.depth_candles)
    if end <= first:
        raise InvalidRequest(
            f"{timeframe} candles up to {iso(end)} were asked for, but {limit_text(entry)}: "
            f"today those from {iso(first)} on. Ask for a later range or a longer timeframe."
        )


async def _backfill(
    storage: Storage,
    settings: Settings,
    asked: Request,
    interrupts: Interrupts,
    yes: bool,
    as_json: bool,
) -> int:
    from lake.cli.progress import progress_for

    progress = progress_for()
    async with engine(storage, settings, progress) as backfill:
        made = await backfill.plan(asked)
        require_something(made)
        print(plan_line(made), file=sys.stderr if as_json else sys.stdout, flush=True)
        if not made.is_empty:
            if not yes:
                await _confirm(made)
            interrupts.stop_with(backfill.stop)
        with progress:
            report = await backfill.run(made)
    print_report(storage, made, report, progress.tally, as_json=as_json)
    return report.exit_code


async def _confirm(made: Plan) -> None:
    if made.seconds <= _ASK_ABOVE_S and made.bytes <= _ASK_ABOVE_BYTES:
        return
    size = f"about {seconds_text(made.seconds)} and {size_text(made.bytes)}"
    if not sys.stdin.isatty():
        raise InvalidRequest(
            f"This backfill takes {size}, and nobody is there to ask. Give --yes, or ask for less."
        )
    print(f"This takes {size}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if (await _line_of_stdin()).strip().lower() not in ("y", "yes"):
        raise InvalidRequest("Nothing was fetched, as you said. Ask for less, or give --yes.")


async def _line_of_stdin() -> str:
    """The next line typed, without holding up Ctrl-C while it is awaited."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()
