"""Hyperliquid: how each type is asked for. Everything is a POST to one path, ``info``.

Facts are those of Hyperliquid's docs ("Info endpoint": candle snapshot, L2 book snapshot;
"Perpetuals": historical funding rates), read 2026-11-22. Amounts are in the base asset. Trades
are refused: the public REST has fills of one user alone (``refusals``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
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
from lake.sources.fields import columns_of, parsed, raw_of, rows_at
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time

_VENUE = Venue("HYPERLIQUID")
_KINDS = frozenset({InstrumentKind.SPOT, InstrumentKind.LINEAR})
# Its weeks start on Thursdays (rainbow-me/rainbow, pull request 6920), and ours do not.
_TIMEFRAMES = frozenset(
    TimeFrame.from_str(name)
    for name in "1m 3m 5m 15m 30m 1h 2h 4h 8h 12h 1d 3d 1mo".split()  # noqa: SIM905 - reads better
)
_PAGE_CANDLES = 5_000
# Some fewer than the 5,000 there are: the oldest drop off while the others are fetched.
_OBTAINABLE_CANDLES = 4_950
_PAGE_SETTLEMENTS = 500
_DEEPEST = 20
_METHOD = "publicPostInfo"
# 1,200 units a minute are allowed ("Rate limits and user limits", read 2026-11-22): 2 for a
# book, 20 for the others and one more for so many rows given, which ccxt leaves out. Counted in
# hundredths, as ccxt's own costs of other requests are (``transport.COST_SCALE``).
_UNIT = 100


def _weight(rows_a_unit: int) -> Callable[[int], int]:
    return lambda limit: (20 + -(-limit // rows_a_unit)) * _UNIT


def _coin(market: Mapping[str, Any]) -> str:
    """A perpetual is called by its coin; ccxt's id of it is a place in a list."""
    return str(market["baseName"] if market.get("swap") else market["id"])


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    wanted = {
        "coin": instrument.native_id,
        "interval": cursor.timeframe.ccxt,
        "startTime": cursor.first_us // 1_000,
        "endTime": cursor.last_us // 1_000,
    }
    return Request(_METHOD, {"type": "candleSnapshot", "req": wanted})


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Candles: ``t`` open and ``T`` close time in ms, prices, volume in base, count of trades.

    Raises:
        SourceError: *body* is no list of candles (retryable).
    """
    rows = rows_at(body)
    places = {"ts": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    places |= {"trade_count": "n", "close_time": "T"}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    wanted: dict[str, Any] = {"type": "fundingHistory", "coin": instrument.native_id}
    assert cursor.start_us is not None
    wanted["startTime"] = -(-cursor.start_us // 1_000)
    if cursor.end_us is not None:
        wanted["endTime"] = (cursor.end_us - 1) // 1_000
    return Request(_METHOD, wanted)


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements, oldest first: time in ms, some tens of them after the hour, and rate.

    Raises:
        SourceError: *body* is no list of settlements (retryable).
    """
    rows = rows_at(body)
    fields = {"settled_at": "time", "funding_rate": "fundingRate"}
    return Decoded(pa.table(columns_of(rows, fields)), raw_of(rows))


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(_METHOD, {"type": "l2Book", "coin": instrument.native_id})


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book: bids and asks of 20 levels, with the venue's time and without a sequence.

    Raises:
        SourceError: *body* is no book (retryable).
    """
    answer = parsed(body)
    sides = answer.get("levels") if isinstance(answer, dict) else None
    if not isinstance(sides, list) or len(sides) != 2:
        raise refused(body, "is not an order book")
    return book_of(
        body,
        instrument,
        bids=sides[0],
        asks=sides[1],
        ts=book_time(body, answer.get("time")),
        price="px",
        quantity="sz",
        are_contracts=False,
    )


ACCESS = (Access(_VENUE, limit=Limit(1_200 * _UNIT), native_id=_coin, unit=_UNIT),)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "trade_count"),
        rank=50,
        timeframes=_TIMEFRAMES,
        depth_candles=_OBTAINABLE_CANDLES,
        depth_reason="{venue}'s REST gives only the newest 5,000 candles of each timeframe",
        volume_units={InstrumentKind.SPOT: "base", InstrumentKind.LINEAR: "base"},
        raw=CandleEndpoint(_candles, decode_candles, _weight(60)),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_SETTLEMENTS,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=frozenset({InstrumentKind.LINEAR}),
        rows=RowsEndpoint(_funding, decode_funding, _weight(20), paging=Paging.SPAN),
    ),
    book_entry(
        _VENUE,
        _KINDS,
        RowsEndpoint(_book, decode_book, lambda limit: 2 * _UNIT),
        deepest=_DEEPEST,
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
