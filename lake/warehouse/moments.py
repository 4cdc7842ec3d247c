"""Moments in SQL and among its parameters: an offset is never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import duckdb

from lake.domain.times import utc
from lake.errors import InvalidRequest
from lake.sql_files import sql_files

# As DuckDB reads a timestamp, which needs no leading zeros and takes other signs between.
_WITH_OFFSET = re.compile(
    r"\d+[-/\\ ]\d{1,2}[-/\\ ]\d{1,2}[T ]\s*\d{1,2}:\d\d(:\d\d([.,]\d+)?)?"
    r"\s*(Z|[+-]\d\d(:?\d\d(:?\d\d)?)?)",
    re.IGNORECASE,
)
_STRING = re.compile(r"e?'((?:[^']|'')*)'", re.IGNORECASE)
_MORE = re.compile(r"\s*\n\s*'((?:[^']|'')*)'")
_DOLLARS = re.compile(r"(\$\w*\$)(.*?)\1", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# The types that count an offset.
_WITH_ZONE = (["timestamptz"], ["timestamp", "with", "time", "zone"])
_CASTS = frozenset({"cast", "try_cast"})
# DuckDB's functions that count an offset, where the format says %z.
_PARSING = frozenset({"strptime", "try_strptime"})


def require_offsets_kept(sql: str) -> None:
    """Refuse a text with an offset unless what is done with it counts the offset.

    That is: our macros, ``::timestamptz`` in all its spellings, and ``strptime``. Everywhere else
    DuckDB makes a timestamp of the text sooner or later (comparisons, lists, casts, function
    arguments, columns of an inner query), and leaves the offset out without a word.

    Raises:
        InvalidRequest: An offset would be dropped.
    """
    data = sql.encode()
    tokens = duckdb.tokenize(sql)
    ends = [*(offset for offset, _ in tokens), len(data)][1:]
    texts = [
        data[start:end].decode(errors="replace")
        for (start, _), end in zip(tokens, ends, strict=True)
    ]
    words = [_COMMENT.sub("", text).strip().strip('"').lower() for text in texts]
    inside = [""]  # whose parentheses are open
    for at, (text, (_, kind)) in enumerate(zip(texts, tokens, strict=True)):
        if kind == duckdb.token_type.string_const:
            literal = _literal(text)
            if _has_offset(literal) and not _is_kept(words[:at], words[at + 1 :], inside[-1]):
                raise InvalidRequest(
                    f"The offset of '{literal}' would be dropped: times here are UTC without a "
                    f"zone. Write '{literal}'::timestamptz::timestamp, or the time in UTC."
                )
        elif words[at] == "(":
            inside.append(words[at - 1] if at else "")
        elif words[at] == ")" and len(inside) > 1:
            inside.pop()


def _is_kept(before: list[str], after: list[str], function: str) -> bool:
    """Whether the offset of a text counts, by the words around it."""
    if after[:1] == ["::"]:
        return _is_zoned(after[1:])
    if function in _CASTS:
        return after[:1] == ["as"] and _is_zoned(after[1:])
    return function in _macros() | _PARSING or any(
        before[-len(words) :] == words for words in _WITH_ZONE
    )


def _is_zoned(words: list[str]) -> bool:
    return any(words[: len(each)] == each for each in _WITH_ZONE)


@cache
def _macros() -> frozenset[str]:
    """Our own, which take moments by ``lake_moment``."""
    files = (*sql_files("macros"), *sql_files("analytics"))
    names = {file.header.get("macro") or file.header["analytics"] for file in files}
    return frozenset(name for name in names if not name.startswith("lake_")) | {"lake_moment"}


def _literal(token: str) -> str:
    """The text that a token stands for, whichever way it is quoted."""
    if dollars := _DOLLARS.match(token):
        return dollars[2]
    found = _STRING.match(token)
    text = ""
    while found is not None:
        text += found[1].replace("''", "'")
        found = _MORE.match(token, found.end())  # parts on several lines are one text
    return text


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
        return {name: _kept(value) for name, value in parameters.items()}
    return [_kept(value) for value in parameters]


def _kept(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, (list, tuple)):
        return [_kept(each) for each in value]
    if isinstance(value, str) and _WITH_OFFSET.fullmatch(value.strip()):
        try:
            return utc(datetime.fromisoformat(value.strip()))
        except ValueError as error:
            raise InvalidRequest(
                f"The offset of the parameter {value!r} cannot be understood. Write the moment as "
                "2024-01-31T04:00:00+02:00, or in UTC."
            ) from error
    return value
