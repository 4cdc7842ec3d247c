"""What each venue can give: one entry per venue and data type.

Adding a venue's raw endpoint is one entry in ``_RAW`` and one pure decoder. Venues without one
go through ccxt's unified method, with the limits of ``venue_limits``. Limits are our own and
not ccxt's ``features``, which disagree with its own code.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.sources.budget import Limit
from lake.sources.capability import Capability as Capability
from lake.sources.capability import RawEndpoint
from lake.sources.decode import decode_inverse_klines, decode_klines
from lake.sources.market_data import MARKET_DATA, NOT_TO_BE_HAD
from lake.sources.venue_limits import UNIFIED_LIMITS, UnifiedLimits

_UNIFIED_COLUMNS = ("ts", "open", "high", "low", "close", "volume")
_KLINE_COLUMNS = (
    *_UNIFIED_COLUMNS,
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


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
        InvalidRequest: ccxt does not know the venue, or the venue does not give the type;
            the message says what to do instead.
    """
    known = ccxt_ids()
    if venue.ccxt_id not in known:
        near = difflib.get_close_matches(venue.ccxt_id, known, n=3, cutoff=0.6)
        hint = f"Did you mean {', '.join(each.upper() for each in near)}? " if near else ""
        raise InvalidRequest(
            f"{venue} is not a venue that ccxt knows. {hint}`lake sources` lists all of them."
        )
    if data_type is DataType.OHLCV:
        raw = _RAW.get((venue.name, data_type))
        return raw or _unified(venue, UNIFIED_LIMITS.get(venue.name, UnifiedLimits()))
    if (entry := MARKET_DATA.get((venue.name, data_type))) is not None:
        return entry
    raise InvalidRequest(
        f"{data_type} of {venue} were asked for, but {refusal(venue, data_type)} "
        "`lake sources` lists what each venue has."
    )


def refusal(venue: Venue, data_type: DataType) -> str:
    """Why *data_type* cannot be had from *venue*, and the way out; empty where it can be had."""
    if data_type is DataType.OHLCV or (venue.name, data_type) in MARKET_DATA:
        return ""
    return NOT_TO_BE_HAD.get(
        (venue.name, data_type),
        "that is not fetched from there so far. Import the vendor's archives (`lake import`).",
    )


def capabilities(data_type: DataType = DataType.OHLCV) -> list[Capability]:
    """Every entry there is: raw ones first, then the other ccxt venues by name."""
    if data_type is not DataType.OHLCV:
        return [entry for (_, kind), entry in MARKET_DATA.items() if kind is data_type]
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
