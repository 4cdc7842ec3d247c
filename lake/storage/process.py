"""Who a worker is: host, boot, process and its start, and whether such a process still lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, never to be mistaken for a later one with the same number.

    Empty text means that this system does not tell.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    start: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        # Not cached: a forked child must not pass for its parent.
        pid = os.getpid()
        return cls(socket.gethostname(), _boot(), _namespace(), pid, _start_of(pid) or "")

    @classmethod
    def from_json(cls, text: str) -> ProcessIdentity:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def is_dead(self) -> bool:
        """Whether it is certain that this process is gone; of other hosts nothing is certain."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot():
            return True
        if self.namespace != _namespace():
            return False
        start = _start_of(self.pid)
        return start is None or (bool(self.start) and start != self.start)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _boot_macos() if sys.platform == "darwin" else ""


@cache
def _boot_macos() -> str:
    return _output("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")


def _namespace() -> str:
    """Containers number their processes apart; the numbers of two cannot be compared."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When process *pid* started, in the system's own words; None where there is none."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name in parentheses may hold spaces; state and start are fields 3 and 22.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    return _output("/bin/ps", "-o", "lstart=", "-p", str(pid)) or None


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
    return done.stdout.strip()
