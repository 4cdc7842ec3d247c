"""The row checks that the REST path and the archive readers share."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid, TimeFrame
from lake.errors import SchemaMismatch
from lake.sources.validation import Checked, validate_candles

DAY = datetime(2024, 1, 1)
DAY_MS = 1_704_067_200_000
WINDOW = TimeRange(DAY, DAY + timedelta(days=1))
LATER = DAY + timedelta(days=30)
MINUTES = Grid(TimeFrame.MINUTE_1)


def candle(minute: int, **changes: Any) -> dict[str, Any]:
    row = {
        "ts": DAY_MS + minute * 60_000,
        "open": 100.0,
        "high": 110.0,
        "low": 90.0,
        "close": 105.0,
        "volume": 7.0,
        "quote_volume": 700.0,
        "trade_count": 5,
        "taker_buy_volume": 3.0,
        "taker_buy_quote_volume": 300.0,
        "close_time": DAY_MS + minute * 60_000 + 59_999,
    }
    return row | changes


TYPES = pa.schema(
    [("ts", pa.int64())]
    + [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]
    + [("quote_volume", pa.float64()), ("trade_count", pa.int64())]
    + [("taker_buy_volume", pa.float64()), ("taker_buy_quote_volume", pa.float64())]
    + [("close_time", pa.int64()), ("closed", pa.bool_())]
)


def check(
    rows: list[dict[str, Any]],
    *,
    grid: Grid = MINUTES,
    window: TimeRange | None = WINDOW,
    closed_before: datetime = LATER,
) -> Checked:
    return validate_candles(
        pa.Table.from_pylist(rows, schema=TYPES), grid, window, closed_before=closed_before
    )


def minutes(checked: Checked) -> list[int]:
    return [(ts - DAY) // timedelta(minutes=1) for ts in checked.rows["ts"].to_pylist()]


def test_good_rows_come_out_sorted_in_our_schema() -> None:
    checked = check([candle(2), candle(0), candle(1)])

    assert checked.rows.schema.equals(OHLCV.schema, check_metadata=True)
    assert minutes(checked) == [0, 1, 2]
    assert checked.rows["quote_volume"].to_pylist() == [700.0, 700.0, 700.0]
    assert (checked.rejected, checked.notes, checked.conflicts) == ((), (), ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": None}, "no readable time"),
        ({"ts": -5}, "no readable time"),
        ({"ts": DAY_MS + 400 * 86_400_000}, "opens in the future"),
        ({"ts": DAY_MS + 60_001, "close_time": None}, "off the 1m grid"),
        ({"ts": DAY_MS - 60_000, "close_time": None}, "outside"),
        ({"open": float("nan")}, "open is not a positive number"),
        ({"high": float("inf")}, "high is not a positive number"),
        ({"low": 0.0}, "low is not a positive number"),
        ({"close": -1.0}, "close is not a positive number"),
        ({"close": None}, "close is not a positive number"),
        ({"volume": None}, "volume is not a number from 0"),
        ({"volume": -0.5}, "volume is not a number from 0"),
        ({"volume": float("nan")}, "volume is not a number from 0"),
        ({"quote_volume": float("nan")}, "quote_volume is not a number from 0"),
        ({"trade_count": -1}, "trade_count is not a number from 0"),
        ({"taker_buy_volume": float("inf")}, "taker_buy_volume is not a number from 0"),
        ({"high": 80.0}, "high < low"),
        ({"high": 104.0}, "high < open or close"),
        ({"low": 101.0}, "low > open or close"),
        ({"close_time": DAY_MS + 86_400_000}, "close time is not within 1m"),
    ],
)
def test_a_row_that_breaks_an_invariant_is_rejected_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    """It is neither stored nor thrown away, and its neighbours are kept."""
    checked = check([candle(0), candle(1, **changes), candle(2)])

    assert minutes(checked) == [0, 2]
    [rejected] = checked.rejected
    assert rejected.reason.startswith(reason)
    assert '"volume"' in rejected.raw


@pytest.mark.parametrize("scale", [(1, 1_000), (1_000, 1), (1_000_000, 1)])
def test_the_unit_of_time_is_recognised_by_its_magnitude(scale: tuple[int, int]) -> None:
    """Binance's spot archives turned from ms to us in 2025-01, and nothing in them says so."""
    times, over = scale
    row = candle(0)

    checked = check([row | {k: row[k] * times // over for k in ("ts", "close_time")}])

    assert checked.rows["ts"].to_pylist() == [DAY]
    assert checked.notes == ()


def test_timestamps_are_taken_as_they_are() -> None:
    table = pa.Table.from_pylist([candle(0)], schema=TYPES).drop_columns(["close_time"])
    table = table.set_column(0, "ts", table["ts"].cast(pa.timestamp("ms")))

    checked = validate_candles(table, MINUTES, WINDOW, closed_before=LATER)

    assert checked.rows["ts"].to_pylist() == [DAY]


def test_columns_that_a_source_lacks_are_null_and_never_zero() -> None:
    names = ["ts", "open", "high", "low", "close", "volume"]
    table = pa.Table.from_pylist([candle(0)], schema=TYPES).select(names)

    rows = validate_candles(table, MINUTES, WINDOW, closed_before=LATER).rows

    assert rows["quote_volume"].to_pylist() == [None]
    assert rows["trade_count"].to_pylist() == [None]


def test_a_table_without_prices_is_refused() -> None:
    table = pa.table({"ts": [DAY_MS]})

    with pytest.raises(SchemaMismatch, match="lack open, high, low, close, volume"):
        validate_candles(table, MINUTES, WINDOW, closed_before=LATER)


def test_the_running_candle_is_left_out_without_complaint() -> None:
    """Closed is what closed by the venue's time: at 00:02:00 exactly, 00:01 has just closed."""
    rows = [candle(0), candle(1), candle(2), candle(3)]

    at_two = check(rows, closed_before=DAY + timedelta(minutes=2))
    before_two = check(rows, closed_before=DAY + timedelta(minutes=2, microseconds=-1))

    assert (minutes(at_two), at_two.running, at_two.rejected) == ([0, 1], 2, ())
    assert minutes(before_two) == [0]
    # 00:03 opens more than a candle after 00:01:59, so it cannot be there yet.
    assert [each.reason for each in before_two.rejected] == ["opens in the future"]


def test_equal_duplicates_collapse() -> None:
    checked = check(
        [candle(0), candle(0), candle(1, quote_volume=None), candle(1, quote_volume=None)]
    )

    assert minutes(checked) == [0, 1]
    assert checked.conflicts == ()


def test_contradicting_duplicates_are_a_conflict_and_neither_is_kept() -> None:
    checked = check([candle(0), candle(1), candle(1, close=106.0), candle(1), candle(2)])

    assert minutes(checked) == [0, 2]
    assert checked.conflicts == (DAY + timedelta(minutes=1),)
    assert len(checked.rejected) == 3


def test_an_early_close_is_a_note() -> None:
    """2023-03-24: Binance stopped within a minute; the columns cannot say so."""
    checked = check([candle(0), candle(1, close_time=DAY_MS + 60_000 + 41_646)])

    [note] = checked.notes
    assert (note.ts, note.kind) == (DAY + timedelta(minutes=1), "early_close")
    assert note.text == "closed at 2024-01-01T00:01:41.646000"
    assert minutes(checked) == [0, 1]


def test_the_last_microsecond_is_a_whole_candle_too() -> None:
    us = DAY_MS * 1_000
    checked = check([candle(0, ts=us, close_time=us + 59_999_999)])

    assert checked.notes == ()


def test_weeks_open_on_mondays_and_months_on_the_first() -> None:
    monday, tuesday = DAY_MS, DAY_MS + 86_400_000
    year = TimeRange(DAY, DAY + timedelta(days=366))
    late = DAY + timedelta(days=800)

    weeks = check(
        [candle(0, ts=monday, close_time=None), candle(0, ts=tuesday, close_time=None)],
        grid=Grid(TimeFrame.WEEK_1, 4 * 86_400_000_000),
        window=year,
        closed_before=late,
    )
    february = 1_706_745_600_000
    months = check(
        [
            candle(0, close_time=february - 1),
            candle(0, ts=february, close_time=None),
            candle(0, ts=february + 86_400_000, close_time=None),
        ],
        grid=Grid(TimeFrame.MONTH_1),
        window=year,
        closed_before=late,
    )

    assert weeks.rows["ts"].to_pylist() == [DAY]
    assert [each.reason for each in weeks.rejected] == ["off the 1w grid"]
    assert months.rows["ts"].to_pylist() == [DAY, datetime(2024, 2, 1)]
    assert [each.reason for each in months.rejected] == ["off the 1mo grid"]
    assert months.notes == ()


def test_the_raw_row_can_come_from_the_source() -> None:
    table = pa.Table.from_pylist([candle(0, low=0.0)], schema=TYPES)

    checked = validate_candles(
        table, MINUTES, WINDOW, closed_before=LATER, raw=lambda row: f"line {row}"
    )

    assert checked.rejected[0].raw == "line 0"


@pytest.mark.parametrize("seed", range(40))
def test_every_row_is_kept_rejected_running_or_a_copy(seed: int) -> None:
    """Nothing vanishes: what is not stored is accounted for, whatever the mix."""
    rng = random.Random(seed)
    breaks = [
        {"low": 0.0},
        {"ts": None},
        {"high": 1.0},
        {"volume": float("nan")},
        {"ts": DAY_MS + 1},
    ]
    rows, copies = [], 0
    for minute in rng.sample(range(1_500), rng.randint(0, 300)):
        row = candle(minute)
        if rng.random() < 0.1:
            rows.append(row | rng.choice(breaks) | {"close_time": None})
            continue
        rows.append(row)
        if rng.random() < 0.1:
            copies += 1
            rows.append(dict(row))
    rng.shuffle(rows)
    closed = DAY + timedelta(minutes=1_439)

    checked = check(rows, closed_before=closed)

    kept = minutes(checked)
    assert kept == sorted(set(kept))
    assert not kept or kept[-1] <= 1_438
    accounted = len(kept) + len(checked.rejected) + checked.running
    assert len(rows) - copies <= accounted <= len(rows)
    shuffled = check(rng.sample(rows, len(rows)), closed_before=closed)
    assert shuffled.rows.equals(checked.rows)


@pytest.mark.parametrize("said", [True, None])
def test_a_candle_that_the_venue_calls_closed_or_says_nothing_of_goes_by_the_clock(
    said: bool | None,
) -> None:
    rows = [candle(minute, closed=said) for minute in range(3)]

    checked = check(rows, closed_before=DAY + timedelta(minutes=2, seconds=30))

    assert (checked.rows.num_rows, checked.running, checked.unclosed) == (2, 1, ())


def test_a_candle_that_the_venue_still_calls_open_is_no_row_and_no_hole() -> None:
    """OKX and Gate say so themselves: its values may still change, whatever the clock says."""
    rows = [candle(0, closed=True), candle(1, closed=False), candle(2, closed=False)]

    checked = check(rows, closed_before=DAY + timedelta(minutes=2, seconds=30))

    assert checked.rows["ts"].to_pylist() == [DAY]
    assert checked.unclosed == (DAY + timedelta(minutes=1),)
    assert (checked.running, checked.rejected) == (1, ())


def test_an_open_candle_of_another_time_is_odd_and_not_open() -> None:
    """Off the grid or from the future it is a faulty row, whatever it says of itself."""
    future = candle(10**6, closed=False)
    rows = [candle(0), candle(1, ts=DAY_MS + 61_000, closed=False), future]

    checked = check(rows, closed_before=DAY + timedelta(minutes=5), window=None)

    assert checked.unclosed == ()
    assert len(checked.rejected) == 2
