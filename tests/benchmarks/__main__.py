"""Runs the benchmarks one after the other, each in a process of its own.

Run: ``make bench``, or ``make bench ARGS="backfill import"`` for some of them. Without arguments
all are run, which takes some forty minutes: `archive` makes 3.4 GiB of files first,
and the one of the rate budget waits for whole minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]


def main(chosen: list[str]) -> int:
    known = [path.stem.removeprefix("bench_") for path in sorted(FOLDER.glob("bench_*.py"))]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    failed = False
    for name in chosen or known:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}"]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=False)
        failed = failed or done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
