"""What is noted beside a download: which version of its file it is, so that it can be resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def note_path(path: Path) -> Path:
    return path.with_name(f".{path.name.lstrip('.')}.json")


def note_of(path: Path) -> dict[str, Any]:
    """What was noted of a download; nothing where that was torn."""
    try:
        told = json.loads(note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def set_note(path: Path, told: dict[str, Any]) -> None:
    note_path(path).write_text(json.dumps(told), encoding="utf-8")
