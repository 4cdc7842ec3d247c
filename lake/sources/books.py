"""One snapshot of an order book: ordered, not crossed, or refused and asked again.

Checks are pure; requests go through the function they are given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Basis, Claim
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page, Rejected
from lake.domain.schemas import ORDERBOOK
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.decode import Decoded
from lake.sources.units_of_time import NO_TIME, Array, are_seconds, times_us

# Books that break an invariant are asked again so often before they count as the venue's.
_ODD_ANSWERS = 3
_MICROSECOND = timedelta(microseconds=1)
# Our reading of the venue's clock is a lower bound. No book is too old: its time is that of its
# last change, which may be long ago in a quiet market.
_AHEAD_US = 60_000_000


@dataclass(frozen=True, slots=True)
class CheckedBook:
    """A snapshot in the ``orderbook`` schema, or the reason why it is none."""

    rows: pa.Table
    rejected: Rejected | None = None


def validate_book(
    decoded: Decoded, *, depth: int, received: datetime, whole_seconds: bool = False
) -> CheckedBook:
    """Check one snapshot and cut it to *depth* levels a side.

    Args:
        decoded: One row: ``ts`` (unit by magnitude; null where the venue does not say),
            ``sequence``, ``bid_prices, bid_quantities, ask_prices, ask_quantities`` (base
            asset, best first).
        depth: Levels kept of each side.
        received: The venue's time when the answer came: ``ts`` where the venue says none.
        whole_seconds: Whether the venue's times are no finer than seconds.

    Raises:
        SourceError: The unit of time is coarser than the venue's.
    """
    table = decoded.table
    if not whole_seconds and are_seconds(table["ts"]):
        raise SourceError(
            "The book's time is in whole seconds, but the venue has finer ones.", retryable=True
        )
    says_time = table["ts"].null_count == 0
    us = int(times_us(table["ts"])[0]) if says_time else to_us(received)
    sides = {
        name: (_levels(table, f"{name}_prices"), _levels(table, f"{name}_quantities"))
        for name in ("bid", "ask")
    }
    if (reason := book_fault(us, to_us(received), sides)) is not None:
        moment = None if us == NO_TIME else from_us(us)
        return CheckedBook(ORDERBOOK.schema.empty_table(), Rejected(moment, reason, decoded.raw(0)))
    row = {
        "ts": from_us(us),
        "sequence": table["sequence"][0].as_py(),
        "received_at": received,
    }
    for name, (prices, quantities) in sides.items():
        row[f"best_{name}"] = float(prices[0]) if len(prices) else None
        row[f"best_{name}_quantity"] = float(quantities[0]) if len(prices) else None
        row[f"{name}_prices"] = prices[:depth].tolist()
        row[f"{name}_quantities"] = quantities[:depth].tolist()
    return CheckedBook(pa.Table.from_pylist([row], schema=ORDERBOOK.schema))


def book_fault(us: int, received_us: int, sides: dict[str, tuple[Array, Array]]) -> str | None:
    """Why the book cannot be stored; None where it can. NaN fails every comparison."""
    if us == NO_TIME:
        return "no readable time"
    if us > received_us + _AHEAD_US:
        return "from the future"
    for name, (prices, quantities) in sides.items():
        if not ((prices > 0) & (prices < np.inf)).all():
            return f"{name} price is not a positive number"
        if not ((quantities > 0) & (quantities < np.inf)).all():
            return f"{name} quantity is not a positive number"
        steps = np.diff(prices) if name == "ask" else -np.diff(prices)
        if not (steps > 0).all():
            return f"{name}s are not ordered best first"
    bids, asks = sides["bid"][0], sides["ask"][0]
    if len(bids) and len(asks) and bids[0] >= asks[0]:
        return "crossed: the best bid is not below the best ask"
    return None


def _levels(table: pa.Table, name: str) -> Array:
    return np.asarray(table[name][0].values.to_numpy(zero_copy_only=False), dtype=np.float64)


async def snapshot(
    ask: Callable[[], Awaitable[Decoded]],
    *,
    depth: int,
    retry: Retry,
    clock: Callable[[], Awaitable[datetime]],
    whole_seconds: bool,
) -> Page:
    """One snapshot taken now: its page is the instant of its ``ts``.

    Raises:
        SourceError: None could be had.
    """
    requests = 0
    odd: list[Rejected] = []

    async def once() -> CheckedBook:
        nonlocal requests
        requests += 1
        decoded = await ask()
        received = await clock()
        checked = validate_book(
            decoded, depth=depth, received=received, whole_seconds=whole_seconds
        )
        if checked.rejected is not None:
            odd.append(checked.rejected)
            if len(odd) < _ODD_ANSWERS:
                raise SourceError(f"The book is {checked.rejected.reason}.", retryable=True)
        return checked

    checked = await retry.run(once)
    if checked.rejected is not None:
        moment = checked.rejected.ts or await clock()
        window = TimeRange(moment, moment + _MICROSECOND)
        return Page(window, checked.rows, (), (checked.rejected,), (), requests)
    moment = checked.rows["ts"][0].as_py()
    window = TimeRange(moment, moment + _MICROSECOND)
    return Page(window, checked.rows, (Claim(window, Basis.ANSWER),), (), (), requests)
