"""ccxt's market structures into our instruments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lake.domain.identifiers import Instrument, InstrumentId, InstrumentKind, Venue, instrument_code
from lake.errors import InvalidRequest
from lake.sources.capabilities import access

# ccxt's precisionMode for "digits after the point"; other modes give the step itself.
_DECIMAL_PLACES = 2


def instruments_of(
    venue: Venue, markets: Iterable[Mapping[str, Any]], *, precision_mode: int
) -> list[Instrument]:
    """The instruments of *markets*, ascending by code.

    Markets whose symbol is not of ccxt's unified form, or cannot name a path, are left out:
    nothing could be stored under them.
    """
    found = (_instrument(venue, market, precision_mode) for market in markets)
    return sorted((each for each in found if each is not None), key=lambda each: each.code)


def _instrument(venue: Venue, market: Mapping[str, Any], mode: int) -> Instrument | None:
    kind = _kind(market)
    if kind is None or not market.get("base") or not market.get("quote"):
        return None
    try:
        code = instrument_code(market["symbol"])
        InstrumentId(code, venue)
    except InvalidRequest:
        return None
    precision = market.get("precision") or {}
    named = access(venue).native_id
    return Instrument(
        venue=venue,
        code=code,
        symbol=market["symbol"],
        native_id=str(market["id"]) if named is None else named(market),
        kind=kind,
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle"),
        tick_size=_step(precision.get("price"), mode),
        lot_size=_step(precision.get("amount"), mode),
        contract_size=_number(market.get("contractSize")),
        active=market.get("active") is not False,
    )


def _kind(market: Mapping[str, Any]) -> InstrumentKind | None:
    if market.get("option"):
        return InstrumentKind.OPTION
    if market.get("spot"):
        return InstrumentKind.SPOT
    if market.get("linear"):
        return InstrumentKind.LINEAR
    if market.get("inverse"):
        return InstrumentKind.INVERSE
    # ccxt leaves both open at some venues; what it settles in says it.
    kinds = {market.get("quote"): InstrumentKind.LINEAR, market.get("base"): InstrumentKind.INVERSE}
    return kinds.get(market["settle"]) if market.get("contract") and market.get("settle") else None


def _step(value: Any, mode: int) -> float | None:
    number = _number(value)
    if number is None:
        return None
    return float(f"1e{-round(number)}") if mode == _DECIMAL_PLACES else number


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
