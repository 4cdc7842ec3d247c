"""The newest rows of a series from its files, reading no more of them than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.held import HeldFile
from lake.domain.identifiers import Series
from lake.domain.schemas import ROW_SPECS
from lake.storage import parquet
from lake.storage.held import held_files

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest rows of a series, ascending, and the files that they are from, ascending.

    Of files that were replaced while they were read ``files`` says what was listed, and
    ``as_listed`` is false.
    """

    rows: pa.Table
    files: Sequence[HeldFile]
    is_whole: bool
    as_listed: bool


def newest_rows(storage: Storage, series: Series, limit: int) -> Tail | None:
    """The newest *limit* rows of *series*; None where it was never stored.

    Every page's checksum is verified. Row groups are read from the end on.

    Raises:
        StorageError: A file is damaged, or gone.
    """
    for look in range(1, _LOOKS + 1):
        listed = held_files(storage.database, series)
        if listed is None:
            return None
        try:
            return _read(storage, series, listed, limit)
        except _Gone as error:
            if look == _LOOKS:
                raise parquet.behind(storage.parquet / str(error), None) from error
    raise AssertionError("unreachable")


class _Gone(Exception):
    """A file was removed after it was listed."""


def _read(storage: Storage, series: Series, listed: list[HeldFile], limit: int) -> Tail:
    spec = ROW_SPECS[series.data_type]
    pieces: list[pa.Table] = []
    used: list[HeldFile] = []
    rows = 0
    as_listed = True
    for file in reversed(listed):
        if rows >= limit:
            break
        used.append(file)
        path = storage.parquet / file.path
        with parquet.opened(path) as opened:
            if opened is None:
                raise _Gone(file.path)
            if opened.footer.generation < file.generation:
                raise parquet.behind(path, opened)
            as_listed = as_listed and opened.footer.generation == file.generation
            for group in reversed(range(opened.groups)):
                if rows >= limit:
                    break
                pieces.append(opened.group(group, spec))
                rows += pieces[-1].num_rows
    table = pa.concat_tables(reversed(pieces)) if pieces else spec.schema.empty_table()
    is_whole = len(used) == len(listed) and rows == sum(file.rows for file in listed)
    return Tail(
        table.slice(max(0, rows - limit)),
        used[::-1],
        is_whole=is_whole and rows <= limit,
        as_listed=as_listed,
    )
