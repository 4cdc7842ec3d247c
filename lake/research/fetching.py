"""Backfill, plan and update for a caller who waits; the engine is :mod:`lake.ingestion`'s."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lake.config import load
from lake.domain.identifiers import DataType, InstrumentId, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, ReadOnlyLake
from lake.research.loop import run

if TYPE_CHECKING:
    from lake.ingestion import Backfill, Plan, Report, Request
    from lake.storage.lake import Storage
    from lake.store.missing import Window

_SETTINGS = (
    "base_url",
    "accept_base_url",
    "rate_share",
    "max_workers",
    "source",
    "archive_url",
)
_OPTIONS = ("venue", "data_type", "refetch", *_SETTINGS)
StopWith = Callable[[Callable[[], None]], None]


def plan(
    storage: Storage,
    instruments: str | Sequence[str],
    timeframe: str | TimeFrame | Sequence[str | TimeFrame] | None,
    window: Window,
    options: Mapping[str, Any],
) -> Plan:
    """What a backfill would do."""
    asked = _requests(instruments, timeframe, window, options)

    async def work(stop_with: StopWith) -> Plan:
        async with _engine(storage, options) as engine:
            return await _planned(engine, asked)

    return run(work)


def backfill(
    storage: Storage,
    instruments: str | Sequence[str],
    timeframe: str | TimeFrame | Sequence[str | TimeFrame] | None,
    window: Window,
    options: Mapping[str, Any],
) -> Report:
    """Fetches and stores what is not held.

    Raises:
        ReadOnlyLake: Nothing can be stored.
    """
    asked = _requests(instruments, timeframe, window, options)
    _require_writable(storage)

    async def work(stop_with: StopWith) -> Report:
        async with _engine(storage, options) as engine:
            stop_with(engine.stop)
            return await engine.run(await _planned(engine, asked))

    return run(work)


def update(
    storage: Storage,
    instruments: str | Sequence[str],
    venue: str | Venue | None,
    data_type: str | DataType | None,
    settings: Mapping[str, Any],
) -> Report:
    """Brings what is held up to now."""
    from lake.ingestion import update as bring_up_to_now

    _require_known(settings, _SETTINGS)
    _require_writable(storage)
    names = (instruments,) if isinstance(instruments, str) else tuple(instruments)
    kind = DataType.from_str(data_type) if isinstance(data_type, str) else data_type
    where = Venue(venue) if isinstance(venue, str) else venue

    async def work(stop_with: StopWith) -> Report:
        async with _engine(storage, settings) as engine:
            stop_with(engine.stop)
            return await bring_up_to_now(
                storage, engine, venue=where, data_type=kind, instruments=names
            )

    return run(work)


async def _planned(engine: Backfill, asked: Sequence[Request]) -> Plan:
    from lake.ingestion import Plan

    plans = [await engine.plan(each) for each in asked]
    return Plan(tuple(series for each in plans for series in each.series))


def _engine(storage: Storage, options: Mapping[str, Any]) -> Backfill:
    from lake.ingestion import Backfill, Choice

    flags = {name: options.get(name) for name in _SETTINGS}
    settings = load(storage.root, environment=os.environ, flags=flags)
    return Backfill(
        storage,
        base_url=settings.base_url,
        accept_base_url=settings.accept_base_url,
        rate_share=settings.rate_share,
        max_workers=settings.max_workers,
        min_free=settings.min_free,
        choice=Choice(settings.source),
        archive_url=settings.archive_url,
    )


def _requests(
    instruments: str | Sequence[str],
    timeframe: str | TimeFrame | Sequence[str | TimeFrame] | None,
    window: Window,
    options: Mapping[str, Any],
) -> list[Request]:
    """One request for each venue named."""
    from lake.ingestion import Request

    _require_known(options, _OPTIONS)
    start: datetime | None = window.start
    if start is None:
        raise InvalidRequest("A backfill needs a start. Write for example start='2024-01-01'.")
    frames = [timeframe] if isinstance(timeframe, str | TimeFrame) else list(timeframe or ())
    lengths = tuple(TimeFrame.from_str(each) if isinstance(each, str) else each for each in frames)
    kind = options.get("data_type") or DataType.OHLCV
    data_type = DataType.from_str(kind) if isinstance(kind, str) else kind
    if data_type is DataType.OHLCV and not lengths:
        raise InvalidRequest("Candles need a timeframe. Write for example '1h' or ['1m', '1d'].")
    names = [instruments] if isinstance(instruments, str) else list(instruments)
    return [
        Request(
            where,
            tuple(ids),
            lengths,
            start,
            window.end,
            data_type=data_type,
            refetch=bool(options.get("refetch")),
        )
        for where, ids in _by_venue(names, options.get("venue")).items()
    ]


def _by_venue(names: Sequence[str], venue: str | Venue | None) -> dict[Venue, list[str]]:
    if not names:
        raise InvalidRequest("No instrument was named. Name at least one: 'BTCUSDT.BINANCE'.")
    if venue is not None:
        return {Venue(venue) if isinstance(venue, str) else venue: list(map(str, names))}
    grouped: dict[Venue, list[str]] = {}
    for name in map(str, names):
        if "." not in name:
            raise InvalidRequest(
                f"{name!r} does not say at which venue. Write BTCUSDT.BINANCE, or give venue=."
            )
        grouped.setdefault(InstrumentId.from_str(name).venue, []).append(name)
    return grouped


def _require_known(given: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [name for name in given if name not in known]:
        raise InvalidRequest(
            f"{', '.join(unknown)} is no option here. There are: {', '.join(known)}."
        )


def _require_writable(storage: Storage) -> None:
    if storage.read_only:
        raise ReadOnlyLake(
            f"The lake at {storage.root} is open for reading only, so nothing can be fetched "
            "into it. Open the lake itself as a user who may write it."
        )
