"""Row checks of trades: what a source gave, split into rows that may be stored and the others.

Pure and vectorised. It does not decide what a rejected row means: the caller asks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.rows import Rejected
from lake.domain.schemas import TRADES
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.decode import Decoded
from lake.sources.units_of_time import NO_TIME, Array, are_seconds, times_us

# Ids follow the matching engine, times are taken a little later: neighbours may be swapped by
# so much. More is an error of the row.
DISORDER_US = 1_000_000
# Our reading of the venue's clock is a lower bound.
_AHEAD_US = 60_000_000
_REJECTED_ID_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class CheckedTrades:
    """Trades of one answer after the checks.

    Attributes:
        rows: Valid trades, ascending by ``trade_id`` where the source has ids, else in the
            source's order, in the ``trades`` schema.
        rejected: Rows that break an invariant, with their ids (-1 where not readable).
    """

    rows: pa.Table
    rejected: tuple[tuple[int, Rejected], ...] = ()

    @property
    def ids(self) -> Array:
        return np.asarray(self.rows["trade_id"].to_numpy())

    @property
    def ts_us(self) -> Array:
        return np.asarray(self.rows["ts"].cast(pa.int64()).to_numpy())


def validate_trades(decoded: Decoded, *, now: datetime, whole_seconds: bool) -> CheckedTrades:
    """Check the trades of one answer, row by row and against one another.

    Args:
        decoded: ``ts`` (integers since 1970, unit by magnitude), ``trade_id``, ``price``,
            ``quantity`` (base asset), ``taker`` (1 bought, -1 sold, null unknown), and
            ``first_trade_id, last_trade_id`` where they are aggregates.
        now: The venue's time after the answer came; later trades are from the future.
        whole_seconds: Whether the venue's times are seconds. Where they are finer, seconds
            are a faulty answer: the rest of the time is lost.

    Raises:
        SourceError: The unit of time is coarser than the venue's, or rows of one id differ.
    """
    table = decoded.table
    if table.num_rows == 0:
        return CheckedTrades(TRADES.schema.empty_table())
    table = table.combine_chunks()
    if not whole_seconds and are_seconds(table["ts"]):
        raise SourceError(
            "The answer has times in whole seconds, but the venue has finer ones.", retryable=True
        )
    ts, latest = times_us(table["ts"]), to_us(now) + _AHEAD_US
    if _is_flawless(table, ts, latest):
        return CheckedTrades(_rows(table, ts))
    return _sorted_out(decoded, table, ts, latest)


def validate_sparse_trades(
    decoded: Decoded, *, now: datetime, whole_seconds: bool
) -> tuple[pa.Table, tuple[Rejected, ...]]:
    """Check the trades of one answer of a venue whose ids are not dense, or absent.

    Args:
        decoded: As for ``validate_trades``, but any of ``trade_id`` and ``trade_ref`` (text)
            may be absent (but where a column is there, each row has one). Rows without either
            are told apart by nothing, so all are kept.
        now: The venue's time after the answer came.
        whole_seconds: Whether the venue's times are seconds.

    Returns:
        Valid rows in time order, then by id, in the ``trades`` schema; and the others.

    Raises:
        SourceError: The unit of time is coarser than the venue's, or rows of one id differ.
    """
    table = decoded.table
    if table.num_rows == 0:
        return TRADES.schema.empty_table(), ()
    table = table.combine_chunks()
    if not whole_seconds and are_seconds(table["ts"]):
        raise SourceError(
            "The answer has times in whole seconds, but the venue has finer ones.", retryable=True
        )
    ts = times_us(table["ts"])
    reasons = _reasons(table, ts, to_us(now) + _AHEAD_US)
    wrong = np.zeros(len(ts), dtype=bool)
    for _, mask in reasons:
        wrong |= mask
    rejected = tuple(
        Rejected(from_us(int(ts[row])) if ts[row] != NO_TIME else None, reason, decoded.raw(row))
        for row, reason in _named(reasons, wrong)
    )
    good = np.flatnonzero(~wrong)
    rows = _rows(table.take(pa.array(good, pa.int64())), ts[good])
    if not rows.num_rows:
        return rows, rejected
    rows = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in TRADES.sort_order]))
    return _without_repeated_ids(rows), rejected


def _without_repeated_ids(rows: pa.Table) -> pa.Table:
    """*rows* without those that repeat another one of the same id whole.

    Raises:
        SourceError: Rows of one id differ.
    """
    numbers, refs = rows["trade_id"].to_pylist(), rows["trade_ref"].to_pylist()
    pairs = zip(numbers, refs, strict=True)
    ids = [None if each == (None, None) else each for each in pairs]
    first: dict[Any, int] = {}
    kept = []
    for at, each in enumerate(ids):
        if each is None or each not in first:
            first.setdefault(each, at)
            kept.append(at)
        elif rows.slice(first[each], 1).to_pylist() != rows.slice(at, 1).to_pylist():
            raise SourceError(
                f"The answer has different trades of one id ({each[0] or each[1]}).",
                retryable=True,
            )
    return rows if len(kept) == len(ids) else rows.take(pa.array(kept, pa.int64()))


def _is_flawless(table: pa.Table, ts: Array, latest: int) -> bool:
    """Whether no row can be wrong: the answer for nearly every page, at a tenth of the cost."""
    if any(column.null_count for column in table.columns):
        return False
    ids, price = table["trade_id"].to_numpy(), table["price"].to_numpy()
    quantity, taker = table["quantity"].to_numpy(), table["taker"].to_numpy()
    if ids[0] < 0 or not (ids[1:] > ids[:-1]).all() or not (ts[1:] >= ts[:-1]).all():
        return False
    if ts[0] <= 0 or ts[-1] > latest or np.abs(taker).min() != 1:
        return False
    # NaN fails every comparison.
    if not (price.min() > 0 and price.max() < np.inf):
        return False
    if not (quantity.min() > 0 and quantity.max() < np.inf):
        return False
    if "first_trade_id" in table.column_names:
        first, last = table["first_trade_id"].to_numpy(), table["last_trade_id"].to_numpy()
        return bool(first[0] >= 0 and (first <= last).all() and (first[1:] > last[:-1]).all())
    return True


def _sorted_out(decoded: Decoded, table: pa.Table, ts: Array, latest: int) -> CheckedTrades:
    reasons = _reasons(table, ts, latest)
    wrong = np.zeros(len(ts), dtype=bool)
    for _, mask in reasons:
        wrong |= mask
    ids = table["trade_id"].fill_null(_REJECTED_ID_UNKNOWN).to_numpy()
    good = np.flatnonzero(~wrong)
    good = good[np.argsort(ids[good], kind="stable")]
    good = _without_repeats(table, ids, good)
    odd = [*_named(reasons, wrong), *_at_odds(table, ts, ids, good)]
    dropped = {row for row, _ in odd}
    kept = [row for row in good.tolist() if row not in dropped]
    rejected = tuple(
        (
            int(ids[row]),
            Rejected(
                from_us(int(ts[row])) if ts[row] != NO_TIME else None, reason, decoded.raw(row)
            ),
        )
        for row, reason in sorted(odd)
    )
    chosen = table.take(pa.array(kept, pa.int64()))
    return CheckedTrades(_rows(chosen, ts[kept]), rejected)


def _reasons(table: pa.Table, ts: Array, latest: int) -> list[tuple[str, Array]]:
    """Why rows are wrong by themselves, most telling reason first."""
    found: list[tuple[str, Array]] = [
        ("no readable time", ts == NO_TIME),
        ("from the future", ts > latest),
    ]
    if "trade_id" in table.column_names:
        ids = table["trade_id"]
        found.append(("no readable id", ids.fill_null(_REJECTED_ID_UNKNOWN).to_numpy() < 0))
    elif "trade_ref" in table.column_names:
        absent = pc.fill_null(pc.equal(pc.utf8_length(table["trade_ref"]), 0), True)
        found.append(("no id", np.asarray(absent.to_numpy())))
    for name in ("price", "quantity"):
        values = np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
        found.append((f"{name} is not a positive number", ~((values > 0) & (values < np.inf))))
    taker = table["taker"].fill_null(1).to_numpy()
    found.append(("side is neither buy nor sell", np.abs(taker) != 1))
    if "first_trade_id" in table.column_names:
        first = table["first_trade_id"].fill_null(0).to_numpy()
        last = table["last_trade_id"].fill_null(0).to_numpy()
        found.append(("first and last id are no range", (first < 0) | (last < first)))
    return found


def _without_repeats(table: pa.Table, ids: Array, order: Array) -> Array:
    """*order* (ascending by id) without rows that repeat another one whole.

    Raises:
        SourceError: Rows of one id differ.
    """
    repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1]) + 1
    if not len(repeated):
        return order
    # Vendors' files have come with all of their rows twice: millions of repeats.
    earlier, later = (table.take(pa.array(order[at])) for at in (repeated - 1, repeated))
    if not earlier.equals(later):
        differs = ~np.logical_and.reduce(
            [_same(earlier[name], later[name]) for name in table.column_names]
        )
        first = ids[order[repeated[np.argmax(differs)]]]
        raise SourceError(
            f"The answer has different trades of one id ({int(first)}).", retryable=True
        )
    return np.delete(order, repeated)


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Array:
    """Where two columns are equal, nulls included."""
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    return np.asarray(pc.coalesce(pc.equal(one, other), both_null).to_numpy(), dtype=bool)


def _named(reasons: list[tuple[str, Array]], wrong: Array) -> list[tuple[int, str]]:
    return [
        (row, next(name for name, mask in reasons if mask[row]))
        for row in np.flatnonzero(wrong).tolist()
    ]


def _at_odds(table: pa.Table, ts: Array, ids: Array, order: Array) -> list[tuple[int, str]]:
    """Rows (ascending by id in *order*) that do not fit their neighbours."""
    if len(order) < 2:
        return []
    found: dict[int, str] = {}
    times = ts[order]
    behind = times < np.maximum.accumulate(times) - DISORDER_US
    ahead = times > np.minimum.accumulate(times[::-1])[::-1] + DISORDER_US
    # One late row makes all before it look early, and the other way round.
    fewer = behind if behind.sum() <= ahead.sum() else ahead
    for row in order[fewer].tolist():
        found[row] = "its time does not fit the trades around it"
    if "first_trade_id" in table.column_names:
        first = table["first_trade_id"].fill_null(-1).to_numpy()[order]
        last = table["last_trade_id"].fill_null(-1).to_numpy()[order]
        overlap = (first[1:] >= 0) & (first[1:] <= last[:-1])
        for row in order[1:][overlap].tolist():
            found.setdefault(row, "its fills are those of the trade before")
    return list(found.items())


@cache
def _sides() -> pa.Array:
    return pa.array(["sell", None, "buy"])


def _rows(table: pa.Table, ts: Array) -> pa.Table:
    """Valid rows in the ``trades`` schema; columns that the source lacks are null."""
    columns = []
    for field in TRADES.schema:
        if field.name == "ts":
            columns.append(pa.array(ts.view("datetime64[us]")))
        elif field.name == "side":
            taker = table["taker"].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
            columns.append(_sides().take(pa.array(taker + np.int8(1))))
        elif field.name in table.column_names:
            columns.append(table[field.name])
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=TRADES.schema)
