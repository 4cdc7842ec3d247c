"""Known limits of venues that go through ccxt's unified method (facts/venues.md, section 5.2).

A venue without an entry gets the cautious defaults. Data only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from lake.domain.identifiers import InstrumentKind


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
    "BINANCEUS": UnifiedLimits(1_000),
    "HTX": UnifiedLimits(1_000),
    "MEXC": UnifiedLimits(500),
    "BITSTAMP": UnifiedLimits(1_000),
    "BITFINEX": UnifiedLimits(1_000),
    "WHITEBIT": UnifiedLimits(1_000),
    "WOO": UnifiedLimits(100),
}
