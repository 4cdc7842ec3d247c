"""What commands that take something away ask before they do."""

from __future__ import annotations

import sys

from lake.errors import InvalidRequest


def require_yes(what: str, *, yes: bool) -> None:
    """Go on only if that was said beforehand or is typed now.

    Args:
        what: What is about to happen: ``2 files (1.2 MB) go for good``.
        yes: Whether ``--yes`` was given.

    Raises:
        InvalidRequest: The answer was no, or nobody is there to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidRequest(
            f"{what}, and nobody is there to ask. Nothing was changed. Give --yes, or look first "
            "with --dry-run."
        )
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRequest("Nothing was changed, as you said.")
