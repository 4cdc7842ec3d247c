"""What of a plan is taken from a vendor's archive, and how it is brought. Knows no planning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.jobs import Lease
from lake.domain.ranges import TimeRange, intersect, subtract
from lake.errors import InvalidRequest, LakeError, SourceError
from lake.ingestion.archive_pass import ArchivePass
from lake.ingestion.brought import Brought
from lake.ingestion.estimates import Sureness
from lake.ingestion.events import Listener
from lake.sources.archive.archive_source import no_archive
from lake.sources.archive.binance_tree import (
    DEFAULT_URL,
    Choice,
    RemoteFile,
    choose,
    is_offered,
    variant_of,
)
from lake.sources.archive.download import Downloader

if TYPE_CHECKING:
    from lake.ingestion.gates import Gates
    from lake.ingestion.planning import SeriesPlan
    from lake.storage.lake import Storage

# Below the lake, so that a killed download goes on; a dot hides it from readers of files.
DOWNLOADS = ".downloads"
_NO_SUCH_FILE = "the archive has no such file"
# For a plan: what a candle takes on disk, and zipped; a line of 64 Mbit/s; asking for a file and
# its checksum. How large files of trades are, nobody knows before.
_BYTES_A_CANDLE, _ZIPPED_A_CANDLE = 40, 55
_LINE_BYTES_A_SECOND = 8_000_000
_SECONDS_A_FILE = 0.1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A range of one series, with the instrument as its venue knows it."""

    instrument: Instrument
    series: Series
    range: TimeRange


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plan takes from an archive.

    Attributes:
        pieces: All that is to be brought.
        asked: What of it is asked of the venue.
        files: What is downloaded for the rest.
        rows: Candles in those files that are wanted; 0 where nobody knows.
        sureness: How well the rows are known, where files make a difference.
    """

    pieces: Sequence[TimeRange]
    asked: Sequence[TimeRange]
    files: tuple[RemoteFile, ...] = ()
    rows: int = 0
    sureness: Sureness | None = None
    variant: str | None = None

    @property
    def bytes(self) -> int:
        return self.rows * _BYTES_A_CANDLE

    @property
    def seconds(self) -> float:
        coming = self.rows * _ZIPPED_A_CANDLE / _LINE_BYTES_A_SECOND
        return len(self.files) * _SECONDS_A_FILE + coming


class Archives:
    """The vendors' archives of one run.

    Args:
        storage: The lake.
        choice: Where rows are taken from.
        url: The tree's root; None: the vendor's own.
        is_stand_in: Whether another address answers for the venues: then the vendor's own
            archive would mix other rows in, and only a *url* of its own is used.
        origin: What marks rows that come from *url*.
        min_free: Bytes that stay free on the disk.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        choice: Choice,
        url: str | None,
        is_stand_in: bool,
        origin: str,
        min_free: int,
    ) -> None:
        self._storage = storage
        self.choice = choice
        self._is_stand_in = is_stand_in and url is None
        self.origin = origin
        self.min_free = min_free
        self.downloader = Downloader(
            url or DEFAULT_URL, storage.root / DOWNLOADS, min_free=min_free
        )

    async def close(self) -> None:
        """Release the connections."""
        await self.downloader.close()

    def offer(self, each: Wanted, pieces: Sequence[TimeRange], now: datetime) -> Offer:
        """What of *pieces* comes from files.

        Raises:
            InvalidRequest: Only archives are wanted, and there is none for this.
        """
        series = each.series
        if self.choice is Choice.REST or not pieces:
            return Offer(pieces, pieces)
        is_only = self.choice is Choice.ARCHIVE
        if self._is_stand_in or not is_offered(series):
            if is_only:
                is_stand_in = self._is_stand_in
                raise InvalidRequest(
                    _is_stand_ins(series) if is_stand_in else no_archive(str(series))
                )
            return Offer(pieces, pieces)
        info = self._storage.catalog.series_info(series)
        held = None if info is None else info.variant
        variant = variant_of(series, held) if is_only or _is_mixable(series, held) else None
        if series.data_type is DataType.TRADES and variant is None:
            return Offer(pieces, pieces)
        files = choose(
            series,
            each.instrument.native_id,
            pieces,
            now=now,
            variant=variant,
            only_worthwhile=not is_only,
        )
        if not files:
            if is_only:
                raise InvalidRequest(
                    f"{series} of {each.range} was asked for, but {series.venue}'s archive has no "
                    "file of that range yet: days come the next day, months in the next one. "
                    "Fetch it from the venue: --source rest."
                )
            return Offer(pieces, pieces)
        promised = [file.promise for file in files]
        wanted = intersect(list(pieces), promised)
        grid = series.grid
        return Offer(
            pieces=wanted if is_only else pieces,
            asked=[] if is_only else subtract(list(pieces), promised),
            files=tuple(files),
            rows=0 if grid is None else sum(grid.count(piece) for piece in wanted),
            sureness=Sureness.UNKNOWN if grid is None else Sureness.AT_MOST,
            variant=variant,
        )

    async def bring(
        self,
        plan: SeriesPlan,
        lease: Lease,
        *,
        now: datetime,
        gates: Gates,
        emit: Listener,
        must_stop: Callable[[], bool],
    ) -> Brought:
        """Bring the files of *plan*; what went wrong in the lake is told with what was brought."""
        bringing = ArchivePass(
            self._storage,
            self.downloader,
            plan.series,
            plan.instrument,
            lease,
            gates,
            emit,
            must_stop,
            now,
            origin=self.origin,
            variant=plan.variant,
            is_again=plan.refetch,
        )
        try:
            await bringing.bring(plan.files, plan.pieces)
        except LakeError as error:
            return Brought(bringing.rows, (), error)
        left = await asyncio.to_thread(self._left, plan, lease)
        if plan.asks_venue:
            return Brought(bringing.rows, left)
        if not left or must_stop():
            return Brought(bringing.rows, ())
        why = bringing.problems[0] if bringing.problems else _NO_SUCH_FILE
        for part in left:
            self._storage.catalog.add_failed(plan.series, part, lease.job_id, why)
        problem = None
        if bringing.problems:
            count = len(bringing.problems)
            text = f"{count:,} archive {'files' if count > 1 else 'file'} could not be used: {why}"
            problem = SourceError(text, retryable=False)
        elif not bringing.files_had and not self._storage.catalog.partitions(plan.series):
            name = plan.instrument.native_id
            problem = SourceError(
                f"{plan.series.venue}'s archive has no file of {name} in {plan.wanted}. Is the "
                "name right, and was it listed then?",
                retryable=False,
            )
        return Brought(bringing.rows, (), problem)

    def _left(self, plan: SeriesPlan, lease: Lease) -> list[TimeRange]:
        """What of *plan* no file has answered."""
        covered = [row for row in self._storage.catalog.coverage(plan.series) if row.promises]
        if plan.refetch:
            covered = [row for row in covered if row.job_id == lease.job_id]
        return subtract(list(plan.pieces), [row.range for row in covered])


def _is_mixable(series: Series, held: str | None) -> bool:
    """Whether what REST gives of *series* and what its archives give is the same kind."""
    return series.data_type is not DataType.TRADES or held in (None, "aggregate/venue")


def _is_stand_ins(series: Series) -> str:
    return (
        "Only archives were asked for (--source archive), but another address answers for "
        f"{series.venue}: the vendor's own files would mix other rows in. Name the archive "
        "that goes with it: --archive-url URL."
    )
