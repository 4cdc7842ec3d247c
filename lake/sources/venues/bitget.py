"""Bitget: how each type is asked for.

Facts are those of Bitget's REST docs v2 (spot and contract "Get Candlestick Data", "Get History
Candlestick Data", "Get Market Trades", "Get History Transactions", "Get Historical Funding
Rates", "Get OrderBook Depth", "Get Merge Market Depth"), read 2026-11-22, and of ccxt 4.5.90
where its comments say that the docs were found wrong. Amounts of contracts are in the base
asset too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import SECOND_US, from_us
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
from lake.sources.wire_values import book_of, book_time

_VENUE = Venue("BITGET")
_SPOT = InstrumentKind.SPOT
_CONTRACTS = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
_STABLE = ("USDT", "USDC", "SUSDT", "SUSDC")
_DEMO_COINS = ("SBTC", "SETH", "SEOS")
# Spot's and the contracts' names, and for how many days the newer endpoint reaches back (the
# docs say more, ccxt's authors measured this). Two hours are known for contracts only. Where
# its 3d candles are counted from is not said.
_GRANULARITIES = {
    TimeFrame.MINUTE_1: ("1min", "1m", 30),
    TimeFrame.MINUTE_3: ("3min", "3m", 30),
    TimeFrame.MINUTE_5: ("5min", "5m", 30),
    TimeFrame.MINUTE_15: ("15min", "15m", 30),
    TimeFrame.MINUTE_30: ("30min", "30m", 30),
    TimeFrame.HOUR_1: ("1h", "1H", 60),
    TimeFrame.HOUR_4: ("4h", "4H", 240),
    TimeFrame.HOUR_6: ("6Hutc", "6Hutc", 360),
    TimeFrame.HOUR_12: ("12Hutc", "12Hutc", 720),
    TimeFrame.DAY_1: ("1Dutc", "1Dutc", 1_440),
    TimeFrame.WEEK_1: ("1Wutc", "1Wutc", 1_440),
    TimeFrame.MONTH_1: ("1Mutc", "1Mutc", 1_440),
}
# The endpoint of older candles gives 200; one more than wanted is asked for.
_PAGE_CANDLES = 199
# Contracts name at most 90 days, of which a candle and the longest month are kept in hand.
_LONGEST = timedelta(days=88)
_PAGE_TRADES = 1_000
_PAGE_SETTLEMENTS = 100
# Contracts have these depths only; 100 is what they give where none is named.
_LEVELS = (1, 5, 15, 50, 100)
_DEFAULT_LEVELS = 100
_MONTH = timedelta(days=30)
_RECENT_TRADES = (
    "{venue}'s REST reaches back 30 days (spot) or 90 days (contracts), and 30 are relied on; "
    "its archives hold the older ones, which `lake import` cannot read yet"
)


def _market(instrument: Instrument) -> dict[str, Any]:
    wanted: dict[str, Any] = {"symbol": instrument.native_id}
    if instrument.kind is not _SPOT:
        settle = instrument.settle or ""
        # Coins are margin of one product; those that begin with S trade in its demo.
        coin = "SCOIN" if settle in _DEMO_COINS else "COIN"
        wanted["productType"] = f"{settle if settle in _STABLE else coin}-FUTURES"
    return wanted


def _candles(instrument: Instrument, cursor: CandleCursor) -> Request:
    """Counted back from the end; whether a candle at the end itself belongs to it is not said.

    One more than wanted is asked for, so that it does not matter; the surplus is left out.
    """
    assert cursor.first_us is not None
    assert cursor.last_us is not None
    spot_name, contract_name, days = _GRANULARITIES[cursor.timeframe]
    is_spot = instrument.kind is _SPOT
    age = cursor.now - from_us(cursor.first_us)
    old = "History" if age >= timedelta(days=days - 1) else ""
    market = "SpotGetV2SpotMarket" if is_spot else "MixGetV2MixMarket"
    return Request(
        f"public{market}{old}Candles",
        _market(instrument)
        | {
            "granularity": spot_name if is_spot else contract_name,
            "startTime": cursor.first_us // 1_000,
            "endTime": (cursor.last_us + cursor.timeframe.nominal_us) // 1_000,
            "limit": cursor.limit + 1,
        },
    )


def decode_candles(body: bytes, instrument: Instrument) -> Decoded:
    """Rows of ``candles``: time, open, high, low, close, base volume, quote volume.

    Of inverse contracts too: 0.199 and 8,578.33 stand beside a price of 43,107 in a recorded
    answer, where ccxt 4.5.90 takes the second for the base volume.

    Raises:
        SourceError: *body* has no list of candles (retryable).
    """
    rows = rows_at(body, "data")
    places = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 6}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _trades(instrument: Instrument, cursor: Cursor) -> Request:
    wanted = _market(instrument) | {"limit": cursor.limit}
    if cursor.token is not None:
        wanted["idLessThan"] = cursor.token
    elif cursor.end_us is not None:
        # Without a start, which may not lie more than seven days before it. Whether a trade at
        # the end itself belongs to it is not said.
        wanted["endTime"] = cursor.end_us // 1_000
    market = "SpotGetV2SpotMarket" if instrument.kind is _SPOT else "MixGetV2MixMarket"
    return Request(f"public{market}FillsHistory", wanted)


def decode_trades(body: bytes, instrument: Instrument) -> Decoded:
    """Trades of ``fills-history``, newest first: id, side, price, size, time.

    Times are milliseconds that tell whole seconds. The next answer goes on before the last id.

    Raises:
        SourceError: *body* has no list of trades (retryable).
    """
    rows = rows_at(body, "data")
    places: dict[str, Field | str] = {
        "ts": "ts",
        "trade_id": "tradeId",
        "price": "price",
        "quantity": "size",
        "taker": Field("side", side),
    }
    last = rows[-1].get("tradeId") if rows and isinstance(rows[-1], dict) else None
    table = pa.table(columns_of(rows, places))
    return Decoded(table, raw_of(rows), following=None if last is None else str(last))


def _funding(instrument: Instrument, cursor: Cursor) -> Request:
    return Request(
        "publicMixGetV2MixMarketHistoryFundRate",
        _market(instrument) | {"pageSize": cursor.limit, "pageNo": cursor.token or "1"},
    )


def _next_page(cursor: Cursor, count: int) -> str | None:
    """The page after it; an empty one is the last."""
    return str(int(cursor.token or "1") + 1) if count else None


def decode_funding(body: bytes, instrument: Instrument) -> Decoded:
    """Settlements of ``history-fund-rate``, newest first: time and rate.

    Raises:
        SourceError: *body* has no list of settlements (retryable).
    """
    rows = rows_at(body, "data")
    places = {"settled_at": "fundingTime", "funding_rate": "fundingRate"}
    return Decoded(pa.table(columns_of(rows, places)), raw_of(rows))


def _book(instrument: Instrument, cursor: Cursor) -> Request:
    if instrument.kind is _SPOT:
        wanted = {"limit": cursor.limit}
        return Request("publicSpotGetV2SpotMarketOrderbook", _market(instrument) | wanted)
    wanted = {} if cursor.limit == _DEFAULT_LEVELS else {"limit": cursor.limit}
    return Request("publicMixGetV2MixMarketMergeDepth", _market(instrument) | wanted)


def decode_book(body: bytes, instrument: Instrument) -> Decoded:
    """The book of ``orderbook`` or ``merge-depth``: its time, and levels best first.

    Raises:
        SourceError: *body* is no book (retryable).
    """
    answer = parsed(body)
    book = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(book, dict):
        raise refused(body, "is not an order book")
    return book_of(
        body,
        instrument,
        bids=book.get("bids"),
        asks=book.get("asks"),
        ts=book_time(body, book.get("ts")),
        are_contracts=False,
    )


ACCESS = (Access(_VENUE, options={"fetchMarkets": {"types": ["spot", "swap"]}}),)
ENTRIES = (
    Capability(
        venue=_VENUE,
        data_type=DataType.OHLCV,
        page_size=_PAGE_CANDLES,
        settle_after=timedelta(minutes=2),
        columns=(*columns.CANDLES, "quote_volume"),
        rank=50,
        timeframes=frozenset(_GRANULARITIES),
        longest_window=_LONGEST,
        volume_units=dict.fromkeys((_SPOT, *_CONTRACTS), "base"),
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
        kinds=_CONTRACTS | {_SPOT},
        depth=_MONTH,
        depth_reason=_RECENT_TRADES,
        rows=RowsEndpoint(_trades, decode_trades, paging=Paging.BACK, cursor_us=SECOND_US),
    ),
    Capability(
        venue=_VENUE,
        data_type=DataType.FUNDING_RATES,
        page_size=_PAGE_SETTLEMENTS,
        concurrency=1,
        settle_after=timedelta(minutes=10),
        columns=columns.FUNDING,
        rank=50,
        kinds=_CONTRACTS,
        rows=RowsEndpoint(
            _funding, decode_funding, paging=Paging.BACK, seeks=False, next_token=_next_page
        ),
    ),
    book_entry(
        _VENUE,
        _CONTRACTS | {_SPOT},
        RowsEndpoint(_book, decode_book, levels=_LEVELS),
        deepest=_LEVELS[-1],
        says=columns.BOOK_WITHOUT_SEQUENCE,
    ),
)
