"""Every data type is written with the settings that were measured for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storage_kit import START, begin, store

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS
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
