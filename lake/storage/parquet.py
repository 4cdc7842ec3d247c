"""Reads the lake's Parquet files through one descriptor, every byte checked. Knows no catalog.

Files of any size are read row group by row group; only :meth:`StoredFile.held` loads one whole.
Writing is in :mod:`lake.storage.writing`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.schemas import RowSpec
from lake.errors import InvalidRequest, SchemaMismatch, StorageError
from lake.storage import disk
from lake.storage.columns import conform
from lake.storage.footer import KEY, Footer

_VALUE_BYTES = 8
"""What a value takes in memory, about: numbers exactly, our texts with their offsets."""


class DamagedFile(StorageError):
    """The file is not what was written: cut short, altered, or not Parquet at all."""


@dataclass(frozen=True, slots=True)
class Written:
    """How large a whole file is, and its digest."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Held(Written):
    """A file as it was read through one descriptor."""

    rows: pa.Table
    footer: Footer


class StoredFile:
    """A file of the lake, open: whatever is renamed over its path meanwhile, this is one state.

    Attributes:
        footer: What it says of itself.
        groups: How many row groups it has.
        decoded_bytes: What all of its rows take in memory, about.
    """

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path = path
        self._file = file
        with self._reading():
            # Read in this thread, because the descriptor is Python's: see _content.
            self._reader = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
            self._metadata = self._reader.metadata
            self.footer = _footer_of(self._metadata, path)
            self.groups: int = self._metadata.num_row_groups
            self.decoded_bytes = _VALUE_BYTES * sum(
                self._metadata.row_group(group).column(column).num_values
                for group in range(self.groups)
                for column in range(self._metadata.num_columns)
            )

    def digest(self) -> Written:
        """Size and digest of the whole file, without keeping it in memory."""
        with self._reading():
            self._file.seek(0)
            sha256 = hashlib.file_digest(self._file, "sha256").hexdigest()
            return Written(self._file.tell(), sha256)

    def held(self, spec: RowSpec) -> Held:
        """All of it at once: for files that fit into memory many times over."""
        with self._reading():
            content = self._content()
            # The same bytes are decoded and digested, whatever the disk does meanwhile.
            with pq.ParquetFile(
                pa.BufferReader(content),
                metadata=self._metadata,
                pre_buffer=False,
                page_checksum_verification=True,
            ) as reader:
                rows = reader.read()
        return Held(
            rows=self._conformed(rows, spec),
            footer=self.footer,
            bytes=content.size,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def _content(self) -> pa.Buffer:
        """The whole file in memory of Arrow's own.

        A thread of Arrow's pool may let go of the last piece of it while Python ends. With
        memory of Python's it would wait for the interpreter then, which ends the whole process:
        "terminate called without an active exception", after everything was done.
        """
        self._file.seek(0, os.SEEK_END)
        content = pa.allocate_buffer(self._file.tell())
        self._file.seek(0)
        if self._file.readinto(content) != content.size:
            raise OSError(f"{self._path} became shorter while it was read")
        return content

    def tables(self, spec: RowSpec) -> Iterator[pa.Table]:
        """The rows, one row group at a time, in order."""
        for group in range(self.groups):
            yield self.group(group, spec)

    def group(self, number: int, spec: RowSpec) -> pa.Table:
        """The rows of one row group."""
        with self._reading():
            rows = self._reader.read_row_group(number, use_threads=False)
        return self._conformed(rows, spec)

    def columns(self, number: int, names: Sequence[str]) -> pa.Table:
        """Some columns of one row group; those that an older file lacks are left out."""
        with self._reading():
            return self._reader.read_row_group(number, columns=list(names), use_threads=False)

    def bounds(self, number: int, name: str) -> tuple[Any, Any] | None:
        """The least and the greatest value of a column in a row group; None where all is null.

        Raises:
            LookupError: The file does not say.
        """
        told = self._statistics(number, name)
        if told.null_count == self._metadata.row_group(number).num_rows:
            return None
        if not told.has_min_max:
            raise LookupError(name)
        return told.min, told.max

    def has_nulls(self, number: int, name: str) -> bool:
        """Whether a column of a row group may have nulls."""
        return bool(self._statistics(number, name).null_count)

    def _statistics(self, number: int, name: str) -> pq.Statistics:
        group = self._metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema == name:
                told = column.statistics
                if told is None or told.null_count is None:
                    break
                return told
        raise LookupError(name)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with disk.storage_errors(f"reading {self._path}"):
            try:
                yield
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's own words, not Arrow's: the file may be sound
                raise _damaged(self._path, error) from error

    def _conformed(self, rows: pa.Table, spec: RowSpec) -> pa.Table:
        try:
            return conform(rows, spec)
        except (SchemaMismatch, UnicodeDecodeError) as error:
            # A name in the footer has a bit flipped, or somebody else wrote the file.
            raise _damaged(self._path, "it has other columns than were written") from error


@contextmanager
def opened(path: Path) -> Iterator[StoredFile | None]:
    """The file at *path*, opened once; None where there is no file.

    Raises:
        DamagedFile: It cannot be read, or was not written by a lake.
    """
    file = _open(path)
    if file is None:
        yield None
        return
    with file:
        yield StoredFile(path, file)


def read_footer(path: Path) -> Footer | None:
    """What the file at *path* says of itself; None where there is no file.

    Raises:
        DamagedFile: It cannot be read, or was not written by a lake.
    """
    with opened(path) as file:
        return None if file is None else file.footer


def read_held(path: Path, spec: RowSpec) -> Held | None:
    """Rows and footer of the file at *path*, every page checked; None where there is no file.

    Raises:
        DamagedFile: It cannot be read, a checksum does not fit, or it has other columns.
    """
    with opened(path) as file:
        return None if file is None else file.held(spec)


def behind(path: Path, found: object | None) -> StorageError:
    """The error for a file that is not there, or is an older one than was recorded."""
    return StorageError(
        f"{path} is {'missing' if found is None else 'older than the catalog says'}. "
        "`lake doctor --repair` marks what it lacks as missing; the next backfill fetches it."
    )


def altered(path: Path) -> DamagedFile:
    """The error for a file whose digest is not the one that was recorded."""
    return _damaged(path, "its digest is not the one that was written")


def _open(path: Path) -> BufferedReader | None:
    with disk.storage_errors(f"reading {path}"):
        try:
            return path.open("rb")
        except FileNotFoundError:
            return None


def _footer_of(metadata: pq.FileMetaData, path: Path) -> Footer:
    text = (metadata.metadata or {}).get(KEY)
    if text is None:
        raise DamagedFile(
            f"{path} was not written by a lake. Move it out of the tree, or bring its rows in "
            "with `lake import`."
        )
    try:
        footer = Footer.from_json(text)
    except (ValueError, KeyError, TypeError, InvalidRequest) as error:
        raise _damaged(path, error) from error
    if footer.rows != metadata.num_rows:
        raise _damaged(path, f"{metadata.num_rows} rows where {footer.rows} were written")
    return footer


def _damaged(path: Path, why: object) -> DamagedFile:
    return DamagedFile(
        f"{path} is damaged ({why}). `lake doctor --repair` moves it to quarantine and marks its "
        "range as missing; the next backfill fetches it again."
    )
