"""A stand-in for Kraken: the newest 720 candles alone, all trades by a cursor of nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Trade

PAIR = "XXBTZUSD"
_MINUTES = {1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600}


class Kraken(StandIn):
    """XBT/USD. Its candles take a start that is exclusive and no end, and include the running one.

    A trade's time is in seconds with a fraction, and ``last`` the nanoseconds of the newest
    given; what is asked for next is newer than that.
    """

    venue = "KRAKEN"
    wires = (
        Wire("OHLC", ("result", PAIR), Shape((0,), (1, 2, 3, 4), (6, 7))),
        Wire("Trades", ("result", PAIR), Shape((2,), (0, 1, 0, 1), (1, 2, 3, 4, 5, 6), 6)),
        Wire("Depth", ("result", PAIR), Shape((), (0, 1, 0, 1), (1, 2), sides=("bids", "asks"))),
    )
    failures = (
        Refusal(200, {"error": ["EGeneral:Too many requests"]}),
        Refusal(200, {"error": ["EService:Unavailable"]}),
        Refusal(200, {"error": ["EGeneral:Temporary lockout"]}),
    )

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[int, list[Candle]] | None = None,
        trades: list[Trade] | None = None,
        book: Book | None = None,
        without_ids: int = 0,
        early_ns: int = 0,
    ) -> None:
        """*candles* by minutes; the first *without_ids* trades are as the venue gave them once.

        Trades came *early_ns* before the times that the truth says.
        """
        super().__init__(now)
        self._candles = candles or {}
        self._trades = trades or []
        self._book = book
        self._without_ids = without_ids
        self._early_ns = early_ns

    def answer(self, asked: Asked) -> Any:
        name = asked.path.rpartition("/")[2]
        if name == "Time":
            return _result({"unixtime": asked.now_us // 1_000_000, "rfc1123": ""})
        if name == "Assets":
            return _result({each: _asset(each) for each in ("XXBT", "ZUSD")})
        if name == "AssetPairs":
            return _result({PAIR: _PAIR})
        if asked.query.get("pair") != PAIR:
            return {"error": ["EQuery:Unknown asset pair"]}
        found = {"OHLC": self._ohlc, "Trades": self._history, "Depth": self._depth}[name]
        return found(asked)

    def _ohlc(self, asked: Asked) -> Any:
        minutes = asked.number("interval", 1) or 1
        if minutes not in _MINUTES:
            return {"error": ["EGeneral:Invalid arguments:interval"]}
        begun = [each for each in self._candles[minutes] if each.ts_us <= asked.now_us]
        since = (asked.number("since") or 0) * 1_000_000
        rows = [each for each in begun[-720:] if each.ts_us > since]
        last = begun[-2].ts_us // 1_000_000 if len(begun) > 1 else 0
        return _result({PAIR: [_candle(each) for each in rows], "last": last})

    def _history(self, asked: Asked) -> Any:
        count = min(asked.number("count") or 1_000, 1_000)
        past = [each for each in self._trades if each.ts_ms * 1_000 <= asked.now_us]
        if "since" in asked.query:
            since = int(asked.query["since"])
            rows = [each for each in past if self._ns(each) > since][:count]
        else:
            since, rows = 0, past[-count:]
        last = self._ns(rows[-1]) if rows else since
        return _result({PAIR: [self._trade(each) for each in rows], "last": str(last)})

    def _ns(self, each: Trade) -> int:
        return each.ts_ms * 1_000_000 - self._early_ns

    def _trade(self, each: Trade) -> list[Any]:
        row = [
            f"{each.price:.5f}", f"{each.units * COIN_PART:.8f}", self._ns(each) / 1e9,
            "b" if each.bought else "s", "l", "",
        ]  # fmt: skip
        return row if each.number <= self._without_ids else [*row, each.number]

    def _depth(self, asked: Asked) -> Any:
        assert self._book is not None
        count = asked.number("count", 100)
        if not 1 <= (count or 0) <= 500:
            return {"error": ["EGeneral:Invalid arguments:count"]}
        moment = self._book.ts_ms // 1_000
        sides = {
            name: [
                [f"{price:.5f}", f"{units * COIN_PART:.4f}", moment]
                for price, units in levels[:count]
            ]
            for name, levels in (("asks", self._book.asks), ("bids", self._book.bids))
        }
        return _result({PAIR: sides})


def _result(found: Any) -> dict[str, Any]:
    return {"error": [], "result": found}


def _candle(each: Candle) -> list[Any]:
    prices = [f"{price:.2f}" for price in (each.open, each.high, each.low, each.close)]
    volume = f"{each.units * COIN_PART:.8f}"
    return [each.ts_us // 1_000_000, *prices, prices[0], volume, each.count]


def _asset(name: str) -> dict[str, Any]:
    return {
        "aclass": "currency", "altname": {"XXBT": "XBT", "ZUSD": "USD"}[name], "decimals": 10,
        "display_decimals": 5, "status": "enabled",
    }  # fmt: skip


_PAIR = {
    "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT",
    "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "pair_decimals": 1,
    "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
    "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "ordermin": "0.0001", "costmin": "0.5",
    "tick_size": "0.1", "status": "online",
}  # fmt: skip
