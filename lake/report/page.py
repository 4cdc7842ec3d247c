"""Puts the page together: one HTML text with its style, scripts and data inside, and no network.

Nothing that comes from a lake becomes HTML unescaped: texts pass ``markup``, the script's data is
compressed, and the script itself only ever sets text.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template

from lake import __version__
from lake.report import sections
from lake.report.facts import Facts
from lake.report.markup import escaped
from lake.report.payload import packed

# In the order in which they use one another; one script, so that one digest allows it.
_SCRIPTS = ("data", "tables", "chart", "gaps", "heatmap", "main")
_VENDORED = "lightweight-charts"


def make_page(facts: Facts) -> str:
    """The page about *facts*, as the text of an HTML file."""
    style = _asset("assets", "page.css")
    library = _asset("vendor", f"{_VENDORED}.js")
    script = "\n".join(_asset("assets", f"{name}.js") for name in _SCRIPTS)
    scope = "some series of " if facts.narrowed else ""
    return Template(_asset("assets", "page.html")).substitute(
        policy=_policy(style, library, script),
        title=escaped(f"Quality of {scope}{facts.name}, {facts.made_at:%Y-%m-%d %H:%M} UTC"),
        style=style,
        head=sections.head(facts),
        tiles=sections.tiles(facts),
        reasons=sections.reasons(facts),
        cells_note=sections.cells_note(facts),
        gaps_note=sections.gaps_note(facts),
        checks=sections.checks(facts),
        jobs=sections.jobs(facts),
        storage=sections.storage(facts),
        version=escaped(__version__),
        notice=escaped(_notice()),
        data=packed(facts),
        library=library,
        script=script,
    )


@cache
def _asset(folder: str, name: str) -> str:
    return (files("lake.report") / folder / name).read_text(encoding="utf-8").strip()


def _notice() -> str:
    """What the library's licence asks a page to show, without the address that follows it."""
    return ", ".join(_asset("vendor", "NOTICE").splitlines()).partition(" https:")[0]


def _policy(style: str, *scripts: str) -> str:
    """A Content-Security-Policy: the page's own style and scripts, and nothing from anywhere."""
    run = " ".join(_digest(each) for each in scripts)
    return (
        f"default-src 'none'; script-src {run}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
