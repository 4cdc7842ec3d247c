"""Readers while the file that they read is replaced: no error, and each answer one commit's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_kit import JANUARY, answered, begin, candles, store

from lake.storage.lake import Storage

Reader = Callable[[Storage, Path], pa.Table]


def by_the_lake(storage: Storage, path: Path) -> pa.Table:
    rows = storage.read_partition(JANUARY)
    assert rows is not None
    return rows


def by_polars(storage: Storage, path: Path) -> pa.Table:
    """From one descriptor, as the lake hands it on; by path it fails (facts, section 3.2)."""
    with path.open("rb") as file:
        return pl.read_parquet(file).to_arrow()


def by_arrow(storage: Storage, path: Path) -> pa.Table:
    with path.open("rb") as file, pq.ParquetFile(file) as parquet:
        return parquet.read()


def size_of(version: int) -> int:
    return 100 + version % 600


@contextmanager
def replaced(storage: Storage, times_a_second: float) -> Iterator[list[int]]:
    """January is replaced all the time: each version gives its number as the price of its
    first rows. Yields the list of versions published."""
    lease = begin(storage)
    store(storage, lease, candles(range(size_of(1)), close=1.0), answered(0, 101))
    versions = [1]
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(1 / times_a_second):
            version = versions[-1] + 1
            store(storage, lease, candles(range(size_of(version)), close=float(version)))
            versions.append(version)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield versions
    finally:
        stop.set()
        thread.join()


def read_until(
    storage: Storage, reader: Reader, versions: list[int], enough: Callable[[int], bool]
) -> int:
    """Read again and again, until *enough* says so of the number of reads."""
    path = storage.parquet / JANUARY.path
    reads = 0
    while not enough(reads):
        before = versions[-1]
        rows = reader(storage, path)
        prices = rows["close"].to_pylist()
        newest = int(prices[0])
        assert before <= newest <= versions[-1] + 1
        # Rows past those that the version replaced keep an older price.
        assert prices[: size_of(newest)] == [float(newest)] * size_of(newest)
        assert max(prices) == newest
        reads += 1
    return reads


READERS = [by_the_lake, by_polars, by_arrow]


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_meets_one_commit_however_fast_files_are_replaced(
    storage: Storage, reader: Reader
) -> None:
    end = time.monotonic() + 60  # on the slowest machine; a second is usual
    with replaced(storage, 200) as versions:
        reads = read_until(
            storage,
            reader,
            versions,
            lambda reads: (reads >= 30 and len(versions) >= 30) or time.monotonic() > end,
        )

    assert reads >= 30
    assert len(versions) >= 30


@pytest.mark.torture
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_under_five_replacements_a_second_for_a_minute(
    storage: Storage, reader: Reader
) -> None:
    end = time.monotonic() + 60
    with replaced(storage, 5) as versions:
        reads = read_until(storage, reader, versions, lambda _: time.monotonic() > end)

    assert reads > 1000
    assert len(versions) > 150
