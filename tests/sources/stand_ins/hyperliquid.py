"""A stand-in for Hyperliquid: one path, everything in the JSON that is sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lake.simulator.faults import Answer
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Settlement

# ccxt calls it KPEPE: the venue's own spelling is what has to be sent.
COIN, SPOT = "kPEPE", "PURR/USDC"
_MOST_CANDLES, _MOST_SETTLEMENTS = 5_000, 500


class Hyperliquid(StandIn):
    """One perpetual. Only the newest candles exist; settlements come from a start on.

    Settlements lie some milliseconds after the hour.
    """

    venue = "HYPERLIQUID"
    failures = (Refusal(429, None), Refusal(500, None))

    def __init__(
        self,
        now: datetime,
        *,
        candles: Mapping[str, list[Candle]] | None = None,
        settlements: list[Settlement] | None = None,
        book: Book | None = None,
        kept: int = _MOST_CANDLES,
    ) -> None:
        """*kept* candles are the newest there are."""
        super().__init__(now)
        self._candles = candles or {}
        self._settlements = settlements or []
        self._book = book
        self._kept = kept
        self._kind = ""

    def reply(self, asked: Asked, query: str) -> Answer:
        self._kind = asked.sent["type"]
        return super().reply(asked, query)

    def _wire(self, path: str) -> Wire | None:
        """All answers have one path: what was sent tells them apart."""
        return _WIRES.get(self._kind)

    def answer(self, asked: Asked) -> Any:
        kind = asked.sent["type"]
        if kind == "exchangeStatus":
            return {"specialStatuses": None, "time": asked.now_us // 1_000}
        if kind == "spotMeta":
            return _SPOT_META
        if kind == "perpDexs":
            return [None]
        if kind == "spotMetaAndAssetCtxs":
            return [_SPOT_META, [{"midPx": "0.2", "coin": SPOT}]]
        if kind == "metaAndAssetCtxs":
            meta = {"universe": [{"name": "BTC", "szDecimals": 5}, {"name": COIN, "szDecimals": 0}]}
            return [meta, [{"markPx": "60000"}, {"markPx": "0.01"}]]
        coin = asked.sent.get("coin", asked.sent.get("req", {}).get("coin"))
        if coin not in (COIN, SPOT):
            return Refusal(500, None)
        found = {
            "candleSnapshot": self._snapshot, "fundingHistory": self._funding,
            "l2Book": self._levels,
        }  # fmt: skip
        return found[kind](asked)

    def _snapshot(self, asked: Asked) -> Any:
        wanted = asked.sent["req"]
        begun = [each for each in self._candles[wanted["interval"]] if each.ts_us <= asked.now_us]
        step_ms = begun[1].ts_ms - begun[0].ts_ms
        return [
            {
                "t": each.ts_ms, "T": each.ts_ms + step_ms - 1, "s": wanted["coin"],
                "i": wanted["interval"], "o": f"{each.open}", "c": f"{each.close}",
                "h": f"{each.high}", "l": f"{each.low}", "v": f"{each.units * COIN_PART}",
                "n": each.count,
            }
            for each in begun[-self._kept :]
            if wanted["startTime"] - step_ms < each.ts_ms <= wanted["endTime"]
        ]  # fmt: skip

    def _funding(self, asked: Asked) -> Any:
        first, last = asked.sent["startTime"], asked.sent.get("endTime", asked.now_us // 1_000)
        rows = [
            {
                "coin": COIN, "fundingRate": f"{each.rate:f}", "premium": "0.0001",
                "time": late_ms(each),
            }
            for each in self._settlements
            if first <= late_ms(each) <= min(last, asked.now_us // 1_000)
        ]  # fmt: skip
        return rows[:_MOST_SETTLEMENTS]

    def _levels(self, asked: Asked) -> Any:
        assert self._book is not None
        sides = [
            [{"px": f"{price}", "sz": f"{units * COIN_PART}", "n": 3} for price, units in side[:20]]
            for side in (self._book.bids, self._book.asks)
        ]
        return {"coin": asked.sent["coin"], "time": self._book.ts_ms, "levels": sides}


def late_ms(each: Settlement) -> int:
    """When the venue says that it settled."""
    return each.ts_ms + each.ts_ms // 3_600_000 % 90


_WIRES = {
    "candleSnapshot": Wire("info", (), Shape(("t", "T"), ("o", "h", "l", "c"), ("c", "v"))),
    "fundingHistory": Wire("info", (), Shape(("time",), ("fundingRate",) * 4, ("fundingRate",))),
}
_SPOT_META = {
    "tokens": [
        {"name": "USDC", "szDecimals": 8, "index": 0, "tokenId": "0x6d"},
        {"name": "PURR", "szDecimals": 0, "index": 1, "tokenId": "0xc1"},
    ],
    "universe": [{"name": SPOT, "tokens": [1, 0], "index": 0}],
}
