"""Candles out of trades: exact, only where trades are whole, below the venue's own, marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.domain.coverage import Basis, Claim
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import OHLCV, TRADES
from lake.domain.timeframe import TimeFrame, grid_of
from lake.errors import InvalidRequest, SeriesNotFound
from lake.ingestion.aggregation import CandleBuilder, TradeReader, decimal_amounts
from lake.ingestion.derive import trades_to_ohlcv
from lake.simulator.market import generate
from lake.simulator.tables import TradeForm
from lake.storage.gaps import find_gaps
from lake.storage.lake import PartitionCommit, Storage
from tests.storage.storage_kit import Row

START = datetime(2024, 1, 1)
BITCOIN = InstrumentId("BTCUSDT", Venue("BINANCE"))
VENUE = SourceTag("ccxt", 50)
FRAMES = [TimeFrame(name) for name in ("1m", "5m", "1h", "1d", "3d", "1w", "1mo")]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        yield storage


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def span(first: float, end: float) -> TimeRange:
    return TimeRange(at(first), at(end))


def trade(minute: float, number: int, **columns: object) -> Row:
    """A trade so many minutes into 2024; its price is its number."""
    told = {"price": float(number), "quantity": 1.0, "side": "buy"}
    ids = {"first_trade_id": 2 * number, "last_trade_id": 2 * number + 1}
    return {"ts": at(minute), "trade_id": number, **told, **ids, **columns}


def keep(
    storage: Storage,
    series: Series,
    rows: pa.Table,
    *ranges: TimeRange,
    variant: str | None = None,
    origin: str = "venue",
    tag: SourceTag = VENUE,
    basis: Basis = Basis.ANSWER,
) -> None:
    """Store *rows*, with *ranges* covered."""
    storage.catalog.ensure_series(series, origin, variant=variant)
    bounds = pc.min_max(rows["ts"]).as_py() if rows.num_rows else None
    spans = list(ranges)
    if bounds:
        spans.append(TimeRange(bounds["min"], bounds["max"] + timedelta(microseconds=1)))
    hull = TimeRange(min(each.start for each in spans), max(each.end for each in spans))
    job = storage.jobs.create(series, hull, kind="import")
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, window in split(series, hull):
        inside = pc.and_(
            pc.greater_equal(rows["ts"], pa.scalar(window.start, pa.timestamp("us"))),
            pc.less(rows["ts"], pa.scalar(window.end, pa.timestamp("us"))),
        )
        claims = tuple(
            Claim(both, basis, "second answer")
            for each in ranges
            if (both := each.intersection(partition.range))
        )
        change = PartitionCommit(
            partition=partition, rows=rows.filter(inside), tag=tag, claims=claims
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


def keep_trades(
    storage: Storage,
    rows: Sequence[Row],
    *ranges: TimeRange,
    variant: str = "aggregate/venue",
    basis: Basis = Basis.ANSWER,
) -> Series:
    series = Series(DataType.TRADES, BITCOIN)
    table = pa.Table.from_pylist(list(rows), TRADES.schema)
    keep(storage, series, table, *ranges, variant=variant, basis=basis)
    return series


def held(storage: Storage, series: Series) -> pa.Table:
    parts = [
        table
        for info in storage.catalog.partitions(series)
        for table in storage.read_tables(info.partition)
    ]
    return pa.concat_tables([OHLCV.schema.empty_table(), *parts])


# What a candle is


def test_a_candle_is_what_its_trades_say(storage: Storage) -> None:
    """First, highest, lowest and last price, sums, fills by their ids, what takers bought."""
    trades = keep_trades(
        storage,
        [
            trade(0.1, 5, quantity=0.1),
            trade(0.2, 9, quantity=0.2, side="sell"),
            trade(0.9, 3, quantity=0.3, last_trade_id=11),
            trade(1.0, 4),
        ],
        span(0, 2),
    )

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    first, second = held(storage, made.series).to_pylist()
    assert first == {
        "ts": at(0),
        "open": 5.0,
        "high": 9.0,
        "low": 3.0,
        "close": 3.0,
        # As decimals, not 0.6000000000000001.
        "volume": 0.6,
        "quote_volume": 3.2,
        "trade_count": 2 + 2 + 6,
        "taker_buy_volume": 0.4,
        "taker_buy_quote_volume": 1.4,
    }
    assert (second["ts"], second["volume"], second["trade_count"]) == (at(1), 1.0, 2)
    assert (made.made, made.added, made.quiet, made.skipped) == (2, 2, 0, ())


def test_what_the_trades_do_not_say_is_null(storage: Storage) -> None:
    """One trade without a side, or without the ids of its fills, and nobody knows the sum."""
    trades = keep_trades(
        storage,
        [
            trade(0.1, 1, side=None),
            trade(0.2, 2),
            trade(1.1, 3, first_trade_id=None, last_trade_id=None),
            trade(2.1, 4),
        ],
        span(0, 3),
    )

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    names = ("trade_count", "taker_buy_volume", "taker_buy_quote_volume")
    told = [tuple(row[name] for name in names) for row in held(storage, made.series).to_pylist()]
    assert told == [(4, None, None), (None, 1.0, 3.0), (2, 1.0, 4.0)]


def test_single_trades_count_one_each(storage: Storage) -> None:
    rows = [trade(0.1, each, first_trade_id=None, last_trade_id=None) for each in (1, 2, 3)]
    trades = keep_trades(storage, rows, span(0, 1), variant="single/venue")

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    assert held(storage, made.series)["trade_count"].to_pylist() == [3]


# Where candles are made


def test_a_candle_that_trades_cover_in_part_is_not_made(storage: Storage) -> None:
    """Half an hour of trades is no hour: it is left out, counted, and the reason is said."""
    rows = [trade(minute, number) for number, minute in enumerate(range(30, 200, 10), start=1)]
    trades = keep_trades(storage, rows, span(30, 150), span(170, 200))

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.HOUR_1])

    assert held(storage, made.series)["ts"].to_pylist() == [at(60)]
    assert [(part.range, part.count) for part in made.skipped] == [
        (span(0, 60), 1),
        (span(120, 240), 2),
    ]
    assert "not_fetched: never asked for" in made.skipped[1].why
    assert [each.range for each in storage.catalog.coverage(made.series)] == [span(60, 120)]


def test_trades_that_nobody_promises_to_be_whole_make_no_candle(storage: Storage) -> None:
    """An import that may be cut short cannot vouch for a volume."""
    trades = keep_trades(storage, [trade(0.5, 1), trade(2.5, 2)], span(0, 3), basis=Basis.ROWS_ONLY)

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    assert (made.made, made.quiet, sum(part.count for part in made.skipped)) == (0, 0, 3)
    assert "does not promise" in made.skipped[0].why
    assert storage.catalog.series_info(made.series) is None


def test_a_covered_minute_without_trades_is_known_to_have_none(storage: Storage) -> None:
    """No candle, and no doubt either: the gap says that nobody traded."""
    trades = keep_trades(storage, [trade(0.5, 1), trade(4.5, 2)], span(0, 6))

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    assert (made.made, made.quiet) == (2, 4)
    gaps = find_gaps(storage, [made.series])
    assert [(gap.range, gap.missing_count, gap.reason) for gap in gaps] == [
        (span(1, 4), 3, GapReason.NO_TRADES),
        (span(5, 6), 1, GapReason.NO_TRADES),
    ]
    assert "built from aggregate/venue trades" in gaps[0].evidence


def test_only_candles_that_lie_wholly_in_the_range_asked_for_are_made(storage: Storage) -> None:
    rows = [trade(minute + 0.5, minute + 1) for minute in range(10)]
    trades = keep_trades(storage, rows, span(0, 10))

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1], start=at(2.5), end=at(6.5))

    assert held(storage, made.series)["ts"].to_pylist() == [at(3), at(4), at(5)]
    assert made.skipped == ()


def test_making_them_again_changes_nothing(storage: Storage) -> None:
    trades = keep_trades(storage, [trade(0.5, 1), trade(4.5, 2)], span(0, 6))
    [first] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])
    before = storage.catalog.partitions(first.series)

    [again] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    assert (again.made, again.added, again.changed) == (2, 0, 0)
    assert storage.catalog.partitions(first.series) == before


# Beside the venue's own


def candle(minute: int, price: float) -> Row:
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"ts": at(minute), **prices, "volume": 7.0}


def test_the_venues_own_candles_are_left_as_they_are(storage: Storage) -> None:
    """It answered for minutes 2 to 4, and had one: what it says of them stands."""
    minutes = Series(DataType.OHLCV, BITCOIN, TimeFrame.MINUTE_1)
    own = pa.Table.from_pylist([candle(2, 50.0)], OHLCV.schema)
    keep(storage, minutes, own, span(2, 4))
    rows = [trade(minute + 0.5, minute + 1) for minute in range(6)]
    trades = keep_trades(storage, rows, span(0, 6))

    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    assert (made.made, made.left) == (4, 2)
    closes = {row["ts"]: row["close"] for row in held(storage, minutes).to_pylist()}
    assert closes == {at(0): 1.0, at(1): 2.0, at(2): 50.0, at(4): 5.0, at(5): 6.0}
    sources = [(each.range, each.source) for each in storage.catalog.coverage(minutes)]
    assert sources == [(span(0, 2), "derived"), (span(2, 4), "ccxt"), (span(4, 6), "derived")]
    gaps = [(gap.range, gap.reason) for gap in find_gaps(storage, [minutes])]
    assert gaps == [(span(3, 4), GapReason.VENUE_HAS_NONE)]


def test_the_venues_own_candles_replace_derived_ones(storage: Storage) -> None:
    """Fetched later, with every column, they rank higher."""
    rows = [trade(minute + 0.5, minute + 1) for minute in range(3)]
    trades = keep_trades(storage, rows, span(0, 3))
    [made] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])
    told = held(storage, made.series).to_pylist()
    own = [{**row, "close": row["close"] + 1, "high": row["high"] + 1} for row in told]

    keep(storage, made.series, pa.Table.from_pylist(own, OHLCV.schema), span(0, 3))

    assert held(storage, made.series)["close"].to_pylist() == [2.0, 3.0, 4.0]
    assert [each.source for each in storage.catalog.coverage(made.series)] == ["ccxt"]


def test_trades_of_another_origin_do_not_join_the_venues_candles(storage: Storage) -> None:
    minutes = Series(DataType.OHLCV, BITCOIN, TimeFrame.MINUTE_1)
    own = pa.Table.from_pylist([candle(2, 50.0)], OHLCV.schema)
    keep(storage, minutes, own, span(2, 3))
    series = Series(DataType.TRADES, BITCOIN)
    table = pa.Table.from_pylist([trade(0.5, 1)], TRADES.schema)
    keep(storage, series, table, span(0, 2), variant="single/venue", origin="http://127.0.0.1")

    with pytest.raises(InvalidRequest, match="would be mixed"):
        trades_to_ohlcv(storage, series, [TimeFrame.MINUTE_1])
    with pytest.raises(SeriesNotFound, match="has no trades of ETHUSDT"):
        trades_to_ohlcv(
            storage,
            Series(DataType.TRADES, InstrumentId("ETHUSDT", BITCOIN.venue)),
            [TimeFrame.MINUTE_1],
        )


# Exact


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the box: 40 days of trades, and the candles that it made of them itself."""
    root = tmp_path_factory.mktemp("derive") / "market"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            start=datetime(2024, 1, 29),
            end=datetime(2024, 3, 9),
            instruments=["BTC/USDT", "PEPE/USDT:USDT", "BTC/USD:BTC"],
            timeframes=FRAMES,
            store_trades=True,
            trade_form=TradeForm.AGGREGATE,
            outages=[TimeRange(datetime(2024, 2, 3, 4), datetime(2024, 2, 3, 9, 30))],
            rate=0.03,
        )
    return root


@pytest.mark.parametrize("code", ["BTCUSDT", "PEPEUSDT-PERP", "BTCUSD-PERP-BTC"])
def test_what_is_built_equals_what_the_exchange_in_the_box_says(
    market: Path, storage: Storage, code: str
) -> None:
    """Seven timeframes, weeks and months among them, every column of every candle with trades.

    The coins of an inverse contract are rounded to 8 decimals by the box, trade by trade.
    """
    with Storage.open(market, read_only=True) as truth:
        [trades] = [
            info
            for info in truth.catalog.series()
            if info.series.data_type is DataType.TRADES and info.series.instrument_id.symbol == code
        ]
        instrument = truth.catalog.instrument(trades.series.instrument_id)
        assert instrument is not None
        storage.catalog.upsert_instruments([instrument])
        rows = pa.concat_tables(
            table
            for info in truth.catalog.partitions(trades.series)
            for table in truth.read_tables(info.partition)
        )
        [covered] = truth.catalog.coverage(trades.series)
        keep(storage, trades.series, rows, covered.range, variant=trades.variant)

        for made in trades_to_ohlcv(storage, trades.series, FRAMES):
            built = held(storage, made.series)
            told = pa.concat_tables(
                table
                for info in truth.catalog.partitions(made.series)
                for table in truth.read_tables(info.partition)
            )
            whole = pc.and_(pc.is_in(told["ts"], built["ts"]), pc.greater(told["trade_count"], 0))
            told = told.filter(whole)
            assert built.num_rows == told.num_rows == made.made > 0
            coins = [n for n in ("volume", "taker_buy_volume") if code.endswith("-BTC")]
            rest = [name for name in told.column_names if name not in coins]
            assert built.select(rest).equals(told.select(rest)), made.series
            for name in coins:
                off = np.abs(built[name].to_numpy() - told[name].to_numpy())
                assert (off <= 1e-8 * told["trade_count"].to_numpy()).all()


@given(st.integers(0, 2**32))
def test_where_tables_end_changes_no_digit(seed: int) -> None:
    """Row groups, days and pages are ours; sums must not know of them."""
    random = Random(seed)
    decimals = random.choice([0, 2, 8])
    rows = []
    moment = START
    for number in range(random.randrange(1, 60)):
        moment += timedelta(milliseconds=random.choice([0, 0, 10, 40_000, 200_000]))
        price = round(random.uniform(0.1, 70_000), random.choice([2, 8]))
        size = round(random.uniform(10**-decimals, 90), decimals) or 1.0
        if random.random() < 0.02:
            size = random.random() / 3  # no short decimal
        side = random.choice(["buy", "sell", "buy", "sell", None])
        ids = {"first_trade_id": number, "last_trade_id": number}
        row = {"ts": moment, "trade_id": number, "price": price, "quantity": size, "side": side}
        rows.append({**row, **ids})
    table = pa.Table.from_pylist(rows, TRADES.schema)
    grid = grid_of(BITCOIN.venue, random.choice([TimeFrame.MINUTE_1, TimeFrame.HOUR_1]))

    built = []
    for step in (len(rows), random.randrange(1, 9)):
        reader, builder = TradeReader(is_aggregate=True), CandleBuilder(grid)
        parts = [
            builder.feed(reader.read(table.slice(first, step)))
            for first in range(0, len(rows), step)
        ]
        built.append(pa.concat_tables([*parts, builder.close(1 << 60)]))

    assert built[0].equals(built[1])
    candles = built[0].to_pylist()
    for candle in candles:
        inside = [row for row in rows if grid.floor(row["ts"]) == candle["ts"]]
        told = [
            Fraction(size if len(repr(size)) > 16 else repr(size))
            for size in (row["quantity"] for row in inside)
        ]
        assert candle["volume"] == float(sum(told))


def test_sums_that_no_double_or_int64_holds_are_still_the_nearest() -> None:
    """Eight decimals of a large price times eight of a large amount pass 2**63."""
    values = np.full(3, 99_999.99999999)
    table = pa.Table.from_pylist(
        [
            {"ts": at(0), "trade_id": number, "price": 99_999.99999999, "quantity": 99_999.99999999}
            for number in range(3)
        ],
        TRADES.schema,
    )
    builder = CandleBuilder(grid_of(BITCOIN.venue, TimeFrame.MINUTE_1))
    builder.feed(TradeReader(is_aggregate=False).read(table))

    [candle] = builder.close(1 << 60).to_pylist()

    exact = 3 * Fraction("99999.99999999") ** 2
    assert candle["quote_volume"] == float(exact)
    amounts = decimal_amounts(values)
    assert (amounts.decimals, amounts.whole.tolist()) == (8, [9_999_999_999_999] * 3)


def test_amounts_without_short_decimals_are_summed_as_they_are() -> None:
    """Coins of an inverse contract: a third is a third, and the sum is exact all the same."""
    values = np.array([1 / 3, 1 / 7, 1e-9, 2 / 3])

    amounts = decimal_amounts(values)
    sums = amounts.grouped(np.array([0, 2]))

    assert amounts.whole.tolist() == [0, 0, 1, 0]
    assert sums.doubles(0, 2).tolist() == [
        math.fsum(values[:2]),
        float(Fraction(1, 10**9) + Fraction(2 / 3)),
    ]
    assert sums.exact(0) == Fraction(1 / 3) + Fraction(1 / 7)
