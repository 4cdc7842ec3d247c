"""Reads a CSV whose rows are levels of one order book, as typed tables.

A line that cannot be read cannot be left out of a book, so a file with one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake.sources.archive.container import Container, open_container, refused
from lake.sources.archive.csv_blocks import CsvBlocks, CsvColumns

# A day of changes of a busy market is some 12 GB.
_MOST_BYTES = 64 << 30


@contextmanager
def book_tables(
    path: Path, columns: CsvColumns, symbol: str
) -> Iterator[tuple[Iterator[pa.Table], Container]]:
    """The rows of the file at *path*, all of *symbol*, as they follow one another.

    Raises:
        SourceError: It is damaged, or has rows of others, also while it is read.
    """
    with open_container(path) as container:
        yield _checked(path, CsvBlocks(container, columns, _MOST_BYTES), symbol), container


def _checked(path: Path, csv: CsvBlocks, symbol: str) -> Iterator[pa.Table]:
    try:
        for block in csv.read(is_text=False):
            table = block.table.combine_chunks()
            others = [name for name in pc.unique(table["symbol"]).to_pylist() if name != symbol]
            if others:
                raise refused(path, f"holds books of others, too: {', '.join(others[:3])}")
            if table.num_rows:
                yield table
    except pa.ArrowInvalid as error:
        why = str(error).split("\n")[0]
        raise refused(path, f"has a line that is no part of a book ({why})") from error


def spans(edges: list[int], end: int) -> Iterator[tuple[int, int]]:
    """The stretches of rows between *edges*."""
    yield from zip([0, *edges], [*edges, end], strict=True)
