"""Values as venues write them into ours: ISO times, fractions of seconds, contracts, levels.

For decoders of raw answers. Pure; what cannot be read becomes what the checks reject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Instrument, InstrumentKind
from lake.domain.times import EPOCH, MICROSECOND, from_us
from lake.sources.decode import Decoded, as_integer, as_number, contract_size, refused
from lake.sources.fields import Place

# 1973 to 2286: a number of seconds outside is one of another unit.
_FIRST_S, _LAST_S = 1e8, 1e10
_CONTRACTS = (InstrumentKind.LINEAR, InstrumentKind.INVERSE)


def iso_us(text: str) -> int:
    """Microseconds since 1970 of an ISO time with an offset (``2025-07-29T05:16:49.920Z``).

    Raises:
        ValueError: *text* is no time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return (moment.astimezone(UTC).replace(tzinfo=None) - EPOCH) // MICROSECOND


def seconds_us(value: float | str) -> int:
    """Microseconds of a time in seconds with a fraction.

    Raises:
        ValueError: *value* is no number of seconds.
    """
    seconds = float(value)
    if not _FIRST_S <= seconds < _LAST_S:
        raise ValueError(f"{value!r} is not in seconds")
    return round(seconds * 1e6)


def milliseconds_us(value: float | str) -> int:
    """Microseconds of a time in milliseconds with a fraction (``1634673259378.105000``), exactly.

    Raises:
        ValueError: *value* is no number of milliseconds. Seconds would pass for milliseconds
            whose fraction is lost once they are multiplied.
    """
    if not _FIRST_S * 1e3 <= float(value) < _LAST_S * 1e3:
        raise ValueError(f"{value!r} is not in milliseconds")
    return int(Decimal(str(value)) * 1_000)


def iso_ms(us: int) -> str:
    """*us* as ISO text with milliseconds, rounded down, as venues take it."""
    moment = from_us(us)
    return f"{(moment - timedelta(microseconds=us % 1_000)).isoformat(timespec='milliseconds')}Z"


def book_time(body: bytes, value: Any, into: Callable[[Any], Any] = as_integer) -> int:
    """The time of a book that has one, by *into*.

    Raises:
        SourceError: It cannot be read (retryable).
    """
    try:
        moment = into(value)
    except (TypeError, ValueError):
        moment = None
    if not isinstance(moment, int):
        raise refused(body, "has a book without a readable time")
    return moment


def in_base(columns: Mapping[str, pa.Array], instrument: Instrument) -> dict[str, pa.Array]:
    """*columns* with ``quantity`` turned from contracts into the base asset.

    A linear contract is so much of the base asset, an inverse one so much of the quote asset
    at the trade's ``price``. Spot stays as it is.

    Raises:
        SourceError: The contract's size is unknown.
    """
    if instrument.kind not in _CONTRACTS:
        return dict(columns)
    prices, quantities = (_doubles(columns[name]) for name in ("price", "quantity"))
    return dict(columns) | {"quantity": pa.array(_amounts(quantities, prices, instrument))}


def book_of(
    body: bytes,
    instrument: Instrument,
    *,
    bids: Any,
    asks: Any,
    ts: int | None = None,
    sequence: Any = None,
    price: Place = 0,
    quantity: Place = 1,
    are_contracts: bool = True,
) -> Decoded:
    """One snapshot as one row, its levels in the order of the venue, which is best first.

    Args:
        body: The answer, for messages and the quarantine.
        bids, asks: The venue's lists of levels.
        ts: The venue's time, unit by magnitude; None where it says none.
        sequence: As the venue wrote it; None where it says none.
        price, quantity: Where they lie in a level.
        are_contracts: Whether a derivative's quantities are contracts, not the base asset.

    Raises:
        SourceError: A side is no list or the sequence no number (retryable), or the
            contract's size is unknown.
    """
    if not isinstance(bids, list) or not isinstance(asks, list):
        raise refused(body, "is not an order book")
    number = None if sequence is None else as_integer(sequence)
    if sequence is not None and number is None:
        raise refused(body, "has a book without a readable sequence")
    columns: dict[str, Any] = {
        "ts": pa.array([ts], pa.int64()),
        "sequence": pa.array([number], pa.int64()),
    }
    for name, levels in (("bid", bids), ("ask", asks)):
        prices, quantities = _levels(levels, price, quantity)
        if are_contracts and instrument.kind in _CONTRACTS:
            quantities = _amounts(quantities, prices, instrument)
        columns[f"{name}_prices"] = pa.array([prices], pa.list_(pa.float64()))
        columns[f"{name}_quantities"] = pa.array([quantities], pa.list_(pa.float64()))
    return Decoded(pa.table(columns), lambda row: body.decode("utf-8", "replace"))


def _amounts(
    quantities: np.ndarray[Any, Any], prices: np.ndarray[Any, Any], instrument: Instrument
) -> np.ndarray[Any, Any]:
    amounts = quantities * contract_size(instrument)
    if instrument.kind is InstrumentKind.LINEAR:
        return amounts
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(amounts / prices)


def _levels(
    levels: Sequence[Any], price: Place, quantity: Place
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Prices and quantities; what cannot be read is NaN, which the checks refuse."""
    found = np.full((len(levels), 2), np.nan)
    for at, level in enumerate(levels):
        for side, place in enumerate((price, quantity)):
            try:
                number = as_number(level[place])
            except (LookupError, TypeError):
                number = None
            if number is not None:
                found[at, side] = number
    return found[:, 0], found[:, 1]


def _doubles(column: pa.Array) -> np.ndarray[Any, Any]:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
