"""What each venue can give: one entry per venue and data type.

Adding a venue's raw endpoint is one entry in ``_RAW`` and one pure decoder. Venues without one
go through ccxt's unified method, with the limits of ``venue_limits``. Limits are our own and
not ccxt's ``features``, which disagree with its own code.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.sources.budget import Limit
from lake.sources.decode import Decoder, decode_inverse_klines, decode_klines
from lake.sources.venue_limits import UNIFIED_LIMITS, UnifiedLimits

_UNIFIED_COLUMNS = ("ts", "open", "high", "low", "close", "volume")
_KLINE_COLUMNS = (
    *_UNIFIED_COLUMNS,
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


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


_SPOT_TIMEFRAMES = frozenset(TimeFrame)
_FUTURES_TIMEFRAMES = _SPOT_TIMEFRAMES - {TimeFrame.SECOND_1}


def _spot_weight(limit: int) -> int:
    """Binance spot REST docs, "Kline/Candlestick data", read 2026-11-22."""
    return 2


def _futures_weight(limit: int) -> int:
    """Binance USD-M and COIN-M docs, "Kline/Candlestick Data", read 2026-11-22."""
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


def _binance(
    name: str, *, page_size: int, weight: int, raw: RawEndpoint, **more: Any
) -> Capability:
    return Capability(
        venue=Venue(name),
        data_type=DataType.OHLCV,
        page_size=page_size,
        concurrency=16,
        settle_after=timedelta(minutes=2),
        limit=Limit(weight),
        columns=_KLINE_COLUMNS,
        rank=50,
        raw=raw,
        **more,
    )


_RAW: dict[tuple[str, DataType], Capability] = {
    ("BINANCE", DataType.OHLCV): _binance(
        "BINANCE",
        page_size=1_000,
        weight=6_000,
        timeframes=_SPOT_TIMEFRAMES,
        volume_units={InstrumentKind.SPOT: "base"},
        options={"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
        raw=RawEndpoint(
            method="publicGetKlines",
            decode=decode_klines,
            time_method="publicGetTime",
            info_method="publicGetExchangeInfo",
            weight=_spot_weight,
            info_weight=20,
        ),
    ),
    # 499 candles cost 2, 1000 cost 5: smaller pages bring a quarter more candles a minute.
    ("BINANCEUSDM", DataType.OHLCV): _binance(
        "BINANCEUSDM",
        page_size=499,
        weight=2_400,
        timeframes=_FUTURES_TIMEFRAMES,
        volume_units={InstrumentKind.LINEAR: "base"},
        options={"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False},
        raw=RawEndpoint(
            method="fapiPublicGetKlines",
            decode=decode_klines,
            time_method="fapiPublicGetTime",
            info_method="fapiPublicGetExchangeInfo",
            weight=_futures_weight,
            info_weight=1,
        ),
    ),
    ("BINANCECOINM", DataType.OHLCV): _binance(
        "BINANCECOINM",
        page_size=499,
        weight=2_400,
        timeframes=_FUTURES_TIMEFRAMES,
        longest_window=timedelta(days=200),
        # The decoder turns contracts into amounts, so it needs their size.
        volume_units={InstrumentKind.INVERSE: "contracts"},
        options={"fetchMarkets": {"types": ["inverse"]}, "fetchCurrencies": False},
        raw=RawEndpoint(
            # ccxt always sends an end there: a start alone was not honoured (its issue 8454).
            open_ended=False,
            method="dapiPublicGetKlines",
            decode=decode_inverse_klines,
            time_method="dapiPublicGetTime",
            info_method="dapiPublicGetExchangeInfo",
            weight=_futures_weight,
            info_weight=1,
        ),
    ),
}


def capability(venue: Venue, data_type: DataType) -> Capability:
    """What *venue* can give of *data_type*. Asks no network.

    Raises:
        InvalidRequest: ccxt does not know the venue, or the type is not fetched yet.
    """
    if data_type is not DataType.OHLCV:
        raise InvalidRequest(
            f"{data_type} of {venue} was asked for, but only candles (ohlcv) are fetched from "
            "venues so far. Use --type ohlcv."
        )
    if (raw := _RAW.get((venue.name, data_type))) is not None:
        return raw
    known = ccxt_ids()
    if venue.ccxt_id not in known:
        near = difflib.get_close_matches(venue.ccxt_id, known, n=3, cutoff=0.6)
        hint = f"Did you mean {', '.join(each.upper() for each in near)}? " if near else ""
        raise InvalidRequest(
            f"{venue} is not a venue that ccxt knows. {hint}`lake sources` lists all of them."
        )
    return _unified(venue, UNIFIED_LIMITS.get(venue.name, UnifiedLimits()))


def capabilities() -> list[Capability]:
    """Every entry there is: raw ones first, then the other ccxt venues by name."""
    others = [Venue(name) for name in sorted(ccxt_ids())]
    raw_venues = {venue for venue, _ in _RAW}
    return [
        *_RAW.values(),
        *(capability(each, DataType.OHLCV) for each in others if each.name not in raw_venues),
    ]


def _unified(venue: Venue, limits: UnifiedLimits) -> Capability:
    return Capability(
        venue=venue,
        data_type=DataType.OHLCV,
        page_size=limits.page_size,
        concurrency=4,
        settle_after=timedelta(minutes=5),
        # The limit follows ccxt's own rateLimit once its class is loaded.
        limit=None,
        columns=_UNIFIED_COLUMNS,
        rank=40,
        depth_candles=limits.depth_candles,
        depth_reason=limits.depth_reason,
        longest_window=limits.longest_window,
        hole_answers=2,
        volume_units={InstrumentKind.SPOT: "base", **limits.volume_units},
    )


@cache
def ccxt_ids() -> frozenset[str]:
    """The exchange ids of the installed ccxt, without the half second that importing it takes."""
    spec = find_spec("ccxt")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "async_support"
    return frozenset(each.stem for each in folder.glob("*.py") if not each.stem.startswith("_"))
