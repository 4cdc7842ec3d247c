"""Binance's public REST as data: endpoints, weights, errors and exchangeInfo. No sockets.

From Binance's API documentation (spot, USD-M and COIN-M futures: market data, error codes,
general info), read 2026-11-22.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lake.domain.identifiers import Instrument, InstrumentKind, expiry_of
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.simulator.faults import Answer
from lake.simulator.rows import decimals_of

# Binance gives perpetuals this delivery date (2100-12-25).
_NEVER_MS = 4_133_404_800_000
INTERVALS = {timeframe.ccxt: timeframe for timeframe in TimeFrame}
_DIGITS = "^[0-9]{1,20}$"


@dataclass(frozen=True, slots=True)
class Api:
    """One of Binance's public APIs."""

    name: str
    prefix: str
    weight_per_minute: int
    exchange_info_weight: int
    max_limit: int
    start_after_end: tuple[int, str]

    def klines_weight(self, limit: int) -> int:
        if self.name == "spot":
            return 2
        if limit < 100:
            return 1
        if limit < 500:
            return 2
        return 5 if limit <= 1_000 else 10


_COMBINATION = (-1128, "Combination of optional parameters invalid.")
_START_AFTER_END = (-1023, "Start time is greater than end time.")
APIS = (
    Api("spot", "/api/v3/", 6_000, 20, 1_000, _COMBINATION),
    Api("usdm", "/fapi/v1/", 2_400, 1, 1_500, _START_AFTER_END),
    Api("coinm", "/dapi/v1/", 2_400, 1, 1_500, _START_AFTER_END),
)
DEFAULT_LIMIT = 500


class Refusal(Exception):
    """A request that Binance refuses with a code."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.answer = error(status, code, message)


def error(status: int, code: int, message: str, **headers: str) -> Answer:
    """An error as Binance writes it."""
    body = json.dumps({"code": code, "msg": message}, separators=(",", ":")).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, body, headers=named)


@dataclass(frozen=True, slots=True)
class KlinesRequest:
    """The parameters of a klines request, checked as Binance checks them."""

    symbol: str
    timeframe: TimeFrame
    start_ms: int | None
    end_ms: int | None
    limit: int

    @classmethod
    def parse(cls, query: dict[str, str], api: Api) -> KlinesRequest:
        symbol = mandatory(query, "symbol")
        interval = mandatory(query, "interval")
        start_ms, end_ms = number(query, "startTime"), number(query, "endTime")
        limit = number(query, "limit")
        if interval not in INTERVALS:
            raise Refusal(-1120, "Invalid interval.")
        if limit == 0:
            raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise Refusal(*api.start_after_end)
        limit = min(limit or DEFAULT_LIMIT, api.max_limit)
        return cls(symbol, INTERVALS[interval], start_ms, end_ms, limit)


def mandatory(query: dict[str, str], name: str) -> str:
    """A parameter that must be there."""
    value = query.get(name)
    if not value:
        message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise Refusal(-1102, message)
    return value


def number(query: dict[str, str], name: str) -> int | None:
    """A parameter that must be digits where it is there."""
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        message = f"Illegal characters found in parameter '{name}'; legal range is '{_DIGITS}'."
        raise Refusal(-1100, message)
    return int(value)


def exchange_info(
    symbols: list[dict[str, Any]], *, now_ms: int, weight_per_minute: int | None
) -> dict[str, Any]:
    """The body of exchangeInfo; without a limit it names none."""
    weight = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": weight_per_minute,
    }
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [] if weight_per_minute is None else [weight],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def symbol_info(instrument: Instrument, *, listed_ms: int) -> dict[str, Any]:
    """One symbol of exchangeInfo."""
    status = "TRADING" if instrument.active else "BREAK"
    tick = decimals_of(instrument.tick_size)
    lot = decimals_of(instrument.lot_size)
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _step(instrument.tick_size),
            "maxPrice": "1000000.00000000",
            "tickSize": _step(instrument.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": _step(instrument.lot_size),
            "maxQty": "9000000000.00000000",
            "stepSize": _step(instrument.lot_size),
        },
    ]
    common = {
        "symbol": instrument.native_id,
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": filters,
    }
    if instrument.kind is InstrumentKind.SPOT:
        return common | {
            "status": status,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "icebergAllowed": False,
            "ocoAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "permissionSets": [["SPOT"]],
        }
    expiry = expiry_of(instrument.code)
    delivered = datetime(expiry.year, expiry.month, expiry.day, 8) if expiry else None
    futures: dict[str, Any] = common | {
        "pair": f"{instrument.base}{instrument.quote}",
        "contractType": "CURRENT_QUARTER" if delivered else "PERPETUAL",
        "deliveryDate": to_us(delivered) // 1_000 if delivered else _NEVER_MS,
        "onboardDate": listed_ms,
        "marginAsset": instrument.settle or instrument.quote,
        "pricePrecision": tick,
        "quantityPrecision": lot,
        "underlyingType": "COIN",
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }
    if instrument.kind is InstrumentKind.INVERSE:
        size = instrument.contract_size or 1
        return futures | {
            "contractStatus": status,
            "contractSize": int(size) if size == int(size) else size,
        }
    return futures | {"status": status}


def ban_message(until_ms: int) -> str:
    return (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )


def limit_message(api: Api) -> str:
    if api.name == "spot":
        return (
            f"Too much request weight used; current limit is {api.weight_per_minute} request "
            "weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid "
            "polling the API."
        )
    return (
        "Too many requests; current limit of IP is "
        f"{api.weight_per_minute} requests per minute. Please use the websocket for live "
        "updates to avoid polling the API."
    )


# Binance answers COIN-M klines only for windows up to 200 days (facts/venues.md, 5.2).
COINM_WINDOW = timedelta(days=200)


def _step(size: float | None) -> str:
    return f"{size:.8f}" if size else "0.00000001"
