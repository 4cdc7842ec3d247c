"""Answers that venues gave and others recorded, served on loopback through the real client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lake.domain.identifiers import DataType, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page, SourceTag
from lake.domain.timeframe import TimeFrame
from lake.domain.times import EPOCH, from_us
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.capabilities import access, capability
from lake.sources.ccxt_source import CcxtSource
from lake.sources.connection import Connection
from lake.sources.markets import instruments_of

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "ccxt_static"
ONCE = Retry(attempts=1, base_s=0)
NOW_MS = (datetime(2026, 1, 1) - EPOCH) / timedelta(milliseconds=1)


@dataclass(frozen=True)
class Case:
    """One recorded call of ``fetch_ohlcv``: its arguments, the venue's answer, ccxt's reading."""

    venue: str
    description: str
    symbol: str
    timeframe: str
    answer: Any
    parsed: list[list[Any]]


def cases(venue: str) -> list[Case]:
    """The recorded candle calls of *venue*; skips the test where nothing is at hand."""
    path = RECORDED / "cases" / f"{venue}.json"
    if not path.exists():
        pytest.skip(f"no recorded answers at {path}")
    recorded = json.loads(path.read_text())["methods"].get("fetchOHLCV", [])
    return [
        Case(
            venue,
            each["description"],
            each["input"][0],
            each["input"][1] if len(each["input"]) > 1 else "1m",
            each["httpResponse"],
            each["parsedResponse"],
        )
        for each in recorded
    ]


@asynccontextmanager
async def serving(body: bytes, now_ms: float = NOW_MS) -> AsyncIterator[str]:
    """A server that answers *body* at *now_ms* to whatever it is asked; gives its URL."""

    async def answer(request: web.BaseRequest) -> web.Response:
        # A Date that fits the clock that is set: one that differs would be doubted.
        date = formatdate(now_ms / 1_000, usegmt=True)
        return web.Response(body=body, content_type="application/json", headers={"Date": date})

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def replaying(case: Case) -> AsyncIterator[CcxtSource]:
    """A source of the case's venue that knows its markets and gets its answer."""
    async with replaying_at(case.venue, Venue(case.venue), case.answer) as source:
        yield source


@asynccontextmanager
async def replaying_at(
    exchange: str, venue: Venue, answer: Any, *, now_ms: float = NOW_MS
) -> AsyncIterator[CcxtSource]:
    """A source of *venue* that knows the recorded markets of *exchange* and gets *answer*."""
    body = answer if isinstance(answer, str) else json.dumps(answer)
    async with serving(body.encode(), now_ms) as url:
        entry = capability(venue, DataType.OHLCV)
        line = Connection(
            access(entry.venue),
            base_url=url,
            ledger=MemoryLedger(),
            rate_share=1.0,
            on_wait=None,
            retry=ONCE,
            timeout_s=5.0,
        )
        moment = time.monotonic()
        line.clock.measured(now_ms, sent=moment, received=moment)
        currencies = json.loads((RECORDED / "currencies" / f"{exchange}.json").read_text())
        line.client.set_markets(
            json.loads((RECORDED / "markets" / f"{exchange}.json").read_text()),
            {name: each for name, each in currencies.items() if each is not None},
        )
        try:
            yield CcxtSource(entry, line, SourceTag("ccxt", entry.rank, "venue"), ONCE)
        finally:
            await line.close()


def fetched(case: Case, *, earlier: timedelta = timedelta()) -> tuple[Series, Page]:
    """The page that our path makes of the case's answer, over exactly its candles.

    Args:
        case: The recorded call.
        earlier: Asks for candles so much older than those that the answer has.
    """

    async def run() -> tuple[Series, Page]:
        async with replaying(case) as source:
            client = source._line.client
            market = client.market(case.symbol)
            venue = Venue(case.venue)
            [instrument] = instruments_of(venue, [market], precision_mode=client.precisionMode)
            series = Series(DataType.OHLCV, instrument.id, TimeFrame.from_str(case.timeframe))
            source.check(instrument, series)
            times = sorted(int(row[0]) for row in case.parsed)
            assert series.grid is not None
            window = TimeRange(
                from_us(times[0] * 1_000), series.grid.next(from_us(times[-1] * 1_000))
            )
            window = TimeRange(window.start - earlier, window.end - earlier)
            return series, await source.candles(instrument, series, window)

    return asyncio.run(run())
