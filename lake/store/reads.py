"""Reads series: the file list from the catalog, the rows from the files, one look each.

Joins storage and warehouse. Blocks; who awaits runs it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from lake.domain.held import SeriesFiles
from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import range_or_none
from lake.domain.times import EPOCH, to_us
from lake.errors import InvalidRequest, SeriesNotFound, StorageError
from lake.storage.held import held_files, held_series

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage

_T = TypeVar("_T")
# A file can be removed between the look into the catalog and the read; never many times in a row.
_LOOKS = 5
_LAST = datetime(9999, 12, 31)
_NAMES_SHOWN = 5


def read(
    storage: Storage,
    wanted: Sequence[Series],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
    named: bool = False,
) -> pl.DataFrame:
    """The stored rows of ``[start, end)``, each series ascending by ``ts``, one after the other.

    Args:
        storage: The lake.
        wanted: Series of one data type.
        start: First moment wanted (naive UTC); None for everything held.
        end: First moment not wanted any more.
        columns: Columns in the order wanted; None for all.
        named: Put ``venue`` and ``instrument`` in front.

    Raises:
        SeriesNotFound: A series was never stored.
        InvalidRequest: A column does not exist, or the end is not after the start.
        StorageError: A file is damaged.
    """
    from lake.warehouse.reader import read_series

    return with_files(
        storage,
        wanted,
        start,
        end,
        lambda files: read_series(
            storage.parquet, files, start=start, end=end, columns=columns, named=named
        ),
    )


def with_files(
    storage: Storage,
    wanted: Sequence[Series],
    start: datetime | None,
    end: datetime | None,
    act: Callable[[list[SeriesFiles]], _T],
) -> _T:
    """What *act* gives for the files of *wanted*; asked again where one of them went away.

    Raises:
        SeriesNotFound: A series was never stored.
        InvalidRequest: The end is not after the start.
    """
    from lake.warehouse.contents import FileGone

    if range_or_none(start or EPOCH, end or _LAST) is None:
        raise InvalidRequest(
            f"Nothing lies from {start or 'the beginning'} to {end}: the end is not after it."
        )
    last: StorageError | None = None
    for _ in range(_LOOKS):
        try:
            return act(files_of(storage, wanted, start, end))
        except FileGone as error:
            last = error
    assert last is not None
    raise last


def files_of(
    storage: Storage, wanted: Sequence[Series], start: datetime | None, end: datetime | None
) -> list[SeriesFiles]:
    """The files that may hold rows of ``[start, end)``.

    Raises:
        SeriesNotFound: A series was never stored.
    """
    low = None if start is None else to_us(start)
    high = None if end is None else to_us(end)
    listed = []
    for series in wanted:
        files = held_files(storage.database, series, low, high)
        if files is None:
            raise not_found(storage, series)
        listed.append(SeriesFiles(series, files))
    return listed


def not_found(storage: Storage, series: Series) -> SeriesNotFound:
    """The error for a series that was never stored, with what is near."""
    held = [each for kind in DataType for each in held_series(storage.database, kind)]
    near = [str(each) for each in held if each.instrument_id == series.instrument_id]
    near += get_close_matches(str(series), list(map(str, held)), n=_NAMES_SHOWN, cutoff=0.5)
    names = ", ".join(list(dict.fromkeys(near))[:_NAMES_SHOWN])
    hint = f"Near: {names}." if names else "Nothing like it is held."
    return SeriesNotFound(f"{series} was never stored in {storage.root}. {hint}")
