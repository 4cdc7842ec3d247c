"""A stand-in for Kraken's futures: charts by seconds, a history by opaque tokens, whole series."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lake.domain.times import from_us
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Settlement, Trade

LINEAR, INVERSE = "PF_XBTUSD", "PI_XBTUSD"
_MOST_CANDLES, _MOST_TRADES = 2_000, 1_000


class KrakenFutures(StandIn):
    """A linear and an inverse perpetual. Contracts of the first are coins, of the other dollars.

    Its clock can only be read off the Date header. A history is newest first unless asked
    otherwise, and goes on by ``continuationToken``.
    """

    venue = "KRAKENFUTURES"
    wires = (
        *(
            Wire(
                name, ("candles",), Shape(("time",), ("open", "high", "low", "close"), ("volume",))
            )
            for name in ("1m", "1h")
        ),
        Wire(
            "historicalfundingrates",
            ("rates",),
            Shape((), ("relativeFundingRate",) * 4, ("relativeFundingRate",)),
            # A rate that is negative is as true as any.
            immune=("negative",),
        ),
        Wire(
            "orderbook",
            ("orderBook",),
            Shape((), (0, 1, 0, 1), (1,), sides=("bids", "asks")),
        ),
    )
    failures = (Refusal(200, {"result": "error", "error": "apiLimitExceeded"}),)

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[str, list[Candle]] | None = None,
        trades: list[Trade] | None = None,
        settlements: list[Settlement] | None = None,
        book: Book | None = None,
    ) -> None:
        super().__init__(now)
        self._candles = candles or {}
        self._trades = trades or []
        self._settlements = settlements or []
        self._book = book

    def answer(self, asked: Asked) -> Any:
        parts = asked.path.strip("/").split("/")
        if parts[-1] == "instruments":
            return {"result": "success", "instruments": _INSTRUMENTS}
        if parts[-1] == "executions":
            return self._history(asked, parts[-2])
        if parts[-1] == "historicalfundingrates":
            return self._funding(asked)
        if parts[-1] == "orderbook":
            return self._orderbook(asked)
        return self._charts(asked, parts)

    def _charts(self, asked: Asked, parts: list[str]) -> Any:
        first, last = asked.number("from", 0) or 0, asked.number("to") or 0
        rows = [
            each
            for each in self._candles[parts[-1]]
            if first <= each.ts_us // 1_000_000 <= last and each.ts_us <= asked.now_us
        ]
        return {
            "candles": [
                {
                    "time": each.ts_ms, "open": f"{each.open}", "high": f"{each.high}",
                    "low": f"{each.low}", "close": f"{each.close}",
                    "volume": f"{each.units * COIN_PART}",
                }
                for each in rows[:_MOST_CANDLES]
            ],
            "more_candles": len(rows) > _MOST_CANDLES,
        }  # fmt: skip

    def _history(self, asked: Asked, symbol: str) -> Any:
        past = [each for each in self._trades if each.ts_ms * 1_000 <= asked.now_us]
        since, ascends = asked.number("since", 0) or 0, asked.query.get("sort") == "asc"
        rows = [each for each in past if each.ts_ms >= since]
        if not ascends:
            rows.reverse()
        if "continuationToken" in asked.query:
            after = int(base64.b64decode(asked.query["continuationToken"]).decode())
            rows = [
                each for each in rows if (each.number > after) == ascends and each.number != after
            ]
        count = min(asked.number("count") or _MOST_TRADES, _MOST_TRADES)
        given = rows[:count]
        found: dict[str, Any] = {
            "elements": [self._execution(each, symbol) for each in given], "len": len(given),
        }  # fmt: skip
        if len(rows) > count:
            found["continuationToken"] = base64.b64encode(str(given[-1].number).encode()).decode()
        return found

    def _execution(self, each: Trade, symbol: str) -> dict[str, Any]:
        amount = str(each.units if symbol == INVERSE else each.units * COIN_PART)
        taker, maker = ("Buy", "Sell") if each.bought else ("Sell", "Buy")
        execution = {
            "uid": uid(each), "timestamp": each.ts_ms, "quantity": amount, "price": f"{each.price}",
            "markPrice": f"{each.price}", "limitFilled": False, "usdValue": "1.00",
            "makerOrder": {"direction": maker, "tradeable": symbol, "quantity": amount},
            "takerOrder": {"direction": taker, "tradeable": symbol, "quantity": amount},
        }  # fmt: skip
        event = {"Execution": {"execution": execution, "takerReducedQuantity": ""}}
        return {"uid": f"event-{each.number}", "timestamp": each.ts_ms, "event": event}

    def _funding(self, asked: Asked) -> Any:
        return {
            "rates": [
                {
                    "timestamp": _iso(each.ts_ms),
                    "fundingRate": float(each.rate) * 60_000,
                    "relativeFundingRate": float(each.rate),
                }
                for each in self._settlements
                if each.ts_ms * 1_000 <= asked.now_us
            ],
        }

    def _orderbook(self, asked: Asked) -> Any:
        assert self._book is not None
        inverse = asked.query["symbol"] == INVERSE
        sides = {
            name: [
                [float(price), units if inverse else float(units * COIN_PART)]
                for price, units in levels
            ]
            for name, levels in (("bids", self._book.bids), ("asks", self._book.asks))
        }
        return {"result": "success", "orderBook": sides, "serverTime": _iso(self._book.ts_ms)}


def _iso(ms: int) -> str:
    return f"{from_us(ms * 1_000).isoformat(timespec='milliseconds')}Z"


def uid(each: Trade) -> str:
    """What a trade is called."""
    return f"73dd02fe-54f1-4ed8-a419-{each.number:012x}"


_INSTRUMENTS = [
    {
        "symbol": symbol, "type": kind, "underlying": "rr_xbtusd", "tickSize": 0.5,
        "contractSize": 1, "tradeable": True, "contractValueTradePrecision": precision,
        "openingDate": "2022-03-22T14:21:16.000Z",
    }
    for symbol, kind, precision in (
        (LINEAR, "flexible_futures_vanilla", 4), (INVERSE, "futures_inverse", 0),
    )
]  # fmt: skip
