"""What tardis.dev calls exchanges and instruments, and what their amounts are counted in. Pure.

Source: docs.tardis.dev, "Downloadable CSV files, Data types" (read 2026-11-29): symbols are the
exchange's own in upper case, amounts are as the exchange counts them. What is not listed here is
read where the user says the venue, the instrument and the unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import (
    COINM,
    SPOT,
    USDM,
    coinm_contract_usd,
    instrument_of,
)
from lake.sources.archive.format import Hints
from lake.sources.archive.instruments import agreed, pair_of, symbol_of
from lake.sources.archive.mapping import Unit, UnitKind, unit_for

_BYBIT, _BITMEX, _DERIBIT = Venue("BYBIT"), Venue("BITMEX"), Venue("DERIBIT")
_OKX, _HYPERLIQUID = Venue("OKX"), Venue("HYPERLIQUID")
# Exchanges whose spot symbols have something between base and quote.
_PARTED = {
    "coinbase": (Venue("COINBASE"), "-"),
    "okex": (_OKX, "-"),
    "kucoin": (Venue("KUCOIN"), "-"),
    "gate-io": (Venue("GATE"), "_"),
    "kraken": (Venue("KRAKEN"), "/"),
}
# Those whose symbols have nothing there, with the quote assets that end them.
_JOINED = {
    "bitstamp": (Venue("BITSTAMP"), ("USDT", "USDC", "USD", "EUR", "GBP", "BTC")),
    "bybit-spot": (_BYBIT, ("USDT", "USDC", "DAI", "EUR", "BRL", "TRY", "BTC", "ETH")),
    "huobi": (Venue("HTX"), ("USDT", "USDC", "HUSD", "BTC", "ETH", "HT")),
}
_ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
_MANY = frozenset({"SPOT", "FUTURES", "PERPETUALS", "OPTIONS", "COMBOS"})
_BASE, _DOLLARS = Unit(), Unit(UnitKind.QUOTE)
VENUES = tuple(
    sorted(
        {SPOT, USDM, COINM, _BYBIT, _BITMEX, _DERIBIT, _OKX, _HYPERLIQUID}
        | {venue for venue, _ in _PARTED.values()}
        | {venue for venue, _ in _JOINED.values()}
    )
)


@dataclass(frozen=True, slots=True)
class Told:
    """Whose rows a file holds, and what their amounts are counted in."""

    instrument: Instrument
    unit: Unit


def told(path: Path, exchange: str, symbol: str, hints: Hints) -> Told:
    """Whose rows those of *symbol* at *exchange* are.

    Raises:
        InvalidRequest: It is not known and not said, or what was said contradicts it.
    """
    if symbol.upper() in _MANY:
        raise InvalidRequest(f"{path.name} holds many instruments. Download them one by one.")
    found = _known(path, exchange, symbol, hints.instrument)
    if found is None:
        return _said(path, exchange, symbol, hints)
    instrument, unit = found
    if hints.venue not in (None, instrument.venue):
        raise InvalidRequest(
            f"{path.name} is of {instrument.venue}, but --venue says {hints.venue}."
        )
    known = unit_for(hints.unit or unit, instrument, DataType.TRADES, is_in_base=unit is not None)
    return Told(instrument, known)


def _known(
    path: Path, exchange: str, symbol: str, hint: str | None
) -> tuple[Instrument, Unit | None] | None:
    if exchange == "binance":
        return instrument_of(symbol, SPOT, hint), _BASE
    if exchange == "binance-futures":
        return instrument_of(symbol, USDM, hint), _BASE
    if exchange == "binance-delivery":
        instrument = instrument_of(symbol, COINM, hint)
        return instrument, Unit(UnitKind.CONTRACTS, coinm_contract_usd(instrument.base))
    if exchange in _PARTED:
        venue, between = _PARTED[exchange]
        base, _, quote = symbol.partition(between)
        if not quote or between in quote:
            return None
        if venue == Venue("KRAKEN"):
            base, quote = _ASSETS.get(base, base), _ASSETS.get(quote, quote)
        return _agreed(path, f"{base}/{quote}", venue, symbol, hint), _BASE
    if exchange in _JOINED:
        venue, quotes = _JOINED[exchange]
        base, quote = pair_of(symbol, quotes, hint, name=path.name)
        return _agreed(path, f"{base}/{quote}", venue, symbol, hint), _BASE
    if (found := _perpetual(exchange, symbol)) is None:
        return None
    ccxt, venue, unit = found
    return _agreed(path, ccxt, venue, symbol, hint), unit


def _perpetual(exchange: str, symbol: str) -> tuple[str, Venue, Unit | None] | None:
    """Perpetuals' ccxt symbols, venues and units (None: in contracts of a size to be said)."""
    if exchange == "bitmex" and symbol == "XBTUSD":
        # One contract is one dollar; others of BitMEX are quanto or of sizes of their own.
        return "BTC/USD:BTC", _BITMEX, Unit(UnitKind.CONTRACTS, 1.0)
    if exchange == "deribit":
        if found := re.fullmatch(r"([A-Z0-9]+)-PERPETUAL", symbol):
            # Its inverse contracts are counted in dollars (Deribit, "Contract specifications").
            return f"{found[1]}/USD:{found[1]}", _DERIBIT, _DOLLARS
        if found := re.fullmatch(r"([A-Z0-9]+)_(USDC|USDT)-PERPETUAL", symbol):
            return f"{found[1]}/{found[2]}:{found[2]}", _DERIBIT, _BASE
    if exchange == "bybit":
        if found := re.fullmatch(r"([A-Z0-9]+)(USDT)", symbol):
            return f"{found[1]}/USDT:USDT", _BYBIT, _BASE
        if found := re.fullmatch(r"([A-Z0-9]+)PERP", symbol):
            return f"{found[1]}/USDC:USDC", _BYBIT, _BASE
        if found := re.fullmatch(r"([A-Z0-9]+)USD", symbol):
            return f"{found[1]}/USD:{found[1]}", _BYBIT, Unit(UnitKind.CONTRACTS, 1.0)
    if exchange == "okex-swap" and (found := re.fullmatch(r"([A-Z0-9]+)-([A-Z]+)-SWAP", symbol)):
        settle = found[1] if found[2] == "USD" else found[2]
        return f"{found[1]}/{found[2]}:{settle}", _OKX, None
    if exchange == "hyperliquid" and re.fullmatch(r"[A-Z0-9]+", symbol):
        return f"{symbol}/USDC:USDC", _HYPERLIQUID, _BASE
    return None


def _agreed(path: Path, ccxt: str, venue: Venue, symbol: str, hint: str | None) -> Instrument:
    return agreed(ccxt, venue, hint, name=path.name, native_id=symbol)


def _said(path: Path, exchange: str, symbol: str, hints: Hints) -> Told:
    """What the user says of an instrument whose naming is not known here."""
    if hints.venue is None or hints.instrument is None:
        raise InvalidRequest(
            f"{path.name} is of {symbol} at {exchange}, which is not known here. Say what it is: "
            "--venue, --instrument BASE/QUOTE:SETTLE and, where it has contracts, --unit."
        )
    instrument = agreed(
        symbol_of(hints.instrument), hints.venue, None, name=path.name, native_id=symbol
    )
    return Told(instrument, unit_for(hints.unit, instrument, DataType.TRADES, is_in_base=False))
