"""Which held series the words of a notebook mean: ids, spellings of venues, lists, patterns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.resolve import resolve
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SeriesNotFound
from lake.storage.held import held_files, held_series
from lake.store.reads import not_found

if TYPE_CHECKING:
    from lake.storage.lake import Storage

Words = str | InstrumentId | Iterable[str | InstrumentId]
_PATTERN = frozenset("*?[")
_NAMES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """The series meant; ``named`` where the answer has to say whose each row is.

    That depends on how was asked, not on how many were found: code that works for a pattern
    works the same on the day on which it fits one instrument.
    """

    series: tuple[Series, ...]
    named: bool


def choose(
    storage: Storage,
    words: Words,
    data_type: DataType,
    timeframe: TimeFrame | None,
    venue: Venue | None = None,
) -> Chosen:
    """The held series that *words* mean, in that order, each once; patterns by name.

    Args:
        storage: The lake.
        words: ``BTCUSDT.BINANCE``, our code, ccxt's symbol or the venue's id (where one venue
            only has it), a pattern (``*USDT-PERP``, ``*.BINANCE``), or several of these.
        data_type: What kind of rows.
        timeframe: For candles their length.
        venue: The one venue meant.

    Raises:
        SeriesNotFound: Nothing that is held fits; what is near is in the message.
        InvalidRequest: A name means several instruments, or contradicts *venue*.
    """
    if isinstance(words, InstrumentId) or (isinstance(words, str) and not _is_pattern(words)):
        return Chosen((_one(storage, words, data_type, timeframe, venue),), named=False)
    several = [words] if isinstance(words, str) else list(words)
    if not several:
        raise InvalidRequest("No instrument was named. Name at least one, or '*' for all held.")
    found: dict[Series, None] = {}
    for word in several:
        if isinstance(word, str) and _is_pattern(word):
            found |= dict.fromkeys(_fitting(storage, word, data_type, timeframe, venue))
        else:
            found[_one(storage, word, data_type, timeframe, venue)] = None
    return Chosen(tuple(found), named=True)


def _is_pattern(word: str) -> bool:
    return not _PATTERN.isdisjoint(word)


def _one(
    storage: Storage,
    word: str | InstrumentId,
    data_type: DataType,
    timeframe: TimeFrame | None,
    venue: Venue | None,
) -> Series:
    text = str(word)
    asked = _exact(text, venue)
    if asked is not None:
        series = Series(data_type, asked, timeframe)
        # The common case costs one look-up, whatever the lake holds.
        if held_files(storage.database, series, 0, 0) is not None:
            return series
    candidates = _candidates(storage, data_type, timeframe, venue)
    found: list[Series] = []
    told: InvalidRequest | None = None
    for each in dict.fromkeys(one.venue for one in candidates):
        ids = {one.instrument_id for one in candidates if one.venue == each}
        if asked is not None and asked.venue != each and venue is None:
            continue
        try:
            known = [one for one in storage.catalog.instruments(each) if one.id in ids]
            found += [
                Series(data_type, one.id, timeframe)
                for one in resolve(_without_venue(text, each), each, known)
            ]
        except InvalidRequest as error:
            told = error if "names" in str(error) else told
    # A code is meant before a pair that it happens to be the base and quote of elsewhere.
    found = [one for one in found if one.instrument_id.symbol == text.upper()] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(one.instrument_id) for one in found[:_NAMES_SHOWN])
        raise InvalidRequest(f"{text!r} means {len(found)} instruments: {names}. Name one of them.")
    if told is not None:
        raise told
    if asked is not None:
        raise not_found(storage, Series(data_type, asked, timeframe))
    raise _nothing(storage, text, data_type, timeframe, candidates)


def _exact(text: str, venue: Venue | None) -> InstrumentId | None:
    """The id that *text* spells out; None where it names no venue."""
    try:
        asked = InstrumentId.from_str(text)
    except InvalidRequest:
        return None if venue is None else InstrumentId(text, venue)
    if venue is not None and asked.venue != venue:
        raise InvalidRequest(
            f"{text!r} names the venue {asked.venue}, but venue={venue.name!r} was asked for. "
            "Use one of the two."
        )
    return asked


def _without_venue(text: str, venue: Venue) -> str:
    symbol, _, last = text.rpartition(".")
    try:
        return symbol if symbol and Venue(last) == venue else text
    except InvalidRequest:
        return text


def _fitting(
    storage: Storage,
    pattern: str,
    data_type: DataType,
    timeframe: TimeFrame | None,
    venue: Venue | None,
) -> list[Series]:
    candidates = _candidates(storage, data_type, timeframe, venue)
    wanted = pattern.upper()
    found = [
        each
        for each in candidates
        if fnmatchcase(str(each.instrument_id).upper(), wanted)
        or fnmatchcase(each.instrument_id.symbol.upper(), wanted)
    ]
    if not found:
        raise _nothing(storage, pattern, data_type, timeframe, candidates)
    return found


def _candidates(
    storage: Storage, data_type: DataType, timeframe: TimeFrame | None, venue: Venue | None
) -> list[Series]:
    return [
        each
        for each in held_series(storage.database, data_type)
        if each.timeframe is timeframe and (venue is None or each.venue == venue)
    ]


def _nothing(
    storage: Storage,
    text: str,
    data_type: DataType,
    timeframe: TimeFrame | None,
    candidates: Sequence[Series],
) -> SeriesNotFound:
    what = f"{timeframe} candles" if timeframe else str(data_type)
    names = ", ".join(str(each.instrument_id) for each in candidates[:_NAMES_SHOWN])
    more = " ..." if len(candidates) > _NAMES_SHOWN else ""
    held = f"Held are: {names}{more}" if names else f"No {what} are held at all"
    return SeriesNotFound(f"No {what} in {storage.root} fit {text!r}. {held}.")
