"""KuCoin spot and futures: how each type is asked for.

Facts are those of KuCoin's REST docs ("Get Klines", "Get Part OrderBook", "Get Public Funding
History", each of spot or futures trading), read 2026-11-22. Trades are refused: both markets
give the newest 100 alone (``refusals``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
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
from lake.sources.decode import Decoded, contract_size, refused
from lake.sources.fields import Field, Place, columns_of, parsed, raw_of, rows_at
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time

_SPOT, _FUTURES = Venue("KUCOIN"), Venue("KUCOINFUTURES")
_CONTRACTS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
# Its weeks start on Thursdays (Kucoin/kucoin-api-docs, issues 350 and 373), and ours do not.
_SPOT_TYPES = {
    TimeFrame.MINUTE_1: "1min",
    TimeFrame.MINUTE_3: "3min",
    TimeFrame.MINUTE_5: "5min",
    TimeFrame.MINUTE_15: "15min",
    TimeFrame.MINUTE_30: "30min",
    TimeFrame.HOUR_1: "1hour",
    TimeFrame.HOUR_2: "2hour",
    TimeFrame.HOUR_4: "4hour",
    TimeFrame.HOUR_6: "6hour",
    TimeFrame.HOUR_8: "8hour",
    TimeFrame.HOUR_12: "12hour",
    TimeFrame.DAY_1: "1day",
    TimeFrame.MONTH_1: "1month",
}
_FUTURES_MINUTES = {
    TimeFrame.MINUTE_1: 1,
    TimeFrame.MINUTE_5: 5,
    TimeFrame.MINUTE_15: 15,
    TimeFrame.MINUTE_30: 30,
    TimeFrame.HOUR_1: 60,
    TimeFrame.HOUR_2: 120,
    TimeFrame.HOUR_4: 240,
    TimeFrame.HOUR_8: 480,
    TimeFrame.HOUR_12: 720,
    TimeFrame.DAY_1: 1_440,
}
_LEVELS = (20, 100)
# The venue cuts a history of settlements to so many (ccxt, issue 27461), the newest.
_PAGE_SETTLEMENTS = 100
# Turnover is rounded, and prices of a candle are those of trades in it.
_TOLERANCE = 1e-3


def _spot_candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        "publicGetMarketCandles",
        {
            "symbol": instrument.native_id,
            "type": _SPOT_TYPES[cursor.timeframe],
            "startAt": cursor.first_us // SECOND_US,
            # A second later, since it is not documented whether the end is included.
            "endAt": cursor.last_us // SECOND_US + 1,
        },
    )


def decode_spot_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Spot candles, newest first: seconds, open, **close**, high, low, volume, turnover.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "data")
    places = {"ts": 0, "open": 1, "close": 2, "high": 3, "low": 4, "volume": 5, "quote_volume": 6}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _futures_candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    return Request(
        "futuresPublicGetKlineQuery",
        {
            "symbol": instrument.native_id,
            "granularity": _FUTURES_MINUTES[cursor.timeframe],
            "from": cursor.first_us // 1_000,
            "to": cursor.last_us // 1_000 + 1,
        },
    )


def decode_futures_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles of contracts: ms, open, high, low, close, volume in contracts, turnover.

    Turnover is in the currency of settlement: of a linear contract the quote volume, of an
    inverse one the base volume, whose quote volume is its contracts times their size. An
    amount that does not fit volume and prices is NaN, so that a unit that is not as taken here
    is refused. Answers before 2026 had no turnover; of inverse contracts such are refused.

    Raises:
        SourceError: *body* has no list of candles (retryable), or the contract's size is
            unknown.
    """
    rows, size = rows_at(body, "data"), contract_size(instrument)
    places: dict[str, Field | Place] = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4}
    places |= {"volume": 5, "quote_volume": 6}
    found = columns_of(rows, places)
    amounts, turnover, low, high = (
        found[name].to_numpy(zero_copy_only=False)
        for name in ("volume", "quote_volume", "low", "high")
    )
    amounts = amounts * size
    with np.errstate(divide="ignore", invalid="ignore"):
        if instrument.kind is InstrumentKind.INVERSE:
            base, quote = turnover, amounts
        else:
            base, quote = amounts, turnover
        fits = (quote >= base * low * (1 - _TOLERANCE)) & (quote <= base * high * (1 + _TOLERANCE))
    if instrument.kind is InstrumentKind.INVERSE:
        found |= {"volume": _doubles(base, fits), "quote_volume": pa.array(quote)}
    else:
        unsaid = found["quote_volume"].is_null().to_numpy(zero_copy_only=False)
        found |= {"volume": pa.array(base), "quote_volume": _doubles(quote, fits, unsaid)}
    return Decoded(pa.table(found), raw_of(rows))


def _doubles(values: Any, fits: Any, unsaid: Any = None) -> pa.Array:
    """*values*, NaN where they do not fit, null where nothing was said."""
    return pa.array(np.where(fits, values, np.nan), mask=unsaid, from_pandas=False)


def _spot_book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(
        f"publicGetMarketOrderbookLevel2{cursor.limit}", {"symbol": instrument.native_id}
    )


def _futures_book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(f"futuresPublicGetLevel2Depth{cursor.limit}", {"symbol": instrument.native_id})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book with sequence and time (spot in ms, futures in ns); futures count contracts.

    Raises:
        SourceError: *body* is no book (retryable), or the contract's size is unknown.
    """
    answer = parsed(body)
    book = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    if book.get("sequence") is None:
        raise refused(body, "has a book without a sequence")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, book.get("time", book.get("ts"))),
        sequence=book["sequence"],
    )


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    assert cursor.start_us is not None
    assert cursor.end_us is not None
    return Request(
        "futuresPublicGetContractFundingRates",
        {
            "symbol": instrument.native_id,
            "from": -(-cursor.start_us // 1_000),
            "to": (cursor.end_us - 1) // 1_000,
        },
    )


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements, newest first: time in milliseconds, rate.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "data")
    fields = {"settled_at": "timepoint", "funding_rate": "fundingRate"}
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


ACCESS = (
    # ccxt lists futures there too; they are KUCOINFUTURES here.
    Access(_SPOT, options={"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}}),
    Access(_FUTURES),
)
ENTRIES = (
    Capability(
        venue=_SPOT,
        data_type=DataType.OHLCV,
        page_size=1_500,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume"),
        rank=50,
        timeframes=frozenset(_SPOT_TYPES),
        volume_units={InstrumentKind.SPOT: "base"},
        raw=CandleEndpoint(_spot_candles, decode_spot_candles),
    ),
    Capability(
        venue=_FUTURES,
        data_type=DataType.OHLCV,
        page_size=200,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume"),
        rank=50,
        timeframes=frozenset(_FUTURES_MINUTES),
        volume_units=dict.fromkeys(sorted(_CONTRACTS, key=str), "contracts"),
        raw=CandleEndpoint(_futures_candles, decode_futures_candles),
    ),
    Capability(
        venue=_FUTURES,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_SETTLEMENTS,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=_CONTRACTS,
        longest_window=timedelta(days=30),
        # A span that has more is cut to its newest, so that it is read from its end back.
        rows=RowsEndpoint(_funding, decode_funding, paging=Paging.BACK),
    ),
    book_entry(
        _SPOT,
        frozenset({InstrumentKind.SPOT}),
        RowsEndpoint(_spot_book, decode_book, levels=_LEVELS),
        deepest=_LEVELS[-1],
    ),
    book_entry(
        _FUTURES,
        _CONTRACTS,
        RowsEndpoint(_futures_book, decode_book, levels=_LEVELS),
        deepest=_LEVELS[-1],
    ),
)
