"""Known limits of venues that go through ccxt's unified method (facts/venues.md, section 5.2).

A venue without an entry gets the cautious defaults. Data only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from lake.domain.identifiers import InstrumentKind

_LINEAR, _INVERSE = InstrumentKind.LINEAR, InstrumentKind.INVERSE
_NEWEST = "{venue}'s REST gives only the newest {count:,} candles of each timeframe"


@dataclass(frozen=True, slots=True)
class UnifiedLimits:
    """Limits of one venue.

    ``volume_units`` names, for derivatives, what ccxt's volume is: ``base`` or ``contracts``
    (which are multiplied by the contract's size). Kinds that are absent are refused.
    """

    page_size: int = 200
    depth_candles: int | None = None
    depth_reason: str = ""
    longest_window: timedelta | None = None
    volume_units: Mapping[InstrumentKind, str] = field(default_factory=dict)


UNIFIED_LIMITS: dict[str, UnifiedLimits] = {
    # Volume of contracts: ccxt 4.5.90 takes the field in base (parse_ohlcv of each venue).
    "BYBIT": UnifiedLimits(1_000, volume_units={_LINEAR: "base", _INVERSE: "base"}),
    "OKX": UnifiedLimits(100, volume_units={_LINEAR: "base", _INVERSE: "base"}),
    "BITGET": UnifiedLimits(
        200,
        longest_window=timedelta(days=90),
        volume_units={_LINEAR: "base", _INVERSE: "base"},
    ),
    "GATE": UnifiedLimits(
        999,
        depth_candles=10_000,
        depth_reason=_NEWEST + "; its monthly archives hold the older ones",
        volume_units={_LINEAR: "contracts"},
    ),
    "BINANCEUS": UnifiedLimits(1_000),
    "HTX": UnifiedLimits(1_000),
    "MEXC": UnifiedLimits(500),
    "BITSTAMP": UnifiedLimits(1_000),
    "BITFINEX": UnifiedLimits(1_000),
    "WHITEBIT": UnifiedLimits(1_000),
    "WOO": UnifiedLimits(100),
}
