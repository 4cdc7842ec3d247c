"""Makes the few pieces of HTML that the page consists of. Every text is escaped here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Html:
    """What is HTML already, made here."""

    text: str


Cell = Html | str | int | float | datetime | None


def escaped(text: str) -> str:
    """*text* as HTML that shows it."""
    return escape(text, quote=True)


def shown(value: Cell) -> str:
    """*value* as HTML for people."""
    match value:
        case Html(text):
            return text
        case None:
            return '<span class="none">–</span>'
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case datetime():
            return f"<time>{value:%Y-%m-%d %H:%M}</time>"
    return escaped(value)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table that can be scrolled sideways by itself; columns of numbers stand to the right."""
    right = [
        any(isinstance(row[place], int | float) for row in rows) for place in range(len(columns))
    ]
    marks = [' class="number"' if each else "" for each in right]
    head = "".join(
        f'<th scope="col"{mark}>{escaped(name)}</th>'
        for name, mark in zip(columns, marks, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{mark}>{shown(value)}</td>" for value, mark in zip(row, marks, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}">'
        f"<table><caption>{escaped(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def size(count: float) -> str:
    """A number of bytes for people."""
    place = 0
    while count >= 1000 and place < len(_UNITS) - 1:
        count, place = count / 1000, place + 1
    return f"{count:.0f} bytes" if place == 0 else f"{count:.1f} {_UNITS[place]}"


def percent(ratio: float | None) -> str:
    """A ratio for people; what is not whole never looks whole."""
    if ratio is None:
        return "–"
    if ratio >= 1:
        return "100 %"
    return f"{min(ratio * 100, 99.9999):.4g} %" if ratio > 0.99 else f"{ratio * 100:.1f} %"


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
