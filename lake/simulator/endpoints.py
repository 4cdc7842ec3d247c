"""Trades, books and funding as the box answers them; candles are the exchange's own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from lake.simulator.book import Listing, View
from lake.simulator.faults import Answer
from lake.simulator.funding_log import USUAL_HOURS, FundingLog
from lake.simulator.requests import AggTradesRequest, FundingRequest, Query, depth_of, limit_of
from lake.simulator.settlements import is_perpetual
from lake.simulator.shelf import Shelf
from lake.simulator.wire import Api, Refusal, mandatory

_END_MS = 1 << 62
_INTEREST = "0.00010000"
_CAP = "0.00750000"
_EIGHT = Decimal("0.00000001")


class Endpoints:
    """Answers requests for trades, books and funding from a shelf.

    What the lake does not hold is refused as an unknown symbol: an empty list would say that
    nothing ever happened.

    Args:
        shelf: What there is.
        view: Gives what can be seen of it now.
        served: Counts rows by kind.
    """

    def __init__(self, shelf: Shelf, view: Callable[[], View], served: dict[str, int]) -> None:
        self._shelf = shelf
        self._view = view
        self._served = served
        self.answers: dict[str, Callable[[Api, Query], Answer]] = {
            "aggTrades": self._agg_trades,
            "trades": self._trades,
            "depth": self._depth,
            "fundingRate": self._funding_rate,
            "fundingInfo": self._funding_info,
            "premiumIndex": self._premium_index,
        }

    def _agg_trades(self, api: Api, query: Query) -> Answer:
        asked = AggTradesRequest.parse(query, api)
        log = self._listing(api, asked.symbol).trades
        if log is None or not log.have_ids:
            raise _unknown()
        view = self._view()
        now_ms = view.now_ms
        if asked.from_id is not None:
            rows, count = log.from_id(asked.from_id, asked.limit, now_ms=now_ms)
        else:
            start_ms = 0 if asked.start_ms is None else asked.start_ms
            end_ms = _END_MS if asked.end_ms is None else asked.end_ms
            # With both times Binance has given either end of a window that holds more rows
            # than were asked for (binance-spot-api-docs, issue 10).
            both = asked.start_ms is not None and asked.end_ms is not None
            forward = asked.start_ms is not None and (view.keeps_oldest or not both)
            find = log.oldest if forward else log.newest
            rows, count = find(start_ms, end_ms, asked.limit, now_ms=now_ms)
        return self._list(rows, count, "trades")

    def _trades(self, api: Api, query: Query) -> Answer:
        log = self._listing(api, mandatory(query, "symbol")).trades
        if log is None or not log.have_ids:
            raise _unknown()
        rows = log.recent_fills(limit_of(query), now_ms=self._view().now_ms)
        self._count("trades", len(rows))
        return _json(rows)

    def _depth(self, api: Api, query: Query) -> Answer:
        listing = self._listing(api, mandatory(query, "symbol"))
        levels = depth_of(query, api)
        if listing.snapshots is None:
            raise _unknown()
        now_ms = self._view().now_ms
        found = listing.snapshots.at(now_ms, levels)
        self._count("books", 1)
        body: dict[str, Any] = {"lastUpdateId": found.sequence if found else 0}
        if api.name != "spot":
            body |= {"E": now_ms, "T": found.at_ms if found else now_ms}
        if api.name == "coinm":
            instrument = listing.instrument
            body |= {"symbol": instrument.native_id, "pair": instrument.base + instrument.quote}
        body |= {"bids": found.bids if found else [], "asks": found.asks if found else []}
        return _json(body)

    def _funding_rate(self, api: Api, query: Query) -> Answer:
        asked = FundingRequest.parse(query, api)
        now_ms = self._view().now_ms
        if asked.symbol is not None:
            listing = self._listing(api, asked.symbol)
            if listing.funding is None:
                if is_perpetual(listing.instrument):
                    raise _unknown()
                return _json([])
            page = listing.funding.page(asked.start_ms, asked.end_ms, asked.limit, now_ms=now_ms)
            return self._list(*page, "funding")
        rows: list[dict[str, Any]] = []
        for log in self._logs(api):
            text, _ = log.page(asked.start_ms, asked.end_ms, asked.limit, now_ms=now_ms)
            rows += msgspec.json.decode(b"[" + text[:-1] + b"]") if text else []
        rows.sort(key=lambda row: (row["fundingTime"], row["symbol"]))
        first = asked.start_ms is not None
        rows = rows[: asked.limit] if first else rows[-asked.limit :]
        self._count("funding", len(rows))
        return _json(rows)

    def _funding_info(self, api: Api, query: Query) -> Answer:
        """Only symbols whose interval is, or was, another than the usual one."""
        now_ms = self._view().now_ms
        rows = []
        for log in self._logs(api):
            outlook = log.outlook(now_ms)
            if outlook.ever_unusual or outlook.hours != USUAL_HOURS:
                rows.append(
                    {
                        "symbol": log.symbol,
                        "adjustedFundingRateCap": _CAP,
                        "adjustedFundingRateFloor": f"-{_CAP}",
                        "fundingIntervalHours": outlook.hours,
                        "disclaimer": False,
                    }
                )
        return _json(rows)

    def _premium_index(self, api: Api, query: Query) -> Answer:
        if "symbol" in query:
            row = self._premium(api, self._listing(api, query["symbol"]))
            if row is None:
                raise _unknown()
            return _json([row] if api.name == "coinm" else row)
        pair = query.get("pair")
        rows = [
            self._premium(api, listing)
            for _, listing in sorted(self._shelf.listings[api.name].items())
            if pair in (None, listing.instrument.base + listing.instrument.quote)
        ]
        return _json([row for row in rows if row is not None])

    def _premium(self, api: Api, listing: Listing) -> dict[str, Any] | None:
        view, instrument = self._view(), listing.instrument
        price = listing.price_at(view)
        if price is None:
            return None
        if listing.funding is None:
            if is_perpetual(instrument):
                return None
            rate, interest, next_ms, premium = "", "", 0, Decimal(0)
        else:
            outlook = listing.funding.outlook(view.now_ms)
            rate, interest, next_ms = f"{outlook.rate:.8f}", _INTEREST, outlook.next_ms
            premium = Decimal(rate)
        mark = Decimal(price).quantize(_EIGHT)
        # A perpetual that pays stands above its index by about what it pays.
        index = (mark / (1 + premium)).quantize(_EIGHT)
        names = {"symbol": instrument.native_id}
        if api.name == "coinm":
            names["pair"] = instrument.base + instrument.quote
        return names | {
            "markPrice": format(mark, "f"),
            "indexPrice": format(index, "f"),
            "estimatedSettlePrice": format(index, "f"),
            "lastFundingRate": rate,
            "interestRate": interest,
            "nextFundingTime": next_ms,
            "time": view.now_ms,
        }

    def _logs(self, api: Api) -> list[FundingLog]:
        listed = sorted(self._shelf.listings[api.name].items())
        return [each.funding for _, each in listed if each.funding is not None]

    def _listing(self, api: Api, symbol: str) -> Listing:
        listing = self._shelf.listings[api.name].get(symbol)
        if listing is None:
            raise _unknown()
        return listing

    def _list(self, rows: bytes, count: int, kind: str) -> Answer:
        self._count(kind, count)
        return Answer(200, b"[" + rows[:-1] + b"]")

    def _count(self, kind: str, rows: int) -> None:
        self._served[kind] = self._served.get(kind, 0) + rows


def _unknown() -> Refusal:
    return Refusal(-1121, "Invalid symbol.")


def _json(body: Any) -> Answer:
    return Answer(200, msgspec.json.encode(body))
