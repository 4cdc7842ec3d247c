"""A stand-in for Bybit: newest first, the newest kept of what is too much, one API for all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lake.domain.timeframe import TimeFrame
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.market import INVERSE, Market
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire

_FRAMES = {"1": "1m", "15": "15m", "60": "1h", "D": "1d", "W": "1w", "M": "1mo"}
_RATE = "fundingRate"


class Bybit(StandIn):
    """Its v5 API: ``category`` and ``symbol`` name a market."""

    venue = "BYBIT"
    wires = (
        Wire("market/kline", ("result", "list"), Shape((0,), (1, 2, 3, 4))),
        Wire(
            "funding/history",
            ("result", "list"),
            Shape(("fundingRateTimestamp",), (_RATE,) * 4, (_RATE,)),
        ),
        Wire("orderbook", ("result",), Shape(("ts",), (0, 1, 0, 1), (1,), sides=("b", "a"))),
    )
    failures = (
        Refusal(200, {"retCode": 10016, "retMsg": "Internal server error", "result": {}}),
        Refusal(200, {"retCode": 10000, "retMsg": "Server Timeout", "result": {}}),
    )

    def __init__(self, now: datetime, *markets: Market) -> None:
        super().__init__(now)
        self._markets = {(each.instrument.kind.value, each.native_id): each for each in markets}

    def answer(self, asked: Asked) -> Any:
        name = asked.path.removeprefix("/v5/market/")
        if name == "time":
            second, rest = divmod(asked.now_us, 1_000_000)
            return _result(asked, {"timeSecond": str(second), "timeNano": f"{second}{rest:06d}000"})
        if name == "instruments-info":
            return self._instruments(asked)
        market = self._markets.get((asked.query.get("category", ""), asked.query.get("symbol", "")))
        if market is None:
            return _refused("Not supported symbols")
        if name == "kline":
            return self._candles(asked, market)
        if name == "funding/history":
            return self._funding(asked, market)
        assert name == "orderbook"
        return self._book(asked, market)

    def _candles(self, asked: Asked, market: Market) -> Any:
        limit = asked.number("limit", 200) or 0
        if not 1 <= limit <= 1_000 or asked.query["interval"] not in _FRAMES:
            return _refused("params error: limit or interval")
        start, end = asked.number("start", 0) or 0, asked.number("end", 10**14) or 0
        rows = [
            each
            for each in market.candles[TimeFrame(_FRAMES[asked.query["interval"]])]
            if start <= each.ts_ms <= end and each.ts_us <= asked.now_us
        ]
        found = []
        for each in rows[::-1][:limit]:
            base, quote = market.base(each.open, each.units), market.quote(each.open, each.units)
            amounts = (quote, base) if market.instrument.kind is INVERSE else (base, quote)
            prices = (each.open, each.high, each.low, each.close)
            found.append([str(each.ts_ms), *(f"{number}" for number in (*prices, *amounts))])
        return _result(asked, {"symbol": market.native_id, "list": found} | _category(asked))

    def _funding(self, asked: Asked, market: Market) -> Any:
        start, end = asked.number("startTime"), asked.number("endTime")
        if start is not None and end is None:
            return _refused("endTime is required")
        rows = [
            {
                "symbol": market.native_id,
                _RATE: f"{each.rate:f}",
                "fundingRateTimestamp": str(each.ts_ms),
            }
            for each in market.settlements
            if (start or 0) <= each.ts_ms <= (10**14 if end is None else end)
            and each.ts_ms * 1_000 <= asked.now_us
        ]
        limit = min(200, asked.number("limit", 200) or 200)
        return _result(asked, {"list": rows[::-1][:limit]} | _category(asked))

    def _book(self, asked: Asked, market: Market) -> Any:
        limit, book = asked.number("limit", 1) or 1, market.book
        assert book is not None
        if limit > (200 if asked.query["category"] == "spot" else 500):
            return _refused("limit is too large")
        inverse = market.instrument.kind is INVERSE
        sides = {
            name: [
                [f"{price}", f"{units if inverse else market.base(price, units)}"]
                for price, units in levels[:limit]
            ]
            for name, levels in (("b", book.bids), ("a", book.asks))
        }
        said = {"s": market.native_id, "ts": book.ts_ms, "u": book.sequence, "seq": 7}
        return _result(asked, said | sides)

    def _instruments(self, asked: Asked) -> Any:
        listed = [
            _SPOT_INFO | {"symbol": each.native_id}
            if kind == "spot"
            else _CONTRACT_INFO
            | {
                "symbol": each.native_id,
                "contractType": f"{kind.capitalize()}Perpetual",
                "quoteCoin": each.instrument.quote,
                "settleCoin": each.instrument.settle,
            }
            for (kind, _), each in self._markets.items()
            if kind == asked.query["category"] and asked.query.get("status") != "PreLaunch"
        ]
        return _result(asked, {"list": listed, "nextPageCursor": ""} | _category(asked))


def _category(asked: Asked) -> dict[str, Any]:
    return {"category": asked.query["category"]}


def _result(asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
    said = {"retCode": 0, "retMsg": "OK", "retExtInfo": {}, "time": asked.now_us // 1_000}
    return said | {"result": result}


def _refused(why: str) -> Refusal:
    """Refusals come with status 200."""
    return Refusal(200, {"retCode": 10001, "retMsg": why, "result": {}, "retExtInfo": {}})


_SPOT_INFO = {
    "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading", "marginTrading": "none",
    "lotSizeFilter": {"basePrecision": "0.0001", "quotePrecision": "0.01", "minOrderQty": "0.0001"},
    "priceFilter": {"tickSize": "0.01"},
}  # fmt: skip
_CONTRACT_INFO = {
    "baseCoin": "BTC", "status": "Trading", "launchTime": "1585526400000", "deliveryTime": "0",
    "priceScale": "2", "fundingInterval": 480,
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.01", "maxPrice": "999999.98", "tickSize": "0.01"},
    "lotSizeFilter": {"maxOrderQty": "100", "minOrderQty": "1", "qtyStep": "0.001"},
}  # fmt: skip
