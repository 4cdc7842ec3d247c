"""Rows outside of the bounds that were asked for, where a venue is known to send them.

They are left out. An answer that has only such rows is none to its request.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.times import from_us, iso
from lake.errors import SourceError
from lake.sources.decode import Decoded
from lake.sources.errors import Fault
from lake.sources.units_of_time import NO_TIME, times_us

# A faulty answer may look like that; what looks so again is the venue's.
_TRIES = 4


def within(decoded: Decoded, first: int, last: int, what: str, *, most: int) -> Decoded:
    """*decoded* without candles that open outside of ``[first, last]`` (us).

    Rows without a readable time stay: they are for the checks.

    Args:
        most: Candles that the venue gives at most. An answer of so many that begins after
            *first* does not reach back to it, and says nothing about what lies between.

    Raises:
        SourceError: All rows are outside, or older ones were cut off.
    """
    if not decoded.table.num_rows:
        return decoded
    ts = times_us(decoded.table["ts"])
    kept = np.flatnonzero((ts == NO_TIME) | ((ts >= first) & (ts <= last)))
    if not len(kept):
        raise _others(what, first, last, iso(from_us(int(ts.min()))), tries=_TRIES)
    timed = ts[ts != NO_TIME]
    if len(ts) >= most and len(timed) and timed.min() > first:
        raise _others(what, first, last, iso(from_us(int(timed.min()))), tries=_TRIES)
    table = decoded.table.take(pa.array(kept))
    return Decoded(table, lambda row: decoded.raw(int(kept[row])))


def asked_for(rows: Any, first: int, last: int, what: str) -> Any:
    """Rows of ccxt's unified method within the bounds; venues differ in what these include.

    Raises:
        SourceError: All rows are outside. A venue that ignores the range would otherwise look
            like one that has nothing there.
    """
    if not isinstance(rows, list):
        return rows
    inside = [each for each in rows if not _is_beside(each, first, last)]
    if rows and not inside:
        raise _others(what, first, last, repr(rows[0]), tries=1)
    return inside


def _others(what: str, first: int, last: int, earliest: str, *, tries: int) -> SourceError:
    return Fault(
        f"{what}: candles from {iso(from_us(first))} to {iso(from_us(last))} were asked for, "
        f"but the venue gave others (the first: {earliest}). It does not reach back so far, "
        "or ignores ranges; nothing is claimed. Ask for a later start.",
        retryable=False,
        tries=tries,
    )


def _is_beside(row: Any, first: int, last: int) -> bool:
    """Whether a unified row opens outside the bounds; rows without a readable time do not."""
    try:
        return not first <= int(row[0]) * 1_000 <= last
    except (TypeError, ValueError, IndexError):
        return False
