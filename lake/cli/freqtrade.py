"""Candles, funding rates and trades as freqtrade keeps them: names of files, columns, types.

Read in freqtrade's source (``data/history/datahandlers/idatahandler.py``, ``misc.py``,
``constants.py``, 2026-11-22) and compared with its test data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest

_F64 = pa.float64()
_CANDLES = pa.schema(
    [
        ("date", pa.timestamp("ms", tz="UTC")),
        *((name, _F64) for name in ("open", "high", "low", "close", "volume")),
    ]
)
_TRADES = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("id", pa.string()),
        ("type", pa.string()),
        ("side", pa.string()),
        ("price", _F64),
        ("amount", _F64),
        ("cost", _F64),
    ]
)
# Its default since funding intervals may change (freqtrade pull request 12599, 2025-12).
_FUNDING_TIMEFRAME = "1h"
# What freqtrade turns into an underscore in the name of a pair.
_TO_UNDERSCORE = str.maketrans(dict.fromkeys("/ .@$+:", "_"))


def file_name(series: Series, instrument: Instrument) -> PurePosixPath:
    """Where freqtrade looks for *series*, below its folder of a venue (``data/binance``).

    Raises:
        InvalidRequest: It has no file for order books.
    """
    pair = instrument.symbol.translate(_TO_UNDERSCORE)
    is_derivative = ":" in instrument.symbol
    folder = PurePosixPath("futures" if is_derivative else ".")
    if series.data_type is DataType.TRADES:
        return folder / f"{pair}-trades.feather"
    if series.data_type is DataType.FUNDING_RATES:
        return folder / f"{pair}-{_FUNDING_TIMEFRAME}-funding_rate.feather"
    if series.data_type is DataType.OHLCV and series.timeframe is not None:
        frame = "1Mo" if series.timeframe is TimeFrame.MONTH_1 else series.timeframe.value
        kind = "-futures" if is_derivative else ""
        return folder / f"{pair}-{frame}{kind}.feather"
    raise InvalidRequest(
        f"freqtrade has no format for {series.data_type}. Use --format parquet for them."
    )


def schema(data_type: DataType) -> pa.Schema:
    """The columns of freqtrade's file."""
    return _TRADES if data_type is DataType.TRADES else _CANDLES


def converted(data_type: DataType, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """*tables* of ours with freqtrade's columns."""
    act = {DataType.TRADES: _trades, DataType.FUNDING_RATES: _funding}.get(data_type, _candles)
    for table in tables:
        yield act(table)


def _candles(rows: pa.Table) -> pa.Table:
    return pa.Table.from_arrays(
        [_milliseconds(rows["ts"]).cast(_CANDLES.field("date").type)]
        + [rows[name] for name in _CANDLES.names[1:]],
        schema=_CANDLES,
    )


def _funding(rows: pa.Table) -> pa.Table:
    """The rate stands where a candle has its open; the rest is nought."""
    nothing = pa.repeat(pa.scalar(0.0), rows.num_rows)
    date = _milliseconds(rows["ts"]).cast(_CANDLES.field("date").type)
    return pa.Table.from_arrays(
        [date, rows["funding_rate"], nothing, nothing, nothing, nothing], schema=_CANDLES
    )


def _trades(rows: pa.Table) -> pa.Table:
    columns = [
        _milliseconds(rows["ts"]).cast(pa.int64()),
        pc.coalesce(rows["trade_id"].cast(pa.string()), rows["trade_ref"]),
        pa.nulls(rows.num_rows, pa.string()),
        rows["side"],
        rows["price"],
        rows["quantity"],
        pc.multiply(rows["price"], rows["quantity"]),
    ]
    return pa.Table.from_arrays(columns, schema=_TRADES)


def _milliseconds(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(pc.floor_temporal(moments, unit="millisecond"), pa.timestamp("ms"))
