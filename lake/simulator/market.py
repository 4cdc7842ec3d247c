"""Write a lake of synthetic markets: seeded, month by month, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, Series
from lake.domain.jobs import JobState, Lease
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, intersect
from lake.domain.rows import SourceTag
from lake.domain.schemas import TRADES
from lake.domain.timeframe import Grid, TimeFrame, grid_of
from lake.domain.times import DAY_US, from_us, to_us, utc
from lake.errors import InvalidRequest
from lake.simulator.candles import Candles, join, to_table
from lake.simulator.instruments import Market, markets
from lake.simulator.tape import Day, RollUp, Tape
from lake.storage.lake import PartitionCommit, Storage

DEFAULT_INSTRUMENTS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
DEFAULT_TIMEFRAMES = (TimeFrame.MINUTE_1, TimeFrame.HOUR_1)
DEFAULT_RATE = 0.2
# A generator knows everything about its market; nothing outranks it.
SOURCE = "generator"
SOURCE_RANK = 100
_RENEW_AFTER_S = 8.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far :func:`generate` is: *share* runs from 0 to 1 over all instruments."""

    instrument: str
    month: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Generated:
    """What :func:`generate` wrote."""

    series: tuple[Series, ...]
    rows: int
    trades: int
    seconds: float


def generate(
    storage: Storage,
    *,
    seed: int,
    start: datetime,
    end: datetime,
    instruments: Iterable[str | Market] = DEFAULT_INSTRUMENTS,
    timeframes: Sequence[TimeFrame] = DEFAULT_TIMEFRAMES,
    rate: float = DEFAULT_RATE,
    listings: Mapping[str, datetime] | None = None,
    outages: Sequence[TimeRange] = (),
    store_trades: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Generated:
    """Write synthetic candles, each exactly the aggregate of the trades that were generated.

    Args:
        storage: A lake whose origin is not the venue (``Storage.open(..., origin="synthetic")``).
        seed: The same arguments give the same rows; a day's trades depend on nothing else
            than the seed, the instrument and the rate.
        start: First moment (UTC), cut to the minute; the market has a trade in that minute.
        end: Candles that close later are not written.
        instruments: ccxt symbols, our ids, or ready markets.
        timeframes: Which candles to write.
        rate: Trades per second of a market as lively as BTC.
        listings: Instruments that begin to trade later than *start*.
        outages: When all venues were down: no trades, and no candle that lies wholly inside.
        store_trades: Also store the trades.
        on_progress: Called after every month of every instrument.

    Raises:
        InvalidRequest: The lake holds a real venue's data, or a name or rate is wrong.
    """
    if storage.origin == "venue":
        raise InvalidRequest(
            f"{storage.root} is a lake of real data, and synthetic candles must not join it. "
            "Generate into another folder: --data PATH."
        )
    began = time.monotonic()
    window = TimeRange(utc(start), utc(end))
    chosen = markets(instruments, listings=dict(listings or {}))
    wanted = sorted(set(timeframes), key=lambda each: each.nominal_us)
    by_venue: dict[str, list[Market]] = {}
    for each in chosen:
        by_venue.setdefault(each.instrument.venue.name, []).append(each)
    for members in by_venue.values():
        storage.catalog.upsert_instruments([each.instrument for each in members])
    step_us = 1_000_000 if TimeFrame.SECOND_1 in wanted else 60_000_000
    series: list[Series] = []
    rows = trades = 0
    for number, each in enumerate(chosen):
        tape = Tape(each, window, seed, rate, step_us, tuple(outages))
        writer = _Writer(storage, tape, wanted, store_trades=store_trades)
        series.extend(writer.series)

        writer.run(_reporter(writer, rows, number, len(chosen), on_progress))
        rows += writer.rows
        trades += writer.trades
    return Generated(tuple(series), rows, trades, time.monotonic() - began)


def _reporter(
    writer: _Writer,
    rows_before: int,
    done: int,
    total: int,
    on_progress: Callable[[Progress], None] | None,
) -> Callable[[str, float], None]:
    name = str(writer.tape.market.instrument.id)

    def report(month: str, share: float) -> None:
        if on_progress:
            on_progress(Progress(name, month, rows_before + writer.rows, (done + share) / total))

    return report


class _Writer:
    """Turns one tape into committed partitions, one job for each series."""

    def __init__(
        self, storage: Storage, tape: Tape, timeframes: Sequence[TimeFrame], *, store_trades: bool
    ) -> None:
        self.tape = tape
        self.rows = 0
        self.trades = 0
        self._storage = storage
        instrument = tape.market.instrument
        self._tag = SourceTag(SOURCE, SOURCE_RANK, f"seed {tape.seed}")
        self._candles = [
            _CandleSeries(Series(DataType.OHLCV, instrument.id, timeframe))
            for timeframe in timeframes
        ]
        self._trades = Series(DataType.TRADES, instrument.id) if store_trades else None

    @property
    def series(self) -> list[Series]:
        extra = [self._trades] if self._trades else []
        return [*(each.series for each in self._candles), *extra]

    def run(self, report: Callable[[str, float], None]) -> None:
        tape, catalog = self.tape, self._storage.catalog
        if tape.opening_us >= tape.end_us:
            return
        if tape.market.listed_from is not None:
            catalog.set_listing(
                tape.market.instrument.id, tape.market.listed_from, None, "generated"
            )
        leases = {
            each: _Leased(self._storage, each, self._window, self._tag.origin)
            for each in self.series
        }
        try:
            month: list[Candles] = []
            for day in tape.days():
                # Trades go at once: at a high rate a month of them would not fit in memory.
                if self._trades and len(day.trades):
                    self._commit_trades(day, leases[self._trades].renewed())
                self.trades += len(day.trades)
                month.append(day.candles)
                known_until = min((day.number + 1) * DAY_US, tape.end_us)
                if known_until < tape.end_us and from_us(known_until).day != 1:
                    continue
                fine = join(month)
                month = []
                for held in self._candles:
                    held.take(fine, known_until)
                    self._commit(held, known_until, leases[held.series].renewed())
                span = tape.end_us - tape.opening_us
                name = f"{from_us(day.number * DAY_US):%Y-%m}"
                report(name, (known_until - tape.opening_us) / span)
        except BaseException as error:
            for leased in leases.values():
                leased.finish(JobState.FAILED, str(error) or type(error).__name__)
            raise
        for leased in leases.values():
            leased.finish(JobState.COMPLETED, None)

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

    def _commit_trades(self, day: Day, lease: Lease) -> None:
        assert self._trades is not None
        window = TimeRange(from_us(day.number * DAY_US), from_us((day.number + 1) * DAY_US))
        claims = intersect([window], [self._window])
        self._storage.commit(
            PartitionCommit(
                partition=Partition.of(self._trades, window.start),
                rows=trades_table(day, self.tape.market, first_id=self.trades + 1),
                tag=self._tag,
                claims=tuple(Claim(each, Basis.ANSWER, "generated") for each in claims),
            ),
            lease,
        )


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

    def __init__(self, storage: Storage, series: Series, window: TimeRange, origin: str) -> None:
        storage.catalog.ensure_series(series, origin)
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


def trades_table(day: Day, market: Market, *, first_id: int) -> pa.Table:
    """The day's trades in the lake's ``trades`` schema, numbered densely from *first_id*."""
    trades = day.trades
    count = len(trades)
    numbers = pa.array(np.arange(first_id, first_id + count))
    columns = {
        "ts": pa.array((trades.ms * 1_000).view("datetime64[us]")),
        "trade_id": numbers,
        "price": pa.array(trades.price / float(10**market.price_decimals)),
        "quantity": pa.array(trades.base / float(10**market.base_decimals)),
        "side": pa.array(np.where(trades.buy, "buy", "sell")).cast(pa.string()),
    }
    return pa.Table.from_arrays(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in TRADES.schema],
        schema=TRADES.schema,
    )
