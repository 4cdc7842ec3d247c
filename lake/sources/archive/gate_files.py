"""Reads Gate's monthly files of candles, and of perpetuals' trades and funding.

``download.gatedata.org/MARKET/TYPE/YYYYMM/BASE_QUOTE-YYYYMM.csv.gz``, no header line. They are all
called alike, so the number of columns says which they are, as many public readers of them do (read
2026-11-29; none is among the recorded data, but its funding history of Gate was made of them):

- ``candlesticks_1h``: seconds, volume, close, high, low, open. Whether a spot volume is in the base
  or the quote asset is told in both ways, so it has to be said; perpetuals' are contracts.
- ``futures_usdt/trades``: seconds with fractions, id, price, size in contracts, negative where the
  taker sold.
- ``futures_usdt/funding_applies``: seconds, rate.

Spot trades are read elsewhere (:mod:`lake.sources.archive.venue_trades`). Candles with a seventh
column are not read, because nothing confirms what it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping

_GATE = Venue("GATE")
_NAME = re.compile(r"(?P<symbol>[A-Z0-9]+_[A-Z0-9]+)-\d{6,8}\.csv(?:\.gz)?")
_FOLDER = re.compile(r"candlesticks_(?P<timeframe>\d+[smhd])")
_TYPES = {6: DataType.OHLCV, 4: DataType.TRADES, 2: DataType.FUNDING_RATES}
_MAPPINGS = {
    DataType.OHLCV: Mapping(
        columns={
            "ts": "timestamp",
            "open": "open",
            "high": "high",
            "low": "low",
            "close": "close",
            "volume": "volume",
        },
        names=("timestamp", "volume", "close", "high", "low", "open"),
        header=False,
    ),
    DataType.TRADES: Mapping(
        columns={"ts": "timestamp", "trade_id": "id", "price": "price", "quantity": "size"},
        names=("timestamp", "id", "price", "size"),
        header=False,
        has_signed_quantity=True,
    ),
    DataType.FUNDING_RATES: Mapping(
        columns={"ts": "timestamp", "funding_rate": "rate"},
        names=("timestamp", "rate"),
        header=False,
        timezone="UTC",
    ),
}


class GateFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Gate archives"
    tag = VENDOR
    files = "candlesticks_1h/.../BASE_QUOTE-YYYYMM.csv.gz, futures_usdt/trades, .../funding_applies"
    data_types = (DataType.OHLCV, DataType.TRADES, DataType.FUNDING_RATES)
    venues = (_GATE,)
    suffixes = (".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path)
        first = lines[0] if lines else []
        data_type = _TYPES.get(len(first))
        if data_type is None or re.fullmatch(r"1\d{9}(?:\.\d+)?", first[0]) is None:
            return None
        require_utc(path, hints)
        venue_or(path, hints, _GATE)
        is_perpetual = data_type is not DataType.OHLCV or _is_perpetual(path, hints)
        instrument = _instrument(path, named["symbol"], hints, is_perpetual=is_perpetual)
        timeframe = None
        if data_type is DataType.OHLCV:
            timeframe = _timeframe(path, hints)
            if not is_perpetual and hints.unit is None:
                raise InvalidRequest(
                    f"{path.name}: nothing says whether its volume is in {instrument.base} or in "
                    f"{instrument.quote}. Compare one with the exchange, and say --unit base."
                )
        return mapped_file(
            self,
            path,
            _MAPPINGS[data_type],
            instrument,
            data_type,
            hints=hints,
            timeframe=timeframe,
        )


def _is_perpetual(path: Path, hints: Hints) -> bool:
    """Whether candles are of a perpetual: a folder says it, or the user."""
    folders = path.absolute().parts[-5:-1]
    if "futures_usdt" in folders or (hints.instrument and _means_perpetual(hints.instrument)):
        return True
    if "spot" in folders or hints.instrument:
        return False
    raise InvalidRequest(
        f"{path.name} does not say whether it is of spot or of perpetuals. Say --instrument "
        "BASE/QUOTE or BASE/QUOTE:SETTLE."
    )


def _means_perpetual(hint: str) -> bool:
    return ":" in hint or "-PERP" in hint.upper()


def _instrument(path: Path, symbol: str, hints: Hints, *, is_perpetual: bool) -> Instrument:
    base, quote = symbol.split("_")
    if is_perpetual and quote != "USDT":
        raise InvalidRequest(f"{path.name} is of {symbol}: only USDT perpetuals are read.")
    settle = f":{quote}" if is_perpetual else ""
    return agreed(
        f"{base}/{quote}{settle}", _GATE, hints.instrument, name=path.name, native_id=symbol
    )


def _timeframe(path: Path, hints: Hints) -> TimeFrame:
    folders = (_FOLDER.fullmatch(part) for part in path.absolute().parts[-5:-1])
    found = next((each["timeframe"] for each in folders if each is not None), None)
    if found is not None:
        return TimeFrame.from_str(found)
    if hints.timeframe is None:
        raise InvalidRequest(f"{path.name}: say how long its candles are: --timeframe 1m.")
    return hints.timeframe
