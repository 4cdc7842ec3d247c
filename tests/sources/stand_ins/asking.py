"""How a test fetches from a stand-in: the real ccxt client and the real source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pyarrow as pa

from lake.domain.identifiers import Instrument, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource
from tests.sources.stand_ins.server import StandIn, serving

PATIENT = Retry(attempts=20, base_s=0.002, longest_s=0.05)


@asynccontextmanager
async def opened(stand_in: StandIn, *, retry: Retry = PATIENT) -> AsyncIterator[CcxtSource]:
    """A source of the stand-in's venue that asks it. The budget never makes anyone wait."""
    async with serving(stand_in) as url:
        source = await CcxtSource.open(
            Venue(stand_in.venue),
            base_url=url,
            ledger=MemoryLedger(),
            rate_share=1.0,
            retry=retry,
            timeout_s=2.0,
        )
        source._line.budget.limit = None
        try:
            yield source
        finally:
            await source.close()


async def all_candles(
    source: CcxtSource, instrument: Instrument, series: Series, window: TimeRange
) -> list[Page]:
    """The pages of every window that the source makes of *window*."""
    source.check(instrument, series)
    pieces = source.windows(series, window)
    return [await source.candles(instrument, series, each) for each in pieces]


async def all_pages(
    source: CcxtSource, instrument: Instrument, series: Series, window: TimeRange
) -> list[Page]:
    """The pages of trades or settlements of *window*."""
    source.check(instrument, series)
    async with aclosing(source.pages(instrument, series, window)) as pages:
        return [page async for page in pages]


def rows_of(pages: list[Page]) -> pa.Table:
    """All rows of *pages*, in their order."""
    return pa.concat_tables([each.rows for each in pages])
