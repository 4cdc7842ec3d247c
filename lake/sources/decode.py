"""Bodies of venues' candle answers into tables: pure, strict, each number parsed once.

A body that is not the expected list is refused, never read as "no candles": HTML, truncated
JSON, ``null``, ``{}`` and an empty body all become an error here. What the numbers are worth
is for ``validation`` to say. Adding a venue is one decoder here and one capability entry.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import starmap
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Instrument
from lake.errors import SourceError

# How much of a refused body an error message shows.
_SHOWN_BYTES = 120


@dataclass(frozen=True, slots=True)
class Decoded:
    """One answer's rows as the checks take them, and each row as it was written.

    ``following`` is the token of the request for the rows beyond these (``Cursor.token``),
    where the venue pages by one and more may follow.
    """

    table: pa.Table
    raw: Callable[[int], str]
    following: str | None = None


Decoder: TypeAlias = Callable[[bytes, Instrument], Decoded]

_Kline: TypeAlias = tuple[
    int, float, float, float, float, float, int, float, int, float, float, float
]
_KLINES = msgspec.json.Decoder(list[_Kline], strict=False)
_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_KLINE_COLUMNS: tuple[tuple[str, type], ...] = (
    ("ts", np.int64),
    ("open", np.float64),
    ("high", np.float64),
    ("low", np.float64),
    ("close", np.float64),
    ("volume", np.float64),
    ("close_time", np.int64),
    ("quote_volume", np.float64),
    ("trade_count", np.int64),
    ("taker_buy_volume", np.float64),
    ("taker_buy_quote_volume", np.float64),
)
_KLINE_FIELDS = 12
_WHOLE = re.compile(r"-?[0-9]{1,19}")
# null in an optional column would read as "the venue does not say"; these are rejected.
_UNREADABLE = {"quote_volume": float("nan"), "trade_count": -1} | dict.fromkeys(
    ("taker_buy_volume", "taker_buy_quote_volume"), float("nan")
)
# Rows are packed by struct into one record array: a third faster than zipping columns.
_PACK_KLINE = struct.Struct("qdddddqdqddd").pack
_KLINE_RECORD = np.dtype([*_KLINE_COLUMNS, ("ignored", np.float64)])
_KLINE_SCHEMA = pa.schema(
    [(name, pa.int64() if kind is np.int64 else pa.float64()) for name, kind in _KLINE_COLUMNS]
)


def decode_klines(body: bytes, instrument: Instrument) -> Decoded:
    """Candles of Binance spot and USD-M: amounts are in base and quote already.

    Twelve fields a row: open time, open, high, low, close, volume, close time, quote volume,
    trades, taker buy base, taker buy quote, ignore (Binance REST docs, "Kline/Candlestick
    Data", read 2026-11-22).

    Raises:
        SourceError: *body* is not a list of candles (retryable).
    """
    return Decoded(_klines(body), raw_rows(body))


def decode_inverse_klines(body: bytes, instrument: Instrument) -> Decoded:
    """Candles of Binance COIN-M: volume comes in contracts, with the base amount beside it.

    The seventh field is the base volume, the ninth and tenth are taker buys in contracts and
    in base. A contract is worth ``contract_size`` of the quote currency, which makes contracts
    the quote volume.

    Raises:
        SourceError: *body* is not a list of candles (retryable).
    """
    table, size = _klines(body), contract_size(instrument)
    contracts = table["volume"].to_numpy() * size
    taker_contracts = table["taker_buy_volume"].to_numpy() * size
    columns = {name: table[name] for name in table.column_names} | {
        "volume": table["quote_volume"],
        "quote_volume": pa.array(contracts),
        "taker_buy_volume": table["taker_buy_quote_volume"],
        "taker_buy_quote_volume": pa.array(taker_contracts),
    }
    return Decoded(pa.table(columns), raw_rows(body))


def contract_size(instrument: Instrument) -> float:
    """What one contract is worth.

    Raises:
        SourceError: It is not known.
    """
    if instrument.contract_size is None:
        raise SourceError(
            f"{instrument.id}: its contract size is unknown, so contracts cannot be turned "
            "into amounts. Nothing was stored.",
            retryable=False,
        )
    return instrument.contract_size


def decode_unified(candles: Any, scale: float) -> Decoded:
    """Candles of ccxt's ``fetch_ohlcv``: time, open, high, low, close, volume.

    Volumes are multiplied by *scale* (a contract's size in base, 1 elsewhere). The columns
    that ccxt drops are absent, so they end as null.

    Raises:
        SourceError: *candles* is not a list of such rows (retryable).
    """
    if not isinstance(candles, list):
        raise refused(repr(candles).encode(), "is not a list of candles")
    columns: list[list[Any]] = [[], [], [], [], [], []]
    for row in candles:
        readable = isinstance(row, list | tuple) and len(row) >= 6
        for position, column in enumerate(columns):
            column.append(as_number(row[position]) if readable else None)
    volumes = [None if each is None else each * scale for each in columns[5]]
    table = pa.table(
        {
            "ts": pa.array([as_integer(each) for each in columns[0]], pa.int64()),
            "open": pa.array(columns[1], pa.float64()),
            "high": pa.array(columns[2], pa.float64()),
            "low": pa.array(columns[3], pa.float64()),
            "close": pa.array(columns[4], pa.float64()),
            "volume": pa.array(volumes, pa.float64()),
        }
    )
    return Decoded(table, lambda row: repr(candles[row]))


def refused(body: bytes, why: str) -> SourceError:
    """The error for a body that is no answer. It is retryable: the next one may be whole."""
    start = body[:_SHOWN_BYTES].decode("utf-8", "replace")
    shown = f"it starts with {start!r}" if body else "it is empty"
    return SourceError(f"The answer {why} ({len(body)} bytes; {shown}).", retryable=True)


def _klines(body: bytes) -> pa.Table:
    try:
        rows = _KLINES.decode(body)
        packed = b"".join(starmap(_PACK_KLINE, rows))
    except (msgspec.ValidationError, struct.error):
        return _klines_one_by_one(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(body, "is not whole JSON") from error
    records = np.frombuffer(packed, dtype=_KLINE_RECORD)
    arrays = [pa.array(np.ascontiguousarray(records[name])) for name, _ in _KLINE_COLUMNS]
    return pa.Table.from_arrays(arrays, schema=_KLINE_SCHEMA)


def _klines_one_by_one(body: bytes) -> pa.Table:
    """The same where a row is odd: what cannot be read becomes null and is rejected later."""
    try:
        rows = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refused(body, "is not whole JSON") from error
    if not isinstance(rows, list):
        raise refused(body, "is not a list of candles")
    columns: list[list[float | int | None]] = [[] for _ in _KLINE_COLUMNS]
    for row in rows:
        readable = isinstance(row, list) and len(row) == _KLINE_FIELDS
        for position, (name, kind) in enumerate(_KLINE_COLUMNS):
            value = row[position] if readable else None
            number = as_integer(value) if kind is np.int64 else as_number(value)
            columns[position].append(_UNREADABLE.get(name) if number is None else number)
    return pa.table(
        [
            pa.array(column, field.type)
            for column, field in zip(columns, _KLINE_SCHEMA, strict=True)
        ],
        schema=_KLINE_SCHEMA,
    )


def raw_rows(body: bytes) -> Callable[[int], str]:
    """Gives each row of *body*, a JSON list, as it was written."""

    def raw(row: int) -> str:
        return bytes(_RAW_ROWS.decode(body)[row]).decode("utf-8", "replace")

    return raw


def as_number(value: Any) -> float | None:
    """A JSON number or its text as a double; None where it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def as_integer(value: Any) -> int | None:
    """A JSON whole number or its text, of 64 bits; None where it is neither."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        # As a double it would lose the last digits of a long id.
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else None
    number = as_number(value)
    if number is None or number != number or abs(number) >= 2**63:
        return None
    return int(number) if number == int(number) else None
