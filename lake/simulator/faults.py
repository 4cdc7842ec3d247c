"""What can go wrong between a venue and its clients, on demand and under a seed.

One entry per row of the table in facts/venues.md 2.3. A fault turns a true answer into a
faulty one; it knows nothing of markets beyond the shape of a row (:mod:`.spoil`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from lake.errors import InvalidRequest
from lake.simulator import spoil
from lake.simulator.spoil import KLINES, Change, Shape, has_rows, shape_of, spoiled

JSON = "application/json"
HTML = "text/html"


class Delivery(Enum):
    """What happens on the wire."""

    WHOLE = "whole"
    RESET = "reset"  # RST before the answer
    CLOSE = "close"  # FIN before the answer
    SHORT = "short"  # fewer bytes than Content-Length says
    SLOW = "slow"
    HANG = "hang"  # nothing until the client gives up


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it is sent."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery.WHOLE


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a fault may depend on: a number drawn for this request, and the box's clock."""

    draw: int
    now_ms: int
    retry_after_s: int
    shape: Shape = KLINES


_Spoil = Callable[[Answer, Circumstances], Answer]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail.

    Attributes:
        spoil: Makes the faulty answer.
        needs_rows: Only lists of rows (and books) can fail like this.
        needs_times: Only answers that carry times; spot's books do not.
        fits_books: A book of fewer levels is as true as one of more: nobody could tell.
        transient: Asking again helps; the others are only given on demand.
    """

    spoil: _Spoil
    needs_rows: bool = False
    transient: bool = True
    needs_times: bool = False
    fits_books: bool = True

    def fits(self, shape: Shape | None, body: bytes) -> bool:
        """Whether an answer of *shape* (None: without rows) can fail like this."""
        if shape is None:
            return not self.needs_rows
        if not shape.sides:
            return True
        return self.fits_books and (not self.needs_times or b'"T":' in body)


def _status(
    status: int, body: str | dict[str, Any], content_type: str = JSON, *, retry: bool = False
) -> _Spoil:
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))

    def spoil(answer: Answer, now: Circumstances) -> Answer:
        until = now.now_ms + now.retry_after_s * 1_000
        headers = (("Retry-After", str(now.retry_after_s)),) if retry else ()
        return Answer(status, text.replace("UNTIL", str(until)).encode(), content_type, headers)

    return spoil


def _error(status: int, code: int, message: str, *, retry: bool = False) -> _Spoil:
    return _status(status, {"code": code, "msg": message}, retry=retry)


def _page(status: int, title: str) -> _Spoil:
    return _status(status, f"<html><head><title>{title}</title></head></html>", HTML)


def _body(body: str, content_type: str = JSON) -> _Spoil:
    return _status(200, body, content_type)


def _delivered(delivery: Delivery) -> _Spoil:
    return lambda answer, now: replace(answer, delivery=delivery)


def _truncated(content_type: str) -> _Spoil:
    def spoil(answer: Answer, now: Circumstances) -> Answer:
        cut = len(answer.body) // 4 + now.draw % max(1, len(answer.body) // 2)
        return replace(answer, body=answer.body[: max(1, cut)], content_type=content_type)

    return spoil


def _rows(change: Change) -> _Spoil:
    """*change* alters the rows of a true answer; the draw picks which."""
    return _changed(change, whole=False)


def _timed(change: Change) -> _Spoil:
    """*change* alters what carries the times: rows, or the object around them."""
    return _changed(change, whole=True)


def _changed(change: Change, *, whole: bool) -> _Spoil:
    def spoil(answer: Answer, now: Circumstances) -> Answer:
        body = spoiled(now.shape, answer.body, now.draw, change, whole=whole)
        return replace(answer, body=body)

    return spoil


_RESTRICTED = (
    "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you "
    "received this message in error."
)
_TOO_MUCH = (
    "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API."
)
_BANNED = (
    "Way too much request weight used; IP banned until UNTIL. "
    "Please use WebSocket Streams for live updates to avoid bans."
)

FAULTS: dict[str, Fault] = {
    "http_429": Fault(_error(429, -1003, _TOO_MUCH, retry=True)),
    "http_418": Fault(_error(418, -1003, _BANNED, retry=True)),
    "code_1003": Fault(_error(200, -1003, _TOO_MUCH)),
    "http_403": Fault(_page(403, "ERROR: The request could not be satisfied"), transient=False),
    "http_451": Fault(_error(451, 0, _RESTRICTED), transient=False),
    "http_404": Fault(_page(404, "404 Not Found")),
    "http_400_html": Fault(_page(400, "400 Bad Request")),
    "http_500": Fault(_page(500, "500 Internal Server Error")),
    "http_502": Fault(_page(502, "502 Bad Gateway")),
    "http_503": Fault(_page(503, "503 Service Unavailable")),
    "http_503_json": Fault(
        _error(503, -1001, "Internal error; unable to process your request. Please try again.")
    ),
    "http_504": Fault(_error(504, -1007, "Timeout waiting for response from backend server.")),
    "http_408": Fault(_page(408, "408 Request Timeout")),
    "http_520": Fault(_page(520, "520: Web server is returning an unknown error")),
    "http_524": Fault(_page(524, "524: A timeout occurred")),
    "bad_symbol": Fault(_error(400, -1121, "Invalid symbol."), transient=False),
    "illegal_character": Fault(
        _error(400, -1100, "Illegal characters found in a parameter."), transient=False
    ),
    "bad_combination": Fault(
        _error(400, -1128, "Combination of optional parameters invalid."), transient=False
    ),
    "reset": Fault(_delivered(Delivery.RESET)),
    "closed": Fault(_delivered(Delivery.CLOSE)),
    "short_body": Fault(_delivered(Delivery.SHORT)),
    "slow": Fault(_delivered(Delivery.SLOW)),
    "hang": Fault(_delivered(Delivery.HANG), transient=False),
    "html": Fault(_body("<html><body>Maintenance</body></html>", HTML)),
    "truncated_json": Fault(_truncated(JSON)),
    "truncated_octets": Fault(_truncated("application/octet-stream")),
    "empty_body": Fault(_body("")),
    "null": Fault(_body("null")),
    "empty_object": Fault(_body("{}")),
    "text": Fault(_body('"text"')),
    "bare_nan": Fault(_body("NaN")),
    "short_row": Fault(_rows(spoil.short_row), needs_rows=True),
    "nan": Fault(_rows(spoil.set_price(1, math.nan)), needs_rows=True),
    "nan_text": Fault(_rows(spoil.set_price(3, "NaN")), needs_rows=True),
    "infinite": Fault(_rows(spoil.set_price(1, math.inf)), needs_rows=True),
    "null_price": Fault(_rows(spoil.set_price(0, None)), needs_rows=True),
    "null_time": Fault(_timed(spoil.null_time), needs_rows=True, needs_times=True),
    "negative": Fault(_rows(spoil.negative), needs_rows=True),
    "duplicate_row": Fault(_rows(spoil.duplicate), needs_rows=True),
    "microseconds": Fault(
        _timed(spoil.convert_times(lambda ms: ms * 1_000)), needs_rows=True, needs_times=True
    ),
    "seconds": Fault(
        _timed(spoil.convert_times(lambda ms: ms // 1_000)), needs_rows=True, needs_times=True
    ),
    "future_row": Fault(_timed(spoil.future), needs_rows=True, needs_times=True),
    "short_list": Fault(_rows(spoil.drop_some), needs_rows=True, fits_books=False),
    "short_tail": Fault(_rows(spoil.drop_tail), needs_rows=True, fits_books=False),
    "short_head": Fault(_rows(spoil.drop_head), needs_rows=True, fits_books=False),
    "empty_list": Fault(_body("[]"), needs_rows=True),
}


@dataclass(slots=True)
class Planned:
    """*count* answers with one fault, after *after* true ones, to paths that contain *path*."""

    fault: str
    count: int = 1
    after: int = 0
    path: str = "klines"
    retry_after_s: int | None = None


@dataclass(slots=True)
class FaultPlan:
    """Which answers are spoiled, and how.

    Attributes:
        rate: Share of all answers that a random fault replaces.
        seed: The n-th answer to the same request always has the same fate.
        kinds: The faults to draw from; all transient ones where empty.
        path: Only answers to paths that contain this.
        retry_after_s: What 429 and 418 say.
        slow_s: How long a slow answer takes.
        queue: Planned faults; they come before random ones.
    """

    rate: float = 0.0
    seed: int = 0
    kinds: tuple[str, ...] = ()
    path: str = ""
    retry_after_s: int = 0
    slow_s: float = 0.05
    queue: list[Planned] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.kinds, *(planned.fault for planned in self.queue)):
            require(name)
        if not 0 <= self.rate <= 1:
            raise InvalidRequest(f"A fault rate of {self.rate} is not a share. Use 0 to 1.")

    @property
    def is_idle(self) -> bool:
        return self.rate == 0 and not self.queue

    def apply(self, answer: Answer, *, path: str, query: str, now_ms: int) -> Answer:
        """The answer that is sent in place of the true *answer*."""
        shape = shape_of(path)
        if shape is not None and not (answer.status == 200 and has_rows(shape, answer.body)):
            shape = None
        draw = self._draw(path, query)
        planned = self._planned(path)
        if planned:
            name, wait_s = planned.fault, planned.retry_after_s
        elif self.rate and self.path in path and draw % 10_000 < self.rate * 10_000:
            name, wait_s = self._choose(draw // 10_000, shape, answer.body), None
        else:
            return answer
        if not name or not FAULTS[name].fits(shape, answer.body):
            return answer
        self.given[name] = self.given.get(name, 0) + 1
        wait = self.retry_after_s if wait_s is None else wait_s
        now = Circumstances(draw >> 40, now_ms, wait, shape or KLINES)
        return FAULTS[name].spoil(answer, now)

    def _draw(self, path: str, query: str) -> int:
        """A number for the n-th time that this request is made; order of others plays no part."""
        key = f"{path}?{query}"
        count = self._asked[key] = self._asked.get(key, 0) + 1
        digest = hashlib.blake2b(f"{self.seed}|{key}|{count}".encode(), digest_size=16)
        return int.from_bytes(digest.digest(), "big")

    def _planned(self, path: str) -> Planned | None:
        for planned in self.queue:
            if planned.path not in path:
                continue
            if planned.after > 0:
                planned.after -= 1
                return None
            planned.count -= 1
            if planned.count <= 0:
                self.queue.remove(planned)
            return planned
        return None

    def _choose(self, draw: int, shape: Shape | None, body: bytes) -> str:
        names = self.kinds or tuple(name for name, fault in FAULTS.items() if fault.transient)
        fitting = [name for name in names if FAULTS[name].fits(shape, body)]
        return fitting[draw % len(fitting)] if fitting else ""


def require(name: str) -> None:
    """Refuse a fault that does not exist."""
    if name not in FAULTS:
        raise InvalidRequest(f"{name!r} is not a fault. Known are: {', '.join(FAULTS)}.")
