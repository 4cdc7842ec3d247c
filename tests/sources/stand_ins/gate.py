"""A stand-in for Gate: seconds, signed sizes of contracts, candles that reach back so far."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lake.domain.timeframe import TimeFrame
from lake.simulator.spoil import Shape
from tests.sources.stand_ins.market import INVERSE, SPOT, Market
from tests.sources.stand_ins.server import Asked, Refusal, StandIn, Wire
from tests.sources.stand_ins.truth import Trade

_FRAMES = {"1m": "1m", "15m": "15m", "1h": "1h", "1d": "1d", "30d": "1mo"}
_MOST_BACK = 10_000
_MONTH_S = 30 * 86_400
_PRICES = ("o", "h", "l", "c")


class Gate(StandIn):
    """Its v4 API. ``by_seconds`` says how it compares a trade's time with the last second."""

    venue = "GATE"
    wires = (
        Wire("spot/candlesticks", (), Shape((0,), (2, 3, 4, 5))),
        Wire("usdt/candlesticks", (), Shape(("t",), _PRICES, ("c", "v"))),
        Wire(
            "spot/trades",
            (),
            Shape(("create_time_ms",), ("price", "amount", "price", "amount"), ("amount", "side")),
        ),
        # The sign of a size says who was the taker, so a size of another sign is as true.
        Wire("usdt/trades", (), Shape(("create_time_ms",), ("price",) * 4, ("size",))),
        Wire("btc/trades", (), Shape(("create_time_ms",), ("price",) * 4, ("size",))),
        Wire("funding_rate", (), Shape(("t",), ("r",) * 4, ("r",)), immune=("negative",)),
        Wire(
            "spot/order_book", (), Shape(("current",), (0, 1, 0, 1), (1,), sides=("bids", "asks"))
        ),
        Wire(
            "order_book",
            (),
            Shape(("current",), ("p", "s", "p", "s"), ("s",), sides=("bids", "asks")),
        ),
    )
    failures = (
        Refusal(500, {"label": "SERVER_ERROR", "message": "Internal server error"}),
        Refusal(503, {"label": "TOO_BUSY", "message": "Too busy"}),
    )

    def __init__(self, now: datetime, *markets: Market, by_seconds: bool = True) -> None:
        super().__init__(now)
        self._markets = {(_settle(each), each.native_id): each for each in markets}
        self._by_seconds = by_seconds

    def answer(self, asked: Asked) -> Any:
        name = asked.path.removeprefix("/api/v4/")
        if name == "spot/time":
            return {"server_time": asked.now_us // 1_000}
        if name in ("spot/currency_pairs", "spot/currencies", "margin/currency_pairs"):
            spot = [each for (settle, _), each in self._markets.items() if settle == "spot"]
            return [_pair(each) for each in spot] if name == "spot/currency_pairs" else []
        if name.endswith("/contracts"):
            perpetual, settle, _ = name.split("/")
            listed = [each for (of, _), each in self._markets.items() if of == settle]
            return [_contract(each) for each in listed] if perpetual == "futures" else []
        *area, kind = name.split("/")
        settle = "spot" if area == ["spot"] else area[-1]
        native = asked.query.get("currency_pair") or asked.query.get("contract")
        market = self._markets.get((settle, native or ""))
        if market is None:
            return _refused("INVALID_CURRENCY_PAIR", f"unknown {native}")
        if kind == "candlesticks":
            return self._candles(asked, market)
        if kind == "trades":
            return self._trades(asked, market)
        if kind == "funding_rate":
            return self._funding(asked, market)
        assert kind == "order_book"
        return self._book(asked, market)

    def _candles(self, asked: Asked, market: Market) -> Any:
        frame = TimeFrame(_FRAMES[asked.query["interval"]])
        first, last, now_s = asked.number("from"), asked.number("to"), asked.now_us // 10**6
        spot, step_s = market.instrument.kind is SPOT, frame.nominal_us // 10**6
        if "limit" in asked.query and (first is not None or last is not None):
            return _refused("INVALID_PARAM_VALUE", "limit conflicts with from and to")
        assert first is not None
        assert last is not None
        if (last - first) // step_s >= (1_000 if spot else 2_000):
            return _refused("INVALID_PARAM_VALUE", "Candlestick range too broad")
        if first < now_s - _MOST_BACK * step_s:
            return _refused(
                "INVALID_PARAM_VALUE",
                "Candlestick too long ago. Maximum 10000 points ago are allowed",
            )
        rows = [
            each
            for each in market.candles[frame]
            if first <= each.ts_us // 10**6 <= last and each.ts_us <= asked.now_us
        ]
        if spot:
            return [
                [
                    str(each.ts_us // 10**6), f"{market.quote(each.open, each.units)}",
                    f"{each.close}", f"{each.high}", f"{each.low}", f"{each.open}",
                    f"{market.base(each.open, each.units)}",
                    "true" if each.ts_us // 10**6 + step_s <= now_s else "false",
                ]
                for each in rows
            ]  # fmt: skip
        return [
            {
                "t": each.ts_us // 10**6, "o": f"{each.open}", "h": f"{each.high}",
                "l": f"{each.low}", "c": f"{each.close}", "v": each.units,
                "sum": f"{market.quote(each.open, each.units)}",
            }
            for each in rows
        ]  # fmt: skip

    def _trades(self, asked: Asked, market: Market) -> Any:
        limit, now_s = asked.number("limit", 100) or 0, asked.now_us // 10**6
        first, last = asked.number("from", 0) or 0, asked.number("to", now_s) or 0
        if not 1 <= limit <= 1_000:
            return _refused("INVALID_PARAM_VALUE", "limit")
        if first and first < now_s - _MONTH_S:
            return _refused(
                "INVALID_PARAM_VALUE",
                "for public trades older than 30 days, download from historical data instead",
            )
        rows = [
            each
            for each in market.trades
            if first * 1_000 <= each.ts_ms <= asked.now_us // 1_000
            and (each.ts_ms // 1_000 if self._by_seconds else each.ts_ms / 1_000) <= last
        ]
        skipped = asked.number("offset", 0) or 0
        if market.instrument.kind is SPOT:
            skipped = ((asked.number("page", 1) or 1) - 1) * limit
        return [_trade(market, each) for each in rows[::-1][skipped : skipped + limit]]

    def _funding(self, asked: Asked, market: Market) -> Any:
        first, last = asked.number("from", 0) or 0, asked.number("to", 10**11) or 0
        rows = [
            {"t": each.ts_ms // 1_000, "r": f"{each.rate:f}"}
            for each in market.settlements
            if first <= each.ts_ms // 1_000 <= last and each.ts_ms * 1_000 <= asked.now_us
        ]
        return rows[::-1][: min(1_000, asked.number("limit", 100) or 100)]

    def _book(self, asked: Asked, market: Market) -> Any:
        spot, limit, book = market.instrument.kind is SPOT, asked.number("limit", 10), market.book
        assert book is not None
        assert asked.query["with_id"] == "true"
        sides: dict[str, Any] = {
            name: [
                [f"{price}", f"{market.base(price, units)}"]
                if spot
                else {"p": f"{price}", "s": units}
                for price, units in levels[:limit]
            ]
            for name, levels in (("bids", book.bids), ("asks", book.asks))
        }
        told = book.ts_ms if spot else book.ts_ms / 1_000
        return {"id": book.sequence, "current": told, "update": told} | sides


def number(market: Market, trade: Trade) -> int:
    """The id of a trade: dense for contracts, shared by all pairs at the spot market."""
    return trade.number if market.instrument.kind is not SPOT else 7_835_390_042 + trade.number * 3


def microseconds(market: Market, trade: Trade) -> int:
    """When a trade was, as finely as the venue tells it."""
    return trade.ts_ms * 1_000 + (trade.number % 999 if market.instrument.kind is SPOT else 0)


def _trade(market: Market, each: Trade) -> dict[str, Any]:
    told = {"id": number(market, each), "price": f"{each.price}"}
    if market.instrument.kind is not SPOT:
        signed, at = each.units if each.bought else -each.units, each.ts_ms / 1_000
        return told | {
            "size": signed, "create_time": at, "create_time_ms": at, "contract": market.native_id,
        }  # fmt: skip
    return told | {
        "id": str(told["id"]), "create_time": str(each.ts_ms // 1_000),
        "create_time_ms": f"{each.ts_ms}.{microseconds(market, each) % 1_000:03d}000",
        "currency_pair": market.native_id, "side": "buy" if each.bought else "sell",
        "amount": f"{market.base(each.price, each.units)}", "sequence_id": str(each.number),
    }  # fmt: skip


def _settle(market: Market) -> str:
    return "spot" if market.instrument.settle is None else market.instrument.settle.lower()


def _refused(label: str, why: str) -> Refusal:
    return Refusal(400, {"label": label, "message": why})


def _pair(market: Market) -> dict[str, Any]:
    return {
        "id": market.native_id, "base": market.instrument.base, "quote": market.instrument.quote,
        "fee": "0.2", "min_base_amount": "0.0001", "min_quote_amount": "1",
        "amount_precision": 4, "precision": 2, "trade_status": "tradable", "sell_start": 0,
        "buy_start": 0,
    }  # fmt: skip


def _contract(market: Market) -> dict[str, Any]:
    inverse = market.instrument.kind is INVERSE
    return {
        "name": market.native_id, "type": "inverse" if inverse else "direct",
        # The venue's zero stands for contracts of 1 USD.
        "quanto_multiplier": "0" if inverse else f"{market.size}",
        "order_price_round": "0.01", "mark_price_round": "0.01", "order_size_min": 1,
        "order_size_max": 1_000_000, "leverage_min": "1", "leverage_max": "100",
        "order_price_deviate": "0.5", "maker_fee_rate": "-0.00025", "taker_fee_rate": "0.00075",
        "mark_price": "60000", "in_delisting": False, "status": "trading",
        "create_time": 1_600_000_000,
    }  # fmt: skip
