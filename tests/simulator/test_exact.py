"""The lake proves itself: candles, books and funding say what the stored trades say."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.simulator.instruments import Market, market
from lake.simulator.market import generate
from lake.simulator.tables import TradeForm
from lake.storage.lake import Storage

START, END = datetime(2024, 1, 30, 21), datetime(2024, 2, 1, 3)
OUTAGE = TimeRange(datetime(2024, 1, 31, 4, 10, 20), datetime(2024, 1, 31, 5, 30))
HOUR_US, MINUTE_US = 3_600_000_000, 60_000_000
Make = Callable[..., dict[DataType, pa.Table]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Generates one market and gives back its rows by type."""

    def made(name: str, *, seed: int = 1, **options: Any) -> dict[DataType, pa.Table]:
        with Storage.open(tmp_path / "lake", create=True, origin="synthetic") as storage:
            settings: dict[str, Any] = {
                "start": START,
                "end": END,
                "timeframes": [TimeFrame.MINUTE_1],
                "rate": 0.3,
                "store_trades": True,
                "outages": [OUTAGE],
            }
            generate(storage, seed=seed, instruments=[name], **settings | options)
            rows: dict[DataType, list[pa.Table]] = {}
            for info in storage.catalog.series():
                for each in storage.catalog.partitions(info.series):
                    table = storage.read_partition(each.partition)
                    rows.setdefault(info.series.data_type, []).append(table)
        return {kind: pa.concat_tables(tables) for kind, tables in rows.items()}

    return made


def whole(column: pa.ChunkedArray, decimals: int) -> Any:
    """The numbers of a column in units of their last decimal, as integers."""
    return np.rint(column.to_numpy() * 10**decimals).astype(np.int64)


def us(table: pa.Table, name: str = "ts") -> Any:
    return table[name].cast(pa.int64()).to_numpy()


def sums(groups: Any, values: Any, count: int) -> Any:
    total = np.zeros(count, np.int64)
    np.add.at(total, groups, values)
    return total


def check_candles(candles: pa.Table, trades: pa.Table, its: Market) -> None:
    """Every column of every candle equals what *trades* add up to, in whole units."""
    opens, ts = us(candles), us(trades)
    assert len(trades) > 5_000
    slot = np.searchsorted(opens, ts, side="right") - 1
    assert ((ts - opens[slot] >= 0) & (ts - opens[slot] < MINUTE_US)).all()
    price = whole(trades["price"], its.price_decimals)
    base = whole(trades["quantity"], its.base_decimals)
    if its.is_inverse:
        contracts = trades["quantity"].to_numpy() * trades["price"].to_numpy() / its.contract_units
        quote = np.rint(contracts).astype(np.int64) * its.contract_units
    else:
        quote = price * base
    count = (
        np.ones(len(trades), np.int64)
        if trades["first_trade_id"].null_count
        else (trades["last_trade_id"].to_numpy() - trades["first_trade_id"].to_numpy() + 1)
    )
    buy = np.array(trades["side"].to_pylist()) == "buy"
    size = len(candles)
    for name, values, decimals in (
        ("volume", base, its.base_decimals),
        ("quote_volume", quote, its.quote_decimals),
        ("trade_count", count, 0),
        ("taker_buy_volume", np.where(buy, base, 0), its.base_decimals),
        ("taker_buy_quote_volume", np.where(buy, quote, 0), its.quote_decimals),
    ):
        assert (whole(candles[name], decimals) == sums(slot, values, size)).all(), name
    traded = np.flatnonzero(sums(slot, count, size))
    first = np.searchsorted(slot, traded)
    last = np.searchsorted(slot, traded, side="right") - 1
    for name, expected in (
        ("open", price[first]),
        ("close", price[last]),
        ("high", np.maximum.reduceat(price, first)),
        ("low", np.minimum.reduceat(price, first)),
    ):
        assert (whole(candles[name], its.price_decimals)[traded] == expected).all(), name


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["BTC/USDT", "PEPE/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_candles_are_the_aggregate_of_the_stored_trades(make: Make, name: str, seed: int) -> None:
    """Across seeds and kinds of contract, an outage and a month's end: no unit is missing."""
    rows = make(name, seed=seed)

    check_candles(rows[DataType.OHLCV], rows[DataType.TRADES], market(name))


@pytest.mark.parametrize("name", ["BTC/USDT", "SOL/USDT:USDT"])
def test_single_trades_add_up_to_the_same_candles(make: Make, name: str) -> None:
    """Every fill by itself: the same candles, and as many rows as they count trades."""
    rows = make(name, trade_form=TradeForm.SINGLE)

    trades, candles = rows[DataType.TRADES], rows[DataType.OHLCV]
    check_candles(candles, trades, market(name))
    assert len(trades) == sum(candles["trade_count"].to_pylist())
    assert (np.diff(trades["trade_id"].to_numpy()) == 1).all()


def test_aggregates_have_what_makes_real_ones_hard(make: Make) -> None:
    """Dense ids of both kinds, milliseconds of several trades, rows equal but for their ids."""
    trades = make("BTC/USDT")[DataType.TRADES]

    ids, ts = trades["trade_id"].to_numpy(), us(trades)
    first, last = trades["first_trade_id"].to_numpy(), trades["last_trade_id"].to_numpy()
    price, quantity = trades["price"].to_numpy(), trades["quantity"].to_numpy()
    assert (np.diff(ids) == 1).all()
    assert (first[1:] == last[:-1] + 1).all()
    assert ids[0] == first[0] == 1
    assert 0.2 < (last > first).mean() < 0.6
    assert (np.diff(ts) >= 0).all()
    assert (ts % 1_000 == 0).all()
    assert 0.1 < (np.diff(ts) == 0).mean() < 0.4
    same = (np.diff(ts) == 0) & (np.diff(price) == 0) & (np.diff(quantity) == 0)
    assert 0.005 < same.mean() < 0.05


def test_books_stand_around_the_last_trade(make: Make) -> None:
    """On the grid, ordered, not crossed, and the newest trade is at the side it took from."""
    rows = make("BTC/USDT:USDT", books=timedelta(seconds=10), book_levels=20)

    books, trades = rows[DataType.ORDERBOOK], rows[DataType.TRADES]
    ts, traded = us(books), us(trades)
    assert (ts % 10_000_000 == 0).all()
    open_hours = 30 - 4_780 / 3_600
    assert 0.99 < len(ts) / (open_hours * 360) <= 1
    assert (np.diff(books["sequence"].to_numpy()) > 0).all()
    newest = np.searchsorted(traded, ts, side="right") - 1
    sides = trades["side"].to_pylist()
    for index in range(0, len(ts), 97):
        row = books.slice(index, 1).to_pylist()[0]
        bids, asks = row["bid_prices"], row["ask_prices"]
        assert len(bids) == len(asks) == len(row["bid_quantities"]) == 20
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert bids[0] == row["best_bid"] < row["best_ask"] == asks[0]
        for value in bids + asks:
            assert round(value, 2) == value
        for value in row["bid_quantities"] + row["ask_quantities"]:
            assert round(value, 5) == value > 0
        best = row["best_ask"] if sides[newest[index]] == "buy" else row["best_bid"]
        assert best == trades["price"][int(newest[index])].as_py()


def test_an_inverse_book_is_in_the_base_asset(make: Make) -> None:
    """Whole contracts over the price of their level."""
    books = make("BTC/USD:BTC", books=timedelta(hours=1), book_levels=5)[DataType.ORDERBOOK]

    for row in books.to_pylist():
        for price, quantity in zip(row["ask_prices"], row["ask_quantities"], strict=True):
            contracts = quantity * price / 100
            assert contracts == pytest.approx(round(contracts), abs=1e-9)


def test_funding_follows_its_schedule(make: Make) -> None:
    """Eight hours, then four, then one: nothing is skipped, and each row says its own interval."""
    rows = make(
        "BTC/USDT:USDT",
        start=datetime(2023, 12, 29),
        end=datetime(2024, 1, 8),
        rate=0.01,
        outages=[],
        funding={
            datetime(2023, 1, 1): 8,
            datetime(2024, 1, 2, 12): 4,
            datetime(2024, 1, 5): 1,
        },
    )

    table = rows[DataType.FUNDING_RATES]
    ts, hours = us(table), table["interval_hours"].to_numpy()
    start, first_4h, first_1h = (
        to_us(datetime(2023, 12, 29)),
        to_us(datetime(2024, 1, 2, 12)),
        to_us(datetime(2024, 1, 5)),
    )
    expected = [
        *range(start + 8 * HOUR_US, first_4h, 8 * HOUR_US),
        *range(first_4h, first_1h, 4 * HOUR_US),
        *range(first_1h, to_us(datetime(2024, 1, 8)), HOUR_US),
    ]
    assert ts[-len(expected) :].tolist() == expected
    assert hours[1:].tolist() == (np.diff(ts) / HOUR_US).tolist()
    late = us(table, "settled_at") - ts
    assert set((late % 1_000).tolist()) == {0}
    assert late.min() == 0 < late.max() <= 47_000
    trades = rows[DataType.TRADES]
    newest = np.searchsorted(us(trades), ts, side="right") - 1
    assert table["mark_price"].to_pylist() == trades["price"].take(newest).to_pylist()
    for rate in table["funding_rate"].to_pylist():
        assert round(rate, 8) == rate
        assert abs(rate) <= 0.0075


def test_only_perpetuals_pay_funding(make: Make) -> None:
    """Spot has none, and a delivery contract neither."""
    assert DataType.FUNDING_RATES not in make("BTC/USDT", funding=8)


def test_what_is_stored_is_wholly_covered(tmp_path: Path) -> None:
    """Days without a trade are an answer too: coverage has no holes."""
    with Storage.open(tmp_path / "lake", create=True, origin="synthetic") as storage:
        made = generate(
            storage,
            seed=1,
            instruments=["BTC/USDT:USDT"],
            start=datetime(2024, 1, 1),
            end=datetime(2024, 1, 6),
            rate=0.000_005,
            store_trades=True,
            books=timedelta(hours=1),
            funding=8,
        )
        covered: dict[Series, list[TimeRange]] = {
            series: [each.range for each in storage.catalog.coverage(series)]
            for series in made.series
        }

    for series, ranges in covered.items():
        assert ranges[0].start == datetime(2024, 1, 1), series
        assert ranges[-1].end == datetime(2024, 1, 6), series
        for one, two in itertools.pairwise(ranges):
            assert one.end == two.start, series
