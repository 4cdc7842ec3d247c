"""Reads the data folders of freqtrade: candles, funding rates and trades, as it names them.

``XRP_ETH-1m.feather``, ``XRP_USDT_USDT-1h-futures.feather``, ``...-8h-funding_rate.feather`` (the
rate is in ``open``), ``XRP_ETH-trades.json.gz``; feather, parquet, json, json.gz. The exchange is
not in the file. Sources: freqtrade's ``data/history/datahandlers`` and its documentation "Data
downloading", and the README of the recorded data, read 2026-11-29.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.variants import TradeKind
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import refused
from lake.sources.archive.format import OTHERS, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.tables import kind_of, names_of

_NAME = re.compile(
    r"(?P<pair>[A-Za-z0-9_]+)(?:-(?P<expiry>\d{6}))?-(?P<what>trades|\d+(?:mo|[smhdwM]))"
    r"(?:-(?P<candles>futures|spot|mark|index|premiumIndex|funding_rate))?"
    r"\.(?:feather|parquet|json|json\.gz)"
)
_OTHER_CANDLES = {"mark": "ohlcv_mark", "index": "ohlcv_index", "premiumIndex": "ohlcv_premium"}
_CANDLE_NAMES = ("date", "open", "high", "low", "close", "volume")
_TRADE_NAMES = ("timestamp", "id", "type", "side", "price", "amount", "cost")
_CANDLES = Mapping(
    columns={"ts": "date", **{name: name for name in _CANDLE_NAMES[1:]}},
    names=_CANDLE_NAMES,
    leaves_out_quiet=True,
)
_FUNDING = Mapping(
    columns={"ts": "date", "funding_rate": "open"},
    ignored=frozenset({"high", "low", "close", "volume"}),
    names=_CANDLE_NAMES,
)
_TRADE_COLUMNS = {
    "ts": "timestamp",
    "trade_id": "id",
    "side": "side",
    "price": "price",
    "quantity": "amount",
}
_USDM, _COINM = Venue("BINANCEUSDM"), Venue("BINANCECOINM")
# freqtrade has one exchange where ccxt, and we, have one a market.
_FUTURES = {
    Venue("BINANCE"): {InstrumentKind.LINEAR: _USDM, InstrumentKind.INVERSE: _COINM},
    Venue("KUCOIN"): dict.fromkeys(InstrumentKind, Venue("KUCOINFUTURES")),
    Venue("KRAKEN"): dict.fromkeys(InstrumentKind, Venue("KRAKENFUTURES")),
}
# ccxt's candles of linear contracts count in the base asset here; elsewhere in contracts.
_BASE_VOLUMES = (_USDM, Venue("BYBIT"), Venue("HYPERLIQUID"))
_AGGREGATING = (Venue("BINANCE"), _USDM, _COINM)


class FreqtradeFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "freqtrade data folders"
    tag = OTHERS
    files = "BASE_QUOTE[_SETTLE]-TIMEFRAME[-futures|-funding_rate], BASE_QUOTE-trades"
    data_types = (DataType.OHLCV, DataType.TRADES, DataType.FUNDING_RATES)
    venues: tuple[Venue, ...] = ()
    suffixes = (".feather", ".parquet", ".json", ".json.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        if kind := _OTHER_CANDLES.get(named["candles"] or ""):
            raise SourceError(
                f"{path.name} holds {kind}, which is not built yet and is never stored as ohlcv.",
                retryable=False,
            )
        require_utc(path, hints)
        instrument = _instrument(path, named, hints)
        is_linear = instrument.kind is InstrumentKind.LINEAR
        if named["what"] == "trades":
            _require_names(path, _TRADE_NAMES)
            # It multiplies contracts by their size itself; an inverse one's is in dollars.
            return mapped_file(
                self,
                path,
                _trades(instrument.venue),
                instrument,
                DataType.TRADES,
                hints=hints,
                is_in_base=is_linear,
            )
        _require_names(path, _CANDLE_NAMES)
        if named["candles"] == "funding_rate":
            return mapped_file(
                self, path, _FUNDING, instrument, DataType.FUNDING_RATES, hints=hints
            )
        return mapped_file(
            self,
            path,
            _CANDLES,
            instrument,
            DataType.OHLCV,
            hints=hints,
            timeframe=TimeFrame.from_str(named["what"]),
            is_in_base=is_linear and instrument.venue in _BASE_VOLUMES,
        )


def _trades(venue: Venue) -> Mapping:
    return Mapping(
        columns=_TRADE_COLUMNS,
        ignored=frozenset({"type", "cost"}),
        names=_TRADE_NAMES,
        # ccxt asks Binance for aggregates.
        kind=TradeKind.AGGREGATE if venue in _AGGREGATING else TradeKind.SINGLE,
    )


def _require_names(path: Path, expected: tuple[str, ...]) -> None:
    """
    Raises:
        SourceError: The file has other columns.
    """
    names = names_of(path, kind_of(path), Mapping(columns={}, names=expected))
    if unknown := [name for name in names if name not in expected]:
        raise refused(
            path, f"has unknown columns ({', '.join(unknown)}); known are {', '.join(expected)}"
        )
    if missing := [name for name in expected if name not in names]:
        raise refused(path, f"lacks the columns {', '.join(missing)}")


def _instrument(path: Path, named: re.Match[str], hints: Hints) -> Instrument:
    venue = venue_or(path, hints, None)
    assets = named["pair"].upper().split("_")
    if len(assets) not in (2, 3) or not all(assets):
        raise InvalidRequest(
            f"{path.name}: {named['pair']} is no BASE_QUOTE and no BASE_QUOTE_SETTLE. Rename it so."
        )
    symbol = f"{assets[0]}/{assets[1]}"
    if len(assets) == 3:
        symbol += f":{assets[2]}" + (f"-{named['expiry']}" if named["expiry"] else "")
        kind = InstrumentKind.LINEAR if assets[1] == assets[2] else InstrumentKind.INVERSE
        venue = _FUTURES.get(venue, {}).get(kind, venue)
    elif named["candles"] in ("futures", "funding_rate"):
        raise InvalidRequest(
            f"{path.name} is of a contract, but its name does not say in what it settles. Rename "
            "it BASE_QUOTE_SETTLE-..., as freqtrade does since 2022."
        )
    return agreed(symbol, venue, hints.instrument, name=path.name, native_id=symbol)
