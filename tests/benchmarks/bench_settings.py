"""Benchmark: trades and books with several writer settings, the lake's own first.

Run: ``python -m tests.benchmarks.bench_settings`` (half a minute). Synthetic rows: bursts of
trades on a price and a lot grid, books whose levels mostly stay from one snapshot to the next.
"""

from __future__ import annotations

import io
import time
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.schemas import ORDERBOOK, TRADES, RowSpec
from lake.storage.settings import dictionary_columns, encodings

START_US = 1_704_067_200_000_000


def trades(count: int, *, ids: bool) -> pa.Table:
    draw = np.random.default_rng(2)
    pauses = np.where(draw.random(count) < 0.45, 0, draw.exponential(2e3, count)).astype(np.int64)
    moments = START_US + np.cumsum(pauses) * 1000
    steps = np.where(draw.random(count) < 0.3, draw.normal(0, 1, count), 0)
    round_lots = draw.choice([0.001, 0.002, 0.005, 0.01, 0.1], count)
    lots = np.where(draw.random(count) < 0.3, round_lots, draw.exponential(0.05, count) + 0.001)
    fills = 2_000_000_000 + np.cumsum(draw.geometric(0.5, count))
    names = [str(uuid.UUID(bytes=draw.bytes(16))) for _ in range(0 if ids else count)]
    return pa.Table.from_arrays(
        [
            pa.array(moments).cast(pa.timestamp("us")),
            pa.array(900_000_000 + np.arange(count)) if ids else pa.nulls(count, pa.int64()),
            pa.nulls(count, pa.string()) if ids else pa.array(names),
            pa.array(np.round(60_000 + np.cumsum(steps), 1)),
            pa.array(np.round(lots, 3)),
            pa.array(np.where(draw.random(count) < 0.5, "buy", "sell")),
            pa.array(fills),
            pa.array(fills + draw.integers(0, 2, count)),
            pa.nulls(count, pa.timestamp("us")),
        ],
        schema=TRADES.schema,
    )


def books(count: int, depth: int) -> pa.Table:
    draw = np.random.default_rng(1)
    middle = 600_000 + np.cumsum(draw.integers(-3, 4, count))
    resting = np.round(draw.exponential(1.5, 1_200_000), 5)
    sides: list[list[np.ndarray[Any, Any]]] = [[], [], [], []]
    for tick in middle:
        renewed = tick - depth + draw.integers(0, 2 * depth, max(1, depth // 5))
        resting[renewed] = np.round(draw.exponential(1.5, len(renewed)), 5)
        for place, ticks in enumerate((tick - 1 - np.arange(depth), tick + 1 + np.arange(depth))):
            sides[2 * place].append(ticks / 10)
            sides[2 * place + 1].append(resting[ticks])
    levels = [np.array(side) for side in sides]
    edges = pa.array(np.arange(count + 1) * depth, pa.int32())
    moments = START_US + np.arange(count) * 1_000_000 + draw.integers(0, 5_000, count)
    columns = [
        pa.array(moments).cast(pa.timestamp("us")),
        pa.array(np.cumsum(draw.integers(1, 300, count))),
        *(pa.array(side[:, 0]) for side in levels),
        *(pa.ListArray.from_arrays(edges, pa.array(side.ravel())) for side in levels),
        pa.array(moments + 20_000).cast(pa.timestamp("us")),
    ]
    return pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, ORDERBOOK.schema, strict=True)],
        schema=ORDERBOOK.schema,
    )


def show(title: str, rows: pa.Table, spec: RowSpec, tried: dict[str, dict[str, Any]]) -> None:
    print(f"\n{title:42} bytes a row   write Mrow/s   read ms")
    ours: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": dictionary_columns(spec),
        "column_encoding": encodings(spec),
    }
    for name, options in tried.items():
        writes, reads = [], []
        for _ in range(3):
            sink = io.BytesIO()
            began = time.process_time()
            pq.write_table(rows, sink, write_page_checksum=True, **(ours | options))
            writes.append(time.process_time() - began)
            began = time.process_time()
            pq.read_table(pa.BufferReader(sink.getvalue()))
            reads.append(time.process_time() - began)
        size, speed = len(sink.getvalue()) / rows.num_rows, rows.num_rows / min(writes) / 1e6
        print(f"{name:42} {size:11.2f}   {speed:12.2f}   {min(reads) * 1000:7.1f}", flush=True)


def main() -> None:
    lists = [name for name in dictionary_columns(ORDERBOOK) if ".list." in name]
    split = encodings(ORDERBOOK) | dict.fromkeys(lists, "BYTE_STREAM_SPLIT")
    show(
        "books, 20,000 of 20 levels",
        books(20_000, 20),
        ORDERBOOK,
        {
            "lake: lists by dictionary, zstd 6": {"compression_level": 6},
            "lists by dictionary, zstd 3": {},
            "lists by dictionary, zstd 9": {"compression_level": 9},
            "lists PLAIN, zstd 3": {"use_dictionary": False},
            "lists PLAIN, zstd 9": {"use_dictionary": False, "compression_level": 9},
            "lists BYTE_STREAM_SPLIT": {"use_dictionary": False, "column_encoding": split},
        },
    )
    plain_ids = dict.fromkeys(("trade_id", "first_trade_id", "last_trade_id"), "PLAIN")
    no_lots = {name: kind for name, kind in encodings(TRADES).items() if name != "quantity"}
    show(
        "trades, 1,000,000 aggregates",
        trades(1_000_000, ids=True),
        TRADES,
        {
            "lake: DELTA, PLAIN, zstd 3": {},
            "zstd 1": {"compression_level": 1},
            "zstd 9": {"compression_level": 9},
            "ids PLAIN": {"column_encoding": encodings(TRADES) | plain_ids},
            "lots by dictionary": {
                "use_dictionary": ["side", "quantity"],
                "column_encoding": no_lots,
            },
        },
    )
    show(
        "trades, 200,000 with UUIDs",
        trades(200_000, ids=False),
        TRADES,
        {
            f"references {kind}": {"column_encoding": encodings(TRADES) | {"trade_ref": kind}}
            for kind in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN")
        },
    )


if __name__ == "__main__":
    main()
