"""A stand-in for dYdX's indexer: ISO times, newest first, histories from a time on back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lake.domain.times import from_us, to_us
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Settlement, Trade

MARKET = "BTC-USD"
_MOST_ROWS = 1_000


class Dydx(StandIn):
    """One perpetual. Trades of a block share a time; a settlement has that of its block.

    The end of a range of candles is exclusive, and parameters that it does not know are ignored.
    """

    venue = "DYDX"
    wires = (
        Wire(
            f"candles/perpetualMarkets/{MARKET}",
            ("candles",),
            Shape((), ("open", "high", "low", "close"), ("close", "baseTokenVolume")),
        ),
        Wire(
            f"trades/perpetualMarket/{MARKET}",
            ("trades",),
            Shape((), ("price", "size", "price", "size"), ("size", "createdAt")),
        ),
        Wire(
            f"historicalFunding/{MARKET}",
            ("historicalFunding",),
            Shape((), ("rate",) * 4, ("rate",)),
            immune=("negative",),
        ),
        Wire(
            f"orderbooks/perpetualMarket/{MARKET}",
            (),
            Shape((), ("price", "size", "price", "size"), ("size",), sides=("bids", "asks")),
        ),
    )
    failures = (Refusal(429, {"errors": [{"msg": "Too many requests"}]}),)

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
        kind = asked.path.strip("/").split("/")[1]
        if kind == "time":
            return {"iso": _iso(asked.now_us // 1_000), "epoch": asked.now_us / 1e6}
        if kind == "perpetualMarkets":
            return {"markets": {MARKET: _MARKET}}
        found = {
            "candles": self._windows, "trades": self._history, "historicalFunding": self._funding,
            "orderbooks": self._levels,
        }  # fmt: skip
        if (asked.number("limit", 1) or 0) > _MOST_ROWS:
            return Refusal(400, {"errors": [{"msg": "limit must be at most 1000"}]})
        return found[kind](asked)

    def _windows(self, asked: Asked) -> Any:
        first = _us(asked.query["fromISO"]) if "fromISO" in asked.query else 0
        last = _us(asked.query["toISO"]) if "toISO" in asked.query else asked.now_us
        rows = [
            each
            for each in self._candles[asked.query["resolution"]]
            if first <= each.ts_us < last and each.ts_us <= asked.now_us
        ]
        return {
            "candles": [
                {
                    "startedAt": _iso(each.ts_ms), "ticker": MARKET, "low": f"{each.low}",
                    "resolution": asked.query["resolution"], "high": f"{each.high}",
                    "open": f"{each.open}", "close": f"{each.close}",
                    "baseTokenVolume": f"{each.units * COIN_PART}",
                    "usdVolume": f"{each.units * COIN_PART * each.open}", "trades": each.count,
                    "startingOpenInterest": "54.0594",
                }
                for each in rows[::-1][: asked.number("limit", _MOST_ROWS)]
            ]
        }  # fmt: skip

    def _history(self, asked: Asked) -> Any:
        last = asked.query.get("createdBeforeOrAt")
        end = asked.now_us if last is None else min(_us(last), asked.now_us)
        rows = [each for each in self._trades if each.ts_ms * 1_000 <= end]
        return {
            "trades": [
                {
                    "id": ref(each), "side": "BUY" if each.bought else "SELL",
                    "size": f"{each.units * COIN_PART}", "price": f"{each.price}",
                    "type": "LIMIT", "createdAt": _iso(each.ts_ms), "createdAtHeight": "1",
                }
                for each in rows[::-1][: asked.number("limit", _MOST_ROWS)]
            ]
        }  # fmt: skip

    def _funding(self, asked: Asked) -> Any:
        last = asked.query.get("effectiveBeforeOrAt")
        end = asked.now_us if last is None else min(_us(last), asked.now_us)
        rows = [each for each in self._settlements if late_ms(each) * 1_000 <= end]
        return {
            "historicalFunding": [
                {
                    "ticker": MARKET, "rate": f"{each.rate:f}", "price": "116302.62419",
                    "effectiveAt": _iso(late_ms(each)), "effectiveAtHeight": "1",
                }
                for each in rows[::-1][: asked.number("limit", _MOST_ROWS)]
            ]
        }  # fmt: skip

    def _levels(self, asked: Asked) -> Any:
        assert self._book is not None
        return {
            name: [{"price": f"{price}", "size": f"{units * COIN_PART}"} for price, units in levels]
            for name, levels in (("bids", self._book.bids), ("asks", self._book.asks))
        }


def ref(each: Trade) -> str:
    """What a trade is called: hexadecimal text, ascending."""
    return f"{each.number:08x}0000000200000002"


def late_ms(each: Settlement) -> int:
    """The time of the block that settled."""
    return each.ts_ms + each.ts_ms // 3_600_000 % 1_200


def _iso(ms: int) -> str:
    return f"{from_us(ms * 1_000).isoformat(timespec='milliseconds')}Z"


def _us(text: str) -> int:
    return to_us(datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None))


_MARKET = {
    "clobPairId": "0", "ticker": MARKET, "status": "ACTIVE", "oraclePrice": "60000",
    "tickSize": "1", "stepSize": "0.0001", "marketType": "CROSS",
}  # fmt: skip
