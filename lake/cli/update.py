"""update: brings what is held up to now, for cron."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import DIRECT, HERE, Line, Place, Span, span_of, words
from lake.cli.fetch import engine
from lake.cli.holdings import Instruments, chosen_series
from lake.cli.output import print_error, print_rows, print_table
from lake.cli.report import job_rows, print_failures
from lake.cli.wanted import Words, require_venue
from lake.domain.identifiers import DataType, Venue
from lake.errors import InvalidRequest, SourceError

if TYPE_CHECKING:
    from lake.cli.interrupt import Interrupts
    from lake.config import Keep, Settings
    from lake.ingestion import Request
    from lake.storage.lake import Storage

PARTLY_DONE = 4


def update(
    *,
    venue: Annotated[str | None, Parameter(name=["--venue", "--exchange"])] = None,
    type_: Annotated[str | None, Parameter(name=["--type"])] = None,
    instrument: Instruments = None,
    max_time: str | None = None,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Bring every held series up to now: tails, holes that can be filled, young candles.

    With [[keep]] in lake.toml, what is named there is held up to date as well. For cron: one
    at a time per lake, and silent unless something was stored or failed.

    For example:

      lake update --data /srv/lake --max-time 50m

    Args:
        venue: Only this venue.
        type_: Only this data type: ohlcv, trades or funding_rates.
        instrument: Only these: ids, codes or patterns.
        max_time: Stop cleanly after so long: 50m, 2h, 30s.
        json: Print one JSON object per series.
    """
    from lake.cli import interrupt
    from lake.storage.exclusive import exclusive

    kind = None if type_ is None else DataType.from_str(type_)
    if kind is DataType.ORDERBOOK:
        raise InvalidRequest(
            "--type orderbook was given, but venues keep no history of their books: there is "
            "nothing to catch up with. Record them: lake backfill VENUE INSTRUMENT... --type "
            "orderbook."
        )
    root = place.root()
    settings = line.settings(root)
    limit = None if max_time is None else _limit_s(max_time)
    if venue is not None:
        require_venue(venue)
    with place.open_to_write() as storage, exclusive(root, "update") as alone:
        if not alone:
            print(f"another update of {root} is running; nothing to do here", file=sys.stderr)
            return 0
        instruments = _held_instruments(storage, settings, venue, words(instrument or ()))
        return interrupt.run(
            lambda interrupts: _update(
                storage,
                settings,
                interrupts,
                venue=venue,
                kind=kind,
                instruments=instruments,
                max_time_s=limit,
                as_json=json,
            )
        )


def _limit_s(text: str) -> float:
    seconds = span_of(text, flag="--max-time").total_seconds()
    if seconds <= 0:
        raise InvalidRequest(f"--max-time {text!r} leaves no time. Write for example 50m or 2h.")
    return seconds


def _held_instruments(
    storage: Storage, settings: Settings, venue: str | None, named: Sequence[str]
) -> tuple[str, ...]:
    """The ids of the held instruments that *named* means; empty where all are meant.

    Raises:
        SeriesNotFound: Nothing that is held fits, and nothing is to be kept there either.
    """
    kept = venue is not None and any(Venue(each.venue) == Venue(venue) for each in settings.keep)
    if not named and (venue is None or kept):
        return ()
    ids = {str(each.instrument_id) for each in chosen_series(storage, venue, named, None)}
    return tuple(sorted(ids)) if named else ()


async def _update(
    storage: Storage,
    settings: Settings,
    interrupts: Interrupts,
    *,
    venue: str | None,
    kind: DataType | None,
    instruments: Sequence[str],
    max_time_s: float | None,
    as_json: bool,
) -> int:
    from lake.cli.progress import progress_for
    from lake.ingestion import Report
    from lake.ingestion import update as bring_up_to_now

    live = sys.stderr.isatty()
    progress = progress_for()
    chosen_venue = None if venue is None else Venue(venue)
    started = time.monotonic()
    reports: list[Report] = []
    unplanned = 0
    # Off a terminal an update is silent unless something was stored or failed.
    async with engine(storage, settings, progress if live else None) as backfill:
        _require_origin(storage, backfill.origin)
        interrupts.stop_with(backfill.stop)
        if max_time_s is not None:
            asyncio.get_running_loop().call_later(max_time_s, backfill.stop_in_time)
        with progress:
            for keep in settings.keep:
                if chosen_venue not in (None, Venue(keep.venue)) or instruments:
                    continue
                waiting = [keep]
                while waiting:
                    each = waiting.pop(0)
                    try:
                        request = _kept(each, settings)
                        reports.append(await backfill.run(await backfill.plan(request)))
                    except (SourceError, InvalidRequest) as error:
                        # What cannot be had must not keep the rest from being updated.
                        if isinstance(error, InvalidRequest) and len(each.instruments) > 1:
                            waiting = _one_by_one(each)
                            continue
                        print_error(f"lake update: {keep.venue}", str(error))
                        unplanned += 1
            reports.append(
                await bring_up_to_now(
                    storage,
                    backfill,
                    venue=chosen_venue,
                    data_type=kind,
                    instruments=instruments,
                )
            )
    report = Report(
        tuple(job for each in reports for job in each.jobs),
        requests=sum(each.requests for each in reports),
        seconds=time.monotonic() - started,
        interrupted=any(each.interrupted for each in reports),
        unreachable=tuple(lost for each in reports for lost in each.unreachable),
    )
    for lost in report.unreachable:
        print_error(f"lake update: {lost.venue}", lost.why)
    if as_json:
        print_rows(job_rows(report), as_json=True, empty="")
    elif report.rows:
        print_table([row for row in job_rows(report, for_people=True) if row["rows"]])
    print_failures(report)
    return report.exit_code or (PARTLY_DONE if unplanned else 0)


def _require_origin(storage: Storage, origin: str) -> None:
    """An update that skips series must say so: silence means that all is up to date.

    Raises:
        InvalidRequest: No series held came from where this run would ask.
    """
    held = storage.catalog.series()
    others = [each for each in held if each.origin != origin]
    if not others:
        return
    way = (
        "give the --base-url they came from"
        if origin == "venue"
        else "leave --base-url out, or say --accept-base-url if it is a mirror"
    )
    text = (
        f"{len(others):,} of {len(held):,} series held did not come from where this update would "
        f"ask ({others[0].series}: {others[0].origin}). To update them {way}."
    )
    if len(others) == len(held):
        raise InvalidRequest(text)
    print_error("lake update", text)


def _one_by_one(keep: Keep) -> list[Keep]:
    """One [[keep]] for each instrument: a wrong name among them is that instrument's alone."""
    return [replace(keep, instruments=(name,)) for name in keep.instruments]


def _kept(keep: Keep, settings: Settings) -> Request:
    """What one [[keep]] wants.

    Raises:
        InvalidRequest: It cannot be had; books cannot be kept up to date.
    """
    words = Words(
        venue=keep.venue,
        instruments=keep.instruments,
        timeframe=keep.timeframes,
        type_=keep.type,
        span=Span(start=keep.start),
    )
    if words.data_type is DataType.ORDERBOOK:
        raise InvalidRequest(
            f"A [[keep]] of order books of {keep.venue} stands in lake.toml, but venues keep no "
            "history of their books. Take it out, and record them: lake backfill "
            f"{keep.venue} {keep.instruments[0]} --type orderbook."
        )
    return words.request(settings)
