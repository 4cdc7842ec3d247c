"""A stand-in for Coinbase: windows in seconds, newest first, too wide ones refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lake.domain.times import from_us
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Trade

PRODUCT = "BTC-USD"
_SECONDS = {"ONE_MINUTE": 60, "ONE_HOUR": 3_600, "ONE_DAY": 86_400}
_MOST_CANDLES, _MOST_TRADES = 300, 1_000


class Coinbase(StandIn):
    """BTC-USD. A side is the maker's. A minute without trades has no candle."""

    venue = "COINBASE"
    wires = (
        Wire(
            "candles",
            ("candles",),
            Shape(("start",), ("open", "high", "low", "close"), ("volume",)),
        ),
        Wire(
            "ticker",
            ("trades",),
            Shape((), ("price", "size", "price", "size"), ("size", "time")),
        ),
        Wire(
            "product_book",
            ("pricebook",),
            Shape((), ("price", "size", "price", "size"), ("size",), sides=("bids", "asks")),
        ),
    )
    failures = (Refusal(429, {"errors": [{"id": "rate_limit_exceeded", "message": "wait"}]}),)

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[str, list[Candle]] | None = None,
        trades: list[Trade] | None = None,
        book: Book | None = None,
    ) -> None:
        """*candles* by granularity."""
        super().__init__(now)
        self._candles = candles or {}
        self._trades = trades or []
        self._book = book

    def answer(self, asked: Asked) -> Any:
        name = asked.path.rpartition("/")[2]
        if name == "time":
            seconds = asked.now_us // 1_000_000
            return {
                "iso": "", "epochSeconds": str(seconds), "epochMillis": str(asked.now_us // 1_000)
            }  # fmt: skip
        if "/v2/" in asked.path:
            return {"data": {"rates": {}} if name == "exchange-rates" else []}
        if name == "products":
            return {"products": [] if "product_type" in asked.query else [_PRODUCT]}
        return {"candles": self._windows, "ticker": self._history, "product_book": self._levels}[
            name
        ](asked)

    def _windows(self, asked: Asked) -> Any:
        granularity = asked.query["granularity"]
        first, last = int(asked.query["start"]), int(asked.query["end"])
        if (last - first) // _SECONDS[granularity] >= _MOST_CANDLES:
            return Refusal(400, {"error": "INVALID_ARGUMENT", "error_details": "too many buckets"})
        rows = [
            each
            for each in self._candles[granularity]
            if first <= each.ts_us // 1_000_000 <= last and each.ts_us <= asked.now_us
        ]
        return {
            "candles": [
                {
                    "start": str(each.ts_us // 1_000_000), "low": f"{each.low}",
                    "high": f"{each.high}", "open": f"{each.open}", "close": f"{each.close}",
                    "volume": f"{each.units * COIN_PART}",
                }
                for each in reversed(rows)
            ]
        }  # fmt: skip

    def _history(self, asked: Asked) -> Any:
        first = (asked.number("start") or 0) * 1_000
        last = (asked.number("end") or asked.now_us // 1_000_000) * 1_000
        limit = min(asked.number("limit") or 0, _MOST_TRADES)
        rows = [
            each
            for each in self._trades
            if first <= each.ts_ms <= last and each.ts_ms * 1_000 <= asked.now_us
        ]
        return {
            "trades": [
                {
                    "trade_id": str(each.number), "product_id": PRODUCT, "price": f"{each.price}",
                    "size": f"{each.units * COIN_PART}", "time": _iso(each.ts_ms),
                    "side": "SELL" if each.bought else "BUY", "bid": "", "ask": "",
                }
                for each in rows[::-1][:limit]
            ],
            "best_bid": "1", "best_ask": "2",
        }  # fmt: skip

    def _levels(self, asked: Asked) -> Any:
        assert self._book is not None
        limit = asked.number("limit") or 1_000
        book: dict[str, Any] = {
            name: [
                {"price": f"{price}", "size": f"{units * COIN_PART}"}
                for price, units in levels[:limit]
            ]
            for name, levels in (("bids", self._book.bids), ("asks", self._book.asks))
        }
        return {"pricebook": book | {"product_id": PRODUCT, "time": _iso(self._book.ts_ms)}}


def _iso(ms: int) -> str:
    return f"{from_us(ms * 1_000).isoformat(timespec='microseconds')}Z"


_PRODUCT = {
    "product_id": PRODUCT, "price": "60000", "base_increment": "0.00000001",
    "quote_increment": "0.01", "price_increment": "0.01", "base_min_size": "0.00000001",
    "base_max_size": "3400", "quote_min_size": "1", "quote_max_size": "150000000",
    "trading_disabled": False, "product_type": "SPOT", "quote_currency_id": "USD",
    "base_currency_id": "BTC", "alias_to": [],
}  # fmt: skip
