"""Kraken's spot market: how each type is asked for.

Facts are those of Kraken's REST docs ("Get OHLC Data", "Get Recent Trades", "Get Order Book")
and its support article on retrieving historical time and sales, read 2026-11-22.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US
from lake.errors import SourceError
from lake.sources import venue_columns as columns
from lake.sources.capability import (
    Access,
    CandleEndpoint,
    Capability,
    Paging,
    Request,
    RowsEndpoint,
)
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.decode import Decoded, refused
from lake.sources.fields import Field, columns_of, parsed, raw_of, rows_at, side
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, seconds_us

_VENUE = Venue("KRAKEN")
_SPOT = frozenset({InstrumentKind.SPOT})
# Minutes of each. Its weeks are counted from 1970-01-01, a Thursday, and ours are not.
_MINUTES = {
    TimeFrame.MINUTE_1: 1,
    TimeFrame.MINUTE_5: 5,
    TimeFrame.MINUTE_15: 15,
    TimeFrame.MINUTE_30: 30,
    TimeFrame.HOUR_1: 60,
    TimeFrame.HOUR_4: 240,
    TimeFrame.DAY_1: 1_440,
}
_NEWEST_CANDLES = 720
_PAGE_TRADES = 1_000
_DEEPEST = 500
# A row of a trade has seven fields since the venue gives ids.
_ID_AT = 6


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    wanted: dict[str, Any] = {
        "pair": instrument.native_id,
        "interval": _MINUTES[cursor.timeframe],
    }
    if cursor.first_us is not None:
        # Whether `since` itself is included is not documented, so it lies a candle earlier.
        first_us = cursor.first_us - cursor.timeframe.nominal_us
        wanted["since"] = max(0, first_us // SECOND_US)
    return Request("publicGetOHLC", wanted)


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Rows of ``OHLC``: time in seconds, open, high, low, close, vwap, volume, count.

    The venue's vwap is rounded to the tick, so no quote volume can be made of it.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "result", "*")
    places = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 6, "trade_count": 7}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    wanted: dict[str, Any] = {"pair": instrument.native_id, "count": cursor.limit}
    if cursor.token is not None:
        wanted["since"] = cursor.token
    elif cursor.start_us is not None:
        # Nanoseconds; trades after `since` are given, not those at it. Times of rows are
        # rounded, so that one may lie a little earlier than it says.
        wanted["since"] = str(max(0, cursor.start_us - 1) * 1_000)
    return Request("publicGetTrades", wanted)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Rows of ``Trades``: price, volume, time in seconds, taker's side, type, misc, id.

    ``last`` is the time of the newest in nanoseconds, from which the next answer goes on.

    Raises:
        SourceError: *body* has no list of trades (retryable), or one of trades without ids.
    """
    rows = rows_at(body, "result", "*")
    if rows and all(isinstance(row, list) and not row[_ID_AT:] for row in rows):
        raise SourceError(
            f"{_VENUE} gave trades of {instrument.id} without ids, and a series holds trades "
            "with ids or trades without. Start later, or take its archives of trades for that "
            "time.",
            retryable=False,
        )
    fields: dict[str, Field | int] = {
        "ts": Field(2, seconds_us),
        "trade_id": _ID_AT,
        "price": 0,
        "quantity": 1,
        "taker": Field(3, side),
    }
    last = parsed(body)["result"].get("last")
    return Decoded(
        pa.table(columns_of(rows, fields)),
        raw_of(rows),
        following=str(last) if rows and last is not None else None,
    )


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request("publicGetDepth", {"pair": instrument.native_id, "count": cursor.limit})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book of ``Depth``, without time or sequence.

    Raises:
        SourceError: *body* is no book (retryable).
    """
    answer = parsed(body)
    result = answer.get("result") if isinstance(answer, dict) else None
    books = list(result.values()) if isinstance(result, dict) else []
    if len(books) != 1 or not isinstance(books[0], dict):
        raise refused(body, "is not an order book")
    return book_of(body, instrument, bids=books[0].get("bids"), asks=books[0].get("asks"))


ACCESS = (Access(_VENUE),)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_NEWEST_CANDLES,
        concurrency=2,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "trade_count"),
        rank=50,
        timeframes=frozenset(_MINUTES),
        depth_candles=_NEWEST_CANDLES,
        depth_reason=columns.NEWEST
        + "; its quarterly archives hold the older ones, which `lake import` cannot read yet",
        volume_units={InstrumentKind.SPOT: "base"},
        raw=CandleEndpoint(_candles, decode_candles, takes_end=False),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.TRADES,
        page_size=_PAGE_TRADES,
        concurrency=1,
        settle_after=timedelta(minutes=1),
        columns=columns.TRADES,
        rank=50,
        variant="single/venue",
        kinds=_SPOT,
        # Coarser than its nanoseconds: times of rows are rounded.
        rows=RowsEndpoint(_trades, decode_trades, paging=Paging.FORWARD, cursor_us=SECOND_US),
    ),
    book_entry(
        _VENUE,
        _SPOT,
        RowsEndpoint(_book, decode_book),
        deepest=_DEEPEST,
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
