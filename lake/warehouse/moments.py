"""Moments among the parameters of SQL: an offset is never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lake.domain.times import utc

_WITH_OFFSET = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,6})?)?\s*(Z|[+-]\d\d(:?\d\d)?)", re.IGNORECASE
)


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
