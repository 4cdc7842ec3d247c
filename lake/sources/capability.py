"""The shape of what a venue can give of one data type, and how it wants to be asked. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.sources.budget import Limit
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoder


@dataclass(frozen=True, slots=True)
class RawEndpoint:
    """A venue's own endpoint, asked through ccxt's implicit method.

    Attributes:
        open_ended: Whether ``startTime`` or ``endTime`` (inclusive) may be left out. Without
            ``endTime`` an answer reaches past a gap of any length.
    """

    method: str
    decode: Decoder
    time_method: str
    info_method: str
    weight: Callable[[int], int]
    info_weight: int
    open_ended: bool = True


@dataclass(frozen=True, slots=True)
class RowsEndpoint:
    """A venue's endpoint of trades, settlements or books, through ccxt's implicit method.

    Attributes:
        parameters: A request's parameters for what is wanted; the instrument's are added.
        weight: Of a request for so many rows or levels.
        whole_seconds: Whether the venue's times are no finer than seconds.
        levels: Depths that a book can be asked for, ascending; empty where any can.
    """

    method: str
    decode: Decoder
    parameters: Callable[[Cursor], dict[str, Any]]
    weight: Callable[[int], int]
    whole_seconds: bool = False
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Capability:
    """What a venue can give of one data type, and how it wants to be asked.

    Attributes:
        page_size: Most candles asked for in one request.
        settle_after: Candles younger than this may still be corrected.
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
        rows: How trades, funding or books are asked for; None for candles.
        kinds: Of which instruments they are to be had.
        variant: What one of its series holds and must not be mixed with.
        depth: How far back they reach from now; None is without a bound.
    """

    venue: Venue
    data_type: DataType
    page_size: int
    concurrency: int
    settle_after: timedelta
    limit: Limit | None
    columns: tuple[str, ...]
    rank: int
    raw: RawEndpoint | None = None
    timeframes: frozenset[TimeFrame] | None = None
    depth_candles: int | None = None
    depth_reason: str = ""
    longest_window: timedelta | None = None
    hole_answers: int = 3
    volume_units: Mapping[InstrumentKind, str] | None = None
    options: Mapping[str, Any] | None = None
    rows: RowsEndpoint | None = None
    kinds: frozenset[InstrumentKind] | None = None
    variant: str | None = None
    depth: timedelta | None = None
