"""A stand-in for OKX: newest first, exclusive bounds, contracts, a flag on the running candle."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lake.domain.timeframe import TimeFrame
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.market import INVERSE, SPOT, Market
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import Trade

_FRAMES = {
    "1m": "1m",
    "15m": "15m",
    "1H": "1h",
    "6Hutc": "6h",
    "1Dutc": "1d",
    "1Wutc": "1w",
    "1Mutc": "1mo",
}
_RECENT = 1_440
_CANDLES = Shape((0,), (1, 2, 3, 4))
_BOOK = Shape(("ts",), (0, 1, 0, 1), (1,), sides=("bids", "asks"))
_QUARTER_MS = 90 * 86_400_000
FIRST_ID = 497_859_000


class Okx(StandIn):
    """Its v5 API. Trades are numbered with jumps; ``lags`` candles are called open for longer."""

    venue = "OKX"
    wires = (
        Wire("market/candles", ("data",), _CANDLES),
        Wire("market/history-candles", ("data",), _CANDLES),
        Wire("history-trades", ("data",), Shape(("ts",), ("px", "sz", "px", "sz"), ("sz", "side"))),
        # A predicted rate that is nonsense is not told from a true one, nor a rate's other sign.
        Wire(
            "funding-rate-history",
            ("data",),
            Shape(("fundingTime",), ("realizedRate",) * 4, ("realizedRate",)),
            immune=("negative",),
        ),
        Wire("market/books", ("data", 0), _BOOK),
        Wire("market/books-full", ("data", 0), _BOOK),
    )
    failures = (
        Refusal(200, {"code": "50026", "msg": "System error. Try again later.", "data": []}),
        Refusal(503, {"code": "50001", "msg": "Service temporarily unavailable.", "data": []}),
        Refusal(200, {"code": "50004", "msg": "API endpoint request timeout.", "data": []}),
    )

    def __init__(self, now: datetime, *markets: Market, lags: int = 0) -> None:
        super().__init__(now)
        self._markets = {each.native_id: each for each in markets}
        self._lags = lags

    def answer(self, asked: Asked) -> Any:
        name = asked.path.removeprefix("/api/v5/")
        if name == "public/time":
            return _data([{"ts": str(asked.now_us // 1_000)}])
        if name == "public/instruments":
            return _data([_info(each) for each in self._listed(asked.query["instType"])])
        market = self._markets.get(asked.query.get("instId", ""))
        if market is None:
            return _refused("51001", "Instrument ID doesn't exist.")
        if name in ("market/candles", "market/history-candles"):
            return self._candles(asked, market, recent=name == "market/candles")
        if name == "market/history-trades":
            return self._trades(asked, market)
        if name == "public/funding-rate-history":
            return self._funding(asked, market)
        assert name in ("market/books", "market/books-full")
        return self._book(asked, market, full=name.endswith("full"))

    def _candles(self, asked: Asked, market: Market, *, recent: bool) -> Any:
        limit = asked.number("limit", 100) or 0
        if limit > 300 or asked.query["bar"] not in _FRAMES:
            return _refused("51000", "Parameter limit error.")
        known = market.candles[TimeFrame(_FRAMES[asked.query["bar"]])]
        formed = [each for each in known if each.ts_us <= asked.now_us]
        # The endpoint of recent candles holds so many; the other one has closed ones only.
        told = formed[-_RECENT:] if recent else formed[:-1]
        newer, older = asked.number("before", -1) or 0, asked.number("after", 10**14) or 0
        rows = [each for each in told if newer < each.ts_ms < older]
        spot, running = market.instrument.kind is SPOT, formed[-1 - self._lags :]
        found = []
        for each in rows[::-1][:limit]:
            base, quote = market.base(each.open, each.units), market.quote(each.open, each.units)
            amounts = (base, quote, quote) if spot else (each.units, base, quote)
            prices = (each.open, each.high, each.low, each.close)
            closed = "0" if each in running else "1"
            found.append(
                [str(each.ts_ms), *(f"{number}" for number in (*prices, *amounts)), closed]
            )
        return _data(found)

    def _trades(self, asked: Asked, market: Market) -> Any:
        limit, kind = asked.number("limit", 100) or 0, asked.query.get("type", "1")
        if limit > 100 or (kind == "2" and "before" in asked.query):
            return _refused("51000", "Parameter error.")
        after, oldest = asked.number("after", 10**17) or 0, asked.now_us // 1_000 - _QUARTER_MS
        rows = [
            each
            for each in market.trades
            if (each.ts_ms if kind == "2" else number(each)) < after
            and oldest <= each.ts_ms <= asked.now_us // 1_000
        ]
        return _data(
            [
                {
                    "instId": market.native_id, "side": "buy" if each.bought else "sell",
                    "sz": f"{_size(market, each.units)}", "px": f"{each.price}", "source": "0",
                    "tradeId": str(number(each)), "ts": str(each.ts_ms),
                }
                for each in rows[::-1][:limit]
            ]
        )  # fmt: skip

    def _funding(self, asked: Asked, market: Market) -> Any:
        limit = min(400, asked.number("limit", 400) or 400)
        older, oldest = asked.number("after", 10**14) or 0, asked.now_us // 1_000 - _QUARTER_MS
        rows = [
            {
                "instType": "SWAP", "instId": market.native_id, "formulaType": "noRate",
                "fundingRate": f"{predicted(each.rate):f}", "realizedRate": f"{each.rate:f}",
                "fundingTime": str(each.ts_ms), "method": "current_period",
            }
            for each in market.settlements
            if oldest <= each.ts_ms < older and each.ts_ms * 1_000 <= asked.now_us
        ]  # fmt: skip
        return _data(rows[::-1][:limit])

    def _book(self, asked: Asked, market: Market, *, full: bool) -> Any:
        count, book = asked.number("sz", 1) or 1, market.book
        assert book is not None
        if count > (5_000 if full else 400):
            return _refused("51000", "Parameter sz error.")
        sides: dict[str, Any] = {
            name: [
                [f"{price}", f"{_size(market, units)}", *(() if full else ("0",)), "3"]
                for price, units in levels[:count]
            ]
            for name, levels in (("bids", book.bids), ("asks", book.asks))
        }
        said: dict[str, Any] = {"ts": str(book.ts_ms)} | ({} if full else {"seqId": book.sequence})
        return _data([said | sides])

    def _listed(self, kind: str) -> list[Market]:
        return [
            each
            for each in self._markets.values()
            if kind == ("SPOT" if each.instrument.kind is SPOT else "SWAP")
        ]


def number(trade: Trade) -> int:
    """The id of a trade: ascending, with a jump now and then."""
    return FIRST_ID + trade.number + trade.number // 37 * 5


def predicted(rate: Any) -> Any:
    """What was predicted of a settlement's rate."""
    return rate * 2 / 1


def _size(market: Market, units: int) -> Any:
    return market.base(market.size, units) if market.instrument.kind is SPOT else units


def _data(found: list[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": found}


def _refused(code: str, why: str) -> Refusal:
    return Refusal(200, {"code": code, "msg": why, "data": []})


def _info(each: Market) -> dict[str, Any]:
    own = each.instrument
    info = {
        "instId": each.native_id, "instType": "SPOT", "baseCcy": own.base, "quoteCcy": own.quote,
        "settleCcy": "", "uly": "", "ctVal": "", "state": "live", "tickSz": "0.01",
        "lotSz": "0.0001", "minSz": "0.0001", "lever": "1", "listTime": "1600000000000",
        "expTime": "", "ctType": "", "instFamily": "",
    }  # fmt: skip
    if own.kind is SPOT:
        return info
    swap = {
        "instType": "SWAP", "baseCcy": "", "quoteCcy": "", "settleCcy": own.settle,
        "uly": f"{own.base}-{own.quote}", "instFamily": f"{own.base}-{own.quote}",
        "ctVal": f"{each.size}", "ctMult": "1",
        "ctType": "inverse" if own.kind is INVERSE else "linear",
    }  # fmt: skip
    return info | swap
