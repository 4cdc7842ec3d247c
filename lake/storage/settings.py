"""Decides how the columns of a Parquet file are encoded and compressed, by what was measured.

Only encodings that every reader of the lake knows: Spark's vectorised reader, for one, refuses
BYTE_STREAM_SPLIT (SPARK-56894, open in May 2026), so it is not used even where it would win.
``bench_settings.py`` and ``bench_bytes.py`` in ``tests/benchmarks`` give the figures.
"""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake.domain.identifiers import DataType
from lake.domain.schemas import RowSpec

_LEVEL = 3
# Five times the work of level 3 for 6 to 10 % fewer bytes: for what is written for good, and
# for files so small that nobody notices.
_STRONG_LEVEL = 8
# Candles come by the million, and few of their columns gain by that. On months of real minutes
# these levels give files of 0.8 % fewer to 1.3 % more bytes for half the work.
_CANDLE_PRICES, _CANDLE_AMOUNTS = 4, 5
_CANDLE_VOLUMES = ("volume", "taker_buy_volume")
_SMALL_ROWS = 16_384
# Books repeat their levels: 12 % smaller than level 3, and there are few rows to write.
_BOOK_LEVEL = 6
_DICTIONARY_TEXTS = {"side"}
# Sizes of trades are often a few round ones; which ones, and whether, differs by market.
_MAYBE_DICTIONARY = {DataType.TRADES: ("price", "quantity")}
# One page for a column of a row group: what repeats is found across all of it (Arrow's own
# bound of 20,000 rows costs 2 to 4 % of a month of minutes).
_PAGE_ROWS = 1 << 20


def writer_options(
    spec: RowSpec, first: pa.Table, *, is_all: bool, is_finished: bool
) -> dict[str, Any]:
    """What a file's :class:`pyarrow.parquet.ParquetWriter` is made with.

    Args:
        spec: What the rows are.
        first: The first rows of the file: what they are like, the others are taken to be.
        is_all: Whether there are no others.
        is_finished: Whether nobody expects the file to be written again.
    """
    dictionary = dictionary_columns(spec) + _repeating(spec, first)
    plain = {name: kind for name, kind in encodings(spec).items() if name not in dictionary}
    is_small = is_all and first.num_rows <= _SMALL_ROWS
    return {
        "compression": "zstd",
        "compression_level": _levels(spec, first, is_small=is_small, is_finished=is_finished),
        "use_dictionary": dictionary or False,
        "column_encoding": plain,
        "max_rows_per_page": _PAGE_ROWS,
        "write_page_checksum": True,
        # Types and field ids are in Parquet's own schema; Arrow's copy would only add bytes.
        "store_schema": False,
    }


def _levels(
    spec: RowSpec, rows: pa.Table, *, is_small: bool, is_finished: bool
) -> int | dict[str, int]:
    if spec.data_type is DataType.ORDERBOOK:
        return _BOOK_LEVEL
    if is_small or (is_finished and spec.data_type is DataType.FUNDING_RATES):
        return _STRONG_LEVEL
    if is_finished and spec.data_type is DataType.OHLCV:
        levels = dict.fromkeys(spec.schema.names, _CANDLE_PRICES)
        levels |= dict.fromkeys(("quote_volume", "taker_buy_quote_volume"), _CANDLE_AMOUNTS)
        return levels | {name: _volume_level(rows[name]) for name in _CANDLE_VOLUMES}
    return _LEVEL


def _volume_level(volumes: pa.ChunkedArray) -> int:
    """Whole numbers, as some futures are counted in, gain a tenth by the strong level."""
    is_whole = pc.all(pc.equal(volumes, pc.floor(volumes))).as_py()
    return _STRONG_LEVEL if is_whole else _CANDLE_AMOUNTS


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


def _repeating(spec: RowSpec, rows: pa.Table) -> list[str]:
    """The columns that a dictionary makes smaller, tried out."""
    names = _MAYBE_DICTIONARY.get(spec.data_type, ()) if rows.num_rows else ()
    return [name for name in names if _size(rows, name, True) < _size(rows, name, False)]


def _size(rows: pa.Table, name: str, dictionary: bool) -> int:
    sink = io.BytesIO()
    pq.write_table(
        rows.select([name]),
        sink,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=dictionary,
        max_rows_per_page=_PAGE_ROWS,
    )
    return len(sink.getbuffer())


def _is_list(field: pa.Field) -> bool:
    return bool(pa.types.is_list(field.type))
