"""Runs the async engine for a caller who waits: in a script, and in a notebook's running loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(
    work: Callable[[Callable[[Callable[[], None]], None]], Coroutine[Any, Any, _T]],
) -> _T:
    """What ``work(stop_with)`` returns, run in a loop of its own in a thread of its own.

    A notebook has a running loop in its thread, where ``asyncio.run`` is refused. Ctrl-C once
    calls what the work gave to ``stop_with`` and waits for its clean end; twice cancels it.
    """
    ended: Future[_T] = Future()
    stoppers: list[Callable[[], None]] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[_T]]] = []

    async def main() -> _T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await work(stoppers.append)

    def begin() -> None:
        try:
            ended.set_result(asyncio.run(main()))
        except BaseException as error:
            ended.set_exception(error)

    thread = threading.Thread(target=begin, name="lake", daemon=True)
    thread.start()
    interrupts = 0
    while True:
        try:
            return ended.result()
        except KeyboardInterrupt:
            # Either ours, while waiting, or the work's own.
            if ended.done() or not running:
                raise
            loop, task = running[0]
            act = stoppers[-1] if stoppers and not interrupts else task.cancel
            loop.call_soon_threadsafe(act)
            interrupts += 1
        except asyncio.CancelledError as error:
            if interrupts:
                raise KeyboardInterrupt from error
            raise
