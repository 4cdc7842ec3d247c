"""Commits what a tape plays: one pass over its blocks, every data type in step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, Series
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, intersect
from lake.domain.rows import SourceTag
from lake.domain.schemas import ROW_SPECS
from lake.domain.timeframe import Grid, TimeFrame, grid_of
from lake.domain.times import DAY_US, from_us, to_us
from lake.domain.variants import BookKind, BookVariant, IdScheme, TradeKind, TradesVariant
from lake.simulator.candles import Candles, join, to_table
from lake.simulator.order_books import BookMaker, LastTrade
from lake.simulator.settlements import FundingSchedule, is_perpetual, settlements_table
from lake.simulator.spool import Spool
from lake.simulator.tables import Numbering, TradeForm
from lake.simulator.tape import Block, RollUp, Tape
from lake.storage.lake import PartitionCommit, Storage

# A generator knows everything about its market; nothing outranks it.
SOURCE = "generator"
SOURCE_RANK = 100
_RENEW_AFTER_S = 8.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is stored of a market.

    Attributes:
        timeframes: Candles, shortest first.
        trades: In which form; None: none.
        books_us: Time between order books; None: none.
        levels: Levels on each side of a book.
        funding: When perpetuals settle; None: no funding.
    """

    timeframes: Sequence[TimeFrame]
    trades: TradeForm | None = None
    books_us: int | None = None
    levels: int = 20
    funding: FundingSchedule | None = None

    def variant(self, series: Series) -> str | None:
        """What the rows of *series* are and may not be mixed with."""
        if series.data_type is DataType.TRADES and self.trades is not None:
            return str(TradesVariant(TradeKind(self.trades.value), IdScheme.VENUE))
        if series.data_type is DataType.ORDERBOOK:
            return str(BookVariant(BookKind.REST, self.levels))
        return None


class Writer:
    """Turns one tape into committed partitions, one job for each series."""

    def __init__(self, storage: Storage, tape: Tape, wanted: Wanted) -> None:
        self.tape = tape
        self.rows = 0
        self.trades = 0
        self._storage = storage
        self._tag = SourceTag(SOURCE, SOURCE_RANK, f"seed {tape.seed}")
        self._wanted = wanted
        instrument = tape.market.instrument

        def series(data_type: DataType, timeframe: TimeFrame | None = None) -> Series:
            return Series(data_type, instrument.id, timeframe)

        self._candles = [
            _CandleSeries(series(DataType.OHLCV, timeframe)) for timeframe in wanted.timeframes
        ]
        self._trades = series(DataType.TRADES) if wanted.trades else None
        self._books = series(DataType.ORDERBOOK) if wanted.books_us else None
        self._maker = BookMaker(tape, wanted.books_us, wanted.levels) if wanted.books_us else None
        pays = wanted.funding is not None and is_perpetual(instrument)
        self._funding = series(DataType.FUNDING_RATES) if pays else None
        self._numbering = Numbering()
        self._last = LastTrade()
        self._days = {
            each: Spool(
                ROW_SPECS[each.data_type].schema,
                storage.root,
                most_bytes=storage.sizes.whole_bytes,
            )
            for each in (self._trades, self._books)
            if each is not None
        }
        self._settled: list[tuple[int, int]] = []

    @property
    def series(self) -> list[Series]:
        extra = (self._trades, self._books, self._funding)
        return [*(each.series for each in self._candles), *(each for each in extra if each)]

    def run(self, report: Callable[[str, float], None]) -> None:
        tape, catalog = self.tape, self._storage.catalog
        if tape.opening_us >= tape.end_us:
            return
        if tape.market.listed_from is not None:
            catalog.set_listing(
                tape.market.instrument.id, tape.market.listed_from, None, "generated"
            )
        leases = {
            each: _Leased(
                self._storage, each, self._window, self._tag.origin, self._wanted.variant(each)
            )
            for each in self.series
        }
        try:
            with ExitStack() as days:
                for day in self._days.values():
                    days.enter_context(day)
                self._play(leases, report)
        except BaseException as error:
            for leased in leases.values():
                leased.finish(JobState.FAILED, str(error) or type(error).__name__)
            raise
        for leased in leases.values():
            leased.finish(JobState.COMPLETED, None)

    def _play(self, leases: dict[Series, _Leased], report: Callable[[str, float], None]) -> None:
        tape = self.tape
        month: list[Candles] = []
        for block in tape.blocks():
            self._take(block)
            month.append(block.candles)
            if not block.ends_day:
                continue
            # Trades and books go at once: a month of them would not fit in memory.
            for series, day in self._days.items():
                lease = leases[series].renewed()
                self._commit_rows(series, block.day * DAY_US, day.content(), lease)
                day.clear()
            known_until = min(block.end_us, tape.end_us)
            if known_until < tape.end_us and from_us(known_until).day != 1:
                continue
            fine = join(month)
            month = []
            for held in self._candles:
                held.take(fine, known_until)
                self._commit(held, known_until, leases[held.series].renewed())
            span = tape.end_us - tape.opening_us
            name = f"{from_us(block.day * DAY_US):%Y-%m}"
            report(name, (known_until - tape.opening_us) / span)
        if self._funding:
            self._commit_funding(self._funding, leases[self._funding].renewed())

    def _take(self, block: Block) -> None:
        """Everything of *block* that waits for its day or its year to end."""
        self.trades += len(block.trades)
        if self._trades and self._wanted.trades:
            rows = self._numbering.table(block.trades, self.tape.market, self._wanted.trades)
            self._days[self._trades].append(rows)
        if self._books and self._maker:
            for books in self._maker.tables(block, self._last):
                self._days[self._books].append(books)
        if self._funding and self._wanted.funding:
            moments = self._wanted.funding.moments(
                max(block.start_us, self.tape.opening_us), min(block.end_us, self.tape.end_us)
            )
            price, _ = self._last.at(block, moments)
            known = price > 0
            pairs = zip(moments[known].tolist(), price[known].tolist(), strict=True)
            self._settled.extend(pairs)
        self._last.move_past(block)

    def _commit_rows(
        self, series: Series, at_us: int, rows: pa.Table | Iterable[pa.Table], lease: Lease
    ) -> None:
        """*rows* become the partition in which *at_us* lies; no rows are an answer too."""
        partition = Partition.of(series, from_us(at_us))
        claims = intersect([partition.range], [self._window])
        self._storage.commit(
            PartitionCommit(
                partition=partition,
                rows=rows,
                tag=self._tag,
                claims=tuple(Claim(each, Basis.ANSWER, "generated") for each in claims),
            ),
            lease,
        )

    def _commit_funding(self, series: Series, lease: Lease) -> None:
        assert self._wanted.funding is not None
        settled = np.array(self._settled, np.int64).reshape(-1, 2)
        for partition, window in split(series, self._window):
            first, stop = np.searchsorted(settled[:, 0], [to_us(window.start), to_us(window.end)])
            ours = settled[first:stop]
            rows = ROW_SPECS[series.data_type].schema.empty_table()
            if len(ours):
                moments, ticks = ours[:, 0].copy(), ours[:, 1].copy()
                rows = settlements_table(
                    self.tape.market,
                    self._wanted.funding,
                    moments,
                    ticks,
                    seed=self.tape.seed,
                )
            self._commit_rows(series, to_us(partition.range.start), rows, lease)

    @property
    def _window(self) -> TimeRange:
        return TimeRange(from_us(self.tape.opening_us), from_us(self.tape.end_us))

    def _commit(self, held: _CandleSeries, known_until: int, lease: Lease) -> None:
        """Commit the partitions that no later candle can reach; at the end all of them."""
        final = known_until >= self.tape.end_us
        # Nothing is claimed after the last whole candle.
        answered = TimeRange(
            held.grid.floor(from_us(self.tape.opening_us)),
            max(
                held.grid.floor(from_us(known_until)),
                held.grid.next(from_us(self.tape.opening_us)),
            ),
        )
        notes = self.tape.early_closes(held.grid)
        for partition, candles in held.finished(known_until, final=final):
            claims = intersect([answered], [partition.range])
            result = self._storage.commit(
                PartitionCommit(
                    partition=partition,
                    rows=to_table(candles, self.tape.market),
                    tag=self._tag,
                    claims=tuple(Claim(each, Basis.ANSWER, "generated") for each in claims),
                    notes=tuple(note for note in notes if note.ts in partition.range),
                ),
                lease,
            )
            self.rows += result.rows_added


class _CandleSeries:
    """Candles of one timeframe on their way into partitions."""

    def __init__(self, series: Series) -> None:
        assert series.timeframe is not None
        self.series = series
        self.grid: Grid = grid_of(series.venue, series.timeframe)
        self._roll_up = RollUp(self.grid)
        self._pending: dict[Partition, list[Candles]] = {}

    def take(self, fine: Candles, known_until: int) -> None:
        candles = self._roll_up.push(fine, known_until_us=known_until)
        if len(candles) == 0:
            return
        span = TimeRange(
            from_us(int(candles.ts[0])), from_us(int(candles.ts[-1])) + timedelta(microseconds=1)
        )
        for partition, _ in split(self.series, span):
            first, stop = np.searchsorted(
                candles.ts, [to_us(partition.range.start), to_us(partition.range.end)]
            )
            if first < stop:
                part = candles.slice(int(first), int(stop))
                self._pending.setdefault(partition, []).append(part)

    def finished(self, known_until: int, *, final: bool) -> Iterator[tuple[Partition, Candles]]:
        running = self.grid.floor_us(known_until)
        for partition in list(self._pending):
            if final or to_us(partition.range.end) <= running:
                yield partition, join(self._pending.pop(partition))


class _Leased:
    """A job of the generator and its lease, renewed when it grows old."""

    def __init__(
        self,
        storage: Storage,
        series: Series,
        window: TimeRange,
        origin: str,
        variant: str | None,
    ) -> None:
        storage.catalog.ensure_series(series, origin, variant=variant)
        self._jobs = storage.jobs
        job = self._jobs.create(series, window, kind="generate")
        self._lease = self._jobs.claim(job.job_id, SOURCE)
        self._renewed = time.monotonic()

    def renewed(self) -> Lease:
        if time.monotonic() - self._renewed > _RENEW_AFTER_S:
            self._jobs.renew(self._lease)
            self._renewed = time.monotonic()
        return self._lease

    def finish(self, state: JobState, error: str | None) -> None:
        self._jobs.finish(self._lease, state, error)
