"""Binance's archive in place of its exchange: for whoever wants, or can reach, nothing else.

It tells the time and the names of instruments; rows come by files alone (`binance_tree`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from lake.domain.identifiers import DataType, Instrument, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.resolve import NotListed, is_pattern, resolve
from lake.domain.rows import Page, SourceTag
from lake.domain.timeframe import TimeFrame
from lake.domain.times import EPOCH
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import COINM, SPOT, VENUES, instrument_of, native_symbol
from lake.sources.archive.binance_tree import is_offered, variant_of
from lake.sources.archive.download import Downloader
from lake.sources.archive.format import VENDOR
from lake.sources.clock import VenueClock


class ArchiveSource:
    """One venue, of which only the archive is asked: no exchange, no account of its limits.

    Args:
        venue: One of Binance's.
        downloader: The tree. Whoever made it closes it.

    Raises:
        InvalidRequest: The venue has no archive that can be downloaded.
    """

    tag: SourceTag = VENDOR
    budget_share = 0.0

    def __init__(self, venue: Venue, downloader: Downloader) -> None:
        if venue not in VENUES:
            raise InvalidRequest(no_archive(str(venue)))
        self._venue = venue
        self._downloader = downloader
        self._clock = VenueClock()
        self._measuring = asyncio.Lock()

    async def close(self) -> None:
        """Nothing is to be released here."""

    async def server_time(self) -> datetime:
        """The time at the archive's server, at least (naive UTC).

        Raises:
            SourceError: It cannot be reached, or does not tell.
        """
        async with self._measuring:
            if self._clock.is_stale:
                sent = time.monotonic()
                told_s = await self._downloader.date_s(is_first=not self._clock.is_set)
                self._clock.measured(told_s * 1_000, sent=sent, received=time.monotonic())
        return self._clock.now()

    def named(
        self, text: str, known: Sequence[Instrument], *, is_list: bool, is_fresh: bool
    ) -> Sequence[Instrument]:
        """The instruments that *text* names: among those *known*, else by the name alone.

        Args:
            text: Our code, ccxt's symbol, the venue's id or a pattern.
            known: What the lake knows of the venue's instruments.
            is_list: Whether that was once all that the venue lists.
            is_fresh: Whether it still is, so that what is not among them does not exist.

        Raises:
            InvalidRequest: No name says it.
        """
        if is_pattern(text) and not is_list:
            raise InvalidRequest(
                f"{text!r} was asked for with --source archive, but what {self._venue} lists is "
                "not known in this lake, and archives have no list. Name the instruments."
            )
        try:
            return resolve(text, self._venue, known)
        except NotListed:
            if is_fresh or is_pattern(text):
                raise
        return [self._by_name(text.strip().upper())]

    def _by_name(self, word: str) -> Instrument:
        if word.endswith(f".{self._venue}"):
            word = InstrumentId.from_str(word).symbol
        base, slash, quote = word.partition("/")
        if slash and ":" not in quote and self._venue != SPOT:
            # Who asks futures for BTC/USDT means the perpetual.
            word = f"{word}:{base if self._venue == COINM else quote}"
        native = native_symbol(word, self._venue)
        if self._venue == COINM and "_" not in native:
            native += "_PERP"
        return instrument_of(native, self._venue, word)

    def check(self, instrument: Instrument, series: Series) -> None:
        """Refuse what the archive has no files of.

        Raises:
            InvalidRequest: The data type or the timeframe is lacking.
        """
        is_lacking = series.timeframe is TimeFrame.SECOND_1 and self._venue != SPOT
        if is_lacking or not is_offered(series):
            raise InvalidRequest(no_archive(str(series)))

    def obtainable(self, series: Series, *, now: datetime) -> tuple[TimeRange | None, str]:
        """All that ever was: what has no file turns out when it is asked for."""
        return range_or_none(EPOCH, now), ""

    def windows(self, series: Series, window: TimeRange) -> list[TimeRange]:
        """*window* itself: nothing is cut into requests here."""
        return [window]

    def cost(self, series: Series, window: TimeRange) -> tuple[int, int]:
        """Nothing: files are not counted against a limit."""
        return 0, 0

    def seconds(self, weight: int) -> float:
        """No limit makes anything take longer."""
        return 0.0

    async def first_available(self, instrument: Instrument, series: Series) -> datetime | None:
        """None: archives do not say when an instrument was listed."""
        return None

    async def count(self, instrument: Instrument, series: Series, window: TimeRange) -> int | None:
        """None: nobody says before a file is read."""
        return None

    async def candles(self, instrument: Instrument, series: Series, window: TimeRange) -> Page:
        """Never had this way.

        Raises:
            SourceError: Always.
        """
        raise _only_files(series, window)

    async def pages(
        self, instrument: Instrument, series: Series, window: TimeRange
    ) -> AsyncGenerator[Page, None]:
        """Never had this way.

        Raises:
            SourceError: Always.
        """
        raise _only_files(series, window)
        yield

    def remember(self, series: Series, opened: datetime) -> None:
        """Files do not lag behind one another: nothing is to be remembered."""

    def variant(self, series: Series) -> str | None:
        """What files of a new series hold; None where nothing can be mixed up."""
        return variant_of(series, None) if series.data_type is DataType.TRADES else None


def no_archive(what: str) -> str:
    """Why --source archive cannot bring *what*."""
    return (
        f"Only archives were asked for (--source archive), but none that can be downloaded has "
        f"{what}. Those of {', '.join(map(str, VENUES))} can be; files of others come in with "
        "`lake import`. Leave --source out to ask the venue."
    )


def _only_files(series: Series, window: TimeRange) -> SourceError:
    return SourceError(
        f"{series} of {window} is in no file, and only archives were asked for (--source archive).",
        retryable=False,
    )
