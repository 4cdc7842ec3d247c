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
    # Units by the venues' own answers (ccxt's recorded ones, read 2026-11-22): the quote volume
    # beside the volume is price times coins, or price times contracts times their size.
    "APEX": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "base"}),
    "BLOFIN": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "base"}),
    "WEEX": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "base"}),
    "DEEPCOIN": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "contracts"}),
    "HASHKEY": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "contracts"}),
    "POLONIEX": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "contracts"}),
    "TOOBIT": UnifiedLimits(volume_units={InstrumentKind.LINEAR: "contracts"}),
}
