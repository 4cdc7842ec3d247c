"""The room that runs checks over a lake and repairs what they find.

Checks are SQL files (``sql/checks/``, and the user's own in ``checks/`` beside ``lake.toml``);
DuckDB answers them, SQLite remembers what they said.
"""

from __future__ import annotations

from lake.quality.known import known_checks, read_check
from lake.quality.reasons import explain_gaps, explained_gaps
from lake.quality.repair import damages_of
from lake.quality.running import Scope, run_checks

__all__ = [
    "Scope",
    "damages_of",
    "explain_gaps",
    "explained_gaps",
    "known_checks",
    "read_check",
    "run_checks",
]
