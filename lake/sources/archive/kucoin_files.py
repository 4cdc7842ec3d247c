"""Reads KuCoin's bulk files of candles and funding: CSV in zip, by day of UTC, MD5 beside it.

`historical-data.kucoin.com`, as Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader
(docs/kucoin.md and its tests), bjc87/kucoin-lake and a survey of exchanges' archives describe what
they found in them (read 2026-11-29):

- `spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip`: the close stands before the high, times
  in seconds, `turnover` in the quote asset; rows in any order.
- `futures/daily/klines/BTCUSDTM/1m/...`: times in ms, volumes in contracts; `1d` names a volume in
  its header and has none. Prices of `mark` and `index` have the same names and no volume.
- `futures/daily/fundingRates/BTCUSDTM/BTCUSDTM-fundingRates-2025-01-01.zip`: times in ms.

They are called as Binance's are; their header lines tell them apart. Trades are read elsewhere
(:mod:`lake.sources.archive.venue_trades`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import NO_CSV, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed
from lake.sources.archive.kucoin_names import FUTURES, SPOT, Market, market_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_columns,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping

_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+)-(?:(?P<timeframe>\d+[mhd])|fundingRates)"
    r"-(?P<date>\d{4}-\d{2}-\d{2})\.(?:zip|csv|csv\.gz)"
)
_TIME = "time"
_PRICES = ("open", "high", "low", "close")
_SPOT_CANDLES = (_TIME, "open", "close", "high", "low", "volume", "turnover")
_FUTURES_CANDLES = (_TIME, *_PRICES, "volume")
_OTHER_PRICES = (_TIME, *_PRICES)
_FUNDING = ("symbol", _TIME, "fundingRate")
_OTHER_FOLDERS = {"mark": "ohlcv_mark", "index": "ohlcv_index"}
# KIND/SYMBOL/TIMEFRAME/FILE.
_FOLDERS = slice(-4, -1)


class KucoinFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "KuCoin archives"
    tag = VENDOR
    files = "SYMBOL-TIMEFRAME-YYYY-MM-DD.zip, SYMBOL-fundingRates-YYYY-MM-DD.zip"
    data_types = (DataType.OHLCV, DataType.FUNDING_RATES)
    venues = (SPOT, FUTURES)
    suffixes = (".zip", ".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path, unlike=NO_CSV)
        is_funding = named["timeframe"] is None
        if not is_funding and (not lines or lines[0][0] != _TIME):
            return None
        require_utc(path, hints)
        market = market_of(path, named["symbol"], hints.instrument)
        venue_or(path, hints, market.venue)
        instrument = agreed(
            market.symbol,
            market.venue,
            hints.instrument,
            name=path.name,
            native_id=market.native_id,
        )
        promise = _day(path, named["date"])
        if is_funding:
            return self._funding(path, lines, market, instrument, promise, hints)
        timeframe = TimeFrame.from_str(named["timeframe"])
        _require_candles(path, lines, market)
        columns = {"ts": _TIME, **{name: name for name in _PRICES}, "volume": "volume"}
        if market.venue == SPOT:
            columns["quote_volume"] = "turnover"
        mapping = Mapping(columns=columns, header=True, claims_promise=True)
        return mapped_file(
            self,
            path,
            mapping,
            instrument,
            DataType.OHLCV,
            hints=hints,
            timeframe=timeframe,
            promise=promise,
        )

    def _funding(
        self,
        path: Path,
        lines: Sequence[Sequence[str]],
        market: Market,
        instrument: Instrument,
        promise: TimeRange,
        hints: Hints,
    ) -> Sequence[ArchiveFile]:
        require_columns(path, lines, _FUNDING)
        told = lines[1][0] if len(lines) > 1 else market.native_id
        if market.venue == SPOT or told not in market.names:
            raise refused(path, f"holds funding of {told}, which is not what its name says")
        mapping = Mapping(
            columns={"ts": _TIME, "funding_rate": "fundingRate"},
            header=True,
            only={"symbol": told},
            claims_promise=True,
        )
        return mapped_file(
            self,
            path,
            mapping,
            instrument,
            DataType.FUNDING_RATES,
            hints=hints,
            promise=promise,
        )


def _require_candles(path: Path, lines: Sequence[Sequence[str]], market: Market) -> None:
    """
    Raises:
        SourceError: These are other prices, or candles without what they traded.
    """
    for folder in path.absolute().parts[_FOLDERS]:
        if other := _OTHER_FOLDERS.get(folder):
            raise SourceError(
                f"{path.name} lies in {folder}: its candles are {other}, which is not built yet "
                "and is never stored as ohlcv.",
                retryable=False,
            )
    if tuple(lines[0]) == _OTHER_PRICES:
        raise SourceError(
            f"{path.name} has no volume: these are mark or index prices, which are never stored "
            "as ohlcv.",
            retryable=False,
        )
    require_columns(path, lines, _SPOT_CANDLES if market.venue == SPOT else _FUTURES_CANDLES)
    if len(lines) > 1 and len(lines[1]) < len(lines[0]):
        raise SourceError(
            f"{path.name} names a volume and has none, as KuCoin publishes days of futures. "
            "Import shorter candles, and let days be made of them.",
            retryable=False,
        )


def _day(path: Path, text: str) -> TimeRange:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
    return TimeRange(start, start + timedelta(days=1))
