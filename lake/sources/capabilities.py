"""What each venue can give: one entry per venue and data type.

Venues whose endpoints we know are in ``venues``, one module each. The others go through ccxt's
unified method, with the limits of ``venue_limits``. Limits are our own and not ccxt's
``features``, which disagree with its own code.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.errors import InvalidRequest
from lake.sources.capability import Access, Capability
from lake.sources.refusals import NOT_TO_BE_HAD
from lake.sources.unified_methods import lacks, unified_rows
from lake.sources.venue_limits import UNIFIED_LIMITS, UnifiedLimits
from lake.sources.venues import ACCESS, ENTRIES

_UNIFIED_COLUMNS = ("ts", "open", "high", "low", "close", "volume")


def capability(venue: Venue, data_type: DataType) -> Capability:
    """What *venue* can give of *data_type*. Asks no network.

    Raises:
        InvalidRequest: ccxt does not know the venue, or the venue does not give the type;
            the message says what to do instead.
    """
    known = ccxt_ids()
    if venue.ccxt_id not in known:
        near = difflib.get_close_matches(venue.ccxt_id, known, n=3, cutoff=0.6)
        hint = f"Did you mean {', '.join(each.upper() for each in near)}? " if near else ""
        raise InvalidRequest(
            f"{venue} is not a venue that ccxt knows. {hint}`lake sources --all` lists all of them."
        )
    if (entry := ENTRIES.get((venue.name, data_type))) is not None:
        return entry
    if data_type is DataType.OHLCV:
        return _unified(venue, UNIFIED_LIMITS.get(venue.name, UnifiedLimits()))
    if not refusal(venue, data_type):
        return unified_rows(venue, data_type)
    raise InvalidRequest(
        f"{data_type} of {venue} were asked for, but {refusal(venue, data_type)} "
        "`lake sources` lists what each venue has."
    )


def access(venue: Venue) -> Access:
    """How *venue* is reached. Asks no network."""
    return ACCESS.get(venue.name, Access(venue))


def refusal(venue: Venue, data_type: DataType) -> str:
    """Why *data_type* cannot be had from *venue*, and the way out; empty where it can be had."""
    if data_type is DataType.OHLCV or (venue.name, data_type) in ENTRIES:
        return ""
    if (why := NOT_TO_BE_HAD.get((venue.name, data_type))) is not None:
        return why
    return (
        "ccxt has no public method for them. Ask another venue." if lacks(venue, data_type) else ""
    )


def capabilities(data_type: DataType = DataType.OHLCV) -> list[Capability]:
    """Every entry there is: raw ones first, then the other ccxt venues by name."""
    known = [entry for (_, kind), entry in ENTRIES.items() if kind is data_type]
    named = {entry.venue for entry in known}
    others = [Venue(name) for name in sorted(ccxt_ids())]
    unified = [each for each in others if each not in named and not refusal(each, data_type)]
    return [*known, *(capability(each, data_type) for each in unified)]


def _unified(venue: Venue, limits: UnifiedLimits) -> Capability:
    return Capability(
        venue=venue,
        data_type=DataType.OHLCV,
        page_size=limits.page_size,
        settle_after=timedelta(minutes=5),
        columns=_UNIFIED_COLUMNS,
        rank=40,
        depth_candles=limits.depth_candles,
        depth_reason=limits.depth_reason,
        longest_window=limits.longest_window,
        hole_answers=2,
        volume_units={InstrumentKind.SPOT: "base", **limits.volume_units},
    )


@cache
def ccxt_ids() -> frozenset[str]:
    """The exchange ids of the installed ccxt, without the half second that importing it takes."""
    spec = find_spec("ccxt")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "async_support"
    return frozenset(each.stem for each in folder.glob("*.py") if not each.stem.startswith("_"))
