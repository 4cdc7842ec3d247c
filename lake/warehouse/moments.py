"""Moments in SQL and among its parameters: an offset is never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from lake.domain.times import utc
from lake.errors import InvalidRequest

_WITH_OFFSET = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?\s*(Z|[+-]\d\d(:?\d\d)?)", re.IGNORECASE
)
_STRING = re.compile(r"'((?:[^']|'')*)'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# What stands before a text that DuckDB turns into a timestamp by itself.
_BEFORE = frozenset({"<", ">", "<=", ">=", "=", "==", "<>", "!=", "between", "and", "timestamp"})


def require_offsets_kept(sql: str) -> None:
    """Refuse a text with an offset where DuckDB would make a timestamp of it without the offset.

    Our macros take offsets, and so does ``::timestamptz``; these pass.

    Raises:
        InvalidRequest: An offset would be dropped without a word.
    """
    data = sql.encode()
    starts = [offset for offset, _ in duckdb.tokenize(sql)]
    words = [
        _word(data[start:end].decode(errors="replace"))
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True)
    ]
    for at, word in enumerate(words):
        text = _STRING.match(word)
        if text is None or not _has_offset(text[1]):
            continue
        before = words[at - 1].lower() if at else ""
        after = [each.lower() for each in words[at + 1 : at + 3]]
        is_cast = after[:1] == ["::"]
        if is_cast and after[1:] != ["timestamp"]:
            continue
        if is_cast or before in _BEFORE:
            raise InvalidRequest(
                f"The offset of {text[0]} would be dropped: times here are UTC without a zone. "
                f"Write {text[0]}::timestamptz::timestamp, or the time in UTC."
            )


def _word(token: str) -> str:
    """A token without what the lexer does not report: blanks and comments behind it."""
    return token if token.startswith("'") else _COMMENT.sub("", token).strip()


def _has_offset(text: str) -> bool:
    found = _WITH_OFFSET.fullmatch(text.strip())
    return found is not None and found[3].strip("+-0:Zz") != ""


def bound(
    parameters: Mapping[str, Any] | Sequence[Any] | None,
) -> Mapping[str, Any] | Sequence[Any] | None:
    """*parameters* with each moment that has an offset as a naive one in UTC, texts too.

    DuckDB drops the offset of a text that is compared with a timestamp, without a word.
    """
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return {name: _moment_or_same(value) for name, value in parameters.items()}
    return [_moment_or_same(value) for value in parameters]


def _moment_or_same(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, str) and _WITH_OFFSET.fullmatch(value.strip()):
        return utc(datetime.fromisoformat(value.strip()))
    return value
