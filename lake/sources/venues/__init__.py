"""The table of venues: one module each, with its access and one entry per data type.

Adding a venue, or a type of one, is an entry in its module; nothing else knows venues by name.
A venue without an entry goes through ccxt's unified methods (``capabilities``).
"""

from __future__ import annotations

from lake.domain.identifiers import DataType
from lake.sources.capability import Access, Capability
from lake.sources.venues import (
    binance,
    bitget,
    bybit,
    coinbase,
    dydx,
    gate,
    hyperliquid,
    kraken,
    krakenfutures,
    kucoin,
    okx,
)

_MODULES = (
    binance,
    bybit,
    okx,
    bitget,
    gate,
    kraken,
    krakenfutures,
    coinbase,
    kucoin,
    hyperliquid,
    dydx,
)

ACCESS: dict[str, Access] = {each.venue.name: each for module in _MODULES for each in module.ACCESS}
ENTRIES: dict[tuple[str, DataType], Capability] = {
    (each.venue.name, each.data_type): each for module in _MODULES for each in module.ENTRIES
}
