"""What all stand-ins share: a socket, a clock, and faults under a seed.

A venue's stand-in answers true answers from ``StandIn.answer``; the faults are those of the
exchange in the box (``lake.simulator.faults``), made to the venue's own rows.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from typing import Any

from aiohttp import web

from lake.simulator.clock import Clock
from lake.simulator.faults import FAULTS, JSON, Answer, Circumstances, Delivery
from lake.simulator.spoil import Shape

# Faults that are no one's own: Binance's error codes stay with Binance.
_BINANCE_ONLY = {"code_1003", "http_503_json", "http_504", "http_418"}
ANYWHERE = tuple(
    name
    for name, each in FAULTS.items()
    if each.transient and not each.needs_rows and name not in _BINANCE_ONLY
)
IN_ROWS = tuple(name for name, each in FAULTS.items() if each.transient and each.needs_rows)
# True rows, but fewer: the faults that nothing in one answer gives away.
SHORT = ("short_list", "short_tail", "short_head", "empty_list")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SLOW_S = 0.05


@dataclass(frozen=True)
class Asked:
    """One request: path, query, the JSON that was sent with it, and the venue's time (us)."""

    path: str
    query: dict[str, str]
    sent: Any
    now_us: int

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number of the query."""
        return int(self.query[name]) if name in self.query else default


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error: HTTP status and JSON, as the venue words it."""

    status: int
    body: Any


@dataclass(frozen=True)
class Wire:
    """Where the rows of an answer lie, and which of their fields are what.

    Attributes:
        path: The end of the request's path.
        rows: Keys and indices that lead to the list of rows; for a book to the object that
            has both sides.
        shape: Times, prices; ``sides`` for a book. Times may be numbers or their text.
        immune: Names of faults that would make a true answer of another kind here.
    """

    path: str
    rows: tuple[str | int, ...]
    shape: Shape
    immune: tuple[str, ...] = ()


@dataclass
class Trouble:
    """Which answers are spoiled: a share of all whose path contains *path*, under a seed."""

    rate: float = 0.0
    seed: int = 0
    kinds: tuple[str, ...] = ()
    path: str = ""
    given: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)

    def draw(self, key: str) -> int:
        """A number for the n-th time that this is asked; the order of others plays no part."""
        self._asked[key] += 1
        text = f"{self.seed}|{key}|{self._asked[key]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


class StandIn:
    """One venue. Subclasses set the class attributes and write ``answer``.

    Attributes:
        venue: The ccxt id in upper case.
        wires: Answers that have rows.
        failures: Errors of the venue's own that pass.
    """

    venue: str
    wires: tuple[Wire, ...] = ()
    failures: tuple[Refusal, ...] = ()

    def __init__(self, now: datetime) -> None:
        self.clock = Clock(now)
        self.trouble = Trouble()
        self.log: list[Asked] = []
        self.bugs: list[Exception] = []

    def answer(self, asked: Asked) -> Any:
        """The JSON of the true answer, or a ``Refusal``."""
        raise NotImplementedError

    def asked(self, path: str) -> list[Asked]:
        """The requests so far whose path contains *path*, oldest first."""
        return [each for each in self.log if path in each.path]

    def reply(self, asked: Asked, query: str) -> Answer:
        """What is sent: the true answer, or what a fault makes of it."""
        self.log.append(asked)
        found = self.answer(asked)
        status = found.status if isinstance(found, Refusal) else 200
        body = json.dumps(found.body if isinstance(found, Refusal) else found).encode()
        answer = Answer(status, body)
        trouble = self.trouble
        if not trouble.rate or trouble.path not in asked.path:
            return answer
        draw = trouble.draw(f"{asked.path}?{query}{json.dumps(asked.sent)}")
        if draw % 10_000 >= trouble.rate * 10_000:
            return answer
        wire = self._wire(asked.path) if status == 200 else None
        names = [name for name in self._names() if _fits(name, wire, found)]
        if not names:
            return answer
        name = names[draw // 10_000 % len(names)]
        trouble.given[name] += 1
        return self._spoiled(name, answer, wire, draw >> 40, asked.now_us)

    def _names(self) -> Iterable[str]:
        if self.trouble.kinds:
            return self.trouble.kinds
        return (*ANYWHERE, *IN_ROWS, *(f"own {at}" for at in range(len(self.failures))))

    def _wire(self, path: str) -> Wire | None:
        return next((each for each in self.wires if path.endswith(each.path)), None)

    def _spoiled(
        self, name: str, answer: Answer, wire: Wire | None, draw: int, now_us: int
    ) -> Answer:
        if name.startswith("own"):
            failure = self.failures[int(name.split()[1])]
            return Answer(failure.status, json.dumps(failure.body).encode())
        if name not in IN_ROWS:
            now = Circumstances(draw, now_us // 1_000, 0)
            return FAULTS[name].spoil(answer, now)
        assert wire is not None
        found = json.loads(answer.body)

        def change(rows: Any) -> Any:
            texts = _numbers_of_times(rows, wire.shape)
            now = Circumstances(draw, now_us // 1_000, 0, wire.shape)
            changed = FAULTS[name].spoil(Answer(200, json.dumps(rows).encode()), now)
            spoiled = json.loads(changed.body)
            if texts:
                _text_of_times(spoiled, wire.shape)
            return spoiled

        return Answer(200, json.dumps(_replaced(found, wire.rows, change)).encode())


def _fits(name: str, wire: Wire | None, found: Any) -> bool:
    if name not in IN_ROWS:
        return True
    if wire is None or name in wire.immune:
        return False
    rows = found
    try:
        for step in wire.rows:
            rows = rows[step]
    except (LookupError, TypeError):
        return False
    fault = FAULTS[name]
    if fault.needs_times and not wire.shape.times:
        return False
    if wire.shape.sides:
        return fault.fits_books and all(rows.get(each) for each in wire.shape.sides)
    return bool(rows)


def _replaced(body: Any, steps: tuple[str | int, ...], change: Callable[[Any], Any]) -> Any:
    """*body* with *change* made to what lies at the end of *steps*."""
    if not steps:
        return change(body)
    body[steps[0]] = _replaced(body[steps[0]], steps[1:], change)
    return body


def _timed(rows: Any, shape: Shape) -> list[Any]:
    return [rows] if shape.sides else rows


def _numbers_of_times(rows: Any, shape: Shape) -> bool:
    """Turn times that are text into numbers, which faults can alter; whether any was."""
    found = False
    for row in _timed(rows, shape):
        for name in shape.times:
            has = name in row if isinstance(row, dict) else True
            if has and isinstance(row[name], str):
                row[name] = float(row[name]) if "." in row[name] else int(row[name])
                found = True
    return found


def _text_of_times(rows: Any, shape: Shape) -> None:
    for row in _timed(rows, shape):
        for name in shape.times:
            has = name in row if isinstance(row, dict) else int(name) < len(row)
            if has and isinstance(row[name], int | float):
                row[name] = str(row[name])


@asynccontextmanager
async def serving(stand_in: StandIn) -> AsyncIterator[str]:
    """The stand-in on a free port of loopback; gives its URL. What it stumbled over is raised."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        text = await request.read()
        sent = json.loads(text) if text else None
        now_us = stand_in.clock.now_us()
        asked = Asked(request.path, dict(request.query), sent, now_us)
        try:
            answer = stand_in.reply(asked, request.query_string)
        except Exception as error:
            stand_in.bugs.append(error)
            return web.Response(status=501)
        headers = {"Date": formatdate(now_us // 1_000_000, usegmt=True)}
        headers["Content-Type"] = answer.content_type or JSON
        headers.update(answer.headers)
        if answer.delivery in (Delivery.WHOLE, Delivery.SLOW):
            if answer.delivery is Delivery.SLOW:
                await asyncio.sleep(_SLOW_S)
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        return await _broken_off(request, answer, headers)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        if stand_in.bugs:
            raise stand_in.bugs[0]


async def _broken_off(
    request: web.BaseRequest, answer: Answer, headers: dict[str, str]
) -> web.StreamResponse:
    transport = request.transport
    assert transport is not None
    if answer.delivery is Delivery.SHORT:
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(answer.body) + 1
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        transport.close()
        return response
    if answer.delivery is Delivery.RESET:
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
    transport.abort()
    return web.Response(status=answer.status)
