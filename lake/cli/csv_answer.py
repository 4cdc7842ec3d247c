"""Writes an answer as CSV, whatever its types: what CSV has no form for becomes text."""

from __future__ import annotations

from datetime import date, datetime
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from lake.cli.answer_rows import is_beyond_python, values_of
from lake.cli.output import json_text

if TYPE_CHECKING:
    from pathlib import Path


def write_csv(answer: pa.Table, out: Path | IO[bytes]) -> None:
    """Write *answer*; lists, structs and maps as JSON text in their cell."""
    for index, field in enumerate(answer.schema):
        if _needs_text(field.type) or is_beyond_python(answer.column(index)):
            values = values_of(answer.column(index))
            texts = [None if value is None else _text(value) for value in values]
            answer = answer.set_column(index, field.name, pa.array(texts, pa.string()))
    pa_csv.write_csv(answer, out)


def _needs_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_nested(kind)
        or pa.types.is_interval(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, str):
        return value
    return json_text(value)
