"""Which instrument a user means: our code, ccxt's symbol, the venue's id, or a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from lake.domain.identifiers import Instrument, Venue
from lake.errors import InvalidRequest

# Enough to see which of several spellings was meant, few enough to read.
_NAMES_SHOWN = 5
_WILD = "*?["


class NotListed(InvalidRequest):
    """The venue has no instrument of that name, as far as its list says."""


def is_pattern(text: str) -> bool:
    """Whether *text* may name several instruments."""
    return any(character in text for character in _WILD)


def resolve(text: str, venue: Venue, instruments: Sequence[Instrument]) -> list[Instrument]:
    """The instruments of *venue* that *text* names; several only for a pattern.

    Tried in this order: our code, ccxt's symbol, the venue's own id, then base + quote
    where only one instrument has it. ``BTCUSDT.BINANCE`` may name the venue too.

    Raises:
        NotListed: Nothing matches.
        InvalidRequest: More than one thing matches, or *text* names another venue.
    """
    word = text.strip()
    symbol, dot, last = word.rpartition(".")
    names_a_venue = bool(dot) and last.isalnum() and not last.isdigit()
    if names_a_venue and Venue(last) == venue:
        word = symbol
    if is_pattern(word):
        return _matching(text, word.upper(), venue, instruments)
    upper = word.upper()
    for spelling in (
        lambda each: each.code.upper(),
        lambda each: each.symbol.upper(),
        lambda each: each.native_id.upper(),
        lambda each: f"{each.base}{each.quote}".upper(),
    ):
        found = [each for each in instruments if spelling(each) == upper]
        if len(found) == 1:
            return found
        if found:
            names = ", ".join(f"{each.code} ({each.symbol})" for each in found[:_NAMES_SHOWN])
            raise InvalidRequest(
                f"{text!r} names {len(found)} instruments at {venue}: {names}. "
                "Use one of the codes."
            )
    if names_a_venue and word != symbol:
        raise InvalidRequest(
            f"{text!r} names the venue {Venue(last)}, but {venue} was asked for. "
            "Use one of the two."
        )
    raise NotListed(_unknown(text, upper, venue, instruments))


def _matching(
    text: str, pattern: str, venue: Venue, instruments: Sequence[Instrument]
) -> list[Instrument]:
    found = [
        each
        for each in instruments
        if fnmatchcase(each.code.upper(), pattern) or fnmatchcase(each.symbol.upper(), pattern)
    ]
    if not found:
        raise NotListed(f"No instrument at {venue} matches {text!r}.")
    return sorted(found, key=lambda each: each.code)


def _unknown(text: str, upper: str, venue: Venue, instruments: Sequence[Instrument]) -> str:
    by_spelling = {each.code.upper(): each for each in instruments}
    by_spelling |= {each.symbol.upper(): each for each in instruments}
    near = dict.fromkeys(
        by_spelling[name].code
        for name in get_close_matches(upper, by_spelling, n=_NAMES_SHOWN, cutoff=0.6)
    )
    hint = f" Near: {', '.join(near)}." if near else ""
    return (
        f"{venue} has no instrument {text!r}.{hint} "
        f"`lake instruments {venue}` lists all {len(instruments)}."
    )
