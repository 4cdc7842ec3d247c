"""The box on a socket: an HTTP server on loopback that speaks as Binance does.

Holds no lock and writes nothing; one process answers over a million candles a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from email.utils import formatdate
from pathlib import Path

import msgspec
from aiohttp import web

from lake.errors import InvalidRequest, LakeError
from lake.simulator.archive_tree import PREFIX as ARCHIVE
from lake.simulator.clock import Clock
from lake.simulator.control import PREFIX, control
from lake.simulator.exchange import Exchange
from lake.simulator.faults import Answer, Delivery, FaultPlan
from lake.simulator.shelf import Shelf
from lake.storage.lake import Storage

_LOOPBACK = "127.0.0.1"
_PARENT_CHECK_S = 0.5
_HANG_S = 60.0
_LOOK_AGAIN_S = 0.1
# SO_LINGER on, zero seconds: closing sends RST.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def run_server(
    root: Path,
    *,
    host: str = _LOOPBACK,
    port: int = 0,
    faults: float = 0.0,
    seed: int = 0,
    limits: bool = True,
    clock_start: datetime | None = None,
    clock_rate: float = 1.0,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the lake at *root* until SIGTERM, SIGINT or the death of the parent process.

    Args:
        root: A lake of candles, real or synthetic; it is only read.
        host: Where to listen; loopback unless said otherwise.
        port: 0 takes a free one.
        faults: Share of answers that are replaced by random faults.
        seed: Which ones.
        limits: Whether Binance's request weights are enforced.
        clock_start: The box's time at the start (naive UTC); None: real time.
        clock_rate: How fast a clock with a start runs; 0 stands still.
        on_ready: Called with the URL; by default it is printed as the first line of stdout.

    Raises:
        InvalidRequest: There is no lake, or the port is taken.
    """
    clock = Clock(clock_start, rate=clock_rate)
    plan = FaultPlan(rate=faults, seed=seed)
    with Storage.open(root, read_only=True) as storage:
        exchange = Exchange(Shelf(storage), clock=clock, faults=plan, limits=limits)
        announce = on_ready or _print_url
        asyncio.run(_until_told(exchange, host=host, port=port, on_ready=announce))


async def serve(
    exchange: Exchange,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[str], None],
    host: str = _LOOPBACK,
    port: int = 0,
) -> None:
    """Answer requests for *exchange* until *stop* is set."""
    server = web.Server(_handler(exchange), access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1_024)
        try:
            await site.start()
        except OSError as error:
            raise InvalidRequest(
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port (0: any)."
            ) from error
        on_ready(f"http://{host}:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()


async def _until_told(
    exchange: Exchange, *, host: str, port: int, on_ready: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    orphaned = asyncio.create_task(_stop_when_orphaned(stop))
    try:
        await serve(exchange, stop=stop, on_ready=on_ready, host=host, port=port)
    finally:
        orphaned.cancel()


async def _stop_when_orphaned(stop: asyncio.Event) -> None:
    """A box left behind by a killed test would hold its port and a core for ever."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells a process that it is orphaned
        await asyncio.sleep(_PARENT_CHECK_S)
    stop.set()


def _print_url(url: str) -> None:
    print(url, flush=True)


def _handler(
    exchange: Exchange,
) -> Callable[[web.BaseRequest], asyncio.Future[web.StreamResponse]]:
    dates: dict[int, str] = {}

    def date() -> str:
        """The Date header follows the box's clock; one text a second."""
        second = exchange.clock.now_us() // 1_000_000
        if second not in dates:
            dates.clear()
            dates[second] = formatdate(second, usegmt=True)
        return dates[second]

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith(PREFIX):
            return await _controlled(exchange, request)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Date": date()})
        if path.startswith(ARCHIVE):
            answer = await asyncio.to_thread(exchange.file, path, request.headers)
        else:
            key = request.headers.get("X-MBX-APIKEY", "")
            answer = exchange.answer(path, dict(request.query), request.query_string, key=key)
        headers = {"Date": date(), "Content-Type": answer.content_type}
        headers.update(answer.headers)
        if answer.delivery is Delivery.WHOLE:
            return web.Response(status=answer.status, body=answer.body, headers=headers)
        return await _spoiled(request, answer, headers, exchange.faults.slow_s)

    return handle  # type: ignore[return-value]


async def _controlled(exchange: Exchange, request: web.BaseRequest) -> web.Response:
    text = await request.read()
    try:
        body = msgspec.json.decode(text) if text else {}
        done = control(exchange, request.path.removeprefix(PREFIX), body)
    except (LakeError, KeyError, TypeError, ValueError) as error:
        return web.Response(status=400, text=f"{type(error).__name__}: {error}")
    return web.Response(body=msgspec.json.encode(done), content_type="application/json")


async def _spoiled(
    request: web.BaseRequest, answer: Answer, headers: dict[str, str], slow_s: float
) -> web.StreamResponse:
    """Deliver an answer late, cut off, or not at all."""
    if answer.delivery in (Delivery.SLOW, Delivery.HANG):
        await _wait(request, slow_s if answer.delivery is Delivery.SLOW else _HANG_S)
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    transport = request.transport
    if answer.delivery is Delivery.SHORT:
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(answer.body) + 1
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        if transport is not None:
            transport.close()
        return response
    if transport is not None:
        if answer.delivery is Delivery.RESET:
            raw = transport.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return web.Response(status=answer.status)


async def _wait(request: web.BaseRequest, seconds: float) -> None:
    """Let *seconds* pass, or less where the client has gone."""
    end = time.monotonic() + seconds
    # Nothing wakes us when the client leaves.
    while (left := end - time.monotonic()) > 0 and request.transport is not None:  # noqa: ASYNC110
        await asyncio.sleep(min(left, _LOOK_AGAIN_S))
