"""The named points of the write path, where tests kill, freeze or fail a process.

A point costs one comparison. ``LAKE_TEST_KILL_AT=publish.renamed:3`` kills the process with
SIGKILL the third time it reaches that point; nothing else reads the variable.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

POINTS = (
    "commit.begun",
    "commit.merged",
    "intent.begun",
    "intent.written",
    "intent.committed",
    "temporary.created",
    "temporary.grown",
    "temporary.written",
    "temporary.synced",
    "publish.begun",
    "publish.checked",
    "publish.renamed",
    "publish.synced",
    "publish.recorded",
    "publish.committed",
    "reconcile.begun",
    "reconcile.unlinked",
    "reconcile.recorded",
)
"""In the order in which one commit passes them; the last three belong to start-up."""

SLICED_POINTS = ("slice.told",)
"""Passed as well, after ``temporary.created``, by commits that are merged slice by slice; these
reach ``temporary.grown`` for every row group, and ``commit.merged`` before all of it."""

HOT_POINTS = ("hot.begun", "hot.written", "hot.committed")
"""Passed after ``publish.committed``, where the newest rows are copied to ``hot.sqlite``."""

RETENTION_POINTS = (
    "retention.begun",
    "retention.recorded",
    "retention.committed",
    "retention.unlinked",
)
"""Passed where files are taken out of the lake, the last for each of them."""

REVISION_POINTS = ("revision.created", "revision.written", "revision.told")
"""Passed as well by commits that change so many rows that the old ones go into a file: the first
with the first rows, the others between ``temporary.synced`` and ``publish.begun``."""

Hook = Callable[[str], None]

_hook: Hook | None = None


def reached(name: str) -> None:
    """Say that the write path is at *name*."""
    if _hook is not None:
        _hook(name)


def install(hook: Hook | None) -> None:
    """Call *hook* at every point from now on; None takes it away."""
    global _hook
    _hook = hook


def killer(name: str, count: int = 1) -> Hook:
    """A hook that kills this process the *count*-th time it reaches *name*."""
    left = count

    def hook(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _from_environment() -> None:
    if wish := os.environ.get("LAKE_TEST_KILL_AT"):
        name, _, count = wish.partition(":")
        install(killer(name, int(count or 1)))


_from_environment()
