"""``python -m lake``."""

from __future__ import annotations

from lake.cli import run

run()
