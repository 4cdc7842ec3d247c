"""OKX: how each type is asked for.

Facts are those of OKX's REST docs v5 ("Get candlesticks", "Get candlesticks history", "Get
trades history", "Get funding rate history", "Get order book", "Get full order book"), as of
2026-06-15 and read 2026-11-22. Derivatives are counted in contracts everywhere but in candles.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us
from lake.sources import venue_columns as columns
from lake.sources.budget import Limit
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
from lake.sources.fields import Field, columns_of, raw_of, rows_at, side
from lake.sources.transport import COST_SCALE
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time, in_base

_VENUE = Venue("OKX")
_CONTRACTS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
_KINDS = _CONTRACTS | {InstrumentKind.SPOT}
# Without "utc" its days begin at 16:00 UTC. Where its 3d candles are counted from is not said.
_BARS = {
    TimeFrame.MINUTE_1: "1m",
    TimeFrame.MINUTE_3: "3m",
    TimeFrame.MINUTE_5: "5m",
    TimeFrame.MINUTE_15: "15m",
    TimeFrame.MINUTE_30: "30m",
    TimeFrame.HOUR_1: "1H",
    TimeFrame.HOUR_2: "2H",
    TimeFrame.HOUR_4: "4H",
    TimeFrame.HOUR_6: "6Hutc",
    TimeFrame.HOUR_12: "12Hutc",
    TimeFrame.DAY_1: "1Dutc",
    TimeFrame.WEEK_1: "1Wutc",
    TimeFrame.MONTH_1: "1Mutc",
}
_PAGE_CANDLES = 300
# The newest 1,440 candles are at one endpoint, the older ones at another. One may be formed
# between our reading of the clock and the answer.
_RECENT_CANDLES = 1_439
_PAGE_TRADES = 100
# It takes 400 nowadays and took 100 before; 100 fills in either case.
_PAGE_SETTLEMENTS = 100
_DEEP_BOOK, _DEEPEST_BOOK = 400, 5_000
_QUARTER = timedelta(days=90)
# Each endpoint has a limit of its own: in two seconds 40 books or recent candles, 20 old candles
# or trades, 10 settlements or full books. We keep all of them within the largest, by weights.
_UNIT = COST_SCALE
_LIMIT = Limit(40 * _UNIT, window_s=2.0, burst=0.05, guard_s=0.0)
_THREE_MONTHS = (
    "{venue}'s REST reaches back three months only; its archives hold the older ones, which "
    "`lake import` cannot read yet"
)
_CLOSED = {"1": True, "0": False}


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    age = cursor.now - from_us(cursor.first_us)
    recent = timedelta(microseconds=_RECENT_CANDLES * cursor.timeframe.nominal_us)
    return Request(
        "publicGetMarketCandles" if age < recent else "publicGetMarketHistoryCandles",
        {
            "instId": instrument.native_id,
            "bar": _BARS[cursor.timeframe],
            # Both are exclusive: newer than `before`, older than `after`.
            "before": max(0, cursor.first_us // 1_000 - 1),
            "after": cursor.last_us // 1_000 + 1,
            "limit": cursor.limit,
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles, newest first: time, open, high, low, close, vol, volCcy, volCcyQuote, confirm.

    Spot's ``vol`` is in the base asset; of contracts it counts contracts, and ``volCcy`` is in
    the base asset. ``confirm`` says whether the candle is complete.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "data")
    base = 5 if instrument.kind is InstrumentKind.SPOT else 6
    places = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4}
    table = columns_of(rows, places | {"volume": base, "quote_volume": 7})
    table["closed"] = pa.array([_closed(row) for row in rows], pa.bool_())
    return Decoded(pa.table(table), raw_of(rows))


def _closed(row: Any) -> bool | None:
    return _CLOSED.get(str(row[8])) if isinstance(row, list) and len(row) > 8 else None


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    wanted: dict[str, Any] = {"instId": instrument.native_id, "limit": cursor.limit}
    if cursor.token is not None:
        wanted |= {"type": "1", "after": cursor.token}
    elif cursor.end_us is not None:
        # Milliseconds, and older than it.
        wanted |= {"type": "2", "after": -(-cursor.end_us // 1_000)}
    return Request("publicGetMarketHistoryTrades", wanted)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Trades of ``history-trades``, newest first: price, size, taker's side, time, id.

    The size of contracts counts them. The next answer goes on before the last id.

    Raises:
        SourceError: *body* has no list of trades (retryable), or the contract's size is unknown.
    """
    rows = rows_at(body, "data")
    places: dict[str, Field | str] = {
        "ts": "ts",
        "trade_id": "tradeId",
        "price": "px",
        "quantity": "sz",
        "taker": Field("side", side),
    }
    table = in_base(columns_of(rows, places), instrument)
    return Decoded(pa.table(table), raw_of(rows), following=_last(rows, "tradeId"))


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    wanted: dict[str, Any] = {"instId": instrument.native_id, "limit": cursor.limit}
    if cursor.token is not None:
        wanted["after"] = cursor.token
    elif cursor.end_us is not None:
        wanted["after"] = -(-cursor.end_us // 1_000)
    return Request("publicGetPublicFundingRateHistory", wanted)


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements of ``funding-rate-history``, newest first: time, realized and predicted rate.

    ``realizedRate`` is what was paid; ``fundingRate`` was predicted for it beforehand.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "data")
    places = {
        "settled_at": "fundingTime",
        "funding_rate": "realizedRate",
        "predicted_rate": "fundingRate",
    }
    table = pa.table(columns_of(rows, places))
    return Decoded(table, raw_of(rows), following=_last(rows, "fundingTime"))


def _last(rows: list[Any], name: str) -> str | None:
    """Where the next answer goes on: before the last of *rows*, which are newest first."""
    last = rows[-1].get(name) if rows and isinstance(rows[-1], dict) else None
    return None if last is None else str(last)


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    deep = cursor.limit > _DEEP_BOOK
    return Request(
        "publicGetMarketBooksFull" if deep else "publicGetMarketBooks",
        {"instId": instrument.native_id, "sz": cursor.limit},
    )


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book of ``books`` or ``books-full``: time, ``seqId`` where said, levels best first.

    Raises:
        SourceError: *body* is no book (retryable), or the contract's size is unknown.
    """
    books = rows_at(body, "data")
    if len(books) != 1 or not isinstance(books[0], dict):
        raise refused(body, "is not an order book")
    [book] = books
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, book.get("ts")),
        sequence=book.get("seqId"),
    )


def _weighs(units: int) -> Callable[[int], int]:
    return lambda count: units * _UNIT


def _book_weight(levels: int) -> int:
    return (4 if levels > _DEEP_BOOK else 1) * _UNIT


ACCESS = (
    Access(
        _VENUE,
        limit=_LIMIT,
        options={"fetchMarkets": {"types": ["spot", "swap", "future"]}},
        unit=_UNIT,
    ),
)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume"),
        rank=50,
        timeframes=frozenset(_BARS),
        volume_units=dict.fromkeys(_KINDS, "base"),
        raw=CandleEndpoint(_candles, decode_candles, _weighs(2)),
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
        kinds=_KINDS,
        depth=_QUARTER,
        depth_reason=_THREE_MONTHS,
        rows=RowsEndpoint(_trades, decode_trades, _weighs(2), paging=Paging.BACK),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_SETTLEMENTS,
        concurrency=1,
        settle_after=timedelta(minutes=10),
        columns=(*columns.FUNDING, "predicted_rate"),
        rank=50,
        kinds=_CONTRACTS,
        depth=_QUARTER,
        depth_reason=_THREE_MONTHS,
        rows=RowsEndpoint(_funding, decode_funding, _weighs(4), paging=Paging.BACK),
    ),
    book_entry(
        _VENUE, _KINDS, RowsEndpoint(_book, decode_book, _book_weight), deepest=_DEEPEST_BOOK
    ),
)
