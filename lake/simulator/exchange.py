"""The exchange in the box without its socket: requests in, answers out.

Joins the shelf (what is there), the clock (what can be seen of it), the weights and the
faults.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, iso
from lake.simulator.archive_tree import ArchiveTree
from lake.simulator.book import Listing, View
from lake.simulator.clock import Clock
from lake.simulator.endpoints import Endpoints
from lake.simulator.faults import Answer, FaultPlan
from lake.simulator.limits import Outcome, WeightLimit
from lake.simulator.requests import FUNDING_REQUESTS, FUNDING_WINDOW_MS, Query, weight_of
from lake.simulator.shelf import Shelf
from lake.simulator.wire import (
    APIS,
    COINM_WINDOW,
    Api,
    KlinesRequest,
    Refusal,
    ban_message,
    error,
    exchange_info,
    limit_message,
    symbol_info,
)

# Limits that are not an API's weight, and what they count.
_FUNDING = "usdm_funding"
_FUNDING_NAMES = ("fundingRate", "fundingInfo")
_FUTURES_ONLY = (*_FUNDING_NAMES, "premiumIndex")
# Where the client's key lies among the parameters, under a name that no client can send.
_KEY = "X-MBX-APIKEY header"
# The newest requests are remembered, so that a test can say what was asked.
REMEMBERED_REQUESTS = 20_000
_NOT_FOUND = Answer(404, b"<html><body><h2>404 Not found</h2></body></html>", "text/html")
_DOWN = Answer(503, b"<html><body><h2>503 Service Unavailable</h2></body></html>", "text/html")


@dataclass(frozen=True, slots=True)
class Served:
    """One request as the box saw it."""

    at_ms: int
    path: str
    query: str
    status: int


@dataclass(slots=True)
class Behaviour:
    """How the box differs from a perfect venue, beside random faults.

    Attributes:
        lag_s: Candles are shown as they were so long ago; the venue's clock is right.
        corrected_after_s: For so long after its close a candle still changes.
        outages: While the clock is in one of these, every answer is 503.
        keeps_oldest: aggTrades with both times gives the oldest rows of a window that holds
            more than were asked for; otherwise the newest.
    """

    lag_s: float = 0.0
    corrected_after_s: float = 0.0
    outages: list[TimeRange] = field(default_factory=list)
    keeps_oldest: bool = False


class Exchange:
    """Answers Binance's public REST from a shelf."""

    def __init__(self, shelf: Shelf, *, clock: Clock, faults: FaultPlan, limits: bool) -> None:
        self.shelf = shelf
        self.clock = clock
        self.faults = faults
        self.behaviour = Behaviour()
        self.archive = ArchiveTree(shelf, clock)
        self.weights = {
            api.name: WeightLimit(api.weight_per_minute, enforced=limits) for api in APIS
        }
        self.weights[_FUNDING] = WeightLimit(
            FUNDING_REQUESTS, enforced=limits, window_ms=FUNDING_WINDOW_MS
        )
        self.requests: deque[Served] = deque(maxlen=REMEMBERED_REQUESTS)
        self.counts: dict[str, int] = {}
        self.candles = 0
        self.served: dict[str, int] = {}
        self._answers: dict[str, Callable[[Api, Query], Answer]] = {
            "ping": lambda api, query: Answer(200, b"{}"),
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "klines": self._klines,
            "historicalTrades": _refuse_key,
            **Endpoints(shelf, self._view, self.served).answers,
        }
        self._routes: dict[str, tuple[Api, str]] = {
            api.prefix + name: (api, name)
            for api in APIS
            for name in self._answers
            if api.name != "spot" or name not in _FUTURES_ONLY
        }

    def file(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a GET of a file of the archive, faults included."""
        return self._spoiled(self.archive.answer(path, headers), path, headers.get("Range", ""))

    def answer(self, path: str, query: Query, query_text: str, *, key: str = "") -> Answer:
        """The answer to a GET of *path*, faults and weights included; *key* is the client's."""
        now_ms = self.clock.now_us() // 1_000
        if key and path.endswith("historicalTrades"):
            query = query | {_KEY: key}
        return self._spoiled(self._honest(path, query, now_ms), path, query_text)

    def _spoiled(self, answer: Answer, path: str, query_text: str) -> Answer:
        now_ms = self.clock.now_us() // 1_000
        if not self.faults.is_idle:
            answer = self.faults.apply(answer, path=path, query=query_text, now_ms=now_ms)
        self.counts[path] = self.counts.get(path, 0) + 1
        self.requests.append(Served(now_ms, path, query_text, answer.status))
        return answer

    def state(self) -> dict[str, Any]:
        """What happened so far, for tests and measurements."""
        return {
            "now": iso(self.clock.now()),
            "rate": self.clock.rate,
            "requests": dict(self.counts),
            "candles": self.candles,
            "served": dict(self.served),
            "faults": dict(self.faults.given),
            "weights": {
                name: {
                    "limit": weight.limit,
                    "enforced": weight.enforced,
                    "refused": weight.refused,
                    "bans": weight.bans,
                    "used_by_minute": {
                        str(minute): used for minute, used in weight.used_by_minute.items()
                    },
                }
                for name, weight in self.weights.items()
            },
            "symbols": {api: sorted(listed) for api, listed in self.shelf.listings.items()},
        }

    def _honest(self, path: str, query: Query, now_ms: int) -> Answer:
        """The true answer, or the refusal that a true venue gives."""
        route = self._routes.get(path)
        if route is None:
            return _NOT_FOUND
        if self.behaviour.outages:
            now = from_us(now_ms * 1_000)
            if any(now in outage for outage in self.behaviour.outages):
                return _DOWN
        api, name = route
        verdict = self.weights[api.name].take(weight_of(api, name, query), now_ms=now_ms)
        if api.name == "usdm" and name in _FUNDING_NAMES and verdict.outcome is Outcome.ANSWER:
            shared = self.weights[_FUNDING].take(1, now_ms=now_ms)
            if shared.outcome is not Outcome.ANSWER:
                verdict = replace(shared, used=verdict.used)
        if verdict.outcome is Outcome.ANSWER:
            try:
                answer = self._answers[name](api, query)
            except Refusal as refusal:
                answer = refusal.answer
        elif verdict.outcome is Outcome.REFUSE:
            answer = error(429, -1003, limit_message(api), Retry_After=str(verdict.retry_after_s))
        else:
            message = ban_message(verdict.banned_until_ms)
            answer = error(418, -1003, message, Retry_After=str(verdict.retry_after_s))
        names = ("X-MBX-USED-WEIGHT", "X-MBX-USED-WEIGHT-1M")
        used = tuple((name, str(verdict.used)) for name in names[api.name != "spot" :])
        return Answer(answer.status, answer.body, answer.content_type, answer.headers + used)

    def _time(self, api: Api, query: Query) -> Answer:
        return Answer(200, b'{"serverTime":%d}' % (self.clock.now_us() // 1_000))

    def _exchange_info(self, api: Api, query: Query) -> Answer:
        listed = self.shelf.listings[api.name]
        wanted: list[str] = sorted(listed)
        if "symbol" in query:
            wanted = [query["symbol"]]
        elif "symbols" in query:
            wanted = _symbols(query["symbols"])
        if any(symbol not in listed for symbol in wanted):
            raise Refusal(-1121, "Invalid symbol.")
        infos = [
            symbol_info(listed[symbol].instrument, listed_ms=listed[symbol].first_ms)
            for symbol in wanted
        ]
        weight = self.weights[api.name]
        body = exchange_info(
            infos,
            now_ms=self.clock.now_us() // 1_000,
            weight_per_minute=weight.limit if weight.enforced else None,
        )
        return Answer(200, json.dumps(body, separators=(",", ":")).encode())

    def _klines(self, api: Api, query: Query) -> Answer:
        asked = KlinesRequest.parse(query, api)
        listing: Listing | None = self.shelf.listings[api.name].get(asked.symbol)
        if listing is None:
            raise Refusal(-1121, "Invalid symbol.")
        book = listing.books.get(asked.timeframe)
        if book is None:
            # The lake does not hold it; an empty list would say that nothing ever traded.
            raise Refusal(-1120, "Invalid interval.")
        if api.name == "coinm" and _too_wide(asked):
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        rows, count = book.page(asked.start_ms, asked.end_ms, asked.limit, self._view())
        self.candles += count
        return Answer(200, b"[" + rows[:-1] + b"]")

    def _view(self) -> View:
        behaviour = self.behaviour
        return View(
            self.clock.now_us() - round(behaviour.lag_s * 1e6),
            round(behaviour.corrected_after_s * 1e6),
            behaviour.keeps_oldest,
        )


def _refuse_key(api: Api, query: Query) -> Answer:
    """No key of the box is good: it has no users."""
    if _KEY in query:
        message = "Invalid API-key, IP, or permissions for action."
        raise Refusal(-2015, message, status=401)
    raise Refusal(-2014, "API-key format invalid.", status=401)


def _too_wide(asked: KlinesRequest) -> bool:
    if asked.start_ms is None or asked.end_ms is None:
        return False
    return timedelta(milliseconds=min(asked.end_ms - asked.start_ms, 10**15)) > COINM_WINDOW


def _symbols(text: str) -> list[str]:
    try:
        names = json.loads(text)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    except ValueError:
        pass
    raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.")
