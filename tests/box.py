"""The exchange in the box for tests: started over a lake, always stopped."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lake.simulator.clock import Clock
from lake.simulator.exchange import Exchange
from lake.simulator.faults import FaultPlan
from lake.simulator.server import serve
from lake.simulator.shelf import Shelf
from lake.storage.lake import Storage

_REPOSITORY = Path(__file__).resolve().parents[1]
_START_S = 30
_COMMAND = """
import json, sys
from datetime import datetime
from datetime import datetime
from pathlib import Path
from lake.simulator.server import run_server
options = json.loads(sys.argv[2])
if options.get("clock_start"):
    options["clock_start"] = datetime.fromisoformat(options["clock_start"])
run_server(Path(sys.argv[1]), **options)
"""
# A proxy in the environment is not for loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BoxServer:
    """The server in a process of its own.

    Options are those of :func:`lake.simulator.server.run_server`; a clock start is ISO text::

        with BoxServer(lake, clock_start="2024-02-01", clock_rate=0) as box:
            box.control("faults", rate=0.4, seed=1)
            ... box.url ...
    """

    url: str

    def __init__(self, root: Path, **options: Any) -> None:
        self._root = root
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(self._root), json.dumps(self._options)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        if not self.url:
            self.stop()
            raise RuntimeError("the box did not start; see its stderr")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Stop it; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def control(self, name: str, **body: Any) -> dict[str, Any]:
        """POST /_box/*name*; see :mod:`lake.simulator.control` for what there is."""
        request = urllib.request.Request(
            f"{self.url}/_box/{name}", data=json.dumps(body).encode(), method="POST"
        )
        try:
            with _OPENER.open(request, timeout=10) as response:
                answer: dict[str, Any] = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode()) from error

    def state(self) -> dict[str, Any]:
        return self.control("state")

    def requests(self, path: str = "klines") -> list[dict[str, Any]]:
        """The newest requests, oldest first, whose path contains *path*."""
        found: list[dict[str, Any]] = self.control("requests", path=path)["requests"]
        return found


class BoxThread(BoxServer):
    """The same in a thread of this process: starts at once, and can be looked into."""

    exchange: Exchange

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._failure: BaseException | None = None

        def announce(url: str) -> None:
            self.url = url
            ready.set()

        async def answer() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            with Storage.open(self._root, read_only=True) as storage:
                self.exchange = self._made(storage)
                await serve(self.exchange, stop=self._stop, on_ready=announce)

        def run() -> None:
            try:
                asyncio.run(answer())
            except BaseException as error:
                self._failure = error
                ready.set()

        self._thread = threading.Thread(target=run, name="box", daemon=True)
        self._thread.start()
        if not ready.wait(_START_S) or self._failure:
            raise RuntimeError("the box did not start") from self._failure
        return self

    def _made(self, storage: Storage) -> Exchange:
        start = self._options.get("clock_start")
        return Exchange(
            Shelf(storage),
            clock=Clock(
                datetime.fromisoformat(start) if start else None,
                rate=self._options.get("clock_rate", 1.0),
            ),
            faults=FaultPlan(
                rate=self._options.get("faults", 0.0), seed=self._options.get("seed", 0)
            ),
            limits=self._options.get("limits", True),
        )

    def stop(self) -> int:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
        if self._failure is not None:
            raise self._failure
        return 0
