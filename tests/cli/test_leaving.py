"""How a command's process ends."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import atexit, sys
from lake.cli import run

class Piece:
    def __del__(self):
        print("taken apart")

piece = Piece()
atexit.register(print, "tidied")
sys.argv = ["lake", {word!r}]
run()
"""


def _ended(word: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ASKED.format(word=word)], capture_output=True, text=True, check=False
    )


def test_a_process_ends_tidied_but_without_taking_python_apart() -> None:
    """A native thread that lets go of its last piece in that moment would abort the process."""
    ended = _ended("--version")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[1:] == ["tidied"]


def test_the_code_survives_and_the_error_is_told() -> None:
    ended = _ended("no-such-command")

    assert ended.returncode == 2
    assert ended.stderr.startswith("lake: ")
    assert ended.stdout.splitlines() == ["tidied"]
