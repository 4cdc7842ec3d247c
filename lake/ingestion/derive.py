"""Builds candles out of the lake's own trades, where those are whole and nowhere else.

What the venue itself answered is left alone. The candles are marked: their coverage has the
source ``derived``, which ranks below every venue, so the venue's own replace them when fetched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim, Coverage
from lake.domain.identifiers import DataType, InstrumentKind, Series
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, intersect, range_or_none, subtract, union
from lake.domain.rows import DERIVED
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import from_us, to_us
from lake.domain.variants import TradeKind, TradesVariant
from lake.errors import LeaseLost, SeriesNotFound
from lake.ingestion.aggregation import CandleBuilder, TradeReader
from lake.ingestion.events import JobEnded, JobStarted, Stored
from lake.storage.gaps import find_gaps
from lake.storage.lake import PartitionCommit

if TYPE_CHECKING:
    from lake.storage.lake import Storage
    from lake.storage.records import SeriesInfo

# A partition of seconds has millions of candles: so many are held before they are committed.
_CANDLES_AT_ONCE = 250_000
# A worker that is silent longer is taken for dead; a day of 15 million trades takes 10 s.
_LEASE_S = 120.0

DeriveEvent = JobStarted | Stored | JobEnded


@dataclass(frozen=True, slots=True)
class Skipped:
    """Candles that were not made, because not all of their time is covered by trades."""

    range: TimeRange
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Derived:
    """What became of one timeframe.

    Attributes:
        series: The candles.
        made: Candles with trades in them, stored now or before.
        added: Those of them that are new.
        changed: Those that replaced other values.
        quiet: Candles whose whole time is covered and has no trade: none was stored.
        left: Candles of ranges that the venue itself answered.
        skipped: What could not be made, ascending.
    """

    series: Series
    made: int
    added: int
    changed: int
    quiet: int
    left: int
    skipped: tuple[Skipped, ...]


def trades_to_ohlcv(
    storage: Storage,
    trades: Series,
    timeframes: Sequence[TimeFrame],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    on_event: Callable[[DeriveEvent], None] | None = None,
) -> list[Derived]:
    """Candles of *timeframes* from the stored trades of one series; one pass over the trades.

    Args:
        storage: The lake.
        trades: A series of trades that it holds.
        timeframes: The candles wanted.
        start: Only candles that open then or later; None: from where the trades begin.
        end: Only candles that close then or before; None: up to where the trades end.
        on_event: Told of jobs and of every partition stored.

    Raises:
        InvalidRequest: The candles are held with rows of another origin than the trades.
        SeriesNotFound: No such trades are held.
        StorageError: A file is damaged, or the lake cannot be written. What was stored stays.
    """
    info = storage.catalog.series_info(trades)
    if info is None:
        raise SeriesNotFound(
            f"The lake has no trades of {trades.instrument_id}. Bring them in with `lake backfill "
            f"{trades.venue} {trades.instrument_id.symbol} --type trades`."
        )
    return _Run(storage, info, start, end, on_event or (lambda event: None)).all(timeframes)


@dataclass(slots=True)
class _Target:
    """The candles of one timeframe on their way into partitions."""

    series: Series
    grid: Grid
    todo: list[TimeRange]
    left: int
    builder: CandleBuilder
    lease: Lease | None = None
    pending: list[pa.Table] = field(default_factory=list)
    done_us: int = 0
    made: int = 0
    added: int = 0
    changed: int = 0

    def take(self, candles: pa.Table) -> None:
        """Keep those of *candles* that are whole."""
        if candles.num_rows == 0 or not self.todo:
            return
        moments = candles["ts"].cast(pa.int64()).to_numpy()
        starts = np.array([to_us(each.start) for each in self.todo])
        ends = np.array([to_us(each.end) for each in self.todo])
        place = np.searchsorted(starts, moments, side="right") - 1
        inside = (place >= 0) & (moments < ends[place])
        if inside.any():
            kept = candles if inside.all() else candles.filter(pa.array(inside))
            self.pending.append(kept)
            self.made += kept.num_rows

    def pieces(self, until_us: int) -> Iterator[tuple[Partition, TimeRange, pa.Table]]:
        """What is final now: partition by partition its candles, and the range they answer."""
        final = range_or_none(from_us(self.done_us), from_us(until_us))
        if final is None:
            return
        rows = pa.concat_tables([OHLCV.schema.empty_table(), *self.pending])
        moments = rows["ts"].cast(pa.int64()).to_numpy()
        for whole in intersect(self.todo, [final]):
            for partition, piece in split(self.series, whole):
                first, end = np.searchsorted(moments, [to_us(piece.start), to_us(piece.end)])
                yield partition, piece, rows.slice(first, end - first)
        self.pending = []
        self.done_us = until_us

    def is_due(self, until_us: int) -> bool:
        """Whether it is time to commit: enough is pending, or a partition is complete."""
        if sum(each.num_rows for each in self.pending) >= _CANDLES_AT_ONCE:
            return True
        before = Partition.of(self.series, from_us(self.done_us))
        return bool(before.range.end <= from_us(until_us))


@dataclass(slots=True)
class _Run:
    """One call of :func:`trades_to_ohlcv`."""

    storage: Storage
    info: SeriesInfo
    start: datetime | None
    end: datetime | None
    emit: Callable[[DeriveEvent], None]
    covered: list[Coverage] = field(default_factory=list)

    def all(self, timeframes: Sequence[TimeFrame]) -> list[Derived]:
        catalog = self.storage.catalog
        self.covered = [each for each in catalog.coverage(self.info.series) if each.promises]
        targets = [self._target(timeframe) for timeframe in dict.fromkeys(timeframes)]
        working = [each for each in targets if each.todo]
        try:
            for target in working:
                self._begin(target)
            self._read(working)
        except KeyboardInterrupt:
            self._end(working, JobState.CANCELLED, "interrupted; what was stored stays")
            raise
        except Exception as error:
            if not isinstance(error, LeaseLost):
                self._end(working, JobState.FAILED, str(error) or type(error).__name__)
            raise
        self._end(working, JobState.COMPLETED, None)
        return [self._derived(target) for target in targets]

    def _target(self, timeframe: TimeFrame) -> _Target:
        series = Series(DataType.OHLCV, self.info.series.instrument_id, timeframe)
        grid = series.grid
        assert grid is not None
        asked = (
            range_or_none(
                max(each.range.start, self.start or each.range.start),
                min(each.range.end, self.end or each.range.end),
            )
            for each in self.covered
        )
        whole = _whole(union(each for each in asked if each is not None), grid)
        own = [
            each.range
            for each in self.storage.catalog.coverage(series)
            if each.promises and each.source_rank > DERIVED.rank
        ]
        todo = _whole(subtract(whole, own), grid)
        left = sum(grid.count(each) for each in whole) - sum(grid.count(each) for each in todo)
        start_us = to_us(todo[0].start) if todo else 0
        return _Target(series, grid, todo, left, CandleBuilder(grid), done_us=start_us)

    def _begin(self, target: _Target) -> None:
        self.storage.catalog.ensure_series(target.series, self.info.origin)
        jobs = self.storage.jobs
        hull = TimeRange(target.todo[0].start, target.todo[-1].end)
        job = jobs.create(target.series, hull, kind="derive")
        target.lease = jobs.claim(job.job_id, f"derive {os.getpid()}", ttl_s=_LEASE_S)
        self.emit(JobStarted(target.series, job.job_id, 1))

    def _read(self, targets: Sequence[_Target]) -> None:
        """One pass over the trades of all that is to be made."""
        needed = union(each for target in targets for each in target.todo)
        days = [
            each.partition
            for each in self.storage.catalog.partitions(self.info.series)
            if intersect([each.partition.range], needed)
        ]
        reader = self._reader()
        told_at = time.monotonic()
        for number, day in enumerate(days, start=1):
            if time.monotonic() - told_at > _LEASE_S / 4:
                # A month's candle is committed once, after hours of trades perhaps.
                for target in targets:
                    self._renew(target)
                told_at = time.monotonic()
            for table in self.storage.read_tables(day):
                numbers = reader.read(table)
                for target in targets:
                    target.take(target.builder.feed(numbers))
            for target in targets:
                target.take(target.builder.close(to_us(day.range.end)))
                until_us = target.grid.floor_us(to_us(day.range.end))
                if target.is_due(until_us):
                    self._commit(target, until_us, number / len(days))
        for target in targets:
            self._commit(target, to_us(target.todo[-1].end), 1.0)

    def _reader(self) -> TradeReader:
        variant = self.info.variant
        kind = None if variant is None else TradesVariant.from_str(variant).kind
        instrument = self.storage.catalog.instrument(self.info.series.instrument_id)
        is_inverse = instrument is not None and instrument.kind is InstrumentKind.INVERSE
        return TradeReader(
            is_aggregate=kind is not TradeKind.SINGLE,
            contract_value=instrument.contract_size if instrument and is_inverse else None,
        )

    def _commit(self, target: _Target, until_us: int, progress: float) -> None:
        assert target.lease is not None
        for partition, piece, rows in target.pieces(until_us):
            self._renew(target)
            result = self.storage.commit(
                PartitionCommit(
                    partition=partition,
                    rows=rows,
                    tag=replace(DERIVED, origin=self.info.origin),
                    claims=(self._claim(piece),),
                    progress=progress,
                    confirmed_at=min(each.confirmed_at for each in self._under(piece)),
                ),
                target.lease,
            )
            target.added += result.rows_added
            target.changed += result.rows_changed
            self.emit(
                Stored(
                    target.series,
                    partition.path,
                    result.rows_added,
                    result.rows_changed,
                    result.bytes,
                )
            )

    def _renew(self, target: _Target) -> None:
        assert target.lease is not None
        if self.storage.jobs.renew(target.lease, ttl_s=_LEASE_S).cancel_requested:
            raise KeyboardInterrupt

    def _under(self, piece: TimeRange) -> list[Coverage]:
        return [each for each in self.covered if each.range.overlaps(piece)]

    def _claim(self, piece: TimeRange) -> Claim:
        """As good as what the trades rest on."""
        bases = {each.basis for each in self._under(piece)}
        basis = Basis.ARCHIVE if bases == {Basis.ARCHIVE} else Basis.ANSWER
        return Claim(piece, basis, f"built from {self.info.variant or 'stored'} trades")

    def _end(self, targets: Sequence[_Target], state: JobState, error: str | None) -> None:
        for target in targets:
            if target.lease is None:
                continue
            self.storage.jobs.finish(target.lease, state, error)
            rows = target.added + target.changed
            self.emit(JobEnded(target.series, target.lease.job_id, state, rows, error))

    def _derived(self, target: _Target) -> Derived:
        due = sum(target.grid.count(each) for each in target.todo)
        return Derived(
            target.series,
            target.made,
            target.added,
            target.changed,
            due - target.made,
            target.left,
            tuple(self._skipped(target)),
        )

    def _skipped(self, target: _Target) -> Iterator[Skipped]:
        grid = target.grid
        gaps = find_gaps(self.storage, [self.info.series])
        spans = [each.range for each in self.covered] + [each.range for each in gaps]
        if not spans:
            return
        examined = range_or_none(
            grid.ceil(self.start) if self.start else grid.floor(min(spans).start),
            grid.floor(self.end) if self.end else grid.ceil(max(each.end for each in spans)),
        )
        covered = union(each.range for each in self.covered)
        for each in subtract([examined] if examined else [], _whole(covered, grid)):
            lacking = subtract([each], covered)
            more = f" and {len(lacking) - 1:,} other ranges" if len(lacking) > 1 else ""
            reasons = dict.fromkeys(
                f"; {gap.reason}: {gap.evidence}" for gap in gaps if gap.range.overlaps(each)
            )
            why = f"no whole trades of {lacking[0]}{more}{''.join(reasons)}"
            yield Skipped(each, grid.count(each), why)


def _whole(ranges: Sequence[TimeRange], grid: Grid) -> list[TimeRange]:
    """The parts of *ranges* that whole candles fill."""
    cut = (range_or_none(grid.ceil(each.start), grid.floor(each.end)) for each in ranges)
    return [each for each in cut if each is not None]
