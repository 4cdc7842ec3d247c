"""Holds the rows of a day until it is over: a few in memory, more of them in a file. Bounded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import pyarrow as pa


class Spool:
    """Tables in the order in which they come, to be read as often as is needed.

    Args:
        schema: What all of them have.
        folder: Where the file goes: a disk with room for the rows, and not the memory that a
            system may use for temporary files. It is deleted as soon as it is open.
        most_bytes: What rows may take in memory.
    """

    def __init__(self, schema: pa.Schema, folder: Path, *, most_bytes: int) -> None:
        self._schema = schema
        self._folder = folder
        self._most = most_bytes
        self._tables: list[pa.Table] = []
        self._waiting = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def append(self, table: pa.Table) -> None:
        """Take in the rows that come next."""
        self._waiting += table.nbytes
        self._tables.append(table)
        if self._waiting > self._most:
            self._spill()

    def content(self) -> pa.Table | Spool:
        """All rows: a table where they fit into memory, else what gives them piece by piece."""
        if self._file is not None:
            self._spill()
            return self
        return pa.concat_tables([self._schema.empty_table(), *self._tables])

    def __iter__(self) -> Iterator[pa.Table]:
        """The rows from the first on; appending has to wait meanwhile."""
        if self._file is not None:
            self._file.flush()
            self._file.seek(0)
            with pa.ipc.open_stream(cast(pa.NativeFile, self._file)) as reader:
                for batch in reader:
                    at = self._file.tell()
                    yield pa.Table.from_batches([batch])
                    # Somebody else may have read it, or this, meanwhile.
                    self._file.seek(at)
        yield from self._tables

    def clear(self) -> None:
        """Begin anew, without any rows."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.close()
        self._writer = self._file = None
        self._tables, self._waiting = [], 0

    def _spill(self) -> None:
        if self._file is None:
            self._file = cast(IO[bytes], tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            self._writer = pa.ipc.new_stream(
                self._file, self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
            )
        assert self._writer is not None
        self._file.seek(0, os.SEEK_END)
        for table in self._tables:
            self._writer.write_table(table)
        self._tables, self._waiting = [], 0
