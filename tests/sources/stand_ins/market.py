"""One market of a stand-in: its instrument, what a unit is worth, and all that it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from lake.domain.identifiers import Instrument, InstrumentKind, Venue, instrument_code
from lake.domain.timeframe import TimeFrame
from tests.sources.stand_ins.truth import COIN_PART, Book, Candle, Settlement, Trade

SPOT, LINEAR, INVERSE = InstrumentKind.SPOT, InstrumentKind.LINEAR, InstrumentKind.INVERSE
_EIGHT_DIGITS = Decimal("0.00000001")


@dataclass
class Market:
    """``units`` of the truth are ten-thousandths of a coin, or contracts of so much."""

    instrument: Instrument
    size: Decimal = COIN_PART
    candles: Mapping[TimeFrame, list[Candle]] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    book: Book | None = None

    @property
    def native_id(self) -> str:
        return self.instrument.native_id

    def base(self, price: Decimal, units: int) -> Decimal:
        """The amount in the base asset, as the venue writes it: of eight digits at most."""
        if self.instrument.kind is INVERSE:
            return (units * self.size / price).quantize(_EIGHT_DIGITS)
        return units * self.size

    def quote(self, price: Decimal, units: int) -> Decimal:
        """The amount in the quote asset."""
        if self.instrument.kind is INVERSE:
            return units * self.size
        return units * self.size * price


def market(
    venue: str, symbol: str, native_id: str, *, size: str | None = None, **told: object
) -> Market:
    """The market of ccxt's *symbol*, whose contracts are of *size*; *told* goes to ``Market``."""
    base, rest = symbol.split("/")
    quote, _, settle = rest.partition(":")
    kind = SPOT if not settle else LINEAR if settle == quote else INVERSE
    instrument = Instrument(
        Venue(venue), instrument_code(symbol), symbol, native_id, kind, base, quote,
        settle or None, contract_size=None if size is None else float(size),
    )  # fmt: skip
    amount = COIN_PART if size is None else Decimal(size)
    return Market(instrument, amount, **told)  # type: ignore[arg-type]
