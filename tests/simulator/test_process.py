"""The box as a process: it says where it is, and never outlives who started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lake.errors import InvalidRequest, NoLake
from lake.simulator.server import run_server
from tests.box import BoxServer
from tests.simulator.test_server import klines

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_first_line_is_the_url_and_sigterm_stops_it(lake_root: Path) -> None:
    """Loopback, a free port, exit code 0."""
    box = BoxServer(lake_root, clock_start="2024-01-31", clock_rate=0)
    with box:
        assert box.url.startswith("http://127.0.0.1:")
        assert len(klines(box, limit=7)) == 7

        assert box.stop() == 0


def test_it_stops_when_its_parent_dies(lake_root: Path) -> None:
    """A killed test leaves no server behind."""
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'from pathlib import Path; import sys; "
        "from lake.simulator.server import run_server; run_server(Path(sys.argv[1]))', "
        "sys.argv[1]], stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode().strip(), child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(lake_root)], stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    with parent.stdout:
        url, pid = parent.stdout.readline().decode().split()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/api/v3/ping", timeout=5) as response:
        assert response.status == 200

    parent.kill()
    parent.wait()

    # The server looks for its parent twice a second.
    for _ in range(100):
        if not _is_running(int(pid)):
            return
        time.sleep(0.1)
    os.kill(int(pid), 9)
    pytest.fail("the server outlived its parent")


def _is_running(pid: int) -> bool:
    """Whether the process still works; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().split(") ")[1].startswith("Z"))


def test_no_lake_and_no_port_are_said_clearly(lake_root: Path, tmp_path: Path) -> None:
    """Nothing listens where there is nothing to serve, or where somebody already listens."""
    with pytest.raises(NoLake):
        run_server(tmp_path / "nothing")
    with BoxServer(lake_root) as box:
        port = int(box.url.rsplit(":", 1)[1])
        with pytest.raises(InvalidRequest, match=f"Cannot listen on 127.0.0.1:{port}"):
            run_server(lake_root, port=port)
