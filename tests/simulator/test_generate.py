"""Writing a synthetic lake."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.simulator.market import Generated, Progress, generate
from lake.simulator.tables import TradeForm
from lake.storage.lake import Storage

BTC = InstrumentId.from_str("BTCUSDT.BINANCE")
START, END = datetime(2024, 1, 30), datetime(2024, 2, 2)


def make(root: Path, *, seed: int = 5, **options: object) -> Generated:
    with Storage.open(root, create=True, origin="synthetic") as storage:
        return generate(
            storage,
            seed=seed,
            instruments=["BTC/USDT"],
            start=START,
            end=END,
            rate=0.02,
            **options,  # type: ignore[arg-type]
        )


def candles(timeframe: TimeFrame) -> Series:
    return Series(DataType.OHLCV, BTC, timeframe)


def test_a_lake_is_written_month_by_month_and_wholly_covered(tmp_path: Path) -> None:
    """Rows, coverage and jobs are those of any other source; the origin names the seed."""
    made = make(tmp_path / "lake", timeframes=[TimeFrame.MINUTE_1, TimeFrame.HOUR_1])

    with Storage.open(tmp_path / "lake", read_only=True) as storage:
        series = candles(TimeFrame.MINUTE_1)
        partitions = storage.catalog.partitions(series)
        [january, february] = partitions
        covered = [each.range for each in storage.catalog.coverage(series)]
        [info, _] = storage.catalog.series()
        jobs = storage.jobs.list()

    assert made.rows == 3 * 1_440 + 3 * 24
    assert (january.rows, february.rows) == (2 * 1_440, 1_440)
    assert covered[0].start == START
    assert covered[-1].end == END
    assert info.origin == "seed 5"
    assert {(job.kind, job.status) for job in jobs} == {("generate", JobState.COMPLETED)}


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    """The same seed gives the same bytes; another seed may not join them."""
    make(tmp_path / "lake")

    again = make(tmp_path / "lake")

    assert again.rows == 0
    with pytest.raises(InvalidRequest, match="seed"):
        make(tmp_path / "lake", seed=6)


def test_a_real_lake_is_left_alone(tmp_path: Path) -> None:
    """Invented candles never join recorded ones."""
    with (
        Storage.open(tmp_path / "lake", create=True) as storage,
        pytest.raises(InvalidRequest, match="must not join"),
    ):
        generate(storage, seed=1, start=START, end=END)


def test_stored_trades_aggregate_to_the_stored_candles(tmp_path: Path) -> None:
    """The lake itself proves it: its candles are its trades, summed."""
    make(tmp_path / "lake", store_trades=True, trade_form=TradeForm.SINGLE)

    with Storage.open(tmp_path / "lake", read_only=True) as storage:
        hours = storage.read_partition(Partition.of(candles(TimeFrame.HOUR_1), START))
        trades = storage.read_partition(Partition.of(Series(DataType.TRADES, BTC), START))
    assert hours is not None
    assert trades is not None
    ninth = hours.slice(9, 1).to_pylist()[0]
    inside = trades.filter(
        pc.and_(
            pc.greater_equal(trades["ts"], datetime(2024, 1, 30, 9)),
            pc.less(trades["ts"], datetime(2024, 1, 30, 10)),
        )
    ).to_pylist()

    assert ninth["ts"] == datetime(2024, 1, 30, 9)
    assert ninth["trade_count"] == len(inside) > 10
    assert ninth["open"] == inside[0]["price"]
    assert ninth["close"] == inside[-1]["price"]
    assert ninth["high"] == max(each["price"] for each in inside)
    assert ninth["low"] == min(each["price"] for each in inside)
    assert ninth["volume"] == pytest.approx(sum(each["quantity"] for each in inside), rel=1e-12)
    bought = sum(each["quantity"] for each in inside if each["side"] == "buy")
    assert ninth["taker_buy_volume"] == pytest.approx(bought, rel=1e-12)
    ids = trades["trade_id"].to_pylist()
    assert ids == list(range(1, len(ids) + 1))


def test_progress_and_listing_are_told(tmp_path: Path) -> None:
    """One report a month, up to the whole; a late listing is in the catalog with its moment."""
    heard: list[Progress] = []
    listed = datetime(2024, 1, 31, 5, 7)

    make(tmp_path / "lake", on_progress=heard.append, listings={"BTCUSDT.BINANCE": listed})

    assert [each.month for each in heard] == ["2024-01", "2024-02"]
    assert heard[-1].share == 1.0
    with Storage.open(tmp_path / "lake", read_only=True) as storage:
        [listing] = storage.catalog.listings(BTC)
        [first, _] = storage.catalog.partitions(candles(TimeFrame.MINUTE_1))
    assert listing.listed_from == listed
    assert first.min_ts == listed


def test_an_early_close_is_noted(tmp_path: Path) -> None:
    """A candle that an outage cut short carries a note, as one from a venue does."""
    down = TimeRange(datetime(2024, 1, 30, 12, 39, 41, 647_000), datetime(2024, 1, 30, 14))

    make(tmp_path / "lake", outages=[down])

    with Storage.open(tmp_path / "lake", read_only=True) as storage:
        [note] = storage.catalog.notes(candles(TimeFrame.HOUR_1))
        [first, _] = storage.catalog.partitions(candles(TimeFrame.MINUTE_1))
    assert (note.ts, note.kind) == (datetime(2024, 1, 30, 12), "early_close")
    assert first.gap_runs == (TimeRange(datetime(2024, 1, 30, 12, 40), datetime(2024, 1, 30, 14)),)


def test_weeks_and_months_cross_partitions(tmp_path: Path) -> None:
    """Long candles are written once they are whole, into the year in which they open."""
    with Storage.open(tmp_path / "lake", create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=1,
            instruments=["BTC/USDT"],
            start=datetime(2023, 12, 1),
            end=datetime(2024, 2, 3),
            timeframes=[TimeFrame.DAY_3, TimeFrame.WEEK_1, TimeFrame.MONTH_1],
            rate=0.001,
        )
        weeks = [
            each["ts"]
            for info in storage.catalog.partitions(candles(TimeFrame.WEEK_1))
            for each in storage.read_partition(info.partition).to_pylist()  # type: ignore[union-attr]
        ]
        months = [info.rows for info in storage.catalog.partitions(candles(TimeFrame.MONTH_1))]

    assert weeks == [datetime(2023, 11, 27)] + [
        datetime(2023, 12, 4 + 7 * week) for week in range(4)
    ] + [datetime(2024, 1, 1 + 7 * week) for week in range(4)]
    assert months == [1, 1]
