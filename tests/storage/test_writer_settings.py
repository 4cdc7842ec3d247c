"""Every data type is written with the settings that were measured for it."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_kit import START, begin, store

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV, ROW_SPECS, TRADES
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import Storage

LEVELS = [1.0, 2.0]
ROWS: dict[DataType, dict[str, Any]] = {
    DataType.TRADES: {"price": 1.5, "quantity": 2.5, "side": "buy", "first_trade_id": 1},
    DataType.ORDERBOOK: {"best_bid": 1.0, "sequence": 5}
    | dict.fromkeys(("bid_prices", "bid_quantities", "ask_prices", "ask_quantities"), LEVELS),
    DataType.FUNDING_RATES: {"funding_rate": 0.0001, "settled_at": START},
}
# One column of each kind; tests/benchmarks/bench_settings.py has the figures.
EXPECTED = {
    DataType.TRADES: {
        "ts": "DELTA_BINARY_PACKED",
        "trade_id": "DELTA_BINARY_PACKED",
        "trade_ref": "DELTA_BYTE_ARRAY",
        "price": "PLAIN",
        "side": "RLE_DICTIONARY",
        "last_trade_id": "DELTA_BINARY_PACKED",
        "received_at": "DELTA_BINARY_PACKED",
    },
    DataType.ORDERBOOK: {
        "sequence": "DELTA_BINARY_PACKED",
        "best_bid": "PLAIN",
        "bid_prices.list.element": "RLE_DICTIONARY",
        "ask_quantities.list.element": "RLE_DICTIONARY",
    },
    DataType.FUNDING_RATES: {
        "settled_at": "DELTA_BINARY_PACKED",
        "funding_rate": "PLAIN",
        "next_funding_time": "DELTA_BINARY_PACKED",
    },
}


@pytest.mark.parametrize("data_type", EXPECTED, ids=lambda each: each.value)
def test_the_encodings_are_the_measured_ones(storage: Storage, data_type: DataType) -> None:
    """A setting under a name that pyarrow does not know is ignored without a word."""
    series = Series(data_type, InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM")))
    rows = [{"ts": START + timedelta(seconds=each), **ROWS[data_type]} for each in range(9)]
    if data_type is DataType.TRADES:
        for number, row in enumerate(rows):
            row |= {"trade_id": number} if number % 2 else {"trade_ref": f"ref-{number}"}
    partition = Partition.of(series, START)

    store(
        storage,
        begin(storage, series),
        pa.Table.from_pylist(rows, ROW_SPECS[data_type].schema),
        partition=partition,
    )

    group = pq.read_metadata(storage.parquet / partition.path).row_group(0)
    columns = {
        group.column(place).path_in_schema: group.column(place)
        for place in range(group.num_columns)
    }
    used = {name: columns[name].encodings for name in EXPECTED[data_type]}
    assert {name for name, kinds in used.items() if EXPECTED[data_type][name] not in kinds} == set()
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    plain = [name for name, column in columns.items() if "RLE_DICTIONARY" not in column.encodings]
    assert set(columns) - set(plain) == {
        name for name in columns if name == "side" or ".list." in name
    }


MINUTES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.MINUTE_1)
DAYS = TimeRange(START, START + timedelta(days=14))


def minutes(count: int) -> pa.Table:
    """Candles whose closes wander, as prices do."""
    draw = np.random.default_rng(4)
    close = 60_000 + np.cumsum(draw.integers(-900, 900, count)) / 100
    columns = {
        "ts": pa.array(to_us(START) + np.arange(count) * 60_000_000).cast(pa.timestamp("us")),
        **{name: pa.array(close) for name in ("open", "high", "low", "close")},
        "volume": pa.array(draw.integers(1, 10**6, count) / 1000),
    }
    return pa.Table.from_arrays(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in OHLCV.schema],
        schema=OHLCV.schema,
    )


def written(storage: Storage, rows: pa.Table, *claims: Claim) -> int:
    """The bytes of a partition that holds *rows*."""
    partition = Partition.of(MINUTES, START)
    return store(storage, begin(storage, MINUTES), rows, *claims, partition=partition).bytes


def test_a_month_that_is_complete_is_compressed_better(tmp_path: Path) -> None:
    """One that grows is written again with every update, so that has to be quick."""
    rows = minutes(40_000)
    month = Partition.of(MINUTES, START).range
    with (
        Storage.open(tmp_path / "growing", create=True) as growing,
        Storage.open(tmp_path / "finished", create=True) as finished,
    ):
        rough = written(growing, rows, Claim(DAYS, Basis.ANSWER))
        fine = written(finished, rows, Claim(month, Basis.ANSWER))

        assert fine < 0.99 * rough
        path = finished.parquet / Partition.of(MINUTES, START).path
        assert pq.read_table(path, partitioning=None).equals(
            pq.read_table(growing.parquet / Partition.of(MINUTES, START).path, partitioning=None)
        )


@pytest.mark.parametrize(("unit", "level"), [(1, 8), (1000, 5)])
def test_volumes_in_whole_numbers_are_worth_more_work(
    storage: Storage, unit: int, level: int
) -> None:
    """As futures' are; others gain nothing beyond level 5, and every column costs time."""
    lots = np.round(np.random.default_rng(5).exponential(3_000, 40_000))
    rows = minutes(40_000).set_column(5, OHLCV.schema.field("volume"), pa.array(lots / unit))
    month = Partition.of(MINUTES, START).range

    written(storage, rows, Claim(month, Basis.ANSWER))

    path = storage.parquet / Partition.of(MINUTES, START).path
    volume = pq.read_metadata(path).row_group(0).column(5).total_compressed_size
    assert volume == compressed(rows.select(["volume"]), level)
    assert volume != compressed(rows.select(["volume"]), 13 - level)


def compressed(column: pa.Table, level: int) -> int:
    """The bytes of one column, packed at a level of zstd."""
    sink = io.BytesIO()
    pq.write_table(
        column,
        sink,
        compression="zstd",
        compression_level=level,
        use_dictionary=False,
        max_rows_per_page=1 << 20,
        write_page_checksum=True,
    )
    return int(pq.read_metadata(sink).row_group(0).column(0).total_compressed_size)


def test_a_column_of_a_month_is_one_page(storage: Storage) -> None:
    """What repeats is found across the month; Arrow's own 20,000 rows cost 2 to 4 %."""
    written(storage, minutes(40_000))

    content = (storage.parquet / Partition.of(MINUTES, START).path).read_bytes()
    column = pq.read_metadata(pa.BufferReader(content)).row_group(0).column(4)
    start = column.data_page_offset
    one_page = content[start : start + column.total_compressed_size]
    # A second page would begin with a second header: thrift's field 1, type 0 (data page).
    assert one_page.count(b"\x28\xb5\x2f\xfd") == 1  # zstd's magic number: one frame a page


@pytest.mark.parametrize(("sizes", "expected"), [((0.001, 0.002, 0.01), True), (None, False)])
def test_sizes_of_trades_get_a_dictionary_where_that_is_smaller(
    storage: Storage, sizes: tuple[float, ...] | None, expected: bool
) -> None:
    """On some markets most trades are of a few round sizes; which, nobody knows before."""
    draw = np.random.default_rng(9)
    count = 5_000
    series = Series(DataType.TRADES, MINUTES.instrument_id)
    columns = {
        "ts": pa.array(to_us(START) + np.arange(count) * 1000).cast(pa.timestamp("us")),
        "trade_id": pa.array(np.arange(count)),
        "price": pa.array(60_000 + draw.random(count)),
        "quantity": pa.array(draw.choice(sizes, count) if sizes else draw.random(count)),
    }
    rows = pa.Table.from_arrays(
        [columns.get(field.name, pa.nulls(count, field.type)) for field in TRADES.schema],
        schema=TRADES.schema,
    )
    partition = Partition.of(series, START)

    store(storage, begin(storage, series), rows, partition=partition)

    group = pq.read_metadata(storage.parquet / partition.path).row_group(0)
    column = group.column(TRADES.schema.get_field_index("quantity"))
    assert ("RLE_DICTIONARY" in column.encodings) is expected
