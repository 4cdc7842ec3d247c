"""What tests and people may change about a running box: POST /_box/..., JSON in and out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lake.domain.ranges import TimeRange
from lake.domain.times import parse_moment
from lake.errors import InvalidRequest
from lake.simulator.archive_tree import ArchiveBehaviour
from lake.simulator.exchange import Behaviour, Exchange
from lake.simulator.faults import FAULTS, FaultPlan, Planned

PREFIX = "/_box/"
Body = dict[str, Any]


def control(exchange: Exchange, name: str, body: Body) -> Body:
    """Do what POST (or GET, with an empty body) of ``/_box/name`` asks for.

    ================  ==========================================================================
    ``state``         counters, weights, symbols (changes nothing)
    ``requests``      the newest requests: ``{"last": 100, "path": "klines"}`` (changes nothing)
    ``clock``         ``{"now": "2024-01-01T00:00", "rate": 0}``, ``{"advance_s": 60}``,
                      ``{"real": true}``
    ``faults``        ``{"rate": 0.4, "seed": 1, "kinds": [...], "path": "klines",
                      "retry_after_s": 0, "slow_s": 0.05}`` replaces the plan;
                      ``{"queue": [{"fault": "http_429", "count": 20, "after": 5,
                      "path": "klines", "retry_after_s": 1}]}`` adds to it
    ``corrections``   ``{"seconds": 5}``: candles still change so long after their close
    ``windows``       ``{"keep": "oldest"}`` (or newest): what aggTrades gives of a full window
    ``lag``           ``{"seconds": 3}``: candles appear so late
    ``outages``       ``{"ranges": [{"start": ..., "end": ...}]}``: 503 while the clock is there
    ``stranger``      ``{"weight_per_minute": 3000, "api": "spot"}``: others use weight too
    ``limits``        ``{"enforced": true, "api": "spot", "limit": 6000}``
    ``archive``       ``{"missing": [...], "revised": [...], "corrupted": [...],
                      "unproven": [...]}``: names of files below ``/archive/data/``
    ``refresh``       read the lake again
    ``reset``         no faults, lag, corrections, outages or stranger; counters at 0
    ================  ==========================================================================
    """
    action = _ACTIONS.get(name)
    if action is None:
        raise InvalidRequest(f"{PREFIX}{name} does not exist. Known: {', '.join(_ACTIONS)}.")
    return action(exchange, body)


def _state(exchange: Exchange, body: Body) -> Body:
    return exchange.state()


def _requests(exchange: Exchange, body: Body) -> Body:
    part = str(body.get("path", ""))
    found = [
        {"at_ms": each.at_ms, "path": each.path, "query": each.query, "status": each.status}
        for each in exchange.requests
        if part in each.path
    ]
    return {"requests": found[-int(body.get("last", len(found) or 1)) :]}


def _clock(exchange: Exchange, body: Body) -> Body:
    clock = exchange.clock
    if body.get("real"):
        clock.use_real_time()
    if "advance_s" in body:
        clock.advance(float(body["advance_s"]))
    if "now" in body or "rate" in body:
        rate = float(body["rate"]) if "rate" in body else None
        clock.set(_moment(body["now"]) if "now" in body else None, rate=rate)
    return {"now": clock.now().isoformat(), "rate": clock.rate}


def _faults(exchange: Exchange, body: Body) -> Body:
    queue = [Planned(**planned) for planned in body.pop("queue", [])]
    if body:
        body["kinds"] = tuple(body.get("kinds", ()))
        given = exchange.faults.given
        exchange.faults = FaultPlan(**body, queue=exchange.faults.queue, given=given)
    for planned in queue:
        if planned.fault not in FAULTS:
            raise InvalidRequest(f"{planned.fault!r} is not a fault: {', '.join(FAULTS)}.")
    exchange.faults.queue.extend(queue)
    return {"known": list(FAULTS), "queued": len(exchange.faults.queue)}


def _corrections(exchange: Exchange, body: Body) -> Body:
    exchange.behaviour.corrected_after_s = float(body["seconds"])
    return {}


def _windows(exchange: Exchange, body: Body) -> Body:
    keep = body["keep"]
    if keep not in ("oldest", "newest"):
        raise InvalidRequest(f"{keep!r} rows of a window cannot be kept: oldest or newest.")
    exchange.behaviour.keeps_oldest = keep == "oldest"
    return {}


def _lag(exchange: Exchange, body: Body) -> Body:
    exchange.behaviour.lag_s = float(body["seconds"])
    return {}


def _outages(exchange: Exchange, body: Body) -> Body:
    exchange.behaviour.outages = [
        TimeRange(_moment(each["start"]), _moment(each["end"])) for each in body["ranges"]
    ]
    return {}


def _stranger(exchange: Exchange, body: Body) -> Body:
    weight = int(body["weight_per_minute"])
    for name, limit in exchange.weights.items():
        if body.get("api", name) == name:
            limit.stranger = weight
    return {}


def _limits(exchange: Exchange, body: Body) -> Body:
    for name, limit in exchange.weights.items():
        if body.get("api", name) == name:
            limit.enforced = bool(body.get("enforced", limit.enforced))
            limit.limit = int(body.get("limit", limit.limit))
    return {}


def _archive(exchange: Exchange, body: Body) -> Body:
    exchange.archive.behaviour = ArchiveBehaviour(
        **{name: set(names) for name, names in body.items()}
    )
    return {}


def _refresh(exchange: Exchange, body: Body) -> Body:
    exchange.shelf.refresh()
    return {"symbols": {api: sorted(listed) for api, listed in exchange.shelf.listings.items()}}


def _reset(exchange: Exchange, body: Body) -> Body:
    exchange.faults = FaultPlan()
    exchange.behaviour = Behaviour()
    exchange.archive.behaviour = ArchiveBehaviour()
    exchange.requests.clear()
    exchange.counts.clear()
    exchange.candles = 0
    exchange.served.clear()
    for limit in exchange.weights.values():
        limit.forget()
    return {}


_ACTIONS: dict[str, Callable[[Exchange, Body], Body]] = {
    "state": _state,
    "requests": _requests,
    "clock": _clock,
    "faults": _faults,
    "corrections": _corrections,
    "windows": _windows,
    "lag": _lag,
    "outages": _outages,
    "stranger": _stranger,
    "limits": _limits,
    "archive": _archive,
    "refresh": _refresh,
    "reset": _reset,
}


def _moment(value: object) -> datetime:
    if isinstance(value, int | float):
        value = str(int(value))
    return parse_moment(str(value), now=datetime.now(UTC).replace(tzinfo=None))
