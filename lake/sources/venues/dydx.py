"""dYdX (v4): how each type is asked for, all of the chain's indexer.

Facts are those of dYdX's indexer docs (HTTP: candles, trades, historical funding, order book,
time) and of its source (dydxprotocol/v4-chain, ``indexer/services/comlink``), read 2026-11-22.
Amounts are in the base asset; every market is a perpetual settled in USDC.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
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
from lake.sources.wire_values import book_of, iso_ms, iso_us

_VENUE = Venue("DYDX")
_KINDS = frozenset({InstrumentKind.LINEAR})
_RESOLUTION = {
    TimeFrame.MINUTE_1: "1MIN",
    TimeFrame.MINUTE_5: "5MINS",
    TimeFrame.MINUTE_15: "15MINS",
    TimeFrame.MINUTE_30: "30MINS",
    TimeFrame.HOUR_1: "1HOUR",
    TimeFrame.HOUR_4: "4HOURS",
    TimeFrame.DAY_1: "1DAY",
}
_PAGE_ROWS = 1_000
_DEEPEST = 100


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    """The end is exclusive. ccxt writes ``fromIso`` and ``toIso``, which the indexer ignores."""
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        "indexerGetCandlesPerpetualMarketsMarket",
        {
            "market": instrument.native_id,
            "resolution": _RESOLUTION[cursor.timeframe],
            "limit": cursor.limit,
            "fromISO": iso_ms(cursor.first_us),
            "toISO": iso_ms(cursor.last_us + 1_000),
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles, newest first; those without trades hold the last price.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "candles")
    fields: dict[str, Field | str] = {
        "ts": Field("startedAt", iso_us),
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "volume": "baseTokenVolume",
        "quote_volume": "usdVolume",
        "trade_count": "trades",
    }
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _back(method: str, before: str, instrument: Instrument, cursor: Cursor) -> Request:
    """Newest first from a time on back, that time included; there is no start to be named."""
    wanted: dict[str, Any] = {"market": instrument.native_id, "limit": cursor.limit}
    if cursor.token is not None:
        wanted[before] = cursor.token
    elif cursor.end_us is not None:
        wanted[before] = iso_ms(cursor.end_us - 1)
    return Request(method, wanted)


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    return _back("indexerGetTradesPerpetualMarketMarket", "createdBeforeOrAt", instrument, cursor)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Trades, newest first: id (hex text), taker's side, size in base, price, time in ms.

    The token is the time of the oldest; all trades of a block share one, so that the next
    answer begins with those again.

    Raises:
        SourceError: *body* has no list of trades (retryable).
    """
    rows = rows_at(body, "trades")
    fields: dict[str, Field | str] = {
        "ts": Field("createdAt", iso_us),
        "trade_ref": "id",
        "price": "price",
        "quantity": "size",
        "taker": Field("side", side),
    }
    found = columns_of(rows, fields, texts=frozenset({"trade_ref"}))
    return Decoded(pa.table(found), raw_of(rows), following=_oldest(found["ts"]))


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    return _back("indexerGetHistoricalFundingMarket", "effectiveBeforeOrAt", instrument, cursor)


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements, newest first: rate, the oracle's price, time of the block after the hour.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "historicalFunding")
    fields: dict[str, Field | str] = {
        "settled_at": Field("effectiveAt", iso_us),
        "funding_rate": "rate",
        "index_price": "price",
    }
    found = columns_of(rows, fields)
    return Decoded(pa.table(found), raw_of(rows), following=_oldest(found["settled_at"]))


def _oldest(times: pa.Array) -> str | None:
    readable = times.drop_null().to_pylist()
    return iso_ms(min(readable)) if readable else None


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request("indexerGetOrderbooksPerpetualMarketMarket", {"market": instrument.native_id})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book, without time or sequence.

    Raises:
        SourceError: *body* is no book (retryable).
    """
    book = parsed(body)
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        price="price",
        quantity="size",
        are_contracts=False,
    )


ACCESS = (
    Access(
        _VENUE,
        # ccxt's fetch_time takes these seconds for milliseconds.
        time_method="indexerGetTime",
        time_of=lambda answer: float(answer["epoch"]) * 1_000,
    ),
)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_ROWS,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume", "trade_count"),
        rank=50,
        timeframes=frozenset(_RESOLUTION),
        volume_units={InstrumentKind.LINEAR: "base"},
        raw=CandleEndpoint(_candles, decode_candles),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.TRADES,
        page_size=_PAGE_ROWS,
        concurrency=1,
        settle_after=timedelta(minutes=1),
        columns=columns.TRADES_BY_REF,
        rank=50,
        variant="single/venue",
        kinds=_KINDS,
        rows=RowsEndpoint(_trades, decode_trades, paging=Paging.BACK),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_ROWS,
        concurrency=1,
        settle_after=timedelta(minutes=10),
        columns=(*columns.FUNDING, "index_price"),
        rank=50,
        kinds=_KINDS,
        rows=RowsEndpoint(_funding, decode_funding, paging=Paging.BACK),
    ),
    book_entry(
        _VENUE,
        _KINDS,
        RowsEndpoint(_book, decode_book),
        deepest=_DEEPEST,
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
