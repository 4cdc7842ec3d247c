"""The venues of a run: one connection each, and the instruments they list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lake.domain.identifiers import Instrument, InstrumentId, Venue
from lake.domain.resolve import resolve
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.sources.archive.download import Downloader
    from lake.sources.ccxt_source import CcxtSource
    from lake.sources.source import Source
    from lake.storage.lake import Storage

# Market lists are the heaviest and most often blocked call; listings change about daily.
MARKETS_AGE = timedelta(hours=24)


class Venues:
    """Opens each venue once, when first asked for, all on the lake's shared rate budget."""

    def __init__(
        self,
        storage: Storage,
        *,
        base_url: str | None,
        accept_base_url: bool,
        rate_share: float,
        max_workers: int,
        on_wait: Callable[[Venue, str, float], None],
        archive: Downloader | None = None,
    ) -> None:
        """
        Args:
            archive: Asked instead of the venues, which are left alone then; *base_url* is where
                it lies, where that is not the vendor's own place.
        """
        self._storage = storage
        self._base_url = base_url
        self._rate_share = rate_share
        self._on_wait = on_wait
        self._archive = archive
        self._sources: dict[Venue, Source] = {}
        self._opening = asyncio.Lock()
        self._clashing: dict[InstrumentId, Instrument] = {}
        self.accept_base_url = accept_base_url
        self.max_workers = max_workers

    @property
    def origin(self) -> str:
        """What marks the rows of this run: ``venue``, or ``base-url`` for anything else."""
        return "venue" if self._base_url is None or self.accept_base_url else "base-url"

    @property
    def speaker(self) -> str:
        """Who answers: ``venue``, or the address that is asked instead."""
        return "venue" if self._base_url is None else self._base_url

    @property
    def is_mirror(self) -> bool:
        """Whether another address answers for the venue itself: its rows are the venue's, but
        what it lacks is not therefore lacking at the venue."""
        return self._base_url is not None and self.accept_base_url

    async def source(self, venue: Venue) -> Source:
        """The connection to *venue*, opened when first asked for.

        Raises:
            InvalidRequest: Only archives are asked, and the venue has none.
            SourceError: The venue does not answer.
        """
        async with self._opening:
            if venue not in self._sources:
                self._sources[venue] = await self._open(venue)
            return self._sources[venue]

    async def _open(self, venue: Venue) -> Source:
        if self._archive is not None:
            from lake.sources.archive.archive_source import ArchiveSource

            return ArchiveSource(venue, self._archive)
        from lake.sources.ccxt_source import CcxtSource

        return await CcxtSource.open(
            venue,
            base_url=self._base_url,
            origin=self.origin,
            ledger=self._storage.rates,
            rate_share=self._rate_share,
            on_wait=lambda why, seconds: self._on_wait(venue, why, seconds),
        )

    async def exchange(self, venue: Venue) -> CcxtSource:
        """The connection to *venue* itself, for what no archive has.

        Raises:
            InvalidRequest: Only archives are asked.
            SourceError: The venue does not answer.
        """
        from lake.sources.ccxt_source import CcxtSource

        source = await self.source(venue)
        if not isinstance(source, CcxtSource):
            raise InvalidRequest(
                f"Only archives were asked for (--source archive), and none tells what {venue} "
                "has at the moment. Leave --source out to ask the venue."
            )
        return source

    def opened(self, venue: Venue) -> Source | None:
        """The connection to *venue*, where there is one already."""
        return self._sources.get(venue)

    async def names(self, venue: Venue) -> Callable[[str], Sequence[Instrument]]:
        """What tells the instruments of *venue* that a text names; several only for a pattern.

        It raises ``InvalidRequest`` where there is none, or where it is not clear which.

        Raises:
            SourceError: The list is not known yet and cannot be had.
        """
        listed = await self.instruments(venue)
        if self._archive is None:
            return lambda text: resolve(text, venue, listed)
        from lake.sources.archive.archive_source import ArchiveSource

        source = await self.source(venue)
        assert isinstance(source, ArchiveSource)
        fetched = await asyncio.to_thread(self._storage.catalog.markets_fetched_at, venue)
        is_fresh = fetched is not None and _is_fresh(fetched)
        is_list = fetched is not None
        return lambda text: source.named(text, listed, is_list=is_list, is_fresh=is_fresh)

    async def instruments(self, venue: Venue) -> list[Instrument]:
        """The instruments of *venue*: from the catalog while fresh, else from the venue.

        Where only archives are asked, those that the lake knows.
        """
        catalog = self._storage.catalog
        if self._archive is not None:
            return await asyncio.to_thread(catalog.instruments, venue)
        fetched = await asyncio.to_thread(catalog.markets_fetched_at, venue)
        # A stand-in for the venue may list other instruments than the venue itself.
        if self._base_url is None and fetched is not None and _is_fresh(fetched):
            return await asyncio.to_thread(catalog.instruments, venue)
        listed = await (await self.exchange(venue)).instruments()
        if not self._storage.read_only:
            # A stand-in's list must not pass for the venue's own tomorrow.
            fetched_at = _now() if self._base_url is None else None
            refused = await asyncio.to_thread(
                catalog.upsert_instruments, listed, fetched_at=fetched_at
            )
            self._clashing |= {each.id: each for each in refused}
        return listed

    def require_unique(self, instrument: Instrument) -> None:
        """Refuse an instrument whose code already means another one in this lake.

        Raises:
            InvalidRequest: The code is taken; two instruments must not share one folder.
        """
        if self._clashing.get(instrument.id) == instrument:
            held = self._storage.catalog.instrument(instrument.id)
            taken = f" ({held.symbol})" if held else ""
            raise InvalidRequest(
                f"{instrument.symbol} at {instrument.venue} was asked for, but its code "
                f"{instrument.code} already means another instrument in this lake{taken}. "
                "Keep the two in different lakes: --data ANOTHER_FOLDER."
            )

    async def close(self) -> None:
        """Closes every connection."""
        for source in self._sources.values():
            await source.close()
        self._sources.clear()


def _is_fresh(fetched: datetime) -> bool:
    return _now() - fetched < MARKETS_AGE


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
