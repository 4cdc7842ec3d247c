"""What all jobs of a run share: requests under way, rows in memory, the wish to stop."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Who asks for a stop waits for pages under way, and not for minutes of repeated requests.
STOP_GRACE_S = 10.0
# Reading a file takes a core and a bit; more threads than cores only wait for one another.
_FILES_AT_ONCE = min(4, os.cpu_count() or 1)


class Room:
    """What somebody holds of a :class:`RowGate`."""

    def __init__(self, gate: RowGate, rows: int) -> None:
        self._gate = gate
        self.rows = rows

    def grow_to(self, rows: int) -> int:
        """Take what is free of *rows*, without waiting; how many are held then."""
        self.rows += self._gate.take(max(0, rows - self.rows))
        return self.rows


class RowGate:
    """Lets work in while the rows it may hold stay under a bound. First come, first served.

    Nobody passes who waits, however little is asked for: who wants all of it would wait for ever
    where small work goes on coming.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, rows: int) -> AsyncIterator[Room]:
        """Holds room for *rows* (more than there is counts as all there is)."""
        share = min(rows, self._capacity)
        await self._enter(share)
        room = Room(self, share)
        try:
            yield room
        finally:
            self._give_back(room.rows)

    def take(self, rows: int) -> int:
        """Take up to *rows* of what is free now and nobody waits for; how many that are."""
        if self._waiting:
            return 0
        taken = min(rows, self._free)
        self._free -= taken
        return taken

    async def _enter(self, share: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                # Who stands behind may need less.
                self._let_in()
            else:
                # Let in and cancelled before it could run.
                self._give_back(share)
            raise

    def _give_back(self, rows: int) -> None:
        self._free += rows
        self._let_in()

    def _let_in(self) -> None:
        """Let in as many as there is room for, in the order in which they came."""
        while self._waiting:
            share, turn = self._waiting[0]
            if not turn.cancelled():
                if share > self._free:
                    return
                self._free -= share
                turn.set_result(None)
            self._waiting.popleft()


@dataclass(slots=True)
class Gates:
    """What all jobs of a run share: requests under way, rows in memory, the wish to stop.

    Attributes:
        taking_in: Where files of archives are read and stored. Few threads, and always the same
            ones: allocators keep some freed memory for each thread that ever worked.
    """

    requests: asyncio.Semaphore
    rows: RowGate
    min_free: int
    taking_in: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_FILES_AT_ONCE, "lake-import")
    )
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    stop_grace_s: float = STOP_GRACE_S
