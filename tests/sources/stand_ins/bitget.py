"""A stand-in for Bitget: candles counted back from an end, ids of 19 digits, page numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lake.domain.timeframe import TimeFrame
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.market import INVERSE, SPOT, Market
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import Trade

_SPOT_FRAMES = {"1min": "1m", "15min": "15m", "1h": "1h", "1Dutc": "1d", "1Mutc": "1mo"}
_FRAMES = {"1m": "1m", "15m": "15m", "1H": "1h", "1Dutc": "1d", "1Mutc": "1mo"}
_RECENT_DAYS = {"1m": 30, "15m": 52, "1h": 83, "1d": 1_440, "1mo": 1_440}
_DAY_MS = 86_400_000
_CANDLES = Shape((0,), (1, 2, 3, 4))
_RATE = "fundingRate"


class Bitget(StandIn):
    """Its v2 API. ``end_included`` is what its docs do not say of an end."""

    venue = "BITGET"
    wires = (
        Wire("market/candles", ("data",), _CANDLES),
        Wire("market/history-candles", ("data",), _CANDLES),
        Wire(
            "fills-history",
            ("data",),
            Shape(("ts",), ("price", "size", "price", "size"), ("size", "side")),
        ),
        Wire("history-fund-rate", ("data",), Shape(("fundingTime",), (_RATE,) * 4, (_RATE,))),
        Wire("orderbook", ("data",), Shape(("ts",), (0, 1, 0, 1), (1,), sides=("bids", "asks"))),
        Wire("merge-depth", ("data",), Shape(("ts",), (0, 1, 0, 1), (1,), sides=("bids", "asks"))),
    )
    failures = (
        Refusal(200, {"code": "40200", "msg": "Server upgrade", "data": None}),
        Refusal(400, {"code": "40604", "msg": "server busy", "data": None}),
    )

    def __init__(self, now: datetime, *markets: Market, end_included: bool = False) -> None:
        super().__init__(now)
        self._markets = {_key(each): each for each in markets}
        self._end_included = end_included

    def answer(self, asked: Asked) -> Any:
        name = asked.path.removeprefix("/api/v2/")
        if name == "public/time":
            return _data(asked, {"serverTime": str(asked.now_us // 1_000)})
        if name in ("spot/public/coins", "margin/currencies"):
            return _data(asked, [])
        if name in ("spot/public/symbols", "mix/market/contracts"):
            return _data(asked, self._listed(asked))
        product = asked.query.get("productType", "SPOT")
        assert (product == "SPOT") == name.startswith("spot/")
        market = self._markets.get((product, asked.query.get("symbol", "")))
        if market is None:
            return _refused("40034", "Parameter does not exist")
        if name.endswith("candles"):
            return self._candles(asked, market, old=name.endswith("history-candles"))
        if name.endswith("fills-history"):
            return self._trades(asked, market)
        if name == "mix/market/history-fund-rate":
            return self._funding(asked, market)
        assert name in ("spot/market/orderbook", "mix/market/merge-depth")
        return self._book(asked, market)

    def _until(self, asked: Asked, ms: int) -> bool:
        end = asked.number("endTime", 10**14) or 0
        return ms <= end if self._end_included else ms < end

    def _candles(self, asked: Asked, market: Market, *, old: bool) -> Any:
        spot, limit = market.instrument.kind is SPOT, asked.number("limit", 100) or 0
        frames, granularity = _SPOT_FRAMES if spot else _FRAMES, asked.query["granularity"]
        start, end = asked.number("startTime", 0) or 0, asked.number("endTime", 0) or 0
        if granularity not in frames or limit > (200 if old else 1_000):
            return _refused("40020", "Parameter limit error")
        if not spot and end - start > 90 * _DAY_MS:
            return _refused("40020", "The interval cannot be greater than 90 days")
        frame, now_ms = frames[granularity], asked.now_us // 1_000
        rows = [
            each
            for each in market.candles[TimeFrame(frame)]
            if self._until(asked, each.ts_ms)
            and each.ts_us <= asked.now_us
            # The older endpoint of spot takes no start, the newer one forgets.
            and (start <= each.ts_ms or (old and spot))
            and (old or each.ts_ms >= now_ms - _RECENT_DAYS[frame] * _DAY_MS)
        ]
        found = []
        for each in rows[-limit:]:
            base, quote = market.base(each.open, each.units), market.quote(each.open, each.units)
            numbers = (each.open, each.high, each.low, each.close, base, quote)
            found.append([str(each.ts_ms), *(f"{number}" for number in numbers)])
            if spot:
                found[-1].append(f"{quote}")
        return _data(asked, found)

    def _trades(self, asked: Asked, market: Market) -> Any:
        spot, limit = market.instrument.kind is SPOT, asked.number("limit", 500) or 0
        start, end = asked.number("startTime"), asked.number("endTime")
        if limit > 1_000 or (spot and start and end and end - start > 7 * _DAY_MS):
            return _refused("40020", "Parameter error")
        days = 30 if spot else 90
        oldest = asked.now_us // 1_000 - days * _DAY_MS
        below = asked.number("idLessThan", 10**19) or 0
        rows = [
            each
            for each in market.trades
            if max(start or 0, oldest) <= each.ts_ms <= asked.now_us // 1_000
            and self._until(asked, each.ts_ms)
            and number(each) < below
        ]
        return _data(
            asked,
            [
                {
                    "symbol": market.native_id, "tradeId": str(number(each)),
                    "side": "Buy" if each.bought else "Sell", "price": f"{each.price}",
                    "size": f"{market.base(each.price, each.units)}",
                    # Whole seconds, though it finds them by milliseconds.
                    "ts": str(each.ts_ms // 1_000 * 1_000),
                }
                for each in rows[::-1][:limit]
            ],
        )  # fmt: skip

    def _funding(self, asked: Asked, market: Market) -> Any:
        size, page = asked.number("pageSize", 20) or 20, asked.number("pageNo", 1) or 1
        if size > 100:
            return _refused("40020", "Parameter pageSize error")
        rows = [
            {
                "symbol": market.native_id,
                _RATE: f"{each.rate:f}",
                "fundingTime": str(each.ts_ms),
            }
            for each in market.settlements
            if each.ts_ms * 1_000 <= asked.now_us
        ]
        return _data(asked, rows[::-1][(page - 1) * size : page * size])

    def _book(self, asked: Asked, market: Market) -> Any:
        spot, limit, book = market.instrument.kind is SPOT, asked.query.get("limit"), market.book
        assert book is not None
        if limit is None:
            limit = "150" if spot else "100"
        if not spot and limit not in ("1", "5", "15", "50", "100"):
            return _refused("40020", "Parameter limit error")
        sides: dict[str, Any] = {
            name: [
                [f"{price}", f"{market.base(price, units)}"]
                if spot
                else [float(price), float(market.base(price, units))]
                for price, units in levels[: int(limit)]
            ]
            for name, levels in (("bids", book.bids), ("asks", book.asks))
        }
        return _data(asked, {"ts": str(book.ts_ms)} | sides)

    def _listed(self, asked: Asked) -> list[Any]:
        wanted = asked.query.get("productType", "SPOT")
        return [_info(each) for (product, _), each in self._markets.items() if product == wanted]


def number(trade: Trade) -> int:
    """The id of a trade: 19 digits, ascending, far apart, with a last digit that counts."""
    return 1_151_762_928_807_395_328 + trade.number * 8_388_609 + trade.number % 2


def _key(market: Market) -> tuple[str, str]:
    own = market.instrument
    products = {"USDT": "USDT-FUTURES", "USDC": "USDC-FUTURES", None: "SPOT"}
    return products.get(own.settle, "COIN-FUTURES"), market.native_id


def _data(asked: Asked, found: Any) -> dict[str, Any]:
    said = {"code": "00000", "msg": "success", "requestTime": asked.now_us // 1_000}
    return said | {"data": found}


def _refused(code: str, why: str) -> Refusal:
    return Refusal(400, {"code": code, "msg": why, "requestTime": 1, "data": None})


def _info(market: Market) -> dict[str, Any]:
    own = market.instrument
    if own.kind is SPOT:
        return {
            "symbol": market.native_id, "baseCoin": own.base, "quoteCoin": own.quote,
            "minTradeAmount": "0", "maxTradeAmount": "10000000000", "takerFeeRate": "0.002",
            "makerFeeRate": "0.002", "pricePrecision": "2", "quantityPrecision": "4",
            "quotePrecision": "8", "status": "online", "minTradeUSDT": "1",
        }  # fmt: skip
    coins = [own.settle] if own.kind is not INVERSE else ["BTC", "ETH", "USDC"]
    return {
        "symbol": market.native_id, "baseCoin": own.base, "quoteCoin": own.quote,
        "supportMarginCoins": coins, "minTradeNum": "0.0001", "priceEndStep": "1",
        "volumePlace": "4", "pricePlace": "2", "sizeMultiplier": "0.0001",
        "symbolType": "perpetual", "symbolStatus": "normal", "offTime": "-1",
        "limitOpenTime": "-1", "deliveryTime": "", "deliveryStartTime": "", "fundInterval": "8",
        "minLever": "1", "maxLever": "125", "makerFeeRate": "0.0002", "takerFeeRate": "0.0006",
        "minTradeUSDT": "5", "launchTime": "",
    }  # fmt: skip
