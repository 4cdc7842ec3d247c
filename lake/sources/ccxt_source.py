"""One venue over ccxt: the REST source that ingestion talks to.

It joins the capability table, the client, the venue's clock, the rate budget and the strict
fetches of each data type. It stores nothing, and knows no job.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import Self

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.rows import Page, SourceTag
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import EPOCH, to_us
from lake.errors import InvalidRequest
from lake.sources.answers import Ask, Asker, Retry, Rules, first_candle
from lake.sources.bounds import asked_for, within
from lake.sources.budget import Ledger
from lake.sources.candles import Sightings, WindowFetch
from lake.sources.capabilities import access, capability
from lake.sources.capability import Capability
from lake.sources.connection import Connection
from lake.sources.costs import weight_of
from lake.sources.cursor import CandleCursor
from lake.sources.decode import Decoded, decode_unified
from lake.sources.first_candle import first_through_longer
from lake.sources.funding_now import FundingNow
from lake.sources.market_requests import MarketRequests
from lake.sources.markets import instruments_of
from lake.sources.transport import Call
from lake.sources.unified_methods import is_coin

# A hundredth of any venue's window still pays for its heaviest request.
_LEAST_SHARE = 0.01

DEFAULT_DEPTH = 20


class CcxtSource:
    """One venue, asked within the lake's rate budget. Use one per venue and process."""

    def __init__(self, entry: Capability, line: Connection, tag: SourceTag, retry: Retry) -> None:
        """Not for callers: see ``open``."""
        self.tag = tag
        self._entry = entry
        self._line = line
        self._retry = retry
        self._sightings: dict[Series, Sightings] = {}
        self._market = MarketRequests(line, retry)

    @classmethod
    async def open(
        cls,
        venue: Venue,
        *,
        base_url: str | None = None,
        origin: str | None = None,
        ledger: Ledger,
        rate_share: float = 0.8,
        on_wait: Callable[[str, float], None] | None = None,
        retry: Retry | None = None,
        timeout_s: float = 10.0,
    ) -> Self:
        """Connect to *venue* and read its clock.

        Args:
            venue: Any that ccxt knows.
            base_url: Asked in place of the venue's hosts (a mirror, a proxy, ``lake serve``).
            origin: What marks the rows; None takes ``venue``, or *base_url* where given.
            ledger: The lake's shared account of spent weight.
            rate_share: The part of the venue's limit that is ours, above 0 up to 1.
            on_wait: Told why and for how many seconds requests wait.
            retry: How failed requests are repeated.
            timeout_s: For one request.

        Raises:
            InvalidRequest: The venue is unknown, or *rate_share* is not a share.
            SourceError: The venue does not answer.
        """
        if not _LEAST_SHARE <= rate_share <= 1:
            raise InvalidRequest(
                f"A rate share of {rate_share:g} was asked for. Give a number from "
                f"{_LEAST_SHARE:g} to 1: with less, a single request waits for ever."
            )
        entry, patience = capability(venue, DataType.OHLCV), retry or Retry()
        line = Connection(
            access(venue),
            base_url=base_url,
            ledger=ledger,
            rate_share=rate_share,
            on_wait=on_wait,
            retry=patience,
            timeout_s=timeout_s,
        )
        tag = SourceTag("ccxt", entry.rank, origin or base_url or "venue")
        source = cls(entry, line, tag, patience)
        try:
            await source.server_time()
        except BaseException:
            await source.close()
            raise
        return source

    async def close(self) -> None:
        """Release connections. The source cannot be used afterwards."""
        await self._line.close()

    @property
    def budget_share(self) -> float:
        """The part of the venue's limit that is used in its current window (0 to 1)."""
        return self._line.budget.used_share

    @property
    def budget_state(self) -> tuple[float, float]:
        """The used share (0 to 1), and for how many seconds requests have been waiting."""
        return self._line.budget.used_share, self._line.budget.waiting_s

    async def server_time(self) -> datetime:
        """The venue's time, at least (naive UTC); asked of the venue about once a minute."""
        return await self._line.server_time()

    async def instruments(self) -> list[Instrument]:
        """Everything the venue lists, ascending by code.

        Raises:
            SourceError: The list could not be had.
        """
        markets = await self._line.markets()
        mode = self._line.client.precisionMode
        return instruments_of(self._entry.venue, markets, precision_mode=mode)

    def check(self, instrument: Instrument, series: Series) -> None:
        """Refuse what the venue cannot give, before anything is fetched.

        Raises:
            InvalidRequest: The data type or the timeframe is lacking, or a unit is not known.
        """
        if series.data_type is not DataType.OHLCV:
            self._market.check(instrument, series)
            return
        entry = self._entry
        if (
            not self._line.client.has.get("fetchOHLCV")
            or self._line.client.has["fetchOHLCV"] == "emulated"
        ):
            raise InvalidRequest(
                f"Candles of {entry.venue} were asked for, but it gives none. "
                "`lake sources` lists what each venue has."
            )
        offered = self._timeframes()
        if series.timeframe not in offered:
            names = " ".join(each.value for each in TimeFrame if each in offered)
            raise InvalidRequest(
                f"{series.timeframe} candles of {instrument.id} were asked for, but "
                f"{entry.venue} has only: {names}."
            )
        unit = (entry.volume_units or {}).get(instrument.kind)
        if unit is None and is_coin(instrument.kind, instrument.contract_size):
            unit = "base"
        if unit is None:
            raise InvalidRequest(
                f"Candles of {instrument.id} were asked for, but in what unit {entry.venue} "
                f"counts the volume of {instrument.kind.value} contracts is not known, so it "
                "cannot be stored in the base asset. Import the vendor's archives instead."
            )
        if unit == "contracts" and instrument.contract_size is None:
            raise InvalidRequest(
                f"Candles of {instrument.id} were asked for, but its contract size is unknown, "
                "so contracts cannot be turned into amounts. Refresh the instrument list."
            )

    def obtainable(self, series: Series, *, now: datetime) -> tuple[TimeRange | None, str]:
        """The range that the venue can give at all, and why not more (empty: no bound)."""
        if series.data_type is not DataType.OHLCV:
            return self._market.obtainable(series, now=now)
        grid, depth = _grid(series), self._entry.depth_candles
        if depth is None:
            return range_or_none(EPOCH, now), ""
        # The oldest of them may drop off while the backfill runs.
        start = grid.advance(grid.floor(now), 1 - depth)
        why = self._entry.depth_reason.format(venue=self._entry.venue, count=depth)
        return range_or_none(start, now), why

    def settled_until(self, series: Series, *, now: datetime) -> datetime:
        """Up to where rows are final at the venue's time *now*; for candles on the grid."""
        if series.data_type is not DataType.OHLCV:
            return self._market.settled_until(series, now=now)
        return _grid(series).floor(now - self._entry.settle_after)

    def windows(self, series: Series, window: TimeRange) -> list[TimeRange]:
        """*window* in closed windows of at most one page, ascending."""
        grid, size = _grid(series), self._page_size(series)
        pieces, start = [], window.start
        while start < window.end:
            end = min(window.end, grid.advance(grid.ceil(start), size))
            pieces.append(TimeRange(start, end))
            start = end
        return pieces

    def cost(self, series: Series, window: TimeRange) -> tuple[int, int]:
        """Requests and weight that *window* takes, when nothing goes wrong."""
        if series.data_type is not DataType.OHLCV:
            return self._market.cost(series, window)
        pieces = self.windows(series, window)
        raw = self._entry.raw
        if raw is None or raw.weight is None:
            return len(pieces), len(pieces) * weight_of(self._entry, self._entry.page_size)
        grid = _grid(series)
        return len(pieces), sum(raw.weight(max(1, grid.count(each))) for each in pieces)

    def page_size(self, series: Series) -> int:
        """Most rows of *series* that one request asks for."""
        if series.data_type is DataType.OHLCV:
            return self._page_size(series)
        return capability(series.venue, series.data_type).page_size

    def seconds(self, weight: int) -> float:
        """How long the rate budget makes *weight* take."""
        return self._line.budget.seconds(weight)

    async def first_available(self, instrument: Instrument, series: Series) -> datetime | None:
        """The time of the venue's first candle or trade; None where it has none or cannot say.

        Raises:
            SourceError: The venue did not answer, or never twice the same.
        """
        if series.data_type is not DataType.OHLCV:
            return await self._market.first_available(instrument, series)
        asker = self._asker(instrument, series)
        if asker.rules.open_ended:
            return await first_candle(asker, asker.rules)
        return await first_through_longer(
            self._entry, series, lambda each: self._asker(instrument, each)
        )

    async def count(self, instrument: Instrument, series: Series, window: TimeRange) -> int | None:
        """How many trades *window* has, where a few requests tell; None where they do not.

        Raises:
            SourceError: The venue did not answer, or never twice the same.
        """
        if series.data_type is not DataType.TRADES:
            return None
        return await self._market.count(instrument, series, window)

    async def candles(self, instrument: Instrument, series: Series, window: TimeRange) -> Page:
        """The candles of one window of ``windows``, whole and explained.

        Raises:
            SourceError: They could not be had; nothing of the window is claimed.
        """
        fetch = WindowFetch(
            self._ask(instrument, series),
            window,
            self._rules(series),
            now=self.server_time,
            settled_until=lambda now: self.settled_until(series, now=now),
            sightings=self._sightings.setdefault(series, Sightings()),
        )
        return await fetch.page()

    def remember(self, series: Series, opened: datetime) -> None:
        """Take into account that the venue has shown the candle that *opened* then, some day.

        Answers that end before it come from a copy that lags: they prove no absence.
        """
        self._sightings.setdefault(series, Sightings()).saw(to_us(opened))

    def pages(
        self, instrument: Instrument, series: Series, window: TimeRange
    ) -> AsyncGenerator[Page, None]:
        """The trades or settlements of *window*: ascending pages that touch one another.

        Each page ends between two times, so that rows of one ``ts`` are never parted; the
        last one ends where rows are final (``settled_until``) or with the window. Close the
        iterator (``contextlib.aclosing``) where it is left early: requests run ahead.

        Raises:
            SourceError: Something could not be had; pages delivered before are true.
        """
        return self._market.pages(instrument, series, window)

    async def book(self, instrument: Instrument, depth: int) -> Page:
        """The order book as it is now, *depth* levels a side: the page of one instant.

        A book that stays unordered or crossed is in ``Page.rejected`` instead.

        Raises:
            InvalidRequest: The venue gives no books so deep.
            SourceError: It could not be had.
        """
        return await self._market.book(instrument, depth)

    async def funding_now(self, instrument: Instrument) -> FundingNow:
        """What the venue predicts for the running interval; nothing of it is settled yet.

        Raises:
            InvalidRequest: The venue does not say.
            SourceError: It could not be had.
        """
        return await self._market.funding_now(instrument)

    def variant(self, series: Series, *, depth: int = DEFAULT_DEPTH) -> str | None:
        """What a series from here holds and may not be mixed with; None where nothing can be.

        ``aggregate/venue`` for trades (kind, and whose ids), ``rest/20`` for books.
        """
        if series.data_type is DataType.OHLCV:
            return None
        return self._market.variant(series, depth)

    # How requests are made.

    def _asker(self, instrument: Instrument, series: Series) -> Asker:
        return Asker(self._ask(instrument, series), self._rules(series), self.server_time)

    def _ask(self, instrument: Instrument, series: Series) -> Ask:
        what = f"Candles of {instrument.id}, {series.timeframe}"
        timeframe = series.timeframe
        assert timeframe is not None
        if (raw := self._entry.raw) is None:
            return self._unified_ask(instrument, timeframe, what)

        async def ask(first: int | None, last: int | None, limit: int) -> Decoded:
            cursor = CandleCursor(timeframe, first, last, limit, self._line.clock.now())
            request = raw.request(instrument, cursor)
            call = Call(weight=raw.weight(limit) if raw.weight else None, raw=True)
            method = getattr(self._line.client, request.method)
            body = await self._line.send(call, what, method, dict(request.parameters))
            decoded = raw.decode(body, instrument)
            if raw.takes_end or first is None or last is None:
                return decoded
            return within(decoded, first, last, what, most=self._entry.page_size)

        return ask

    def _unified_ask(self, instrument: Instrument, timeframe: TimeFrame, what: str) -> Ask:
        units = self._entry.volume_units or {}
        scale = 1.0
        if units.get(instrument.kind) == "contracts":
            scale = instrument.contract_size or 1.0
        longest_ms = timeframe.nominal_us // 1_000

        async def ask(first: int | None, last: int | None, limit: int) -> Decoded:
            await self._line.load_markets()
            assert first is not None
            assert last is not None
            until = last // 1_000 + longest_ms - 1
            rows = await self._line.send(
                Call(),
                what,
                self._line.client.fetch_ohlcv,
                instrument.symbol,
                timeframe.ccxt,
                first // 1_000,
                limit,
                {"until": until},
            )
            return decode_unified(asked_for(rows, first, last, what), scale)

        return ask

    # What the table says of a series.

    def _rules(self, series: Series) -> Rules:
        raw = self._entry.raw
        return Rules(
            grid=_grid(series),
            page_size=self._page_size(series),
            hole_answers=self._entry.hole_answers,
            open_ended=raw is not None and raw.open_ended,
            retry=self._retry,
        )

    def _page_size(self, series: Series) -> int:
        longest, size = self._entry.longest_window, self._entry.page_size
        if longest is None or series.timeframe is None:
            return size
        step = timedelta(microseconds=series.timeframe.nominal_us)
        return max(1, min(size, longest // step))

    def _timeframes(self) -> set[TimeFrame]:
        if self._entry.timeframes is not None:
            return set(self._entry.timeframes)
        found = set()
        for name in self._line.client.timeframes or {}:
            try:
                found.add(TimeFrame.from_str(name))
            except InvalidRequest:
                continue
        return found


def _grid(series: Series) -> Grid:
    grid = series.grid
    assert grid is not None, f"{series} has no grid"
    return grid
