"""backfill and plan: ask a venue for rows, or only say what would be asked."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from lake.cli.arguments import DIRECT, HERE, UNBOUNDED, Line, Place, Span, announce
from lake.cli.output import seconds_text, size_text
from lake.cli.report import plan_line, print_plan, print_report, require_something
from lake.cli.wanted import (
    NO_SNAPSHOTS,
    Instruments,
    Snapshots,
    Timeframes,
    TypeName,
    VenueName,
    Words,
)
from lake.domain.identifiers import DataType
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.interrupt import Interrupts
    from lake.config import Settings
    from lake.ingestion import Backfill, Plan, Request
    from lake.ingestion.events import Listener
    from lake.storage.lake import Storage

_ASK_ABOVE_S = 3_600
_ASK_ABOVE_BYTES = 10_000_000_000
_Result = TypeVar("_Result")


def backfill(
    venue: VenueName,
    instrument: Instruments = (),
    *,
    timeframe: Timeframes = None,
    type_: TypeName = "ohlcv",
    span: Span = UNBOUNDED,
    snapshots: Snapshots = NO_SNAPSHOTS,
    refetch: bool = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Fetch candles, trades or funding rates from a venue, or record its order books.

    Only what the lake does not hold yet is asked for. Makes the lake where there is none. Venues
    keep no history of their books: snapshots are taken from now on, until --for is over or Ctrl-C.

    For example:

      lake backfill binance BTC/USDT ETH/USDT --timeframe 1m,1h --start 2024-01-01

      lake backfill binance BTC/USDT --type trades --start 2024-01-01 --days 2

      lake backfill binanceusdm '*USDT-PERP' --type funding_rates --days 365 --yes

      lake backfill binance BTC/USDT ETH/USDT --type orderbook --every 10s --for 1h

    Args:
        venue: A ccxt exchange id; `lake sources` lists them.
        instrument: BTC/USDT, BTCUSDT, BTCUSDT.BINANCE or a pattern; commas or spaces between.
        timeframe: Of candles: 1m (default), 5m, 1h, 1d ...; several with commas.
        type_: What to fetch: ohlcv (candles), trades, funding_rates or orderbook.
        refetch: Ask again for what is held already.
        yes: Do not ask before a run of more than an hour or 10 GB.
        json: Print one JSON object per series.
    """
    words = Words(
        venue=venue,
        instruments=instrument,
        timeframe=timeframe,
        type_=type_,
        span=span,
        snapshots=snapshots,
        refetch=refetch,
    )
    settings = line.settings(place.root_or_new())
    from lake.cli import interrupt

    if words.data_type is DataType.ORDERBOOK:
        from lake.cli.record import record

        return record(words.recording(), place, settings, yes=yes, as_json=json)
    asked = words.request(settings)
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
    snapshots: Snapshots = NO_SNAPSHOTS,
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
        timeframe: Of candles: 1m (default), 5m, 1h, 1d ...; several with commas.
        type_: What to fetch: ohlcv (candles), trades, funding_rates or orderbook.
        refetch: As if what is held already were asked for again.
        json: Print one JSON object per series.
    """
    words = Words(
        venue=venue,
        instruments=instrument,
        timeframe=timeframe,
        type_=type_,
        span=span,
        snapshots=snapshots,
        refetch=refetch,
    )
    settings = line.settings(place.root_or_new())
    if words.data_type is DataType.ORDERBOOK:
        from lake.cli.record import plan_only

        return plan_only(words.recording(), place, settings, as_json=json)
    asked = words.request(settings)

    async def work(storage: Storage) -> Plan:
        async with engine(storage, settings) as backfill:
            return await backfill.plan(asked)

    made = run_in_passing(place, work)
    require_something(made, asked)
    print_plan(made, as_json=json)
    return 0


def run_in_passing(
    place: Place, work: Callable[[Storage], Coroutine[None, None, _Result]]
) -> _Result:
    """Run *work* in the lake that is there; where there is none, what it learns is thrown away."""
    from lake.cli import interrupt
    from lake.storage.files import is_lake
    from lake.storage.lake import Storage

    root = place.root_or_new()
    if is_lake(root):
        with Storage.open(root) as storage:
            return interrupt.run(lambda _: work(storage))
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage.open(Path(folder) / "lake", create=True) as storage,
    ):
        return interrupt.run(lambda _: work(storage))


def engine(storage: Storage, settings: Settings, listener: Listener | None = None) -> Backfill:
    """The engine with the settings in force."""
    from lake.ingestion import Backfill, Choice

    _give_memory_back()
    return Backfill(
        storage,
        base_url=settings.base_url,
        accept_base_url=settings.accept_base_url,
        rate_share=settings.rate_share,
        max_workers=settings.max_workers,
        min_free=settings.min_free,
        choice=Choice(settings.source),
        archive_url=settings.archive_url,
        on_event=listener,
    )


def _give_memory_back() -> None:
    """Let Arrow use the allocator that returns what is freed, where it was built with it.

    Pages are made in one thread and freed in another. Arrow's default (mimalloc) keeps such memory:
    100 MB of 500 at the end of a day of 15 million trades. A process of ours is free to choose.
    """
    import pyarrow as pa

    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


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
        require_something(made, asked)
        print(plan_line(made), file=sys.stderr if as_json else sys.stdout, flush=True)
        if not made.is_empty:
            if not yes:
                await confirm_plan(made)
            announce(storage)
            interrupts.stop_with(backfill.stop)
        with progress:
            report = await backfill.run(made)
    print_report(storage, made, report, progress.tally, as_json=as_json)
    return report.exit_code


async def confirm_plan(made: Plan) -> None:
    if not made.is_size_known:
        print(
            "Whether this takes more than an hour or 10 GB cannot be told beforehand, so it is "
            "not asked. Ctrl-C stops cleanly, and the same command goes on.",
            file=sys.stderr,
            flush=True,
        )
    elif made.seconds > _ASK_ABOVE_S or made.bytes > _ASK_ABOVE_BYTES:
        await confirm(f"about {seconds_text(made.seconds)} and {size_text(made.bytes)}")


async def confirm(size: str) -> None:
    """Ask whether to go on with what takes *size*.

    Raises:
        InvalidRequest: The answer was no, or nobody is there to ask.
    """
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
