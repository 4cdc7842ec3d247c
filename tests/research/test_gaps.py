"""A range that is not wholly held is never returned in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from lake import GapWarning, IncompleteRange, InvalidRequest, Lake
from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import TRADES
from lake.storage.lake import PartitionCommit, Storage
from tests.warehouse.lake_kit import TAG, candles, hour, series, write

BTC = "BTCUSDT.BINANCE"
TRADED = Series(DataType.TRADES, InstrumentId.from_str(BTC))
DAY = datetime(2024, 1, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Six hours of which the venue had no third and fourth, and trades of half a day."""
    with Storage.open(tmp_path / "data", create=True) as storage:
        write(storage, series(BTC), hour(0), 1)
        lease = storage.jobs.claim(
            storage.jobs.create(series(BTC), TimeRange(hour(0), hour(6))).job_id, "test"
        )
        storage.commit(
            PartitionCommit(
                partition=Partition(series(BTC), 2024, 1),
                rows=candles([hour(each) for each in (0, 1, 4, 5)]),
                tag=TAG,
                claims=(Claim(TimeRange(hour(0), hour(6)), Basis.ANSWER, "test"),),
            ),
            lease,
        )
        storage.catalog.ensure_series(TRADED, "venue")
        traded = TimeRange(DAY, datetime(2024, 1, 1, 12))
        lease = storage.jobs.claim(storage.jobs.create(TRADED, traded).job_id, "test")
        row = {"ts": hour(1), "trade_id": 1, "price": 100.0, "quantity": 1.0, "side": "buy"}
        storage.commit(
            PartitionCommit(
                partition=Partition(TRADED, 2024, 1, 1),
                rows=pa.Table.from_pylist([row], schema=TRADES.schema),
                tag=TAG,
                claims=(Claim(traded, Basis.ANSWER, "test"),),
            ),
            lease,
        )
    with Lake(tmp_path / "data") as opened:
        yield opened


def test_a_whole_range_is_returned_without_a_word(lake: Lake) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert lake.ohlcv(BTC, "1h", start=hour(4), end=hour(6)).height == 2
        assert lake.ohlcv(BTC, "1h", end=hour(2)).height == 2
        assert lake.trades(BTC, start=DAY, end=hour(12)).height == 1


def test_what_is_missing_is_told_with_its_reason(lake: Lake) -> None:
    """The warning points at the line that asked."""
    with pytest.warns(GapWarning) as told:
        frame = lake.ohlcv(BTC, "1h", start=hour(0), end=hour(8))

    assert frame.height == 4
    text = str(told[0].message)
    assert "4 rows are missing of the range asked" in text
    assert "2 no_trades" in text
    assert "2 not_fetched" in text
    assert "[2024-01-01T02:00:00, 2024-01-01T04:00:00) no_trades" in text
    assert told[0].filename == __file__


def test_everything_held_has_gaps_inside_of_it_too(lake: Lake) -> None:
    with pytest.warns(GapWarning, match=r"2 rows are missing"):
        assert lake.ohlcv(BTC, "1h").height == 4


def test_a_range_of_which_nothing_is_held_is_told(lake: Lake) -> None:
    with pytest.warns(GapWarning, match=r"24 not_fetched"):
        assert lake.ohlcv(BTC, "1h", start="2024-02-01", end="2024-02-02").height == 0


def test_raise_and_ignore(lake: Lake) -> None:
    with pytest.raises(IncompleteRange, match="2 no_trades"):
        lake.ohlcv(BTC, "1h", start=hour(0), end=hour(6), on_gap="raise")
    assert lake.ohlcv(BTC, "1h", start=hour(0), end=hour(6), on_gap="ignore").height == 4
    with pytest.raises(InvalidRequest, match="warn, raise, fill"):
        lake.ohlcv(BTC, "1h", on_gap="pad")


def test_fill_makes_flat_candles_and_marks_them(lake: Lake) -> None:
    """At the close before, of unknown volume: nothing looks ahead, nothing pretends."""
    frame = lake.ohlcv(
        BTC,
        "1h",
        start=hour(0),
        end=hour(7),
        columns=["open", "volume", "trade_count"],
        on_gap="fill",
    )

    assert frame.columns == ["open", "volume", "trade_count", "is_filled"]
    assert frame.rows() == [
        (1.0, 1.0, 3, False),
        (2.0, 1.0, 3, False),
        (2.0, None, None, True),
        (2.0, None, None, True),
        (3.0, 1.0, 3, False),
        (4.0, 1.0, 3, False),
        (4.0, None, None, True),
    ]


def test_what_cannot_be_filled_is_told(lake: Lake) -> None:
    """Before the first candle there is no price."""
    with pytest.warns(GapWarning, match="3 rows are missing"):
        frame = lake.ohlcv(BTC, "1h", start=hour(-3), end=hour(6), on_gap="fill")

    assert frame["ts"].to_list() == [hour(each) for each in range(6)]


def test_a_panel_is_filled_instrument_by_instrument(lake: Lake) -> None:
    panel = lake.ohlcv(
        [BTC], "1h", start=hour(0), end=hour(6), columns=["close"], wide=True, on_gap="fill"
    )

    assert panel[BTC].to_list() == [1.0, 2.0, 2.0, 2.0, 3.0, 4.0]


def test_trades_are_whole_where_an_answer_says_so(lake: Lake) -> None:
    with pytest.warns(GapWarning, match=r"not all of the range asked is held \(not_fetched\)"):
        assert lake.trades(BTC, start=DAY, end="2024-01-02").height == 1
    with pytest.raises(InvalidRequest, match="only candles can be filled"):
        lake.trades(BTC, on_gap="fill")


def test_a_scan_tells_at_each_collect(lake: Lake) -> None:
    """Of what the plan asks for, not of what it could have asked for."""
    lazy = lake.scan_ohlcv(BTC, "1h", start=hour(0), end=hour(6))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lazy.filter(pl.col("ts") >= hour(4)).collect().height == 2
    with pytest.warns(GapWarning, match="2 rows are missing"):
        assert lazy.collect().height == 4


def test_gaps_lists_them(lake: Lake) -> None:
    frame = lake.gaps(BTC, "1h")

    assert frame.select("gap_start", "gap_end", "missing_count", "reason").rows() == [
        (hour(2), hour(4), 2, "no_trades")
    ]
    assert lake.gaps().equals(frame)


def test_sql_and_python_fill_alike(lake: Lake) -> None:
    read = lake.ohlcv(BTC, "1h", start=hour(0), end=hour(6), on_gap="fill")

    asked = lake.sql(
        "select ts, open, high, low, close, volume, is_filled from ohlcv_filled($id, '1h', "
        "since := '2024-01-01', until := '2024-01-01T06:00') order by ts",
        {"id": BTC},
    )

    assert asked.equals(read.select(asked.columns))
