"""Kraken's futures market: how each type is asked for.

Facts are those of Kraken's futures REST docs ("Market Candles", "Get public execution events",
"Historical Funding Rates", "Get Orderbook"), read 2026-11-22. A contract of a linear market is
one of the base asset, of an inverse one a dollar.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US, to_us
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
from lake.sources.decode import Decoded, as_number, contract_size, refused
from lake.sources.fields import Field, columns_of, parsed, raw_of, rows_at, side
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time, in_base, iso_us

_VENUE = Venue("KRAKENFUTURES")
_KINDS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
_TIMEFRAMES = frozenset(
    TimeFrame.from_str(name) for name in ("1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d", "1w")
)
_PAGE_CANDLES = 2_000
_PAGE_TRADES = 1_000
# Books come whole, whatever is asked.
_DEEPEST = 1_000
_WHOLE_SERIES = 1_000_000


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        "chartsGetPriceTypeSymbolInterval",
        {
            "price_type": "trade",
            "symbol": instrument.native_id,
            "interval": cursor.timeframe.ccxt,
            "from": cursor.first_us // SECOND_US,
            # A second later, since it is not documented whether the end is included; but, as
            # ccxt does, not in the future.
            "to": min(cursor.last_us // SECOND_US + 1, to_us(cursor.now) // SECOND_US),
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles of the charts: time in milliseconds, prices, and volume in contracts.

    Raises:
        SourceError: *body* has no list of candles (retryable), or the contract's size is
            unknown.
    """
    rows, size = rows_at(body, "candles"), contract_size(instrument)

    def contracts(value: Any) -> float | None:
        number = as_number(value)
        return None if number is None else number * size

    fields: dict[str, Field | str] = {
        "ts": "time",
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "volume": Field("volume", contracts),
    }
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    wanted: dict[str, Any] = {
        "symbol": instrument.native_id,
        # The end of a span is not sent: what follows it is where the walk ends.
        "sort": "asc",
        "count": cursor.limit,
    }
    if cursor.start_us is not None:
        # A millisecond earlier, since it is not documented whether it is included.
        wanted["since"] = max(0, cursor.start_us // 1_000 - 1)
    if cursor.token is not None:
        wanted["continuationToken"] = cursor.token
    return Request("historyGetMarketSymbolExecutions", wanted)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Executions of a market's history: each with its own uid, and the taker's order in it.

    ``continuationToken`` is where the next answer goes on; empty where nothing follows.

    Raises:
        SourceError: *body* has no list of executions (retryable), or the contract's size is
            unknown.
    """
    elements = rows_at(body, "elements")
    rows = [_execution(each) for each in elements]
    fields: dict[str, Field | str] = {
        "ts": "timestamp",
        "trade_ref": "uid",
        "price": "price",
        "quantity": "quantity",
        "taker": Field(lambda row: row["takerOrder"]["direction"], side),
    }
    found = columns_of(rows, fields, texts=frozenset({"trade_ref"}))
    token = parsed(body).get("continuationToken")
    return Decoded(
        pa.table(in_base(found, instrument)),
        raw_of(elements),
        following=str(token) if token else None,
    )


def _execution(element: Any) -> Any:
    try:
        return element["event"]["Execution"]["execution"]
    except (LookupError, TypeError):
        return None


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    return Request("publicGetHistoricalfundingrates", {"symbol": instrument.native_id.upper()})


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements: ``fundingRate`` is an amount per contract, ``relativeFundingRate`` the rate.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "rates")
    fields: dict[str, Field | str] = {
        "settled_at": Field("timestamp", iso_us),
        "funding_rate": "relativeFundingRate",
    }
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request("publicGetOrderbook", {"symbol": instrument.native_id})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The whole book in contracts, at the venue's time of the answer.

    Raises:
        SourceError: *body* is no book (retryable), or the contract's size is unknown.
    """
    answer = parsed(body)
    book = answer.get("orderBook") if isinstance(answer, dict) else None
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, answer.get("serverTime"), iso_us),
    )


ACCESS = (Access(_VENUE),)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=columns.CANDLES,
        rank=50,
        timeframes=_TIMEFRAMES,
        # Candles of inverse contracts count dollars, and no base volume can be made of them.
        volume_units={InstrumentKind.LINEAR: "contracts"},
        raw=CandleEndpoint(_candles, decode_candles),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.TRADES,
        page_size=_PAGE_TRADES,
        concurrency=1,
        settle_after=timedelta(minutes=1),
        columns=columns.TRADES_BY_REF,
        rank=50,
        variant="single/venue",
        kinds=_KINDS,
        rows=RowsEndpoint(_trades, decode_trades, paging=Paging.FORWARD),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_WHOLE_SERIES,
        concurrency=1,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=_KINDS,
        rows=RowsEndpoint(_funding, decode_funding, paging=Paging.WHOLE),
    ),
    book_entry(
        _VENUE,
        _KINDS,
        RowsEndpoint(_book, decode_book),
        deepest=_DEEPEST,
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
