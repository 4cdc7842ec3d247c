"""Which held series the words of a command mean. Each word has to mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lake.cli.arguments import timeframes, words
from lake.cli.report import series_order
from lake.domain.identifiers import DataType, Series, Venue
from lake.errors import InvalidRequest, SeriesNotFound

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_PATTERN = frozenset("*?[")
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows the choice beside the words; None and empty leave all."""

    types: Sequence[str] | None = None
    venue: str | None = None
    timeframes: Sequence[str] | None = None

    def chosen(self, held: Sequence[Series]) -> list[Series]:
        kinds = [DataType.from_str(each) for each in words(self.types or ())]
        venue = None if self.venue is None else Venue(self.venue)
        frames = timeframes(self.timeframes or ())
        return [
            each
            for each in held
            if (not kinds or each.data_type in kinds)
            and (venue is None or each.venue == venue)
            and (not frames or each.timeframe in frames)
        ]


def named_series(storage: Storage, names: Sequence[str], filters: Filters) -> list[Series]:
    """The held series that *names* and *filters* leave, by type, name and timeframe.

    Args:
        storage: The lake.
        names: Ids (``BTCUSDT.BINANCE``), codes, ccxt's symbols or the venues' own ids, patterns.
        filters: What they are looked for in.

    Raises:
        SeriesNotFound: A name, or all of them with the filters, means nothing that is held.
        InvalidRequest: A name means several instruments of a venue.
    """
    held = [each.series for each in storage.catalog.series()]
    candidates = filters.chosen(held)
    if not candidates:
        raise _nothing(held, "these filters")
    found: dict[Series, None] = {}
    for name in words(names):
        fitting = _fitting(storage, name, candidates)
        if not fitting:
            raise _nothing(held, repr(name))
        found |= dict.fromkeys(fitting)
    return sorted(found if names else candidates, key=series_order)


def one_type(series: Sequence[Series]) -> DataType:
    """The one data type of *series*.

    Raises:
        InvalidRequest: They have several, and which is meant was not said.
    """
    kinds = sorted({each.data_type.value for each in series})
    if len(kinds) > 1:
        raise InvalidRequest(
            f"That means series of {len(kinds)} types: {', '.join(kinds)}. "
            f"Say which with --type, for example --type {kinds[0]}."
        )
    return series[0].data_type


def _fitting(storage: Storage, name: str, candidates: Sequence[Series]) -> list[Series]:
    upper = name.upper()
    if not _PATTERN.isdisjoint(name):
        return [
            each
            for each in candidates
            if fnmatchcase(str(each.instrument_id).upper(), upper)
            or fnmatchcase(each.instrument_id.symbol.upper(), upper)
        ]
    for spelling in (
        lambda each: str(each.instrument_id),
        lambda each: each.instrument_id.symbol,
    ):
        found = [each for each in candidates if spelling(each).upper() == upper]
        if found:
            return found
    return _resolved(storage, name, candidates)


def _resolved(storage: Storage, name: str, candidates: Sequence[Series]) -> list[Series]:
    """By ccxt's symbol, the venue's own id, or base and quote, as far as the catalog has them."""
    from lake.domain.resolve import resolve

    ids = {each.instrument_id for each in candidates}
    known = [each for each in storage.catalog.instruments() if each.id in ids]
    found = set()
    for venue in {each.venue for each in known}:
        try:
            found |= {
                each.id
                for each in resolve(name, venue, [one for one in known if one.venue == venue])
            }
        except InvalidRequest as error:
            if "names" in str(error) and "venue" not in str(error):
                raise
    return [each for each in candidates if each.instrument_id in found]


def _nothing(held: Sequence[Series], what: str) -> SeriesNotFound:
    names = ", ".join(sorted({str(each) for each in held})[:_NAMES_SHOWN])
    more = " ..." if len(held) > _NAMES_SHOWN else ""
    holds = f"It holds {len(held)} series: {names}{more}" if held else "It holds nothing at all"
    return SeriesNotFound(
        f"The lake holds nothing that fits {what}. {holds}. `lake status` lists them."
    )
