"""What may not be mixed inside one series: kinds of trades, schemes of ids, depths of books.

Pure. It also derives the ids of trades that a source gives without any.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from lake.errors import InvalidRequest

# Enough that two different trades of one microsecond never share a name (64 bits).
_REF_BYTES = 8


class TradeKind(Enum):
    """What one row of a trades series stands for."""

    SINGLE = "single"
    """One fill."""
    AGGREGATE = "aggregate"
    """All fills of one taker's order at one price, with their first and last ids."""


class IdScheme(Enum):
    """Where the ids of trades come from."""

    VENUE = "venue"
    DERIVED = "derived"


class BookKind(Enum):
    """How a book was come by."""

    REST = "rest"
    """A snapshot that the venue answered."""
    REBUILT = "rebuilt"
    """Built from a snapshot and the changes after it."""
    FEED = "feed"
    """A snapshot that the venue's stream sent."""


@dataclass(frozen=True, slots=True)
class TradesVariant:
    """What a trades series holds, written ``aggregate/venue``."""

    kind: TradeKind
    ids: IdScheme

    @classmethod
    def from_str(cls, text: str) -> TradesVariant:
        kind, _, ids = text.partition("/")
        try:
            return cls(TradeKind(kind), IdScheme(ids))
        except ValueError as error:
            raise InvalidRequest(
                f"{text!r} is not a variant of trades. Write KIND/IDS: single or aggregate, "
                "then venue or derived, for example aggregate/venue."
            ) from error

    def __str__(self) -> str:
        return f"{self.kind.value}/{self.ids.value}"


@dataclass(frozen=True, slots=True)
class BookVariant:
    """What an order book series holds: its kind, levels a side, and how often it was sampled.

    Written ``rest/20``, or ``rebuilt/20/1s`` where samples stand on a grid.
    """

    kind: BookKind
    depth: int
    every: timedelta | None = None

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise InvalidRequest(f"A book of {self.depth} levels was named. Use 1 or more.")
        if self.every is not None and self.every <= timedelta(0):
            raise InvalidRequest("Samples of a book lie apart: name an interval, such as 1s.")

    @classmethod
    def from_str(cls, text: str) -> BookVariant:
        kind, _, rest = text.partition("/")
        depth, _, every = rest.partition("/")
        try:
            return cls(BookKind(kind), int(depth), _interval(every) if every else None)
        except ValueError as error:
            raise InvalidRequest(
                f"{text!r} is not a variant of order books. Write KIND/DEPTH: rest, rebuilt or "
                "feed, then the levels of a side, for example rest/20, and for samples on a grid "
                "how often: rebuilt/20/1s."
            ) from error

    def __str__(self) -> str:
        every = "" if self.every is None else f"/{_interval_text(self.every)}"
        return f"{self.kind.value}/{self.depth}{every}"


_UNITS = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_UNITS |= {"ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}


def _interval(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d*)(h|m|s|ms|us)", text)
    if found is None:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2]]


def _interval_text(every: timedelta) -> str:
    """*every* in the longest unit that divides it: one way to write each."""
    unit = next(unit for unit, length in _UNITS.items() if not every % length)
    return f"{every // _UNITS[unit]}{unit}"


@dataclass(slots=True)
class RefCarry:
    """The counts of the group of rows at whose middle a page or file ended."""

    ts_us: int | None = None
    counts: dict[tuple[float, float, str], int] = field(default_factory=dict)


def derive_refs(
    ts_us: Sequence[int],
    prices: Sequence[float],
    quantities: Sequence[float],
    sides: Sequence[str | None],
    carry: RefCarry | None = None,
) -> list[str]:
    """A ``trade_ref`` for each trade of a source that gives no ids.

    A name is made of the row's parsed values and its ordinal among equal rows of the same
    ``ts``, so that equal rows stay apart and fetching again gives the same names.

    Args:
        ts_us: Ascending microseconds since 1970; rows of one ``ts`` stand together.
        prices: As stored.
        quantities: As stored, in the base asset.
        sides: ``buy``, ``sell`` or None.
        carry: Pass one object along when a source comes in parts: a part may end inside the
            rows of one ``ts``, and the next one counts on.
    """
    group = carry or RefCarry()
    refs = []
    for us, price, quantity, side in zip(ts_us, prices, quantities, sides, strict=True):
        if us != group.ts_us:
            group.ts_us, group.counts = us, {}
        row = (price, quantity, side or "")
        ordinal = group.counts[row] = group.counts.get(row, 0) + 1
        # repr gives the shortest text that reads back as the same double.
        text = f"{us}|{price!r}|{quantity!r}|{side or ''}"
        digest = hashlib.blake2b(text.encode(), digest_size=_REF_BYTES).hexdigest()
        refs.append(f"{digest}-{ordinal}")
    return refs
