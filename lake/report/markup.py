"""Makes the few pieces of HTML that the page consists of. Every text is escaped here. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def prose(text: str) -> str:
    """*text* as HTML; what stands between backticks is a command or name."""
    parts = escaped(text).split("`")
    return "".join(
        f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)
    )


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    right: Collection[str] = (),
    wide: Collection[str] = (),
) -> str:
    """A table that a narrow screen shows as one block a row.

    Args:
        caption: For who does not see it.
        columns: Their names; empty where a column needs none.
        rows: A cell for each.
        right: Columns that stand to the right although they are text; numbers do so anyway.
        wide: Columns of sentences, or of what a row is about: a block gives them a line.
    """
    marks = []
    for place, name in enumerate(columns):
        is_right = name in right or any(isinstance(row[place], int | float) for row in rows)
        marks.append(' class="number"' if is_right else ' class="said"' if name in wide else "")
    head = "".join(
        f'<th scope="col" role="columnheader"{mark}>{escaped(name)}</th>'
        for name, mark in zip(columns, marks, strict=True)
    )
    names = [f' data-name="{escaped(name)}"' if name else "" for name in columns]
    body = "\n".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell"{mark}{name}>{shown(value)}</td>'
            for value, mark, name in zip(row, marks, names, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    # The roles stay where a narrow screen shows each row as a block.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}">'
        f'<table role="table"><caption>{escaped(caption)}</caption>'
        f'<thead><tr role="row">{head}</tr></thead><tbody>{body}</tbody></table></div>'
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
