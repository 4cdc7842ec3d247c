"""Opens the files of a read, each once, and makes sure that they hold what was written.

A file's digest is compared with the catalog's the first time that this process reads that very
version of it; later reads of the same version need not. A file that was replaced since it was
listed is read as it is now: then every page is compared with its checksum instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.held import HeldFile
from lake.errors import StorageError

# Reading and digesting is all CPU, so more threads than processors only add memory.
_THREADS = min(8, os.cpu_count() or 1)
_WORTH_THREADS = 4 << 20
# A file from this size on is handed on as a descriptor: only the columns wanted are read.
_LARGE = 512 << 10
_REMEMBERED = 200_000
_FOOTER_KEY = b"lake"

_Version = tuple[int, int, int, int, str]
_verified: dict[str, _Version] = {}
_lock = threading.Lock()


class FileGone(StorageError):
    """A file went away after it was listed: ask the catalog again, and read again."""


@dataclass(frozen=True, slots=True)
class Content:
    """One file's content: its bytes, or the one descriptor through which they are read.

    ``newer`` holds the rows of a file that was replaced after it was listed.
    """

    file: HeldFile
    source: bytes | BufferedReader
    newer: pa.Table | None = None


class Contents:
    """The contents of several files, in order; descriptors are closed at the end."""

    def __init__(self, parquet: Path, files: Sequence[HeldFile]) -> None:
        self._open: list[BufferedReader] = []
        try:
            self.all = self._load(parquet, files)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for each in self._open:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self, parquet: Path, files: Sequence[HeldFile]) -> list[Content]:
        if len(files) > 1 and sum(each.bytes for each in files) >= _WORTH_THREADS:
            with ThreadPoolExecutor(_THREADS) as pool:
                return list(pool.map(lambda each: self._one(parquet, each), files))
        return [self._one(parquet, each) for each in files]

    def _one(self, parquet: Path, file: HeldFile) -> Content:
        path = parquet / file.path
        try:
            with ExitStack() as stack:
                opened = stack.enter_context(path.open("rb"))
                state = os.fstat(opened.fileno())
                version = (
                    state.st_dev,
                    state.st_ino,
                    state.st_size,
                    state.st_mtime_ns,
                    file.sha256,
                )
                is_large = state.st_size >= _LARGE
                content = b"" if is_large else opened.read()
                if _verified.get(str(path)) != version:
                    # Large ones through a small buffer: half the time of taking them into memory.
                    digest = (
                        hashlib.file_digest(opened, "sha256")
                        if is_large
                        else hashlib.sha256(content)
                    )
                    opened.seek(0)
                    if digest.hexdigest() != file.sha256:
                        return Content(file, b"", _newer(path, file, opened.read()))
                    _remember(str(path), version)
                if not is_large:
                    return Content(file, content)
                # From here on ``close`` closes it, also where another file fails.
                stack.pop_all()
                self._open.append(opened)
                return Content(file, opened)
        except FileNotFoundError as error:
            raise FileGone(
                f"{path} is listed and not there. It was removed meanwhile, or outside of the "
                "lake: `lake doctor` tells."
            ) from error
        except OSError as error:
            raise damaged(path, error) from error


def damaged(path: Path, why: object) -> StorageError:
    """The error for a file whose rows cannot be had."""
    return StorageError(
        f"{path} cannot be read: {why}. `lake doctor --repair` moves a damaged file away; "
        "the next backfill fetches its range again."
    )


def _newer(path: Path, file: HeldFile, content: bytes) -> pa.Table:
    """The rows of a file that is another version than the one listed.

    Raises:
        StorageError: It is no later version, so it was altered outside of the lake.
    """
    try:
        reader = pq.ParquetFile(
            pa.BufferReader(content), pre_buffer=False, page_checksum_verification=True
        )
        footer = json.loads((reader.metadata.metadata or {})[_FOOTER_KEY])
        if int(footer["generation"]) == file.generation:
            raise damaged(path, "its digest is not the one that was written")
        if int(footer["generation"]) < file.generation:
            raise damaged(path, "it is older than the catalog says")
        # In this thread: one of Arrow's may not hold Python's memory when Python ends.
        rows: pa.Table = reader.read(use_threads=False)
    except (KeyError, ValueError, TypeError, OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    return rows


def _remember(path: str, version: _Version) -> None:
    with _lock:
        if len(_verified) >= _REMEMBERED:
            _verified.clear()
        _verified[path] = version


def in_batches(
    files: Iterable[HeldFile], *, most_files: int, most_bytes: int
) -> Iterable[list[HeldFile]]:
    """*files* in order, in batches that need neither too many descriptors nor too much memory."""
    batch: list[HeldFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= most_files or size + file.bytes > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes
    if batch:
        yield batch
