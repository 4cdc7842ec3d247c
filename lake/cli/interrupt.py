"""Ctrl-C: once stops cleanly, twice at once. SIGTERM (systemd, cron's timeout) counts as one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

INTERRUPTED = 130
_Result = TypeVar("_Result")
# After the second one: how long a commit that is being written may still take.
_LAST_WORDS_S = 2.0


class Interrupts:
    """What a signal does: nothing is stored yet (cancel), or a run can be stopped cleanly."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._stop: Callable[[], None] | None = None
        self.count = 0

    def stop_with(self, stop: Callable[[], None]) -> None:
        """From now on the first signal calls *stop* instead of cancelling."""
        self._stop = stop

    def signalled(self) -> None:
        self.count += 1
        if self.count == 1 and self._stop is not None:
            print(
                "stopping: what is under way is stored first; Ctrl-C again stops at once",
                file=sys.stderr,
                flush=True,
            )
            self._stop()
        elif self.count <= 2:
            self._task.cancel()
            # A disk that hangs must not hold the terminal; what was acknowledged is safe.
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, os._exit, INTERRUPTED)
        else:
            os._exit(INTERRUPTED)


def run(work: Callable[[Interrupts], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run *work* in a new event loop under these rules.

    Raises:
        KeyboardInterrupt: It was interrupted before it could end by itself.
    """

    async def guarded() -> _Result:
        task = asyncio.current_task()
        assert task is not None
        interrupts = Interrupts(task)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupts.signalled)
        return await work(interrupts)

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
