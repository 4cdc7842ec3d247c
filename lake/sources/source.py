"""What ingestion needs of whoever gives it rows: a venue that is asked, or its archive alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from lake.domain.identifiers import Instrument, Series
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page, SourceTag


class Source(Protocol):
    """One venue. :class:`lake.sources.ccxt_source.CcxtSource` says what each method promises."""

    @property
    def tag(self) -> SourceTag:
        """What marks rows of :meth:`candles` and :meth:`pages`."""

    @property
    def budget_share(self) -> float:
        """The part of the venue's limit that is used in its current window (0 to 1)."""

    async def close(self) -> None:
        """Release connections."""

    async def server_time(self) -> datetime:
        """The time there, at least (naive UTC)."""

    def check(self, instrument: Instrument, series: Series) -> None:
        """Refuse what it cannot give (``InvalidRequest``)."""

    def obtainable(self, series: Series, *, now: datetime) -> tuple[TimeRange | None, str]:
        """The range that it can give at all, and why not more (empty: no bound)."""

    def windows(self, series: Series, window: TimeRange) -> list[TimeRange]:
        """*window* in windows for :meth:`candles`."""

    def cost(self, series: Series, window: TimeRange) -> tuple[int, int]:
        """Requests and weight that *window* takes."""

    def seconds(self, weight: int) -> float:
        """How long the rate budget makes *weight* take."""

    async def first_available(self, instrument: Instrument, series: Series) -> datetime | None:
        """The time of the first row there is; None where there is none, or nobody says."""

    async def count(self, instrument: Instrument, series: Series, window: TimeRange) -> int | None:
        """How many rows *window* has, where that is easily told."""

    async def candles(self, instrument: Instrument, series: Series, window: TimeRange) -> Page:
        """The candles of one window."""

    def pages(
        self, instrument: Instrument, series: Series, window: TimeRange
    ) -> AsyncGenerator[Page, None]:
        """The trades or settlements of *window*, in pages."""

    def remember(self, series: Series, opened: datetime) -> None:
        """Take into account that the candle that *opened* then was shown before."""

    def variant(self, series: Series) -> str | None:
        """What a series from here holds and may not be mixed with."""
