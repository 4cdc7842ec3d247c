"""Coinbase's spot market (Advanced Trade): how each type is asked for.

Facts are those of Coinbase's Advanced Trade REST docs ("Get Public Product Candles", "Get
Public Market Trades", "Get Public Product Book", "Get Server Time"), read 2026-11-22.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US
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
from lake.sources.wire_values import book_of, book_time, iso_us

_VENUE = Venue("COINBASE")
_SPOT = frozenset({InstrumentKind.SPOT})
_GRANULARITY = {
    TimeFrame.MINUTE_1: "ONE_MINUTE",
    TimeFrame.MINUTE_5: "FIVE_MINUTE",
    TimeFrame.MINUTE_15: "FIFTEEN_MINUTE",
    TimeFrame.MINUTE_30: "THIRTY_MINUTE",
    TimeFrame.HOUR_1: "ONE_HOUR",
    TimeFrame.HOUR_2: "TWO_HOUR",
    TimeFrame.HOUR_6: "SIX_HOUR",
    TimeFrame.DAY_1: "ONE_DAY",
}
# One fewer than fit, since both ends of a range count.
_PAGE_CANDLES = 299
_PAGE_TRADES = 1_000
_DEEPEST = 1_000
_CLIENT = "v3PublicGetBrokerageMarket"
_UNKNOWN_SIDE = "UNKNOWN_ORDER_SIDE"


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        f"{_CLIENT}ProductsProductIdCandles",
        {
            "product_id": instrument.native_id,
            "granularity": _GRANULARITY[cursor.timeframe],
            "start": str(cursor.first_us // SECOND_US),
            # A second later, since it is not documented whether the end is included.
            "end": str(cursor.last_us // SECOND_US + 1),
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles, newest first: start in seconds, low, high, open, close, volume.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "candles")
    fields = {"ts": "start"} | {name: name for name in columns.CANDLES[1:]}
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    """Bounds are whole seconds."""
    wanted: dict[str, Any] = {"product_id": instrument.native_id, "limit": cursor.limit}
    if cursor.start_us is not None:
        wanted["start"] = str(cursor.start_us // SECOND_US)
    if cursor.end_us is not None:
        wanted["end"] = str(-(-cursor.end_us // SECOND_US))
    return Request(f"{_CLIENT}ProductsProductIdTicker", wanted)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Trades, newest first: id, price, size, time in microseconds, the maker's side.

    That ``side`` is the maker's is documented for the same engine's Exchange API ("Get product
    trades": a buy is a down-tick), and prices of recorded Advanced Trade answers bear it out:
    a sell comes at the higher price.

    Raises:
        SourceError: *body* has no list of trades (retryable).
    """
    rows = rows_at(body, "trades")
    fields: dict[str, Field | str] = {
        "ts": Field("time", iso_us),
        "trade_id": "trade_id",
        "price": "price",
        "quantity": "size",
        "taker": Field("side", _taker),
    }
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _taker(maker: Any) -> int | None:
    sign = None if maker == _UNKNOWN_SIDE else side(maker)
    return None if sign is None else -sign


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    wanted = {"product_id": instrument.native_id, "limit": cursor.limit}
    return Request(f"{_CLIENT}ProductBook", wanted)


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book with the venue's time, without a sequence.

    Raises:
        SourceError: *body* is no book (retryable).
    """
    answer = parsed(body)
    book = answer.get("pricebook") if isinstance(answer, dict) else None
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, book.get("time"), iso_us),
        price="price",
        quantity="size",
    )


ACCESS = (
    Access(
        _VENUE,
        # ccxt's own way asks the slower v2 API, which counts whole seconds.
        time_method="v3PublicGetBrokerageTime",
        time_of=lambda answer: int(answer["epochMillis"]),
    ),
)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=columns.CANDLES,
        rank=50,
        timeframes=frozenset(_GRANULARITY),
        volume_units={InstrumentKind.SPOT: "base"},
        raw=CandleEndpoint(_candles, decode_candles),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.TRADES,
        page_size=_PAGE_TRADES,
        settle_after=timedelta(minutes=1),
        columns=columns.TRADES,
        rank=50,
        variant="single/venue",
        kinds=_SPOT,
        rows=RowsEndpoint(_trades, decode_trades, paging=Paging.SPAN, cursor_us=SECOND_US),
    ),
    book_entry(
        _VENUE,
        _SPOT,
        RowsEndpoint(_book, decode_book),
        deepest=_DEEPEST,
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
