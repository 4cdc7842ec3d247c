"""Stand-ins for KuCoin: spot (seconds, close before high) and futures (contracts, ms and ns)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Settlement

SPOT, LINEAR, INVERSE = "BTC-USDT", "XBTUSDTM", "XBTUSDM"
CONTRACT = Decimal("0.001")
_MOST_SPOT, _MOST_FUTURES, _MOST_SETTLEMENTS = 1_500, 200, 100
_BOOK = Shape(("time", "ts"), (0, 1, 0, 1), (1,), sides=("bids", "asks"))


class Kucoin(StandIn):
    """Its spot market: candles newest first, of at most 1,500."""

    venue = "KUCOIN"
    wires = (
        Wire("candles", ("data",), Shape((0,), (1, 2, 3, 4), (5, 6))),
        Wire("level2_20", ("data",), _BOOK),
        Wire("level2_100", ("data",), _BOOK),
    )
    failures = (
        Refusal(429, {"code": "429000", "msg": "Too Many Requests"}),
        Refusal(200, {"code": "500000", "msg": "Internal Server Error"}),
    )

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[str, list[Candle]] | None = None,
        book: Book | None = None,
    ) -> None:
        super().__init__(now)
        self._candles = candles or {}
        self._book = book

    def answer(self, asked: Asked) -> Any:
        name = asked.path.rpartition("/")[2]
        if name == "timestamp":
            return _data(asked.now_us // 1_000)
        if name == "currencies":
            return _data([])
        if name == "symbols":
            return _data([_SYMBOL])
        if name == "candles":
            return self._windows(asked)
        return self._levels(int(name.rpartition("_")[2]))

    def _windows(self, asked: Asked) -> Any:
        first, last = asked.number("startAt") or 0, asked.number("endAt") or 0
        rows = [
            each
            for each in self._candles[asked.query["type"]]
            if first <= each.ts_us // 1_000_000 < last and each.ts_us <= asked.now_us
        ]
        return _data(
            [
                [
                    str(each.ts_us // 1_000_000), f"{each.open}", f"{each.close}", f"{each.high}",
                    f"{each.low}", f"{each.units * COIN_PART}",
                    f"{each.units * COIN_PART * each.open}",
                ]
                for each in rows[::-1][:_MOST_SPOT]
            ]
        )  # fmt: skip

    def _levels(self, count: int) -> Any:
        assert self._book is not None
        book: dict[str, Any] = {
            name: [[f"{price}", f"{units * COIN_PART}"] for price, units in levels[:count]]
            for name, levels in (("bids", self._book.bids), ("asks", self._book.asks))
        }
        said = {"time": self._book.ts_ms, "sequence": str(self._book.sequence)}
        return _data(said | book)


class KucoinFutures(StandIn):
    """A linear and an inverse perpetual, both in contracts; ``units`` of the truth are contracts.

    Its candles come oldest first and 200 at most, its settlements newest first and 100.
    """

    venue = "KUCOINFUTURES"
    wires = (
        Wire("query", ("data",), Shape((0,), (1, 2, 3, 4), (5, 6))),
        Wire(
            "funding-rates",
            ("data",),
            Shape(("timepoint",), ("fundingRate",) * 4, ("fundingRate",)),
        ),
        Wire("depth20", ("data",), _BOOK),
        Wire("depth100", ("data",), _BOOK),
    )
    failures = (
        Refusal(429, {"code": "429000", "msg": "Too Many Requests"}),
        Refusal(200, {"code": "500000", "msg": "Internal Server Error"}),
    )

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[int, list[Candle]] | None = None,
        settlements: list[Settlement] | None = None,
        book: Book | None = None,
    ) -> None:
        """*candles* by minutes."""
        super().__init__(now)
        self._candles = candles or {}
        self._settlements = settlements or []
        self._book = book

    def answer(self, asked: Asked) -> Any:
        name = asked.path.rpartition("/")[2]
        if name == "timestamp":
            return _data(asked.now_us // 1_000)
        if name == "currencies":
            return _data([])
        if name == "active":
            return _data(_CONTRACTS)
        if name == "query":
            return self._windows(asked)
        if name == "funding-rates":
            return self._funding(asked)
        return self._levels(asked.query["symbol"], int(name.removeprefix("depth")))

    def _windows(self, asked: Asked) -> Any:
        first, last = asked.number("from") or 0, asked.number("to") or 0
        inverse = asked.query["symbol"] == INVERSE
        rows = [
            each
            for each in self._candles[asked.number("granularity") or 0]
            if first <= each.ts_ms <= last and each.ts_us <= asked.now_us
        ]
        return _data(
            [
                [
                    each.ts_ms, *(float(p) for p in (each.open, each.high, each.low, each.close)),
                    each.units, turnover(each, inverse=inverse),
                ]
                for each in rows[:_MOST_FUTURES]
            ]
        )  # fmt: skip

    def _funding(self, asked: Asked) -> Any:
        first, last = asked.number("from") or 0, asked.number("to") or 0
        rows = [
            {
                "symbol": asked.query["symbol"], "fundingRate": float(each.rate),
                "timepoint": each.ts_ms,
            }
            for each in self._settlements
            if first <= each.ts_ms <= last and each.ts_ms * 1_000 <= asked.now_us
        ]  # fmt: skip
        return _data(rows[::-1][:_MOST_SETTLEMENTS])

    def _levels(self, symbol: str, count: int) -> Any:
        assert self._book is not None
        book: dict[str, Any] = {
            name: [[float(price), units] for price, units in levels[:count]]
            for name, levels in (("bids", self._book.bids), ("asks", self._book.asks))
        }
        said = {"symbol": symbol, "sequence": self._book.sequence, "ts": self._book.ts_ms * 10**6}
        return _data(said | book)


def turnover(each: Candle, *, inverse: bool) -> float:
    """What was traded at the open: dollars of a linear contract, coins of an inverse one."""
    return float(each.units / each.open if inverse else each.units * CONTRACT * each.open)


def _data(found: Any) -> dict[str, Any]:
    return {"code": "200000", "data": found}


_SYMBOL = {
    "symbol": SPOT, "name": SPOT, "baseCurrency": "BTC", "quoteCurrency": "USDT",
    "baseMinSize": "0.00001", "quoteMinSize": "0.1", "baseMaxSize": "10000",
    "quoteMaxSize": "99999999", "baseIncrement": "0.00000001", "priceIncrement": "0.1",
    "enableTrading": True, "isMarginEnabled": False,
}  # fmt: skip
_CONTRACTS = [
    {
        "symbol": symbol, "type": "FFWCSX", "firstOpenDate": 1_585_555_200_000, "expireDate": None,
        "baseCurrency": "XBT", "quoteCurrency": quote, "settleCurrency": settle,
        "maxOrderQty": 1_000_000, "maxPrice": 1_000_000, "lotSize": 1, "tickSize": 0.1,
        "multiplier": multiplier, "isInverse": settle == "XBT", "status": "Open",
        "nextFundingRateTime": 1_000, "makerFeeRate": 0.0002, "takerFeeRate": 0.0006,
    }
    for symbol, quote, settle, multiplier in (
        (LINEAR, "USDT", "USDT", float(CONTRACT)), (INVERSE, "USD", "XBT", -1.0),
    )
]  # fmt: skip
