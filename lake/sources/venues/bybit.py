"""Bybit: how each type is asked for.

Facts are those of Bybit's REST docs v5 ("Get Kline", "Get Funding Rate History", "Get
Orderbook"), read 2026-11-22. Every market is of one API, told apart by ``category``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.sources import venue_columns as columns
from lake.sources.budget import Limit
from lake.sources.capability import Access, CandleEndpoint, Capability, Request, RowsEndpoint
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.decode import Decoded, refused
from lake.sources.fields import columns_of, parsed, raw_of, rows_at
from lake.sources.transport import COST_SCALE
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time

_VENUE = Venue("BYBIT")
_PERPETUALS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
_INTERVALS = {
    TimeFrame.MINUTE_1: "1",
    TimeFrame.MINUTE_3: "3",
    TimeFrame.MINUTE_5: "5",
    TimeFrame.MINUTE_15: "15",
    TimeFrame.MINUTE_30: "30",
    TimeFrame.HOUR_1: "60",
    TimeFrame.HOUR_2: "120",
    TimeFrame.HOUR_4: "240",
    TimeFrame.HOUR_6: "360",
    TimeFrame.HOUR_12: "720",
    TimeFrame.DAY_1: "D",
    TimeFrame.WEEK_1: "W",
    TimeFrame.MONTH_1: "M",
}
_PAGE_CANDLES = 1_000
_PAGE_SETTLEMENTS = 200
_INVERSE_USD = 1.0
# 600 requests in any five seconds, whatever is asked ("Rate Limit Rules"); who asks more is shut
# out for half an hour. Spent evenly, since its windows begin anywhere. ccxt takes a twelfth of it.
_UNIT = COST_SCALE
_LIMIT = Limit(240 * _UNIT, window_s=2.0, burst=0.05, guard_s=0.0)
# Spot's books are no deeper; those of contracts go to 500.
_DEEPEST = 200


def _market(instrument: Instrument) -> dict[str, Any]:
    return {"category": instrument.kind.value, "symbol": instrument.native_id}


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        "publicGetV5MarketKline",
        _market(instrument)
        | {
            "interval": _INTERVALS[cursor.timeframe],
            "start": cursor.first_us // 1_000,
            "end": cursor.last_us // 1_000,
            "limit": cursor.limit,
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Rows of ``kline``, newest first: time, open, high, low, close, volume, turnover.

    Spot and linear volume is in the base asset and turnover in the quote. Of inverse contracts
    volume counts contracts of 1 USD, which is the quote, and turnover is in the base.

    Raises:
        SourceError: *body* has no list of candles, or those of another symbol (retryable).
    """
    rows = _rows(body, instrument)
    base, quote = (6, 5) if instrument.kind is InstrumentKind.INVERSE else (5, 6)
    places = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4}
    table = columns_of(rows, places | {"volume": base, "quote_volume": quote})
    return Decoded(pa.table(table), raw_of(rows))


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    wanted = _market(instrument) | {"limit": cursor.limit}
    if cursor.end_us is not None:
        # A start alone is refused.
        wanted["endTime"] = (cursor.end_us - 1) // 1_000
        if cursor.start_us is not None:
            wanted["startTime"] = -(-cursor.start_us // 1_000)
    return Request("publicGetV5MarketFundingHistory", wanted)


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements of ``funding/history``, newest first: time and rate.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "result", "list")
    places = {"settled_at": "fundingRateTimestamp", "funding_rate": "fundingRate"}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request("publicGetV5MarketOrderbook", _market(instrument) | {"limit": cursor.limit})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book of ``orderbook``: its time, its update id, and levels best first.

    Quantities are in the base asset, but for inverse contracts of 1 USD each. The update id is
    kept and not ``seq``, which spot does not say.

    Raises:
        SourceError: *body* is no book, or one of another symbol (retryable).
    """
    answer = parsed(body)
    book = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(book, dict) or book.get("s") != instrument.native_id:
        raise refused(body, f"is not the order book of {instrument.native_id}")
    return book_of(
        body,
        # ccxt takes the least order for the size of an inverse contract.
        replace(instrument, contract_size=_INVERSE_USD),
        bids=book.get("b"),
        asks=book.get("a"),
        ts=book_time(body, book.get("ts")),
        sequence=book.get("u"),
        are_contracts=instrument.kind is InstrumentKind.INVERSE,
    )


def _rows(body: bytes, instrument: Instrument) -> list[Any]:
    answer = parsed(body)
    result = answer.get("result") if isinstance(answer, dict) else None
    rows = result.get("list") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(rows, list):
        raise refused(body, "has no list of rows at result.list")
    symbol = result.get("symbol")
    if symbol not in (None, "", instrument.native_id):
        raise refused(body, f"is of {symbol} and not of {instrument.native_id}")
    return rows


def _one(count: int) -> int:
    return _UNIT


ACCESS = (
    Access(
        _VENUE,
        limit=_LIMIT,
        options={"fetchMarkets": {"types": ["spot", "linear", "inverse"]}},
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
        timeframes=frozenset(_INTERVALS),
        volume_units=dict.fromkeys((InstrumentKind.SPOT, *_PERPETUALS), "base"),
        raw=CandleEndpoint(_candles, decode_candles, _one),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_SETTLEMENTS,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=_PERPETUALS,
        rows=RowsEndpoint(_funding, decode_funding, _one),
    ),
    book_entry(
        _VENUE,
        _PERPETUALS | {InstrumentKind.SPOT},
        RowsEndpoint(_book, decode_book, _one),
        deepest=_DEEPEST,
    ),
)
