"""Draws how many violations a check found from run to run, as a small SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

from lake.report.facts import RUNS_MOST, Row
from lake.report.markup import escaped

_STEP, _BAR, _HEIGHT = 5, 4, 20
_FLOOR = 2  # a run that found nothing is seen to have been one


def sparkline(runs: Sequence[Row]) -> str:
    """One bar a run, oldest left; heights are logarithmic, for 1 and 10,000 stand side by side."""
    most = max((row["violations"] for row in runs), default=0)
    bars = []
    for place, row in enumerate(runs, start=RUNS_MOST - len(runs)):
        share = log1p(row["violations"]) / log1p(most) if most else 0.0
        failed = row["status"] == "failed"
        height = _HEIGHT if failed else _FLOOR + share * (_HEIGHT - _FLOOR)
        # What is said for information lets a run pass.
        kind = {"failed": "failed", "violated": "found"}.get(row["status"], "passed")
        bars.append(
            f'<rect class="{kind}" x="{place * _STEP}" y="{_HEIGHT - height:.1f}" '
            f'width="{_BAR}" height="{height:.1f}"/>'
        )
    told = ", ".join(
        "could not run" if row["status"] == "failed" else f"{row['violations']:,}" for row in runs
    )
    label = escaped(f"violations run by run, oldest first: {told}")
    width = RUNS_MOST * _STEP
    return (
        f'<svg class="trend" role="img" aria-label="{label}" viewBox="0 0 {width} {_HEIGHT}" '
        f'width="{width}" height="{_HEIGHT}"><title>{label}</title>{"".join(bars)}</svg>'
    )
