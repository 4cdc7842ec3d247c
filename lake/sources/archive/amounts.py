"""Turns the quantities of books and messages into the base asset. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lake.domain.identifiers import Instrument, InstrumentKind
from lake.sources.archive.mapping import Unit, UnitKind

# Price and quantity as the source counts it -> quantity in the base asset.
ToBase = Callable[[float, float], float]


def to_base(unit: Unit, instrument: Instrument) -> ToBase:
    """What turns quantities of *instrument* that are counted in *unit* into its base asset."""
    size = unit.size
    if unit.kind is UnitKind.BASE:
        return lambda price, quantity: quantity
    if unit.kind is UnitKind.QUOTE or instrument.kind is InstrumentKind.INVERSE:
        return lambda price, quantity: quantity * size / price
    return lambda price, quantity: quantity * size
