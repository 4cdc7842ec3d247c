"""Reads Kraken's bulk files: candles (OHLCVT) and trades, CSV without a header line.

``XBTUSD_1.csv``: seconds, open, high, low, close, volume, trades; the number is minutes; minutes
in which nothing traded are absent. ``XBTUSD.csv``: seconds (some with fractions), price, volume;
no id and no side, so ids are derived, and equal rows are all kept. Sources: Kraken's support
articles "Downloadable historical OHLCVT data" and "Downloadable historical market data (time and
sales)", and the file of freqtrade's tests (README of the recorded data), read 2026-11-29.

Also a saved answer of its REST (``/0/public/OHLC``), whose last candle had not closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lake.domain.identifiers import DataType, Instrument, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import peek, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed, pair_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.tables import read_json
from lake.sources.decode import as_integer

VENUE = Venue("KRAKEN")
_NAME = re.compile(r"(?P<pair>[A-Z0-9.]{5,20}?)(?:_(?P<minutes>\d{1,5}))?\.csv(?:\.gz)?")
_TIMEFRAMES = {
    1: TimeFrame.MINUTE_1,
    5: TimeFrame.MINUTE_5,
    15: TimeFrame.MINUTE_15,
    30: TimeFrame.MINUTE_30,
    60: TimeFrame.HOUR_1,
    240: TimeFrame.HOUR_4,
    720: TimeFrame.HOUR_12,
    1_440: TimeFrame.DAY_1,
}
_WEEK_MINUTES = 10_080
_CANDLE_NAMES = ("ts", "open", "high", "low", "close", "volume", "trade_count")
_CANDLES = Mapping(
    columns={name: name for name in _CANDLE_NAMES},
    names=_CANDLE_NAMES,
    header=False,
    leaves_out_quiet=True,
)
_TRADE_NAMES = ("ts", "price", "quantity")
_TRADES = Mapping(columns={name: name for name in _TRADE_NAMES}, names=_TRADE_NAMES, header=False)
_REST_NAMES = ("ts", "open", "high", "low", "close", "vwap", "volume", "trade_count")
# Kraken's own names of assets, and the one pair that bears its old spelling.
_ASSETS = {"XBT": "BTC", "XDG": "DOGE", "USDTZ": "USDT"}
_QUOTES = ("USD", "EUR", "GBP", "AUD", "CAD", "CHF", "JPY", "USDT", "USDC", "DAI", "XBT", "ETH")
_SECONDS = range(10**9, 10**10)
_BEGINNINGS = (b'{"error":', b'{"result":')


class KrakenBulk(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Kraken bulk files"
    tag = VENDOR
    files = "PAIR_MINUTES.csv (candles), PAIR.csv (trades), a saved answer of /0/public/OHLC"
    data_types = (DataType.OHLCV, DataType.TRADES)
    venues = (VENUE,)
    suffixes = (".csv", ".csv.gz", ".json")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if path.suffix.lower() == ".json":
            return self._answer(path, hints)
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path)
        expected = _TRADE_NAMES if named["minutes"] is None else _CANDLE_NAMES
        if not lines or len(lines[0]) != len(expected) or not _is_time(lines[0][0]):
            return None
        venue = venue_or(path, hints, VENUE)
        require_utc(path, hints)
        instrument = _instrument(named["pair"], venue, hints, path)
        if named["minutes"] is None:
            return mapped_file(self, path, _TRADES, instrument, DataType.TRADES, hints=hints)
        timeframe = _timeframe(path, int(named["minutes"]))
        return mapped_file(
            self, path, _CANDLES, instrument, DataType.OHLCV, hints=hints, timeframe=timeframe
        )

    def _answer(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        """A saved answer of REST: the pair is in it, the timeframe is not."""
        with peek(path, unlike=b"<") as container:
            head = re.sub(rb"\s+", b"", container.head()[:200])
        if not head.startswith(_BEGINNINGS):
            return None
        found = read_json(path)
        pair = _pair(found)
        if pair is None:
            raise refused(path, f"is no answer of Kraken with candles ({_errors(found)})")
        venue = venue_or(path, hints, VENUE)
        require_utc(path, hints)
        timeframe = hints.timeframe or _spaced(path, found["result"][pair])
        last = as_integer(found["result"].get("last"))
        if last is None:
            raise refused(path, "does not say which of its candles had closed")
        mapping = Mapping(
            columns={name: name for name in _REST_NAMES if name != "vwap"},
            ignored=frozenset({"vwap"}),
            names=_REST_NAMES,
            rows_at=("result", pair),
            # `last` is the newest candle that will not change (Kraken's REST docs).
            closed_before_us=last * SECOND_US + timeframe.nominal_us,
        )
        instrument = _instrument(pair, venue, hints, path)
        return mapped_file(
            self, path, mapping, instrument, DataType.OHLCV, hints=hints, timeframe=timeframe
        )


def _is_time(text: str) -> bool:
    try:
        return int(float(text)) in _SECONDS
    except (ValueError, OverflowError):
        return False


def _timeframe(path: Path, minutes: int) -> TimeFrame:
    if minutes == _WEEK_MINUTES:
        raise SourceError(
            f"{path.name} holds weeks that begin on Thursdays; the lake's begin on Mondays. "
            "Import the days instead.",
            retryable=False,
        )
    if minutes not in _TIMEFRAMES:
        raise SourceError(
            f"{path.name} holds candles of {minutes} minutes, which the lake does not keep.",
            retryable=False,
        )
    return _TIMEFRAMES[minutes]


def _instrument(pair: str, venue: Venue, hints: Hints, path: Path) -> Instrument:
    base, quote = pair_of(pair, _QUOTES, hints.instrument, name=path.name, assets=_ASSETS)
    symbol = f"{base}/{quote}"
    return agreed(symbol, venue, hints.instrument, name=path.name, native_id=pair)


def _pair(found: Any) -> str | None:
    """The pair whose candles an answer holds."""
    result = found.get("result") if isinstance(found, dict) else None
    if not isinstance(result, dict):
        return None
    pairs = [name for name, rows in result.items() if isinstance(rows, list) and rows]
    if len(pairs) != 1 or not all(
        isinstance(row, list) and len(row) == len(_REST_NAMES) for row in result[pairs[0]]
    ):
        return None
    return str(pairs[0])


def _errors(found: Any) -> str:
    errors = found.get("error") if isinstance(found, dict) else None
    return "; ".join(map(str, errors)) if isinstance(errors, list) and errors else "no candles"


def _spaced(path: Path, rows: list[Any]) -> TimeFrame:
    times = [as_integer(row[0]) or 0 for row in rows]
    minutes = min((after - before for before, after in pairwise(times)), default=0) // 60
    if minutes not in _TIMEFRAMES:
        raise InvalidRequest(f"{path.name} does not say how long its candles are: --timeframe 1m.")
    return _TIMEFRAMES[minutes]
