"""Writes the lake's Parquet files: row group by row group, whatever their size.

Decides the settings of every data type; ``bench_storage.py`` and ``bench_settings.py`` in
``tests/benchmarks`` measure them.
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

from lake.domain.identifiers import DataType
from lake.domain.schemas import RowSpec
from lake.storage import disk
from lake.storage.footer import KEY, Footer
from lake.storage.parquet import Written
from lake.storage.points import reached

_ZSTD_LEVEL = 3
# Books repeat their levels: 12 % smaller than level 3, and there are few rows to write.
_ZSTD_LEVELS = {DataType.ORDERBOOK: 6}
_DICTIONARY_TEXTS = {"side"}


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

    Raises:
        StorageError: The disk failed.
    """

    def __init__(self, path: Path, spec: RowSpec, sizes: Sizes = DEFAULT_SIZES) -> None:
        self._path = path
        self._sizes = sizes
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        with disk.storage_errors(f"writing {path}"):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                reached("temporary.created")
                self._sink = _Sink(self._descriptor)
                self._writer = _writer(self._sink, spec)
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
        self._write(waiting.slice(0, whole), group)
        self._pending_rows -= whole
        self._pending = [waiting.slice(whole)] if self._pending_rows else []

    def finish(self, footer: Footer) -> Written:
        """Write what is left and *footer*, and force all of it onto the disk."""
        if self._pending:
            waiting = pa.concat_tables(self._pending)
            self._write(waiting, self._sizes.rows_at_a_time(waiting))
        with disk.storage_errors(f"writing {self._path}"):
            self._writer.add_key_value_metadata({KEY: footer.to_json()})
            self._writer.close()
            reached("temporary.written")
            disk.sync_file(self._descriptor)
            reached("temporary.synced")
        self._sink.closed = True
        return Written(self._sink.position, self._sink.digest.hexdigest())

    def _write(self, rows: pa.Table, group: int) -> None:
        with disk.storage_errors(f"writing {self._path}"):
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


def _writer(sink: _Sink, spec: RowSpec) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        cast(Any, sink),
        spec.schema,
        compression="zstd",
        compression_level=_ZSTD_LEVELS.get(spec.data_type, _ZSTD_LEVEL),
        use_dictionary=dictionary_columns(spec) or False,
        column_encoding=encodings(spec),
        write_page_checksum=True,
        # Types and field ids are in Parquet's own schema; Arrow's copy would only add bytes.
        store_schema=False,
    )


def dictionary_columns(spec: RowSpec) -> list[str]:
    """Text of few values, and the lists of a book: one snapshot repeats most of the last.

    A list goes by the path of its leaf; its own name would be ignored without a word, which
    costs a quarter of the size.
    """
    return [
        f"{field.name}.list.{field.type.value_field.name}" if _is_list(field) else field.name
        for field in spec.schema
        if _is_list(field) or field.name in _DICTIONARY_TEXTS
    ]


def encodings(spec: RowSpec) -> dict[str, str]:
    """Of the columns without a dictionary (facts/performance.md, section 2)."""
    chosen: dict[str, str] = {}
    for field in spec.schema:
        if field.name in _DICTIONARY_TEXTS or _is_list(field):
            continue
        if pa.types.is_floating(field.type):
            chosen[field.name] = "PLAIN"
        elif pa.types.is_string(field.type):
            chosen[field.name] = "DELTA_BYTE_ARRAY"
        else:
            chosen[field.name] = "DELTA_BINARY_PACKED"
    return chosen


def _is_list(field: pa.Field) -> bool:
    return bool(pa.types.is_list(field.type))
