"""What clients ask of Binance beside candles: parameters checked, weights counted. No state.

From Binance's API documentation (spot, USD-M and COIN-M futures: market data, error codes),
read 2026-11-22 in stored copies; the weight of the futures' historicalTrades is that of the
changelog of 2026-07-29 as ccxt 4.5.90 quotes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lake.simulator.wire import Api, Refusal, mandatory, number

Query = dict[str, str]
_DEFAULT_LIMIT = 500
_MAX_LIMIT = 1_000
_SPOT_DEPTH, _MAX_SPOT_DEPTH = 100, 5_000
_FUTURES_DEPTH = (5, 10, 20, 50, 100, 500, 1_000)
_FUNDING_LIMIT = 100
# The futures' pages say "less than 1 hour"; ccxt asks for exactly one, and is answered. Spot's
# page does not name the rule any more, but its error (-1127) exists: a client that keeps to it
# is right at all three.
_WIDEST_MS = 3_600_000
# How often an address may ask for USD-M funding (shared with fundingInfo).
FUNDING_REQUESTS, FUNDING_WINDOW_MS = 500, 300_000
_FIXED_WEIGHTS = {
    "spot": {"trades": 25, "historicalTrades": 25, "aggTrades": 4},
    "usdm": {"trades": 5, "historicalTrades": 200, "aggTrades": 20},
    "coinm": {"trades": 5, "historicalTrades": 200, "aggTrades": 20, "premiumIndex": 10},
}


@dataclass(frozen=True, slots=True)
class AggTradesRequest:
    """The parameters of aggTrades. With both times the window is at most an hour wide."""

    symbol: str
    from_id: int | None
    start_ms: int | None
    end_ms: int | None
    limit: int

    @classmethod
    def parse(cls, query: Query, api: Api) -> AggTradesRequest:
        symbol = mandatory(query, "symbol")
        from_id = number(query, "fromId")
        start_ms, end_ms = _window(query, api)
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        if start_ms is not None and end_ms is not None and end_ms - start_ms > _WIDEST_MS:
            raise Refusal(-1127, "More than 1 hours between startTime and endTime.")
        return cls(symbol, from_id, start_ms, end_ms, limit_of(query))


@dataclass(frozen=True, slots=True)
class FundingRequest:
    """The parameters of fundingRate; USD-M answers without a symbol too."""

    symbol: str | None
    start_ms: int | None
    end_ms: int | None
    limit: int

    @classmethod
    def parse(cls, query: Query, api: Api) -> FundingRequest:
        symbol = query.get("symbol") if api.name == "usdm" else mandatory(query, "symbol")
        start_ms, end_ms = _window(query, api)
        return cls(symbol, start_ms, end_ms, limit_of(query, default=_FUNDING_LIMIT))


def limit_of(query: Query, *, default: int = _DEFAULT_LIMIT) -> int:
    """Rows asked for: capped in silence, as Binance does."""
    limit = number(query, "limit")
    if limit == 0:
        raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit or default, _MAX_LIMIT)


def depth_of(query: Query, api: Api) -> int:
    """Levels asked for: any number for spot, one of seven for futures."""
    limit = number(query, "limit")
    if api.name == "spot":
        if limit == 0:
            raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit or _SPOT_DEPTH, _MAX_SPOT_DEPTH)
    if limit is None:
        return _DEFAULT_LIMIT
    if limit not in _FUTURES_DEPTH:
        raise Refusal(-4021, f"'{limit}' is not valid depth limit.")
    return limit


def weight_of(api: Api, name: str, query: Query) -> int:
    """What a request weighs, before it is known to be a good one."""
    limit = query.get("limit", "")
    asked = int(limit) if limit.isdecimal() and len(limit) < 9 else None
    if name == "exchangeInfo":
        return api.exchange_info_weight
    if name == "klines":
        return api.klines_weight(_DEFAULT_LIMIT if asked is None else asked)
    if name == "depth":
        return _depth_weight(api, asked)
    if name == "premiumIndex" and api.name == "usdm" and "symbol" not in query:
        return 10
    return _FIXED_WEIGHTS[api.name].get(name, 1)


def _depth_weight(api: Api, asked: int | None) -> int:
    if api.name == "spot":
        steps = ((100, 5), (500, 25), (1_000, 50))
        asked = _SPOT_DEPTH if asked is None else asked
        return next((weight for most, weight in steps if asked <= most), 250)
    steps = ((50, 2), (100, 5), (500, 10))
    asked = _DEFAULT_LIMIT if asked is None else asked
    return next((weight for most, weight in steps if asked <= most), 20)


def _window(query: Query, api: Api) -> tuple[int | None, int | None]:
    start_ms, end_ms = number(query, "startTime"), number(query, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise Refusal(*api.start_after_end)
    return start_ms, end_ms
