"""Column arithmetic: absent candles, keys, schemas that grow."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from storage_kit import candles, hours

from lake.domain.identifiers import Venue
from lake.domain.schemas import OHLCV, TRADES, RowSpec
from lake.domain.timeframe import TimeFrame, grid_of
from lake.errors import SchemaMismatch
from lake.storage.columns import absent_runs, compare, conform, key_codes, micros, require_rows

BINANCE = Venue("BINANCE")


def opening(*moments: datetime) -> pa.Table:
    return pa.table({"ts": pa.array(moments, pa.timestamp("us"))})


def test_absent_candles_come_as_maximal_runs_between_first_and_last() -> None:
    """What lies before the first and after the last candle is a matter of coverage."""
    runs, missing = absent_runs(
        micros(candles([3, 4, 7, 9])["ts"]), grid_of(BINANCE, TimeFrame.HOUR_1)
    )

    assert runs == (hours(5, 7), hours(8, 9))
    assert missing == 3


def test_absent_months_are_counted_by_the_calendar() -> None:
    rows = opening(datetime(2024, 1, 1), datetime(2024, 4, 1), datetime(2024, 5, 1))

    [run], missing = absent_runs(micros(rows["ts"]), grid_of(BINANCE, TimeFrame.MONTH_1))

    assert (run.start, run.end) == (datetime(2024, 2, 1), datetime(2024, 4, 1))
    assert missing == 2


def test_no_rows_have_no_absent_candles() -> None:
    assert absent_runs(micros(candles([])["ts"]), grid_of(BINANCE, TimeFrame.HOUR_1)) == ((), 0)


def test_null_keys_are_equal_to_one_another_only() -> None:
    """A trade with an id and one with a reference never meet, also where both are 0-like."""
    rows = pa.table(
        {
            "trade_id": pa.array([0, None, None, 0, 1], pa.int64()),
            "trade_ref": pa.array([None, "0", "0", None, None], pa.string()),
        }
    )

    codes = key_codes(rows, TRADES).tolist()

    assert codes[0] == codes[3]
    assert codes[1] == codes[2]
    assert len(set(codes)) == 3


def test_lists_are_compared_by_length_and_values() -> None:
    kind = pa.list_(pa.float64())
    one = pa.table({"bids": pa.array([[1.0], [1.0, 2.0], [], [3.0], None], kind)})
    other = pa.table({"bids": pa.array([[1.0], [1.0, 3.0], [4.0], [], []], kind)})

    difference = compare(one, other)

    assert difference.any.tolist() == [False, True, True, True, True]
    assert difference.contradicts.tolist() == [False, True, True, True, False]


def test_files_of_an_older_schema_get_nulls_for_newer_columns() -> None:
    """New columns are nullable and at the end, so old files stay readable."""
    newer = RowSpec(
        OHLCV.data_type, OHLCV.schema.append(pa.field("vwap", pa.float64())), OHLCV.key, 2
    )

    rows = conform(candles([0, 1]), newer)

    assert rows.schema.equals(newer.schema)
    assert rows["vwap"].to_pylist() == [None, None]
    assert rows["close"].to_pylist() == [100.0, 100.0]


@pytest.mark.parametrize(
    "rows",
    [
        candles([0]).append_column("spread", pa.array([1.0])),
        candles([0]).drop_columns("close"),
        candles([0]).set_column(0, "ts", pa.array([0], pa.int64())),
        candles([0]).set_column(4, "close", pa.nulls(1, pa.float64())),
        candles([24]),
    ],
    ids=["unknown column", "column lacking", "other type", "null price", "other day"],
)
def test_rows_that_do_not_fit_are_refused(rows: pa.Table) -> None:
    with pytest.raises(SchemaMismatch, match="Nothing was stored"):
        require_rows(rows, OHLCV, hours(0, 24))
