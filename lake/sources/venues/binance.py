"""Binance spot, USD-M and COIN-M: how each type is asked for.

Facts are those of Binance's REST docs ("Kline/Candlestick Data", "Compressed/Aggregate Trades
List", "Order Book", "Get Funding Rate History"), read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.sources.binance_rows import decode_agg_trades, decode_depth, decode_funding
from lake.sources.budget import Limit
from lake.sources.capability import (
    Access,
    CandleEndpoint,
    Capability,
    Paging,
    Request,
    RowsEndpoint,
    RowsRequest,
)
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.decode import Decoder, decode_inverse_klines, decode_klines
from lake.sources.venues.entries import book_entry

_SPOT, _LINEAR, _INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
_CANDLE_COLUMNS = (
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
_TRADE_COLUMNS = (
    "ts",
    "trade_id",
    "price",
    "quantity",
    "side",
    "first_trade_id",
    "last_trade_id",
)
_FUNDING_COLUMNS = ("ts", "settled_at", "funding_rate", "interval_hours")
_YEAR = (
    "{venue} answers about trades of the last year only; its archives hold the older ones, "
    "which `lake import` cannot read yet"
)
_FUTURES_LEVELS = (5, 10, 20, 50, 100, 500, 1_000)
# What the prefix of ccxt's implicit methods is, and the whole weight of a minute.
_MARKETS = {
    "BINANCE": ("publicGet", _SPOT, 6_000),
    "BINANCEUSDM": ("fapiPublicGet", _LINEAR, 2_400),
    "BINANCECOINM": ("dapiPublicGet", _INVERSE, 2_400),
}


def _access(name: str, market: str, info_weight: int) -> Access:
    prefix, _, weight = _MARKETS[name]
    return Access(
        Venue(name),
        limit=Limit(weight),
        concurrency=16,
        options={"fetchMarkets": {"types": [market]}, "fetchCurrencies": False},
        time_method=f"{prefix}Time",
        info_weight=info_weight,
    )


def _always(weight: int) -> Callable[[int], int]:
    return lambda limit: weight


def _futures_weight(limit: int) -> int:
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


def _spot_depth_weight(limit: int) -> int:
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250


def _futures_depth_weight(limit: int) -> int:
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def _candles(
    name: str,
    *,
    page_size: int,
    timeframes: frozenset[TimeFrame],
    decode: Decoder = decode_klines,
    weight: Callable[[int], int] = _futures_weight,
    unit: str = "base",
    open_ended: bool = True,
    longest_window: timedelta | None = None,
) -> Capability:
    prefix, kind, _ = _MARKETS[name]

    def request(instrument: Instrument, cursor: CandleCursor) -> Request:
        wanted: dict[str, Any] = {
            "symbol": instrument.native_id,
            "interval": cursor.timeframe.ccxt,
            "limit": cursor.limit,
        }
        if cursor.first_us is not None:
            wanted["startTime"] = cursor.first_us // 1_000
        if cursor.last_us is not None:
            wanted["endTime"] = cursor.last_us // 1_000
        return Request(f"{prefix}Klines", wanted)

    return Capability(
        venue=Venue(name),
        data_type=DataType.OHLCV,
        page_size=page_size,
        concurrency=16,
        settle_after=timedelta(minutes=2),
        columns=_CANDLE_COLUMNS,
        rank=50,
        timeframes=timeframes,
        longest_window=longest_window,
        volume_units={kind: unit},
        raw=CandleEndpoint(request, decode, weight, open_ended=open_ended),
    )


def _span_or_id(method: str) -> RowsRequest:
    """Bounds are inclusive milliseconds; an id and times are refused together."""

    def request(instrument: Instrument, cursor: Cursor) -> Request:
        wanted: dict[str, Any] = {"symbol": instrument.native_id, "limit": cursor.limit}
        if cursor.from_id is not None:
            return Request(method, wanted | {"fromId": cursor.from_id})
        if cursor.start_us is not None:
            wanted["startTime"] = -(-cursor.start_us // 1_000)
        if cursor.end_us is not None:
            wanted["endTime"] = (cursor.end_us - 1) // 1_000
        return Request(method, wanted)

    return request


def _trades(name: str, *, weight: int, depth: timedelta | None = None) -> Capability:
    prefix, kind, _ = _MARKETS[name]
    return Capability(
        venue=Venue(name),
        data_type=DataType.TRADES,
        page_size=1_000,
        concurrency=8,
        settle_after=timedelta(minutes=1),
        columns=_TRADE_COLUMNS,
        rank=50,
        variant="aggregate/venue",
        kinds=frozenset({kind}),
        depth=depth,
        depth_reason="" if depth is None else _YEAR,
        rows=RowsEndpoint(
            _span_or_id(f"{prefix}AggTrades"),
            decode_agg_trades,
            _always(weight),
            paging=Paging.IDS,
        ),
    )


def _funding(name: str, *, weight: int, columns: tuple[str, ...]) -> Capability:
    prefix, kind, _ = _MARKETS[name]
    return Capability(
        venue=Venue(name),
        data_type=DataType.FUNDING_RATES,
        page_size=1_000,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns,
        rank=50,
        kinds=frozenset({kind}),
        rows=RowsEndpoint(_span_or_id(f"{prefix}FundingRate"), decode_funding, _always(weight)),
    )


def _book(name: str, weight: Callable[[int], int], levels: tuple[int, ...]) -> Capability:
    prefix, kind, _ = _MARKETS[name]
    return book_entry(
        Venue(name),
        frozenset({kind}),
        RowsEndpoint(
            lambda instrument, cursor: Request(
                f"{prefix}Depth", {"symbol": instrument.native_id, "limit": cursor.limit}
            ),
            decode_depth,
            weight,
            levels=levels,
        ),
        deepest=5_000 if not levels else levels[-1],
        concurrency=8,
    )


_EVERY = frozenset(TimeFrame)
_NO_SECONDS = _EVERY - {TimeFrame.SECOND_1}

ACCESS = (
    _access("BINANCE", "spot", 20),
    _access("BINANCEUSDM", "linear", 1),
    _access("BINANCECOINM", "inverse", 1),
)
ENTRIES = (
    _candles("BINANCE", page_size=1_000, timeframes=_EVERY, weight=_always(2)),
    # 499 candles cost 2, 1000 cost 5: smaller pages bring a quarter more candles a minute.
    _candles("BINANCEUSDM", page_size=499, timeframes=_NO_SECONDS),
    _candles(
        "BINANCECOINM",
        page_size=499,
        timeframes=_NO_SECONDS,
        longest_window=timedelta(days=200),
        # The decoder turns contracts into amounts, so it needs their size.
        decode=decode_inverse_klines,
        unit="contracts",
        # ccxt always sends an end there: a start alone was not honoured (its issue 8454).
        open_ended=False,
    ),
    _trades("BINANCE", weight=4),
    _trades("BINANCEUSDM", weight=20, depth=timedelta(days=365)),
    _trades("BINANCECOINM", weight=20, depth=timedelta(days=365)),
    # 500 requests in 5 minutes are shared with fundingInfo, beside the weight: a weight of 24
    # keeps within both.
    _funding("BINANCEUSDM", weight=24, columns=(*_FUNDING_COLUMNS, "mark_price")),
    _funding("BINANCECOINM", weight=1, columns=_FUNDING_COLUMNS),
    _book("BINANCE", _spot_depth_weight, ()),
    _book("BINANCEUSDM", _futures_depth_weight, _FUTURES_LEVELS),
    _book("BINANCECOINM", _futures_depth_weight, _FUTURES_LEVELS),
)
