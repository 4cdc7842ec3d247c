"""Measures work in processes of its own: the bare work of a task beside all of it, in turns.

Other load on the machine hits both alike, so the ratio says more than either figure.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks.peak import peak_mb

# From a file to a new place: how many rows that were.
Work = Callable[[Path, Path], int]


def measured(work: Work, source: Path, target: Path) -> str:
    """Do *work* in this process; what it took, as JSON for :func:`compare`."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    rows = work(source, target)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.dumps({"rows": rows, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()})


def compare(module: str, works: Mapping[str, Work], source: Path, place: Path, rounds: int) -> None:
    """Run *works* in turns, each in a process ``python -m module --measure NAME SOURCE TARGET``.

    The first of them is the bare work, the last all of it; prints the medians and their ratio.
    """
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name, found in speeds.items():
            target = place / f"{name}{number}"
            command = [sys.executable, "-m", module, "--measure", name, str(source), str(target)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            result = json.loads(answer.stdout)
            found.append(result["rows"] / result["cpu_s"])
            print(
                f"  {name:<8} {found[-1]:>9,.0f} rows/s per core"
                f"  {result['rows'] / result['wall_s']:>9,.0f} rows/s wall"
                f"  peak {result['peak_mb']:.0f} MB",
                flush=True,
            )
    bare, whole = next(iter(speeds.values())), list(speeds.values())[-1]
    ratio = statistics.median(one / other for one, other in zip(whole, bare, strict=True))
    print(f"median {statistics.median(whole):,.0f} rows/s per core, {ratio:.2f} of the bare work")
