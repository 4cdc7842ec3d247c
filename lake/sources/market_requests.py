"""Trades, funding and books of one venue: what the table says, joined with its connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, expiry_of
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Page
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest
from lake.sources.answers import Retry
from lake.sources.capabilities import capability
from lake.sources.capability import Capability, RowsEndpoint
from lake.sources.connection import Connection
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.trade_answers import AskTrades, TradeAsker
from lake.sources.trade_border import TradeMap
from lake.sources.trade_walk import TradeWalk
from lake.sources.transport import Call

_NAMES = {
    DataType.TRADES: "Trades",
    DataType.FUNDING_RATES: "Funding rates",
    DataType.ORDERBOOK: "The order book",
}


class MarketRequests:
    """Asks for all types but candles."""

    def __init__(self, line: Connection, retry: Retry) -> None:
        self._line = line
        self._retry = retry
        self._maps: dict[Series, TradeMap] = {}

    def check(self, instrument: Instrument, series: Series) -> None:
        """Refuse what the venue cannot give.

        Raises:
            InvalidRequest: The venue does not have the type, or not for this instrument.
        """
        entry = capability(series.venue, series.data_type)
        what = f"{series.data_type} of {instrument.id} were asked for, but"
        if series.data_type is DataType.FUNDING_RATES and expiry_of(instrument.code):
            raise InvalidRequest(
                f"{what} it expires, and funding is paid on perpetuals only. Ask for one "
                "(its code ends in -PERP)."
            )
        if entry.kinds is not None and instrument.kind not in entry.kinds:
            kinds = ", ".join(sorted(each.value for each in entry.kinds))
            raise InvalidRequest(
                f"{what} {entry.venue} gives them for {kinds} instruments and this is "
                f"{instrument.kind.value}. `lake sources` lists what each venue has."
            )
        if instrument.kind is InstrumentKind.INVERSE and instrument.contract_size is None:
            raise InvalidRequest(
                f"{what} its contract size is unknown, so contracts cannot be turned into "
                "amounts. Refresh the instrument list."
            )

    def obtainable(self, series: Series, *, now: datetime) -> tuple[TimeRange | None, str]:
        """The range that the venue can give at all, and why not more (empty: no bound)."""
        entry = capability(series.venue, series.data_type)
        if entry.depth is None:
            return range_or_none(EPOCH, now), ""
        why = entry.depth_reason.format(venue=entry.venue)
        return range_or_none(now - entry.depth, now), why

    def settled_until(self, series: Series, *, now: datetime) -> datetime:
        """Up to where rows are final at the venue's time *now*."""
        return now - capability(series.venue, series.data_type).settle_after

    async def trades(
        self, instrument: Instrument, series: Series, window: TimeRange
    ) -> AsyncIterator[Page]:
        """The trades of *window*, page by page.

        Raises:
            SourceError: They could not be had; pages delivered before are true.
        """
        entry, rows = _entry(series)
        now = await self._line.server_time()
        asker = TradeAsker(
            self._ask(instrument, series, rows),
            retry=self._retry,
            now=self._line.server_time,
            whole_seconds=rows.whole_seconds,
        )
        walk = TradeWalk(
            asker,
            window,
            self._maps.setdefault(series, TradeMap()),
            page_size=entry.page_size,
            concurrency=entry.concurrency,
            now=now,
            settled=self.settled_until(series, now=now),
        )
        async for page in walk.pages():
            yield page

    def _ask(self, instrument: Instrument, series: Series, rows: RowsEndpoint) -> AskTrades:
        what = f"{_NAMES[series.data_type]} of {instrument.id}"
        method = getattr(self._line.client, rows.method)

        async def ask(cursor: Cursor) -> Decoded:
            request = {"symbol": instrument.native_id, **rows.parameters(cursor)}
            call = Call(weight=rows.weight(cursor.limit), raw=True, candles=True)
            body = await self._line.send(call, what, method, request)
            return rows.decode(body, instrument)

        return ask


def _entry(series: Series) -> tuple[Capability, RowsEndpoint]:
    entry = capability(series.venue, series.data_type)
    assert entry.rows is not None
    return entry, entry.rows
