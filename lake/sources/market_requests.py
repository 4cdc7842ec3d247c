"""Trades, funding and books of one venue: what the table says, joined with its connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, expiry_of
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Page
from lake.domain.times import EPOCH, from_us, to_us
from lake.errors import InvalidRequest
from lake.sources import unified_methods
from lake.sources.answers import Retry
from lake.sources.books import snapshot
from lake.sources.capabilities import capability
from lake.sources.capability import Capability, Paging, RowsEndpoint
from lake.sources.connection import Connection
from lake.sources.costs import weight_of
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_now import FundingNow, read_funding_now
from lake.sources.funding_walk import FundingWalk
from lake.sources.span_belief import SpanAsker
from lake.sources.span_walk import SpanWalk
from lake.sources.trade_answers import AskTrades, TradeAsker
from lake.sources.trade_border import BorderSearch, TradeMap
from lake.sources.trade_walk import TradeWalk
from lake.sources.transport import Call
from lake.sources.unified_methods import amount_unit
from lake.sources.unified_rows import UNIFIED_ROWS, unified_ask

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
        if entry.rows is None:
            self._check_unified(instrument, series, what)
        if instrument.kind is InstrumentKind.INVERSE and instrument.contract_size is None:
            raise InvalidRequest(
                f"{what} its contract size is unknown, so contracts cannot be turned into "
                "amounts. Refresh the instrument list."
            )

    def _check_unified(self, instrument: Instrument, series: Series, what: str) -> None:
        """Refuse what ccxt's unified method cannot give, or gives in a unit that is not known."""
        name = unified_methods.method(series.data_type)
        if self._line.client.has.get(name) is not True:
            raise InvalidRequest(f"{what} ccxt has no public method for them. Ask another venue.")
        unit = amount_unit(instrument.kind, instrument.venue, instrument.contract_size)
        if unit is None and series.data_type is not DataType.FUNDING_RATES:
            raise InvalidRequest(
                f"{what} in what unit {series.venue} counts amounts of {instrument.kind.value} "
                "contracts is not known, so they cannot be stored in the base asset. Ask another "
                "venue."
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

    def variant(self, series: Series, depth: int) -> str | None:
        """What a series from here holds and must not be mixed with; None: nothing to mix."""
        entry = capability(series.venue, series.data_type)
        return None if entry.variant is None else entry.variant.format(depth=depth)

    def cost(self, series: Series, window: TimeRange) -> tuple[int, int]:
        """Requests and weight for *window*, as far as they can be told before asking."""
        entry, _ = _entry(series)
        count = 1
        if series.data_type is DataType.FUNDING_RATES:
            # As if settled hourly, which is the most there is.
            count += int(window.duration / timedelta(hours=entry.page_size))
        elif (known := self._maps.get(series)) is not None:
            count += known.count(window) // entry.page_size
        return count, count * weight_of(entry, entry.page_size)

    async def first_available(self, instrument: Instrument, series: Series) -> datetime | None:
        """The time of the venue's first trade; None where there is none, or it cannot be told.

        Raises:
            SourceError: The venue did not answer, or never twice the same.
        """
        if series.data_type is not DataType.TRADES or _entry(series)[0].depth is not None:
            return None
        if _entry(series)[1].paging is not Paging.IDS:
            # Walks by time cross the years before a listing in a few steps.
            return None
        known = self._maps.setdefault(series, TradeMap())
        entry, _ = _entry(series)
        search = BorderSearch(self._asker(instrument, series), known, page_size=entry.page_size)
        if await search.first_at(1) is None:
            return None
        _, first = known.around(1)
        return None if first is None else from_us(first[1])

    async def count(self, instrument: Instrument, series: Series, window: TimeRange) -> int | None:
        """How many trades *window* has, where the venue's dense ids tell; None where none do.

        A few requests, which the walk over the window then need not make again.

        Raises:
            SourceError: The venue did not answer, or never twice the same.
        """
        entry, rows = _entry(series)
        if series.data_type is not DataType.TRADES or rows.paging is not Paging.IDS:
            return None
        known = self._maps.setdefault(series, TradeMap())
        for moment in (window.start, window.end):
            asker = self._asker(instrument, series)
            await BorderSearch(asker, known, page_size=entry.page_size).first_at(to_us(moment))
        return known.between(window)

    async def pages(
        self, instrument: Instrument, series: Series, window: TimeRange
    ) -> AsyncGenerator[Page, None]:
        """The trades or settlements of *window*, page by page.

        Raises:
            SourceError: They could not be had; pages delivered before are true.
        """
        entry, rows = _entry(series)
        now = await self._line.server_time()
        settled = self.settled_until(series, now=now)
        walk: TradeWalk | SpanWalk | FundingWalk
        if series.data_type is DataType.TRADES and rows.paging is not Paging.IDS:
            walk = SpanWalk(
                SpanAsker(
                    self._ask(instrument, series, rows),
                    paging=rows.paging,
                    cursor_us=rows.cursor_us,
                    retry=self._retry,
                    now=self._line.server_time,
                    whole_seconds=rows.whole_seconds,
                ),
                window,
                page_size=entry.page_size,
                now=now,
                settled=settled,
                longest=entry.longest_window,
            )
        elif series.data_type is DataType.TRADES:
            walk = TradeWalk(
                self._asker(instrument, series),
                window,
                self._maps.setdefault(series, TradeMap()),
                page_size=entry.page_size,
                concurrency=entry.concurrency,
                now=now,
                settled=settled,
            )
        else:
            walk = FundingWalk(
                self._ask(instrument, series, rows),
                window,
                retry=self._retry,
                page_size=entry.page_size,
                clock=self._line.server_time,
                now=now,
                settled=settled,
                whole_seconds=rows.whole_seconds,
                paging=rows.paging,
                cursor_us=rows.cursor_us,
                seeks=rows.seeks,
                longest=entry.longest_window,
            )
        async with aclosing(walk.pages()) as pages:
            async for page in pages:
                yield page

    async def book(self, instrument: Instrument, depth: int) -> Page:
        """The book as it is now, *depth* levels a side.

        Raises:
            InvalidRequest: The venue gives no books so deep.
            SourceError: It could not be had.
        """
        entry, rows = _entry(Series(DataType.ORDERBOOK, instrument.id))
        offered = rows.levels or (depth,)
        if not 1 <= depth <= entry.page_size:
            raise InvalidRequest(
                f"A book of {depth} levels of {instrument.id} was asked for, but {entry.venue} "
                f"gives 1 to {entry.page_size}. Choose --depth within that."
            )
        levels = next(each for each in offered if each >= depth)
        ask = self._ask(instrument, Series(DataType.ORDERBOOK, instrument.id), rows)
        return await snapshot(
            lambda: ask(Cursor(levels)),
            depth=depth,
            retry=self._retry,
            clock=self._line.server_time,
            whole_seconds=rows.whole_seconds,
        )

    async def funding_now(self, instrument: Instrument) -> FundingNow:
        """What the venue says of the running interval.

        Raises:
            InvalidRequest: It has no public method for it.
            SourceError: It could not be had.
        """
        client, what = self._line.client, f"The running funding of {instrument.id}"
        if client.has.get("fetchFundingRate") is False:
            raise InvalidRequest(
                f"{what} was asked for, but ccxt has no public method for it at "
                f"{instrument.venue}. Ask another venue."
            )
        await self._line.load_markets()

        async def once() -> FundingNow:
            answer = await self._line.send(
                Call(), what, client.fetch_funding_rate, instrument.symbol
            )
            return read_funding_now(
                answer, instrument.id, received_at=await self._line.server_time()
            )

        return await self._retry.run(once)

    def _asker(self, instrument: Instrument, series: Series) -> TradeAsker:
        _, rows = _entry(series)
        return TradeAsker(
            self._ask(instrument, series, rows),
            retry=self._retry,
            now=self._line.server_time,
            whole_seconds=rows.whole_seconds,
        )

    def _ask(self, instrument: Instrument, series: Series, rows: RowsEndpoint) -> AskTrades:
        what = f"{_NAMES[series.data_type]} of {instrument.id}"
        if rows is UNIFIED_ROWS:
            entry, _ = _entry(series)
            return unified_ask(self._line, entry, instrument, what)

        async def ask(cursor: Cursor) -> Decoded:
            request = rows.request(instrument, cursor)
            weight = rows.weight(cursor.limit) if rows.weight else None
            call = Call(weight=weight, raw=True)
            method = getattr(self._line.client, request.method)
            body = await self._line.send(call, what, method, dict(request.parameters))
            decoded = rows.decode(body, instrument)
            if rows.next_token is None:
                return decoded
            return replace(decoded, following=rows.next_token(cursor, decoded.table.num_rows))

        return ask


def _entry(series: Series) -> tuple[Capability, RowsEndpoint]:
    entry = capability(series.venue, series.data_type)
    return entry, entry.rows or UNIFIED_ROWS
