"""Candles and trades as a catalog of nautilus_trader, made by that package where it is installed.

Its own names and wranglers are used (1.221, read 2026-11-22), so that what it reads back is what
it would have written. A bar is known when it closes: ``ts_event`` is the end of the candle.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lake.cli.exporting import rows_of_series
from lake.domain.identifiers import DataType, InstrumentKind, Series, expiry_of
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, StorageError

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_PACKAGE = "nautilus_trader"
_UNITS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}
# Where the venue does not say how fine prices and sizes are.
_PRECISION = 8
_PRECISION_MAX = 9  # of a build without high precision
_ROWS_AT_A_TIME = 200_000  # objects of Python: some 100 MB


def write(
    storage: Storage,
    chosen: Sequence[Series],
    bounds: tuple[datetime | None, datetime | None],
    folder: Path,
) -> list[tuple[Path, int]]:
    """A new catalog at *folder* with the rows of *chosen*; folder and rows.

    Raises:
        InvalidRequest: The package is not installed, the folder is there, or a series cannot be
            told in its terms.
        StorageError: The disk failed. Nothing is left behind.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise InvalidRequest(
            f"--format nautilus needs the package {_PACKAGE}, which is not installed here. "
            f"Install it beside this program: python -m pip install {_PACKAGE}."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidRequest(
            f"{folder} is there already, and a catalog is written anew. Name a new folder."
        )
    instruments = [_instrument(storage, each) for each in chosen]
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        catalog = _module("persistence.catalog").ParquetDataCatalog(str(temporary))
        catalog.write_data(list({str(each.id): each for each in instruments}.values()))
        count = 0
        for series, instrument in zip(chosen, instruments, strict=True):
            for rows in rows_of_series(storage, series, *bounds):
                for first in range(0, rows.num_rows, _ROWS_AT_A_TIME):
                    part = rows.slice(first, _ROWS_AT_A_TIME)
                    # Two parts may meet in one moment, where trades are many.
                    catalog.write_data(_data(series, instrument, part), skip_disjoint_check=True)
                    count += part.num_rows
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise StorageError(f"The catalog cannot be written: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [(folder, count)]


def _module(name: str) -> Any:
    return importlib.import_module(f"{_PACKAGE}.{name}")


def _instrument(storage: Storage, series: Series) -> Any:
    """What is traded, in their words."""
    ours = storage.catalog.instrument(series.instrument_id)
    if ours is None:
        raise InvalidRequest(
            f"The catalog does not know what {series.instrument_id} trades. "
            f"`lake instruments {series.venue.ccxt_id}` fetches the venue's list."
        )
    kinds = (InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE)
    if ours.kind not in kinds or expiry_of(ours.code) is not None:
        raise InvalidRequest(
            f"{ours.id} is neither a spot pair nor a perpetual, and of others the catalog does "
            f"not know all that {_PACKAGE} asks for. Use --format parquet."
        )
    if series.data_type not in (DataType.OHLCV, DataType.TRADES):
        raise InvalidRequest(
            f"{_PACKAGE} is given candles and trades, not {series.data_type}. "
            "Say --type ohlcv or --type trades, or use --format parquet."
        )
    identifiers, objects = _module("model.identifiers"), _module("model.objects")
    currency = objects.Currency.from_str
    price, size = _precision(ours.tick_size), _precision(ours.lot_size)
    common = {
        "instrument_id": identifiers.InstrumentId.from_str(str(ours.id)),
        "raw_symbol": identifiers.Symbol(ours.native_id),
        "base_currency": currency(ours.base),
        "quote_currency": currency(ours.quote),
        "price_precision": price,
        "size_precision": size,
        "price_increment": objects.Price(ours.tick_size or 10**-price, price),
        "size_increment": objects.Quantity(ours.lot_size or 10**-size, size),
        "ts_event": 0,
        "ts_init": 0,
    }
    instruments = _module("model.instruments")
    if ours.kind is InstrumentKind.SPOT:
        return instruments.CurrencyPair(**common)
    return instruments.CryptoPerpetual(
        **common,
        settlement_currency=currency(ours.settle or ours.quote),
        is_inverse=ours.kind is InstrumentKind.INVERSE,
    )


def _precision(step: float | None) -> int:
    """The decimals of a step: 2 of 0.01."""
    if step is None:
        return _PRECISION
    text = f"{step:.{_PRECISION_MAX}f}".rstrip("0")
    return len(text.partition(".")[2])


def _data(series: Series, instrument: Any, rows: pa.Table) -> list[Any]:
    wranglers = _module("persistence.wranglers")
    if series.data_type is DataType.TRADES:
        frame = _trades(rows).to_pandas().set_index("timestamp")
        return list(wranglers.TradeTickDataWrangler(instrument).process(frame))
    data = _module("model.data")
    kind = data.BarType.from_str(f"{instrument.id}-{_step(series)}-LAST-EXTERNAL")
    frame = _candles(series, rows).to_pandas().set_index("timestamp")
    return list(wranglers.BarDataWrangler(kind, instrument).process(frame))


def _step(series: Series) -> str:
    """``1-MINUTE`` of 1m."""
    assert series.timeframe is not None
    text = series.timeframe.value
    unit = text.lstrip("0123456789")
    return f"{text.removesuffix(unit)}-{_UNITS[unit]}"


def _candles(series: Series, rows: pa.Table) -> pa.Table:
    grid = series.grid
    assert grid is not None
    opens = rows["ts"].cast(pa.int64()).to_pylist()
    closes = pa.array([to_us(grid.next(from_us(each))) for each in opens], pa.timestamp("us"))
    names = ("open", "high", "low", "close", "volume")
    return pa.table({"timestamp": closes, **{name: rows[name] for name in names}})


def _trades(rows: pa.Table) -> pa.Table:
    return pa.table(
        {
            "timestamp": rows["ts"],
            "price": rows["price"],
            "quantity": rows["quantity"],
            "side": pc.utf8_upper(pc.coalesce(rows["side"], "no_aggressor")),
            "trade_id": pc.coalesce(rows["trade_id"].cast(pa.string()), rows["trade_ref"]),
        }
    )
