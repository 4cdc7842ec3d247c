"""Reads QuantConnect Lean's crypto data: candles in zips, and margin interest (funding) in CSV.

``20170903_trade.zip`` (minute, second): milliseconds of the day, open, high, low, close, volume;
the day is in the name only. ``btcusd_trade.zip`` (hour, daily): ``YYYYMMDD HH:MM`` first. UTC, no
row where nothing traded. ``margin_interest/btcusd.csv``: ``YYYYMMDD HH:MM:SS``, rate. Source: the
readme files below ``Data/`` in QuantConnect/Lean, and README of the recorded data, read 2026-11-29.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import peek, refused
from lake.sources.archive.format import OTHERS, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed, pair_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping

_NAME = re.compile(r"(?P<what>[A-Za-z0-9]+)_(?P<kind>trade|quote|openinterest)\.zip")
_DAY = re.compile(r"\d{8}")
_DAY_MEMBER = re.compile(
    r"(?P<day>\d{8})_(?P<ticker>[a-z0-9]+)_(?P<resolution>minute|second|tick)_trade\.csv"
    r"|(?P<tick_day>\d{8})_[a-z0-9]+_trade_tick\.csv",
    re.IGNORECASE,
)
_FUNDING = re.compile(r"(?P<ticker>[a-z0-9]+)\.csv")
_FUNDING_TIME = re.compile(r"\d{8} \d{2}:\d{2}:\d{2}")
_TIMEFRAMES = {
    "second": TimeFrame.SECOND_1,
    "minute": TimeFrame.MINUTE_1,
    "hour": TimeFrame.HOUR_1,
    "daily": TimeFrame.DAY_1,
}
_LONG = ("hour", "daily")
# Lean's folders of markets.
_MARKETS = {
    "coinbase": Venue("COINBASE"),
    "gdax": Venue("COINBASE"),
    "binance": Venue("BINANCE"),
    "binanceus": Venue("BINANCEUS"),
    "bybit": Venue("BYBIT"),
    "kraken": Venue("KRAKEN"),
    "bitfinex": Venue("BITFINEX"),
}
_CANDLE_NAMES = ("ts", "open", "high", "low", "close", "volume")
_CANDLES = Mapping(
    columns={name: name for name in _CANDLE_NAMES},
    names=_CANDLE_NAMES,
    header=False,
    leaves_out_quiet=True,
)
_RATE_NAMES = ("ts", "funding_rate")
# The format is UTC, so nothing has to be guessed from the hours.
_RATES = Mapping(
    columns={name: name for name in _RATE_NAMES}, names=_RATE_NAMES, header=False, timezone="UTC"
)
_BINANCE = Venue("BINANCE")
# Binance quotes nothing in dollars proper, but its contracts on coins; nobody else in BUSD or TUSD.
_BINANCE_QUOTES = (
    *("USDT", "FDUSD", "USDC", "TUSD", "BUSD", "USDP", "PAX", "DAI", "EUR", "GBP", "AUD", "TRY"),
    *("BRL", "BTC", "ETH", "BNB"),
)
_QUOTES = ("USD", "EUR", "GBP", "JPY", "USDT", "USDC", "DAI", "BTC", "ETH")
_OTHER_KINDS = {"quote": "quotes", "openinterest": "open_interest"}
_FUTURES_FOLDER = "cryptofuture"
_DOLLARS = "USD"


class LeanFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "QuantConnect Lean data"
    tag = OTHERS
    files = "YYYYMMDD_trade.zip, TICKER_trade.zip, margin_interest/TICKER.csv"
    data_types = (DataType.OHLCV, DataType.FUNDING_RATES)
    venues: tuple[Venue, ...] = ()
    suffixes = (".zip", ".csv")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return self._funding(path, hints)
        if other := _OTHER_KINDS.get(named["kind"]):
            raise SourceError(
                f"{path.name} holds {other}, which are not built yet and are never stored as "
                "ohlcv.",
                retryable=False,
            )
        require_utc(path, hints)
        is_day = _DAY.fullmatch(named["what"]) is not None
        mapping, ticker, timeframe = (
            _day(path, named["what"]) if is_day else _years(path, named["what"], hints)
        )
        lines = first_lines(path)
        if not lines or len(lines[0]) != len(_CANDLE_NAMES):
            raise refused(
                path, f"does not hold candles: its lines do not have {len(_CANDLE_NAMES)} fields"
            )
        instrument = _instrument(path, ticker, hints, is_future=_FUTURES_FOLDER in path.parts)
        day = None if mapping.since_us is None else from_us(mapping.since_us)
        return mapped_file(
            self,
            path,
            mapping,
            instrument,
            DataType.OHLCV,
            hints=hints,
            timeframe=timeframe,
            promise=None if day is None else TimeRange(day, day + timedelta(days=1)),
        )

    def _funding(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _FUNDING.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path)
        is_this = lines and len(lines[0]) == 2 and _FUNDING_TIME.fullmatch(lines[0][0])
        if not is_this:
            return None
        require_utc(path, hints)
        instrument = _instrument(path, named["ticker"], hints, is_future=True)
        return mapped_file(self, path, _RATES, instrument, DataType.FUNDING_RATES, hints=hints)


def _day(path: Path, text: str) -> tuple[Mapping, str, TimeFrame]:
    """How a day's file is read, and its ticker and timeframe, which only its member names."""
    with peek(path) as container:
        inside = container.csv_name
    member = _DAY_MEMBER.fullmatch(inside)
    if member is not None and (member["tick_day"] or member["resolution"].lower() == "tick"):
        raise SourceError(f"{path.name} holds Lean's ticks, which are not read.", retryable=False)
    if member is None or member["day"] != text:
        raise refused(path, f"holds {inside!r}, which is not what its own name says")
    try:
        day = datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - naive UTC, as in the lake
    except ValueError as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
    timeframe = _TIMEFRAMES[member["resolution"].lower()]
    return replace(_CANDLES, since_us=to_us(day)), member["ticker"], timeframe


def _years(path: Path, ticker: str, hints: Hints) -> tuple[Mapping, str, TimeFrame]:
    """How a file of years is read; its timeframe is in the name of its folder."""
    folders = reversed(path.absolute().parts[:-1])
    timeframe = next((_TIMEFRAMES[each] for each in folders if each in _LONG), hints.timeframe)
    if timeframe is None:
        raise InvalidRequest(
            f"{path.name} lies in no folder hour or daily, so nothing says how long its candles "
            "are. Say --timeframe 1h or --timeframe 1d."
        )
    return _CANDLES, ticker, timeframe


def _instrument(path: Path, ticker: str, hints: Hints, *, is_future: bool) -> Instrument:
    """The instrument of *ticker*; a future's settles in what its name ends in, or in its base."""
    folders = reversed(path.absolute().parts[:-1])
    told = next((_MARKETS[each] for each in folders if each in _MARKETS), None)
    pair = ticker.upper()
    is_binance = (hints.venue or told or _BINANCE).name.startswith(_BINANCE.name)
    quotes = _BINANCE_QUOTES if is_binance and not (is_future and pair.endswith("USD")) else _QUOTES
    base, quote = pair_of(pair, quotes, hints.instrument, name=path.name)
    symbol = f"{base}/{quote}"
    if is_future:
        is_inverse = quote == _DOLLARS
        symbol += f":{base if is_inverse else quote}"
        futures = Venue("BINANCECOINM" if is_inverse else "BINANCEUSDM")
        if _BINANCE in (told, hints.venue) and hints.venue != futures:
            hints, told = replace(hints, venue=None), futures
        elif hints.venue == futures:
            told = futures
    venue = venue_or(path, hints, told)
    return agreed(symbol, venue, hints.instrument, name=path.name, native_id=pair)
