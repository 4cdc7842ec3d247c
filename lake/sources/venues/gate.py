"""Gate: how each type is asked for.

Facts are those of Gate's REST docs v4 (spot and futures "candlesticks", "trades",
"order_book", futures "funding_rate"), of its SDK's issues (gateapi-go 26: trades come newest
first and reach back 30 days; gateapi-python 137: a contract without a multiplier is worth 1
USD) and of its error messages about candles, read 2026-11-22. Bounds are whole seconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue, expiry_of
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US, to_us
from lake.sources import venue_columns as columns
from lake.sources.capability import Access, CandleEndpoint, Capability, Request, RowsEndpoint
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.decode import Decoded, contract_size, refused
from lake.sources.fields import Field, columns_of, parsed, raw_of, rows_at, side
from lake.sources.venues.entries import book_entry
from lake.sources.wire_values import book_of, book_time, in_base, milliseconds_us, seconds_us

_VENUE = Venue("GATE")
_SPOT = InstrumentKind.SPOT
_CONTRACTS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
# Its weeks are counted from 1970-01-01, a Thursday, and ours are not; 30d is a calendar month.
_INTERVALS = {
    TimeFrame.MINUTE_1: "1m",
    TimeFrame.MINUTE_5: "5m",
    TimeFrame.MINUTE_15: "15m",
    TimeFrame.MINUTE_30: "30m",
    TimeFrame.HOUR_1: "1h",
    TimeFrame.HOUR_4: "4h",
    TimeFrame.HOUR_8: "8h",
    TimeFrame.DAY_1: "1d",
    TimeFrame.MONTH_1: "30d",
}
_PAGE_CANDLES = 999
# 10,000 are allowed by the venue's clock, which others found to be 9,998 to be sure.
_NEWEST_CANDLES = 9_990
_PAGE_ROWS = 1_000
_DEEPEST = 300
_MONTH = timedelta(days=30)
_RECENT_TRADES = (
    "{venue}'s REST reaches back 30 days; its monthly archives hold the older ones, which "
    "`lake import` cannot read yet"
)
_CLOSED = {"true": True, "false": False}


def _method(instrument: Instrument, of_spot: str, of_contracts: str) -> str:
    if instrument.kind is _SPOT:
        return f"publicSpotGet{of_spot}"
    market = "Delivery" if expiry_of(instrument.code) else "Futures"
    return f"public{market}GetSettle{of_contracts}"


def _market(instrument: Instrument) -> dict[str, Any]:
    if instrument.kind is _SPOT:
        return {"currency_pair": instrument.native_id}
    assert instrument.settle is not None
    return {"contract": instrument.native_id, "settle": instrument.settle.lower()}


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    """Both bounds are inclusive, and a limit beside them is refused."""
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    # Asked for older ones it refuses the whole request.
    oldest_us = to_us(cursor.now) - (_NEWEST_CANDLES + 1) * cursor.timeframe.nominal_us
    return Request(
        _method(instrument, "Candlesticks", "Candlesticks"),
        _market(instrument)
        | {
            "interval": _INTERVALS[cursor.timeframe],
            "from": max(cursor.first_us, oldest_us) // SECOND_US,
            "to": max(cursor.last_us, oldest_us) // SECOND_US,
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Rows of ``candlesticks``. Times are seconds.

    Spot: lists of time, quote volume, close, high, low, open, base volume, and whether the
    candle is closed. Linear contracts: objects of t, o, h, l, c, v (contracts) and sum (quote).

    Raises:
        SourceError: *body* is no list of candles (retryable), or the contract's size is unknown.
    """
    rows = rows_at(body)
    if instrument.kind is _SPOT:
        places: dict[str, Field | int | str] = {
            "ts": 0, "open": 5, "high": 3, "low": 4, "close": 2, "volume": 6, "quote_volume": 1,
        }  # fmt: skip
        table = columns_of(rows, places)
        table["closed"] = pa.array([_closed(row) for row in rows], pa.bool_())
        return Decoded(pa.table(table), raw_of(rows))
    size = contract_size(instrument)
    places = {
        "ts": "t",
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "volume": Field("v", lambda contracts: float(contracts) * size),
        "quote_volume": "sum",
    }
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _closed(row: Any) -> bool | None:
    return _CLOSED.get(str(row[7]).lower()) if isinstance(row, list) and len(row) > 7 else None


def _bounds(cursor: Cursor) -> dict[str, Any]:
    """Seconds, both included, the last of them past the end.

    Whether a trade in the middle of the last second belongs to it is not said, so one second
    more is asked for than needed.
    """
    found = {}
    if cursor.start_us is not None:
        found["from"] = cursor.start_us // SECOND_US
    if cursor.end_us is not None:
        found["to"] = -(-cursor.end_us // SECOND_US)
    return found


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    wanted = _market(instrument) | {"limit": cursor.limit} | _bounds(cursor)
    if cursor.token is not None:
        first, last, page = (int(each) for each in cursor.token.split())
        wanted |= {"from": first, "to": last}
        is_spot = instrument.kind is _SPOT
        wanted |= {"page": page} if is_spot else {"offset": (page - 1) * cursor.limit}
    return Request(_method(instrument, "Trades", "Trades"), wanted)


def _next_page(cursor: Cursor, count: int) -> str | None:
    """The page after it of the same span: pages are counted from the span's end."""
    if count < cursor.limit:
        return None
    if cursor.token is None:
        bounds = _bounds(cursor)
        return f"{bounds['from']} {bounds['to']} 2"
    first, last, page = cursor.token.split()
    return f"{first} {last} {int(page) + 1}"


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Trades, newest first: id, time, side (spot) or a signed size (contracts), price, amount.

    ``create_time_ms`` is in milliseconds for spot and in seconds for contracts, each with a
    fraction. A negative size says that the taker sold.

    Raises:
        SourceError: *body* is no list of trades (retryable), or the contract's size is unknown.
    """
    rows = rows_at(body)
    places: dict[str, Field | str] = {"trade_id": "id", "price": "price"}
    if instrument.kind is _SPOT:
        places |= {
            "ts": Field("create_time_ms", milliseconds_us),
            "quantity": "amount",
            "taker": Field("side", side),
        }
    else:
        places |= {
            "ts": Field("create_time_ms", seconds_us),
            "quantity": Field("size", lambda size: abs(float(size))),
            "taker": Field("size", _taker),
        }
    return Decoded(pa.table(in_base(columns_of(rows, places), instrument)), raw_of(rows))


def _taker(size: Any) -> int:
    return (float(size) > 0) - (float(size) < 0)


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(
        "publicFuturesGetSettleFundingRate",
        _market(instrument) | {"limit": cursor.limit} | _bounds(cursor),
    )


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements of ``funding_rate``: time in seconds, and rate.

    Raises:
        SourceError: *body* is no list of settlements (retryable).
    """
    rows = rows_at(body)
    places = {"settled_at": "t", "funding_rate": "r"}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(
        _method(instrument, "OrderBook", "OrderBook"),
        _market(instrument) | {"limit": cursor.limit, "with_id": "true"},
    )


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book of ``order_book``: when it was made, its id, and levels best first.

    ``current`` is in milliseconds for spot and in seconds with a fraction for contracts, whose
    levels are objects of a price and contracts.

    Raises:
        SourceError: *body* is no book (retryable), or the contract's size is unknown.
    """
    book = parsed(body)
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    is_spot = instrument.kind is _SPOT
    moment = book.get("current")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, moment) if is_spot else book_time(body, moment, seconds_us),
        sequence=book.get("id"),
        price=0 if is_spot else "p",
        quantity=1 if is_spot else "s",
    )


ACCESS = (Access(_VENUE, options={"fetchMarkets": {"types": ["spot", "swap", "future"]}}),)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume"),
        rank=50,
        timeframes=frozenset(_INTERVALS),
        depth_candles=_NEWEST_CANDLES,
        depth_reason=columns.NEWEST + "; its monthly archives hold the older ones",
        # Of inverse contracts it counts contracts only, and no candle tells their prices.
        volume_units={_SPOT: "base", InstrumentKind.LINEAR: "contracts"},
        raw=CandleEndpoint(_candles, decode_candles),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.TRADES,
        page_size=_PAGE_ROWS,
        concurrency=1,
        settle_after=timedelta(minutes=1),
        columns=columns.TRADES,
        rank=50,
        variant="single/venue",
        kinds=_CONTRACTS | {_SPOT},
        depth=_MONTH,
        depth_reason=_RECENT_TRADES,
        rows=RowsEndpoint(_trades, decode_trades, cursor_us=SECOND_US, next_token=_next_page),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_ROWS,
        concurrency=2,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=_CONTRACTS,
        rows=RowsEndpoint(_funding, decode_funding, cursor_us=SECOND_US, whole_seconds=True),
    ),
    book_entry(_VENUE, _CONTRACTS | {_SPOT}, RowsEndpoint(_book, decode_book), deepest=_DEEPEST),
)
