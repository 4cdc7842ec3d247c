"""Reads histories of funding as collectors write them: one perpetual of one exchange a file.

``BTC-USDT_binance_..._funding_history.csv`` (Symbol, Date, Funding Rate; the dates say no zone,
and are local time in some files) of supervik/historical-funding-rates-fetcher, and
``binance_BTC_funding_rates.json`` (coin, funding_rate, time in ms, perhaps premium) of
yuchengzhang966/funding-rate-efficient-frontier, as in the README of the recorded data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lake.domain.identifiers import DataType, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.container import refused
from lake.sources.archive.format import OTHERS, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed, symbol_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.tables import kind_of, names_of

_CSV = re.compile(
    r"(?P<base>[A-Za-z0-9]+)-(?P<quote>[A-Za-z0-9]+)_(?P<venue>[A-Za-z0-9]+)_.*funding_history\.csv"
)
_JSON = re.compile(r"(?P<venue>[A-Za-z0-9]+)_(?P<coin>[A-Za-z0-9]+)_funding_rates\.json")
_CSV_NAMES = ("Symbol", "Date", "Funding Rate")
_JSON_NAMES = ("coin", "funding_rate", "time")
_PREMIUM = "premium"
# Their word for an exchange is that of its perpetuals.
_PERPETUALS = {
    Venue("BINANCE"): Venue("BINANCEUSDM"),
    Venue("KUCOIN"): Venue("KUCOINFUTURES"),
    Venue("KRAKEN"): Venue("KRAKENFUTURES"),
}
# Perpetuals of these are all against one asset.
_QUOTES = {Venue("HYPERLIQUID"): "USDC", Venue("DYDX"): "USDC"}


class FundingHistories(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Funding histories"
    tag = OTHERS
    files = "BASE-QUOTE_VENUE_..._funding_history.csv, VENUE_COIN_funding_rates.json"
    data_types = (DataType.FUNDING_RATES,)
    venues: tuple[Venue, ...] = ()
    suffixes = (".csv", ".json")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if named := _CSV.fullmatch(path.name):
            return self._csv(path, named, hints)
        if named := _JSON.fullmatch(path.name):
            return self._json(path, named, hints)
        return None

    def _csv(self, path: Path, named: re.Match[str], hints: Hints) -> Sequence[ArchiveFile]:
        lines = first_lines(path)
        header = lines[0] if lines else []
        if tuple(header) != _CSV_NAMES:
            raise refused(
                path, f"has other columns ({','.join(header)}); known is {','.join(_CSV_NAMES)}"
            )
        venue = _venue(path, named["venue"], hints)
        base, quote = named["base"].upper(), named["quote"].upper()
        instrument = agreed(
            f"{base}/{quote}:{quote}",
            venue,
            hints.instrument,
            name=path.name,
            native_id=f"{base}{quote}",
        )
        mapping = Mapping(
            columns={"ts": "Date", "funding_rate": "Funding Rate"},
            header=True,
            timezone=hints.timezone,
            only={"Symbol": f"{named['base']}-{named['quote']}"},
        )
        return mapped_file(self, path, mapping, instrument, DataType.FUNDING_RATES, hints=hints)

    def _json(self, path: Path, named: re.Match[str], hints: Hints) -> Sequence[ArchiveFile]:
        names = names_of(path, kind_of(path), Mapping(columns={}))
        unknown = [name for name in names if name not in (*_JSON_NAMES, _PREMIUM)]
        missing = [name for name in _JSON_NAMES if name not in names]
        if unknown or missing:
            raise refused(
                path,
                f"has other columns ({', '.join(unknown or missing)}); known are "
                f"{', '.join(_JSON_NAMES)}",
            )
        require_utc(path, hints)
        venue = _venue(path, named["venue"], hints)
        symbol = _symbol(path, named["coin"].upper(), venue, hints.instrument)
        instrument = agreed(symbol, venue, None, name=path.name, native_id=symbol)
        mapping = Mapping(
            columns={"ts": "time", "funding_rate": "funding_rate"},
            ignored=frozenset({_PREMIUM}),
            only={"coin": named["coin"]},
        )
        return mapped_file(self, path, mapping, instrument, DataType.FUNDING_RATES, hints=hints)


def _symbol(path: Path, coin: str, venue: Venue, hint: str | None) -> str:
    """The perpetual on *coin*: the file does not say against what."""
    if hint is None:
        if venue in _QUOTES:
            return f"{coin}/{_QUOTES[venue]}:{_QUOTES[venue]}"
        raise InvalidRequest(
            f"{path.name} says {coin} of {venue}, but not against what. Say it, for example "
            f"--instrument {coin}/USDT:USDT."
        )
    symbol = symbol_of(hint)
    if symbol.split("/")[0] != coin or ":" not in symbol:
        raise InvalidRequest(
            f"{path.name} is of a perpetual on {coin}, but --instrument says {hint!r}."
        )
    return symbol


def _venue(path: Path, word: str, hints: Hints) -> Venue:
    named = Venue(word)
    told = _PERPETUALS.get(named, named)
    said = hints.venue
    if said is not None and _PERPETUALS.get(said, said) != told:
        return venue_or(path, hints, told)
    return told
