"""Writes the lake's Parquet files: row group by row group, whatever their size.

How columns are encoded is decided in :mod:`lake.storage.settings`.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.schemas import RowSpec
from lake.storage import disk
from lake.storage.footer import KEY, Footer
from lake.storage.parquet import Written
from lake.storage.points import reached
from lake.storage.settings import writer_options


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of a file is handled at a time.

    Attributes:
        whole_bytes: Files of at most so many bytes in memory are merged as one table: quicker
            for small ones. Larger ones are merged slice by slice.
        group_rows: Rows of a row group. A month of minutes is one group; of larger files a
            reader can skip what it does not need.
        group_bytes: What a row group's rows take in memory at most: a thousand levels of a book
            are 32 kB a row.
    """

    whole_bytes: int = 64 << 20
    group_rows: int = 131_072
    group_bytes: int = 32 << 20

    def rows_at_a_time(self, rows: pa.Table) -> int:
        """How many of *rows* make a row group, and are merged at once."""
        a_row: int = max(1, rows.nbytes // max(1, rows.num_rows))
        return max(1, min(self.group_rows, self.group_bytes // a_row))


DEFAULT_SIZES = Sizes()


class PartitionWriter:
    """A new file: rows are appended, then it is finished; on an error it is gone again.

    Args:
        path: Where; there must be nothing yet.
        spec: What the rows are.
        sizes: How many are written at a time.
        is_finished: Whether nobody expects the file to be written again: then it is worth the
            work of compressing it well.

    Raises:
        StorageError: The disk failed.
    """

    def __init__(
        self,
        path: Path,
        spec: RowSpec,
        sizes: Sizes = DEFAULT_SIZES,
        *,
        is_finished: bool = False,
    ) -> None:
        self._path = path
        self._spec = spec
        self._sizes = sizes
        self._is_finished = is_finished
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        with disk.storage_errors(f"writing {path}"):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                reached("temporary.created")
                self._sink = _Sink(self._descriptor)
            except BaseException:
                os.close(self._descriptor)
                path.unlink(missing_ok=True)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        finished = self._sink.closed
        try:
            if not finished:
                # Arrow writes a footer when it is closed, come what may: nowhere.
                self._sink.closed = True
                with suppress(pa.ArrowException, OSError, ValueError):
                    if self._writer is not None:
                        self._writer.close()
        finally:
            os.close(self._descriptor)
            if error is not None or not finished:
                self._path.unlink(missing_ok=True)

    def append(self, rows: pa.Table) -> None:
        """Write *rows* after those before; they are in order and in the schema of the file."""
        if rows.num_rows == 0:
            return
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        group = self._sizes.rows_at_a_time(rows)
        if self._pending_rows < group:
            return
        waiting = pa.concat_tables(self._pending)
        whole = self._pending_rows - self._pending_rows % group
        self._write(waiting.slice(0, whole), group, is_all=False)
        self._pending_rows -= whole
        self._pending = [waiting.slice(whole)] if self._pending_rows else []

    def finish(self, footer: Footer) -> Written:
        """Write what is left and *footer*, and force all of it onto the disk."""
        waiting = pa.concat_tables([self._spec.schema.empty_table(), *self._pending])
        self._write(waiting, self._sizes.rows_at_a_time(waiting), is_all=self._writer is None)
        assert self._writer is not None
        with disk.storage_errors(f"writing {self._path}"):
            self._writer.add_key_value_metadata({KEY: footer.to_json()})
            self._writer.close()
            reached("temporary.written")
            disk.sync_file(self._descriptor)
            reached("temporary.synced")
        self._sink.closed = True
        return Written(self._sink.position, self._sink.digest.hexdigest())

    def _write(self, rows: pa.Table, group: int, *, is_all: bool) -> None:
        with disk.storage_errors(f"writing {self._path}"):
            if self._writer is None:
                options = writer_options(
                    self._spec,
                    rows.slice(0, group),
                    is_all=is_all and rows.num_rows <= group,
                    is_finished=self._is_finished,
                )
                self._writer = pq.ParquetWriter(cast(Any, self._sink), self._spec.schema, **options)
            for first in range(0, rows.num_rows, group):
                self._writer.write_table(rows.slice(first, group), row_group_size=group)
                reached("temporary.grown")


class _Sink:
    """A file for Arrow to write to, which counts and digests what goes through."""

    def __init__(self, descriptor: int) -> None:
        self.position = 0
        self.digest = hashlib.sha256()
        self.closed = False
        self._descriptor = descriptor

    def write(self, content: Any) -> int:
        view = memoryview(content)
        if self.closed:
            return len(view)
        written = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
        self.digest.update(view)
        self.position += len(view)
        return len(view)

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        """Every write has gone to the kernel already."""

    def close(self) -> None:
        """The descriptor belongs to the caller, who has yet to sync it."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
