"""Row checks: what a source gave, split into rows that may be stored and rows that may not.

Pure and vectorised; shared by the REST path and the archive readers. It does not decide what
a rejected row means for the page or file it came from: the caller asks again, or quarantines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import Grid
from lake.domain.times import SECOND_US, from_us, iso, to_us
from lake.errors import SchemaMismatch
from lake.sources.units_of_time import NO_TIME, times_us

_PRICES = ("open", "high", "low", "close")
_REQUIRED = ("ts", *_PRICES, "volume")
_AMOUNTS = ("quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
# A venue's last instant of a candle is 1 ms (or 1 us) before the next one opens.
_CLOSE_TICK_US = 1_000

_Raw: TypeAlias = Callable[[int], str]
_Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """Candles of one answer or file after the checks.

    Attributes:
        rows: Valid closed candles inside the window, ascending, in the ``ohlcv`` schema.
        rejected: Rows that break an invariant, each with its reason and as the source wrote it.
        notes: What the columns cannot hold, for example ``early_close``.
        conflicts: Open times that several *different* valid rows claim. None of those rows is
            in ``rows``; all of them are in ``rejected``. A page with conflicts is refused.
        running: How many candles were left out because they had not closed yet.
        unclosed: Open times of candles that were left out because the venue itself calls them
            open, although they should have closed by its clock. They are there, and not final.
    """

    rows: pa.Table
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Note, ...] = ()
    conflicts: tuple[datetime, ...] = ()
    running: int = 0
    unclosed: tuple[datetime, ...] = ()


def validate_candles(
    table: pa.Table,
    grid: Grid,
    window: TimeRange | None,
    *,
    closed_before: datetime,
    raw: _Raw | None = None,
) -> Checked:
    """Check the candles of one page or file, row by row and against one another.

    Args:
        table: ``ts`` (timestamp[us], or integers since 1970 in s, ms, us or ns: the unit is
            recognised by magnitude), ``open, high, low, close, volume`` (float64), and any of
            ``quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume,
            close_time`` (the last in the units of ``ts``), ``closed`` (whether the venue calls
            the candle closed). Any order; nulls allowed.
        grid: The open times that are possible.
        window: What was asked for, or what the file promises; None where nothing is promised.
        closed_before: The venue's time (UTC). Candles that close after it are running and
            left out; candles that open more than a candle after it are from the future.
        raw: Gives the row of a number as the source wrote it, for ``Rejected.raw``; None
            makes JSON of the row's parsed values.

    Raises:
        SchemaMismatch: A required column is absent.
    """
    if absent := [name for name in _REQUIRED if name not in table.column_names]:
        raise SchemaMismatch(
            f"Candles from a source lack {', '.join(absent)}; it gave "
            f"{', '.join(table.column_names)}. Nothing was stored."
        )
    if table.num_rows == 0:
        return Checked(OHLCV.schema.empty_table())
    table = table.combine_chunks()
    ts = times_us(table["ts"])
    opens = _open_us(ts, grid)
    following = _following_us(opens, grid)
    closes = times_us(table["close_time"]) if "close_time" in table.column_names else None
    closed_us = to_us(closed_before)
    running = (following > closed_us) & (ts <= _next_us(closed_us, grid))
    unclosed = _called_open(table)
    if unclosed.any():
        unclosed &= (ts > 0) & (opens == ts) & (following <= closed_us)
        running |= unclosed
    if not running.any() and _is_flawless(table, ts, opens, following, closes, window, closed_us):
        everything = np.arange(len(ts))
        return Checked(_rows(table, ts, everything), notes=_notes(ts, following, closes))
    reasons = _reasons(table, ts, opens, following, closes, grid, window, closed_us)
    wrong = np.zeros(len(ts), dtype=bool)
    for _, mask in reasons:
        wrong |= mask
    wrong &= ~running

    good = np.flatnonzero(~wrong & ~running)
    if len(good) > 1 and not (ts[good][1:] > ts[good][:-1]).all():
        good = good[np.argsort(ts[good], kind="stable")]
    good, clashing = _collapse(table, ts, good)
    differing = [
        Rejected(
            from_us(int(ts[row])),
            "differs from another row of the same time",
            _raw(table, raw, row),
        )
        for row in clashing.tolist()
    ]
    return Checked(
        rows=_rows(table, ts, good),
        rejected=(*_rejected(table, ts, wrong, reasons, raw), *differing),
        notes=_notes(ts[good], following[good], closes[good] if closes is not None else None),
        conflicts=tuple(from_us(int(us)) for us in np.unique(ts[clashing])),
        running=int((running & ~unclosed).sum()),
        unclosed=tuple(from_us(int(us)) for us in np.unique(ts[unclosed])),
    )


def _called_open(table: pa.Table) -> _Array:
    """Which rows the venue says have not closed; none where it says nothing."""
    if "closed" not in table.column_names:
        return np.zeros(table.num_rows, dtype=bool)
    said = table["closed"].fill_null(True)
    return np.asarray(~said.to_numpy(), dtype=bool)


def _is_flawless(
    table: pa.Table,
    ts: _Array,
    opens: _Array,
    following: _Array,
    closes: _Array | None,
    window: TimeRange | None,
    closed_us: int,
) -> bool:
    """Whether no row can be wrong: the answer for nearly every page, at a tenth of the cost.

    Comparisons are written so that NaN, and null which becomes NaN, fail them.
    """
    if not (ts[1:] > ts[:-1]).all() or not (opens == ts).all():
        return False
    if window is not None and (ts[0] < to_us(window.start) or ts[-1] >= to_us(window.end)):
        return False
    if ts[0] <= 0 or following[-1] > closed_us:
        return False
    opened, high, low, close = (_floats(table, name) for name in _PRICES)
    if not (low > 0).all() or not (high < np.inf).all():
        return False
    if not ((low <= opened) & (low <= close) & (opened <= high) & (close <= high)).all():
        return False
    for name in ("volume", *_AMOUNTS):
        if name in table.column_names:
            amount = _floats(table, name)
            if not (amount.min() >= 0 and amount.max() < np.inf):
                return False
    return closes is None or bool(((closes >= ts) & (closes <= following)).all())


def _open_us(ts: _Array, grid: Grid) -> _Array:
    """Open time of the candle that contains each moment."""
    step = grid.timeframe.step_us
    if step is not None:
        return np.asarray(ts - (ts - grid.anchor_us) % step)
    months = ts.astype("datetime64[us]").astype("datetime64[M]")
    return np.asarray(months.astype("datetime64[us]").astype(np.int64))


def _following_us(opens: _Array, grid: Grid) -> _Array:
    """Open time of the candle after each of those that open at *opens*."""
    step = grid.timeframe.step_us
    if step is not None:
        return np.asarray(opens + step)
    months = opens.astype("datetime64[us]").astype("datetime64[M]") + 1
    return np.asarray(months.astype("datetime64[us]").astype(np.int64))


def _next_us(moment: int, grid: Grid) -> int:
    """Open time of the candle after the one that contains *moment*."""
    return int(_following_us(_open_us(np.array([moment]), grid), grid)[0])


def _floats(table: pa.Table, name: str) -> _Array:
    column = table[name]
    if column.null_count == 0:
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _reasons(
    table: pa.Table,
    ts: _Array,
    opens: _Array,
    following: _Array,
    closes: _Array | None,
    grid: Grid,
    window: TimeRange | None,
    closed_us: int,
) -> list[tuple[str, _Array]]:
    """Why rows are wrong, most telling reason first, each with the rows it holds for."""
    prices = {name: _floats(table, name) for name in _PRICES}
    volume = _floats(table, "volume")
    timed = ts != NO_TIME
    found: list[tuple[str, _Array]] = [("no readable time", ~timed)]
    found.append(("opens in the future", timed & (following > closed_us)))
    found.append((f"off the {grid.timeframe} grid", timed & (opens != ts)))
    if window is not None:
        outside = (ts < to_us(window.start)) | (ts >= to_us(window.end))
        found.append((f"outside {window}", timed & outside))
    for name, price in prices.items():
        # NaN compares false, so this also holds for NaN and for null.
        found.append((f"{name} is not a positive number", ~((price > 0) & (price < np.inf))))
    found.append(("volume is not a number from 0", ~((volume >= 0) & (volume < np.inf))))
    for name in _AMOUNTS:
        if name in table.column_names and table[name].null_count < table.num_rows:
            amount = _floats(table, name)
            fine = (amount >= 0) & (amount < np.inf)
            if table[name].null_count:
                fine |= table[name].is_null().to_numpy()
            found.append((f"{name} is not a number from 0", ~fine))
    high, low = prices["high"], prices["low"]
    found.append(("high < low", high < low))
    found.append(("high < open or close", high < np.maximum(prices["open"], prices["close"])))
    found.append(("low > open or close", low > np.minimum(prices["open"], prices["close"])))
    if closes is not None:
        odd = (closes != NO_TIME) & ((closes < ts) | (closes > following))
        found.append((f"close time is not within {grid.timeframe}", timed & odd))
    return found


def _collapse(table: pa.Table, ts: _Array, order: _Array) -> tuple[_Array, _Array]:
    """Of rows (ascending) that share a time: the first where all are equal, else none.

    Returns:
        Rows to keep, and rows that contradict one another.
    """
    times = ts[order]
    repeated = times[1:] == times[:-1]
    if not repeated.any():
        return order, order[:0]
    same = np.ones(len(order) - 1, dtype=bool)
    for name in table.column_names:
        if name == "ts":
            continue
        values = _floats(table, name)[order]
        same &= (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    contradicted = np.unique(times[1:][repeated & ~same])
    clash = np.isin(times, contradicted)
    first = np.concatenate(([True], ~repeated))
    return order[first & ~clash], order[clash]


def _rejected(
    table: pa.Table, ts: _Array, wrong: _Array, reasons: list[tuple[str, _Array]], raw: _Raw | None
) -> list[Rejected]:
    found = []
    for row in np.flatnonzero(wrong).tolist():
        reason = next(name for name, mask in reasons if mask[row])
        moment = from_us(int(ts[row])) if ts[row] != NO_TIME else None
        found.append(Rejected(moment, reason, _raw(table, raw, row)))
    return found


def _raw(table: pa.Table, raw: _Raw | None, row: int) -> str:
    if raw is not None:
        return raw(row)
    return json.dumps(table.slice(row, 1).to_pylist()[0], default=str)


def _notes(ts: _Array, following: _Array, closes: _Array | None) -> tuple[Note, ...]:
    if closes is None:
        return ()
    # Times in whole seconds end a second before the next candle opens.
    # The first one tells nearly always, and is looked at first.
    are_seconds = all((part % SECOND_US == 0).all() for part in (closes[:1], closes))
    tick = SECOND_US if are_seconds else _CLOSE_TICK_US
    early = (closes != NO_TIME) & (closes + tick < following)
    return tuple(
        Note(from_us(int(ts[row])), "early_close", f"closed at {iso(from_us(int(closes[row])))}")
        for row in np.flatnonzero(early).tolist()
    )


def _rows(table: pa.Table, ts: _Array, keep: _Array) -> pa.Table:
    """The kept rows in the ``ohlcv`` schema; columns that the source lacks are null."""
    everything = len(keep) == table.num_rows and bool((keep[1:] > keep[:-1]).all())
    columns = []
    for field in OHLCV.schema:
        if field.name == "ts":
            times = ts if everything else ts[keep]
            columns.append(pa.array(times).view(field.type))
        elif field.name not in table.column_names:
            columns.append(pa.nulls(len(keep), field.type))
        else:
            column = table[field.name]
            column = column if everything else column.take(pa.array(keep))
            columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=OHLCV.schema)
