"""Trades, funding and books: what each venue gives of them, one entry per venue and data type.

Also what venues do not give, with the way out. Data, and the pure functions that write a
request's parameters; sources of the facts are the venues' own REST docs, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.sources.binance_rows import decode_agg_trades, decode_depth, decode_funding
from lake.sources.budget import Limit
from lake.sources.capability import Capability, RowsEndpoint
from lake.sources.cursor import Cursor

_SPOT, _LINEAR, _INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
_TRADE_COLUMNS = (
    "ts",
    "trade_id",
    "price",
    "quantity",
    "side",
    "first_trade_id",
    "last_trade_id",
)
_BOOK_COLUMNS = ("ts", "sequence", "bids", "asks", "received_at")
_FUNDING_COLUMNS = ("ts", "settled_at", "funding_rate", "interval_hours")


def _binance_parameters(cursor: Cursor) -> dict[str, Any]:
    """Bounds are inclusive milliseconds; an id and times are refused together."""
    wanted: dict[str, Any] = {"limit": cursor.limit}
    if cursor.from_id is not None:
        return wanted | {"fromId": cursor.from_id}
    if cursor.start_us is not None:
        wanted["startTime"] = -(-cursor.start_us // 1_000)
    if cursor.end_us is not None:
        wanted["endTime"] = (cursor.end_us - 1) // 1_000
    return wanted


def _always(weight: int) -> Callable[[int], int]:
    return lambda limit: weight


def _spot_depth_weight(limit: int) -> int:
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250


def _futures_depth_weight(limit: int) -> int:
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def _binance(
    name: str, data_type: DataType, kind: InstrumentKind, rows: RowsEndpoint, **more: Any
) -> Capability:
    return Capability(
        venue=Venue(name),
        data_type=data_type,
        limit=Limit(6_000 if name == "BINANCE" else 2_400),
        rank=50,
        kinds=frozenset({kind}),
        rows=rows,
        **more,
    )


def _binance_trades(
    name: str, kind: InstrumentKind, method: str, *, weight: int, depth: timedelta | None = None
) -> Capability:
    return _binance(
        name,
        DataType.TRADES,
        kind,
        RowsEndpoint(method, decode_agg_trades, _binance_parameters, _always(weight)),
        page_size=1_000,
        concurrency=8,
        settle_after=timedelta(minutes=1),
        columns=_TRADE_COLUMNS,
        variant="aggregate/venue",
        depth=depth,
        depth_reason="" if depth is None else _YEAR,
    )


def _binance_funding(
    name: str, kind: InstrumentKind, method: str, *, weight: int, columns: tuple[str, ...]
) -> Capability:
    return _binance(
        name,
        DataType.FUNDING_RATES,
        kind,
        RowsEndpoint(method, decode_funding, _binance_parameters, _always(weight)),
        page_size=1_000,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns,
    )


def _binance_book(
    name: str,
    kind: InstrumentKind,
    method: str,
    weight: Callable[[int], int],
    levels: tuple[int, ...],
) -> Capability:
    return _binance(
        name,
        DataType.ORDERBOOK,
        kind,
        RowsEndpoint(
            method, decode_depth, lambda cursor: {"limit": cursor.limit}, weight, levels=levels
        ),
        page_size=5_000 if not levels else levels[-1],
        concurrency=8,
        settle_after=timedelta(0),
        columns=_BOOK_COLUMNS,
        variant="rest/{depth}",
        depth=timedelta(0),
        depth_reason="{venue} gives the book of this moment only: snapshots are taken from now on",
    )


_YEAR = (
    "{venue} answers about trades of the last year only; its archives hold the older ones "
    "(`lake import`)"
)
_FUTURES_LEVELS = (5, 10, 20, 50, 100, 500, 1_000)

_ENTRIES = (
    _binance_trades("BINANCE", _SPOT, "publicGetAggTrades", weight=4),
    _binance_trades(
        "BINANCEUSDM", _LINEAR, "fapiPublicGetAggTrades", weight=20, depth=timedelta(days=365)
    ),
    _binance_trades(
        "BINANCECOINM", _INVERSE, "dapiPublicGetAggTrades", weight=20, depth=timedelta(days=365)
    ),
    # 500 requests in 5 minutes are shared with fundingInfo, beside the weight: a weight of 24
    # keeps within both.
    _binance_funding(
        "BINANCEUSDM",
        _LINEAR,
        "fapiPublicGetFundingRate",
        weight=24,
        columns=(*_FUNDING_COLUMNS, "mark_price"),
    ),
    _binance_funding(
        "BINANCECOINM", _INVERSE, "dapiPublicGetFundingRate", weight=1, columns=_FUNDING_COLUMNS
    ),
    _binance_book("BINANCE", _SPOT, "publicGetDepth", _spot_depth_weight, ()),
    _binance_book(
        "BINANCEUSDM", _LINEAR, "fapiPublicGetDepth", _futures_depth_weight, _FUTURES_LEVELS
    ),
    _binance_book(
        "BINANCECOINM", _INVERSE, "dapiPublicGetDepth", _futures_depth_weight, _FUTURES_LEVELS
    ),
)
MARKET_DATA = {(each.venue.name, each.data_type): each for each in _ENTRIES}

_ARCHIVES = "import its archives instead (`lake import`), or record it live."
_NO_FUNDING = "it is a spot market, and funding is paid on perpetuals only. Ask {perpetuals}."
NOT_TO_BE_HAD: dict[tuple[str, DataType], str] = {
    ("BINANCE", DataType.FUNDING_RATES): _NO_FUNDING.format(
        perpetuals="BINANCEUSDM or BINANCECOINM"
    ),
    ("KRAKEN", DataType.FUNDING_RATES): _NO_FUNDING.format(perpetuals="KRAKENFUTURES"),
    ("COINBASE", DataType.FUNDING_RATES): "its public REST has no funding history. Ask another "
    "venue, for example BINANCEUSDM.",
    ("KUCOIN", DataType.FUNDING_RATES): _NO_FUNDING.format(perpetuals="KUCOINFUTURES"),
    ("BYBIT", DataType.TRADES): "its public REST gives only the newest 1,000 of them and no "
    f"history: {_ARCHIVES}",
    ("HYPERLIQUID", DataType.TRADES): "its public REST gives fills of one user only and no "
    f"history: {_ARCHIVES}",
    ("KUCOIN", DataType.TRADES): "its public REST gives only the newest 100 of them and no "
    f"history: {_ARCHIVES}",
}
