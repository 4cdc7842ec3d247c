"""Row checks of settlements: what a source gave, split into rows that may be stored and others.

Pure. It does not decide what a rejected row means: the caller asks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from lake.domain.rows import Rejected
from lake.domain.settlements import scheduled_us
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.decode import Decoded
from lake.sources.units_of_time import NO_TIME, Array, are_seconds, times_us

# A rate is a fraction per interval: no venue's cap comes near the whole position.
_MOST_RATE = 1.0
# Our reading of the venue's clock is a lower bound.
_AHEAD_US = 60_000_000
_PRICES = ("mark_price", "index_price")
_PREDICTED = "predicted_rate"
_DIFFERS = "differs from another row of the same settlement"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settlement as a venue told it: scheduled time, told time, rates, and prices."""

    ts_us: int
    settled_us: int
    rate: float
    mark_price: float | None = None
    index_price: float | None = None
    predicted_rate: float | None = None


@dataclass(frozen=True, slots=True)
class CheckedFunding:
    """Settlements of one answer, ascending, and the rows that break an invariant."""

    rows: tuple[Settlement, ...]
    rejected: tuple[Rejected, ...] = ()


def validate_funding(decoded: Decoded, *, now: datetime, whole_seconds: bool) -> CheckedFunding:
    """Check the settlements of one answer, row by row and against one another.

    Args:
        decoded: ``settled_at`` (integers since 1970, unit by magnitude), ``funding_rate``
            (fraction per interval), and any of ``mark_price, index_price, predicted_rate``
            (what was said beforehand of the same settlement); any order.
        now: The venue's time after the answer came; later settlements are from the future.
        whole_seconds: Whether the venue's times are no finer than seconds.

    Raises:
        SourceError: The unit of time is coarser than the venue's.
    """
    table = decoded.table
    if table.num_rows == 0:
        return CheckedFunding(())
    if not whole_seconds and are_seconds(table["settled_at"]):
        raise SourceError(
            "The answer has times in whole seconds, but the venue has finer ones.", retryable=True
        )
    settled = times_us(table["settled_at"])
    reasons = _reasons(table, settled, to_us(now) + _AHEAD_US)
    rates = _floats(table, "funding_rate")
    told = {
        name: table[name].to_pylist() if name in table.column_names else [None] * len(settled)
        for name in (*_PRICES, _PREDICTED)
    }
    found: dict[int, tuple[int, Settlement]] = {}
    differing: dict[int, list[int]] = {}
    rejected: list[Rejected] = []
    for row, us in enumerate(settled.tolist()):
        reason = next((name for name, mask in reasons if mask[row]), None)
        if reason is not None:
            moment = from_us(us) if us != NO_TIME else None
            rejected.append(Rejected(moment, reason, decoded.raw(row)))
            continue
        each = Settlement(
            scheduled_us(us), us, float(rates[row]), *(told[name][row] for name in told)
        )
        other = found.setdefault(each.ts_us, (row, each))
        if other[1] != each:
            differing.setdefault(each.ts_us, [other[0]]).append(row)
    for us, rows in differing.items():
        del found[us]
        rejected += [Rejected(from_us(us), _DIFFERS, decoded.raw(row)) for row in rows]
    return CheckedFunding(tuple(found[us][1] for us in sorted(found)), tuple(rejected))


def _reasons(table: pa.Table, settled: Array, latest: int) -> list[tuple[str, Array]]:
    rates = _floats(table, "funding_rate")
    found: list[tuple[str, Array]] = [
        ("no readable time", settled == NO_TIME),
        ("from the future", settled > latest),
        # NaN fails every comparison.
        ("funding_rate is not a fraction", ~(np.abs(rates) < _MOST_RATE)),
    ]
    if _PREDICTED in table.column_names:
        said = ~table[_PREDICTED].is_null().to_numpy()
        odd = said & ~(np.abs(_floats(table, _PREDICTED)) < _MOST_RATE)
        found.append((f"{_PREDICTED} is not a fraction", odd))
    for name in _PRICES:
        if name in table.column_names:
            price = _floats(table, name)
            said = ~table[name].is_null().to_numpy()
            odd = said & ~((price > 0) & (price < np.inf))
            found.append((f"{name} is not a positive number", odd))
    return found


def _floats(table: pa.Table, name: str) -> Array:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
