"""Which of Binance's three markets an archive is of: every hint there is, put together. Pure."""

from __future__ import annotations

from pathlib import Path

from lake.domain.identifiers import InstrumentId, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import (
    SPOT,
    USDM,
    VENUES,
    venues_by_path,
    venues_by_symbol,
)
from lake.sources.archive.format import Hints


def venue_of(path: Path, symbol: str | None, hints: Hints, *, shown: tuple[Venue, ...]) -> Venue:
    """The venue that every hint agrees on: the user, the folders, the symbol, the contents.

    Args:
        path: Of the file; its folders may name a market.
        symbol: As its name spells it; None where the name says nothing.
        hints: What the user said.
        shown: What its contents look like; asked only where all else leaves a choice.

    Raises:
        InvalidRequest: Hints contradict one another, or are too few.
    """
    said = hints.venue
    if said is None and hints.instrument and "." in hints.instrument:
        said = InstrumentId.from_str(hints.instrument).venue
    if said is not None and said not in VENUES:
        raise InvalidRequest(
            f"{path.name} is an archive of Binance, but --venue says {said}. "
            f"Use one of {', '.join(map(str, VENUES))}."
        )
    by_path, folder = venues_by_path(path)
    by_symbol = VENUES if symbol is None else venues_by_symbol(symbol)
    left = [venue for venue in VENUES if venue in by_path and venue in by_symbol]
    if said is not None:
        if said in left:
            return said
        reason = f"its folder {folder!r}" if said in by_symbol else "its name"
        raise InvalidRequest(f"{path.name}: --venue says {said}, but {reason} says otherwise.")
    if len(left) > 1:
        left = [venue for venue in left if venue in shown]
    if len(left) == 1:
        return left[0]
    if not left:
        raise InvalidRequest(
            f"{path.name}: its name and its folder {folder!r} speak of different markets. "
            "Move it, or say which it is with --venue."
        )
    raise InvalidRequest(
        f"{path.name} may be spot or USD-M futures: nothing in it says which. "
        f"Say --venue {SPOT} or --venue {USDM}."
    )
