"""Lets the writer of torture.py live on a failing disk and compares the lake with the model.

``python faults.py FOLDER KIND NUMBER...``; one lake for each number. KIND is ``sqlite`` (the
NUMBER-th write or sync of SQLite fails), ``fsync`` (the NUMBER-th fsync of ours does) or ``size``
(no file may grow past NUMBER bytes: what a full disk or a quota does). Even
numbers merge slice by slice. Prints as JSON which error each number gave.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import apsw
from torture import Trial, in_child, live, look, look_again, look_at_the_end

from lake.errors import LakeError


class FailingFile(apsw.VFSFile):
    left = 0

    def xWrite(self, *arguments: Any) -> None:
        self._count()
        super().xWrite(*arguments)

    def xSync(self, *arguments: Any) -> None:
        self._count()
        super().xSync(*arguments)

    @classmethod
    def _count(cls) -> None:
        cls.left -= 1
        if cls.left == 0:
            raise apsw.IOError("the disk failed")


class FailingVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:
        return FailingFile("unix", name, flags)


def fail(kind: str, number: int) -> object:
    """Break the disk of this process; what is returned must be kept."""
    if kind == "sqlite":
        FailingFile.left = number
        return FailingVFS()
    if kind == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
        return None
    fsync, left = os.fsync, number

    def failing(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    os.fsync = failing
    return None


def main() -> None:
    folder, kind, *numbers = sys.argv[1:]
    said: dict[str, str] = {}
    for number in map(int, numbers):
        trial = Trial(
            Path(folder) / f"{kind}-{number}",
            number,
            Path(folder) / f"log-{kind}-{number}",
            sliced=number % 2 == 0,
        )
        outcome = Path(folder) / f"outcome-{kind}-{number}"

        def suffer(trial: Trial, number: int = number, outcome: Path = outcome) -> None:
            descriptor = os.open(outcome, os.O_WRONLY | os.O_CREAT)
            kept = fail(kind, number)
            try:
                live(trial)
            except LakeError as error:
                os.write(descriptor, f"{type(error).__name__}: {error}".encode())
            del kept

        in_child(suffer, trial)
        said[str(number)] = outcome.read_text()
        if (trial.root / "lake.json").exists():
            in_child(look, trial)
            in_child(look_again, trial)
        in_child(live, trial)
        in_child(look_at_the_end, trial)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
