"""The venues of a run: one connection each, and the instruments they list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lake.domain.identifiers import Instrument, InstrumentId, Venue
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.sources.ccxt_source import CcxtSource
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
    ) -> None:
        self._storage = storage
        self._base_url = base_url
        self._rate_share = rate_share
        self._on_wait = on_wait
        self._sources: dict[Venue, CcxtSource] = {}
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

    async def source(self, venue: Venue) -> CcxtSource:
        """The connection to *venue*, opened when first asked for."""
        from lake.sources.ccxt_source import CcxtSource

        async with self._opening:
            if venue not in self._sources:
                self._sources[venue] = await CcxtSource.open(
                    venue,
                    base_url=self._base_url,
                    origin=self.origin,
                    ledger=self._storage.rates,
                    rate_share=self._rate_share,
                    on_wait=lambda why, seconds: self._on_wait(venue, why, seconds),
                )
            return self._sources[venue]

    def opened(self, venue: Venue) -> CcxtSource | None:
        """The connection to *venue*, where there is one already."""
        return self._sources.get(venue)

    async def instruments(self, venue: Venue) -> list[Instrument]:
        """The instruments of *venue*: from the catalog while fresh, else from the venue."""
        catalog = self._storage.catalog
        fetched = await asyncio.to_thread(catalog.markets_fetched_at, venue)
        now = datetime.now(UTC).replace(tzinfo=None)
        # A stand-in for the venue may list other instruments than the venue itself.
        if self._base_url is None and fetched is not None and now - fetched < MARKETS_AGE:
            return await asyncio.to_thread(catalog.instruments, venue)
        source = await self.source(venue)
        listed = await source.instruments()
        if not self._storage.read_only:
            # A stand-in's list must not pass for the venue's own tomorrow.
            fetched_at = now if self._base_url is None else None
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
