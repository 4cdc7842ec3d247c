"""The edges of the process: standard streams that are closed, and its end."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from lake.cli.output import print_error


def hold() -> bool:
    """Fill the numbers of closed streams; False where there is no stdout to answer on.

    The next file that a process opens gets the lowest free number: what is printed would go
    into the catalog, or into a Parquet file.
    """
    can_answer = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if not can_answer:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        print_error("lake", "stdout is closed, so nothing can be answered. Leave it open.")
    return can_answer


def silence_stdout() -> None:
    """Send what is still buffered for stdout nowhere: it must not be tried again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def leave(code: int) -> NoReturn:
    """End the process now, after what is printed and the handlers of `atexit`.

    A thread of Arrow or DuckDB that lets go of its last piece while Python takes itself apart is
    ended inside C++, and that ends the process with an abort after everything was done. So Python
    is not taken apart: files and locks are the kernel's to close.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)
