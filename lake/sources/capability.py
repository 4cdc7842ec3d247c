"""The shape of what a venue can give of one data type, and how it wants to be asked. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, TypeAlias

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.sources.budget import Limit
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.decode import Decoder


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ccxt's implicit method for a venue's endpoint, and its parameters."""

    method: str
    parameters: Mapping[str, Any]


CandleRequest: TypeAlias = Callable[[Instrument, CandleCursor], Request]
RowsRequest: TypeAlias = Callable[[Instrument, Cursor], Request]


class Paging(Enum):
    """How a venue hands out trades or settlements of a span of time."""

    IDS = "ids"
    """From a dense id on; where a moment lies is found by bisection."""
    SPAN = "span"
    """Start and end are honoured; a full answer may have been cut, at whichever end."""
    BACK = "back"
    """Newest first from the end of the span, or from the token of the answer before, back."""
    FORWARD = "forward"
    """Oldest first from the start of the span, or from the token of the answer before, on."""
    WHOLE = "whole"
    """Always everything that there is, whatever is asked."""


@dataclass(frozen=True, slots=True)
class CandleEndpoint:
    """A venue's own endpoint of candles, asked through ccxt's implicit method.

    Attributes:
        request: Method and parameters for what is wanted.
        decode: The body into rows, any order.
        weight: Of a request for so many candles; None takes ccxt's own cost.
        open_ended: Whether either bound may be left out. Without the last one an answer
            reaches past a gap of any length.
        takes_end: Whether the venue takes the last open time. Where it does not, an answer
            reaches on to its newest candle, and what lies outside the bounds is left out.
    """

    request: CandleRequest
    decode: Decoder
    weight: Callable[[int], int] | None = None
    open_ended: bool = False
    takes_end: bool = True


@dataclass(frozen=True, slots=True)
class RowsEndpoint:
    """A venue's endpoint of trades, settlements or books, through ccxt's implicit method.

    Attributes:
        request: Method and parameters for what is wanted.
        decode: The body into rows, any order; ``Decoded.following`` where it names the next.
        weight: Of a request for so many rows or levels; None takes ccxt's own cost.
        paging: How a span of time is handed out; nothing for books. See ``paging`` for what
            the walks ask and what they believe.
        cursor_us: The grain of the venue's bounds of time: the walks ask for bounds that are
            multiples of it, so that a request need not round.
        seeks: Whether a request can name a time. Where it cannot, paging begins at the newest
            rows (BACK) or the oldest (FORWARD) and goes on by ``Decoded.following`` only.
        whole_seconds: Whether the venue's times are no finer than seconds.
        levels: Depths that a book can be asked for, ascending; empty where any can.
        next_token: Says of an answer to a cursor with so many rows where the next one begins,
            for venues that count pages; None takes ``Decoded.following``.
    """

    request: RowsRequest
    decode: Decoder
    weight: Callable[[int], int] | None = None
    paging: Paging = Paging.SPAN
    cursor_us: int = 1_000
    seeks: bool = True
    whole_seconds: bool = False
    levels: tuple[int, ...] = ()
    next_token: Callable[[Cursor, int], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """How a venue is reached, whatever is asked of it.

    Attributes:
        limit: Its rate limit in its own weights; None follows ccxt's ``rateLimit``.
        concurrency: Requests under way at once.
        options: For ccxt's client.
        time_method: The implicit method whose ``serverTime`` is the venue's clock; None takes
            ccxt's ``fetch_time``.
        info_weight: What the market list costs, where it names the limits too; None where
            ccxt's ``load_markets`` is all there is.
        time_of: Reads milliseconds out of the answer of ``time_method``; None takes its
            ``serverTime``.
        native_id: What the venue calls one of ccxt's markets; None takes the market's ``id``.
        unit: What one of the venue's weights counts in ``limit`` and in weights: a hundred
            where requests with ccxt's costs are counted beside them.
    """

    venue: Venue
    limit: Limit | None = None
    concurrency: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)
    time_method: str | None = None
    info_weight: int | None = None
    time_of: Callable[[Any], Any] | None = None
    native_id: Callable[[Mapping[str, Any]], str] | None = None
    unit: int = 1


@dataclass(frozen=True, slots=True)
class Capability:
    """What a venue can give of one data type, and how it wants to be asked.

    Attributes:
        page_size: Most rows asked for in one request.
        concurrency: Requests under way at once for one series.
        settle_after: Rows younger than this may still be corrected.
        depth_candles: How many of the newest candles can be had; None is without a bound.
        depth_reason: Why, and where older ones can be had.
        longest_window: The longest range one request may name.
        columns: What the rows hold; the rest of the schema is null.
        rank: Which source wins where two disagree (archives of the vendor rank higher).
        hole_answers: Answers that must agree before an absent candle is believed absent,
            where the venue shows a later one.
        volume_units: What the venue's volume is, per kind of instrument: ``base``, or
            ``contracts``, which need the contract's size. Absent kinds are refused: their
            unit is not known.
        raw: How candles are asked for; None goes through ccxt's unified method.
        rows: How trades, funding or books are asked for; None goes through ccxt's unified
            method (or is a table entry of candles).
        kinds: Of which instruments they are to be had; None is of all.
        variant: What one of its series holds and must not be mixed with.
        depth: How far back they reach from now; None is without a bound.
    """

    venue: Venue
    data_type: DataType
    page_size: int
    settle_after: timedelta
    columns: tuple[str, ...]
    rank: int
    concurrency: int = 4
    raw: CandleEndpoint | None = None
    timeframes: frozenset[TimeFrame] | None = None
    depth_candles: int | None = None
    depth_reason: str = ""
    longest_window: timedelta | None = None
    hole_answers: int = 3
    volume_units: Mapping[InstrumentKind, str] | None = None
    rows: RowsEndpoint | None = None
    kinds: frozenset[InstrumentKind] | None = None
    variant: str | None = None
    depth: timedelta | None = None
