"""What synthetic instruments look like: their names, price scales and liveliness.

Nothing here draws a random number; the same name always gives the same market.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from lake.domain.identifiers import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
    instrument_code,
)
from lake.errors import InvalidRequest

# Typical price, decimals of a tick, decimals of a lot, liveliness (1 is BTC's).
_KNOWN = {
    "BTC": (42_000.0, 2, 5, 1.0),
    "ETH": (2_400.0, 2, 4, 0.9),
    "BNB": (320.0, 2, 3, 0.6),
    "SOL": (95.0, 2, 3, 0.7),
    "XRP": (0.55, 4, 0, 0.6),
    "DOGE": (0.085, 5, 0, 0.5),
    "ADA": (0.45, 4, 1, 0.4),
    "AVAX": (34.0, 2, 2, 0.4),
    "LTC": (75.0, 2, 3, 0.3),
    "LINK": (14.5, 2, 2, 0.4),
    "DOT": (7.2, 3, 2, 0.3),
    "PEPE": (0.0000012, 8, 0, 0.4),
}
# An inverse contract is worth this many units of its quote currency.
_CONTRACT_SIZE = {"BTC": 100.0}
_OTHER_CONTRACT_SIZE = 10.0
_QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "USD")
# One trade is worth about this much of the quote currency, so that books look alike.
_TYPICAL_NOTIONAL = 900.0
# Units of quote volume are 10**-(price + quantity decimals); Binance writes eight decimals.
MAX_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Market:
    """One synthetic instrument and how it trades.

    Attributes:
        instrument: What the catalog gets.
        price: The level its price wanders around, in the quote currency.
        price_decimals: A tick is ``10 ** -price_decimals``.
        quantity_decimals: A lot is ``10 ** -quantity_decimals`` base units (contracts are
            whole for inverse instruments).
        liveliness: Its trades per second are the generator's rate times this.
        daily_volatility: Standard deviation of a day's log return.
        listed_from: Nothing trades before; None: it always existed.
    """

    instrument: Instrument
    price: float
    price_decimals: int
    quantity_decimals: int
    liveliness: float = 1.0
    daily_volatility: float = 0.035
    listed_from: datetime | None = None

    def __post_init__(self) -> None:
        if self.price_decimals + self.quantity_decimals > MAX_DECIMALS:
            raise InvalidRequest(
                f"{self.instrument.id}: a tick times a lot has more than {MAX_DECIMALS} decimals, "
                "which Binance's format cannot write. Choose coarser ticks or lots."
            )

    @property
    def is_inverse(self) -> bool:
        return self.instrument.kind is InstrumentKind.INVERSE

    @property
    def base_decimals(self) -> int:
        """Base volumes are whole numbers of ``10 ** -base_decimals``."""
        return MAX_DECIMALS if self.is_inverse else self.quantity_decimals

    @property
    def quote_decimals(self) -> int:
        """Quote volumes are whole numbers of ``10 ** -quote_decimals``."""
        return 0 if self.is_inverse else self.price_decimals + self.quantity_decimals

    @property
    def contract_units(self) -> int:
        """Quote units of one inverse contract."""
        return round(self.instrument.contract_size or 1)

    @property
    def typical_lots(self) -> float:
        """Lots (contracts) of a trade of average size."""
        if self.is_inverse:
            return max(1.0, _TYPICAL_NOTIONAL / self.contract_units)
        lots: float = _TYPICAL_NOTIONAL / self.price * 10**self.quantity_decimals
        return max(1.0, lots)


def market(name: str, *, listed_from: datetime | None = None) -> Market:
    """The synthetic market called *name*.

    Args:
        name: A ccxt symbol (``BTC/USDT``, ``BTC/USDT:USDT``, ``BTC/USD:BTC``) or our id
            (``BTCUSDT.BINANCE``). The venue follows from the kind: Binance spot, USD-M, COIN-M.
        listed_from: Its first moment (naive UTC).

    Raises:
        InvalidRequest: *name* is neither.
    """
    symbol = name.strip().upper()
    if "/" not in symbol:
        symbol = _symbol_of(symbol)
    instrument = _instrument(symbol)
    base = instrument.base
    price, tick, lot, liveliness = _KNOWN.get(base) or _unknown(base)
    if instrument.kind is InstrumentKind.INVERSE:
        lot = 0
    return Market(instrument, price, tick, lot, liveliness, listed_from=listed_from)


def markets(
    names: Iterable[str | Market], *, listings: dict[str, datetime] | None = None
) -> list[Market]:
    """The markets called *names*, some of them listed late.

    Args:
        names: As for :func:`market`; ready markets are taken as they are.
        listings: First moments by the same names.
    """
    first = {key.strip().upper(): moment for key, moment in (listings or {}).items()}
    made: list[Market] = []
    for name in names:
        if isinstance(name, Market):
            made.append(name)
            continue
        made.append(market(name))
        known = {name.strip().upper(), made[-1].instrument.symbol, str(made[-1].instrument.id)}
        for key in known & first.keys():
            made[-1] = replace(made[-1], listed_from=first.pop(key))
    if first:
        raise InvalidRequest(
            f"{', '.join(sorted(first))}: a listing moment for an instrument that is not generated."
        )
    return made


def universe(count: int) -> list[str]:
    """Symbols of *count* spot instruments, the well-known ones first."""
    known = [f"{base}/USDT" for base in _KNOWN]
    return (known + [f"SYN{number:03}/USDT" for number in range(count)])[:count]


def _instrument(symbol: str) -> Instrument:
    code = instrument_code(symbol)
    pair, _, rest = symbol.partition(":")
    base, quote = pair.split("/")
    settle, _, expiry = rest.partition("-")
    if not rest:
        kind, venue, native = InstrumentKind.SPOT, "BINANCE", base + quote
    elif settle == base:
        kind, venue = InstrumentKind.INVERSE, "BINANCECOINM"
        native = f"{base}{quote}_{expiry or 'PERP'}"
    else:
        kind, venue = InstrumentKind.LINEAR, "BINANCEUSDM"
        native = f"{base}{quote}_{expiry}" if expiry else base + quote
    _, tick, lot, _ = _KNOWN.get(base) or _unknown(base)
    inverse = kind is InstrumentKind.INVERSE
    size = _CONTRACT_SIZE.get(base, _OTHER_CONTRACT_SIZE) if inverse else 1.0
    return Instrument(
        venue=Venue(venue),
        code=code,
        symbol=symbol,
        native_id=native,
        kind=kind,
        base=base,
        quote=quote,
        settle=settle or None,
        tick_size=1 / 10**tick,
        lot_size=1.0 if inverse else 1 / 10**lot,
        contract_size=None if kind is InstrumentKind.SPOT else size,
    )


def _symbol_of(text: str) -> str:
    """The ccxt symbol of one of our ids (``BTCUSDT-PERP.BINANCEUSDM``) or codes."""
    code = InstrumentId.from_str(text).symbol if "." in text else text
    pair, *tail = code.split("-")
    quote = next((each for each in _QUOTES if pair.endswith(each) and pair != each), None)
    if quote is None:
        raise InvalidRequest(
            f"{text!r} does not name an instrument to generate. Write a ccxt symbol, "
            "for example BTC/USDT, BTC/USDT:USDT or BTC/USD:BTC."
        )
    symbol = f"{pair.removesuffix(quote)}/{quote}"
    if not tail:
        return symbol
    term, *settle = tail
    ending = "" if term == "PERP" else f"-{term}"
    return f"{symbol}:{settle[0] if settle else quote}{ending}"


def _unknown(base: str) -> tuple[float, int, int, float]:
    """A price scale for a name that is not in the table, the same every time."""
    draw = zlib.crc32(base.encode())
    price = 10.0 ** (draw % 5_000 / 1_000 - 2.5)
    tick = min(MAX_DECIMALS, max(1, 4 - math.floor(math.log10(price))))
    lot = min(MAX_DECIMALS - tick, max(0, round(math.log10(price))))
    return price, tick, lot, 0.1 + draw // 5_000 % 100 / 250
