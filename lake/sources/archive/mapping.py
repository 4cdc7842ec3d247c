"""What the columns of a foreign file mean in ours: a plain value, pure.

A reader of a known format makes one itself; for any other file the user gives it.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from enum import Enum

from lake.domain.identifiers import DataType, Instrument, InstrumentKind
from lake.domain.variants import TradeKind
from lake.errors import InvalidRequest

_REQUIRED = {
    DataType.OHLCV: ("ts", "open", "high", "low", "close", "volume"),
    DataType.TRADES: ("ts", "price", "quantity"),
    DataType.FUNDING_RATES: ("ts", "funding_rate"),
}
_OPTIONAL = {
    DataType.OHLCV: (
        "quote_volume",
        "trade_count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "close_time",
    ),
    DataType.TRADES: (
        "side",
        "is_buyer_maker",
        "trade_id",
        "first_trade_id",
        "last_trade_id",
        "received_at",
    ),
    DataType.FUNDING_RATES: ("interval_hours", "predicted_rate", "mark_price", "index_price"),
}
TIMES = frozenset({"ts", "close_time", "received_at"})
SIDES = {"buy": "buy", "b": "buy", "bid": "buy", "sell": "sell", "s": "sell", "ask": "sell"}


class UnitKind(Enum):
    """What amounts are counted in."""

    BASE = "base"
    QUOTE = "quote"
    CONTRACTS = "contracts"


@dataclass(frozen=True, slots=True)
class Unit:
    """What amounts are counted in, written ``base``, ``quote`` or ``contracts:0.001``.

    ``size`` is a contract's, in the base asset (linear) or the quote asset (inverse).
    """

    kind: UnitKind = UnitKind.BASE
    size: float = 1.0

    @classmethod
    def from_str(cls, text: str) -> Unit:
        word, _, size = text.strip().lower().partition(":")
        try:
            kind = UnitKind(word)
            if (kind is UnitKind.CONTRACTS) != bool(size):
                raise ValueError(text)
            unit = cls(kind, float(size or 1.0))
        except ValueError as error:
            raise InvalidRequest(
                f"{text!r} is not a unit of amounts. Write base, quote, or contracts:SIZE with the "
                "size of one contract, for example contracts:0.001."
            ) from error
        if not 0 < unit.size < float("inf"):
            raise InvalidRequest(f"{text!r}: a contract's size is a positive number.")
        return unit


@dataclass(frozen=True, slots=True)
class Mapping:
    """How to read one foreign file.

    Attributes:
        columns: Our column to the file's: its name, or its number from 1 where it has none.
        constants: Our column to the value that every row has.
        ignored: Columns of the file that are left out on purpose.
        header: Whether a CSV has one; None: seen by whether its first line has a number.
        names: What its columns are called, where it does not say so itself.
        time_format: As ``strptime`` takes it; None: epochs or ISO text.
        timezone: Of times that say none; None where nothing was said, which means UTC.
        since_us: What times count from in milliseconds: a day whose date is in the file's name.
        sides: Words for the taker's side, in lower case; an empty side: the word says none.
        unit: What amounts are counted in; None where nothing was said.
        kind: What a row of trades stands for.
        only: A column of the file to the value that every row has to have.
        picked: A column of the file to the value of the rows that are meant, where others are of
            other series.
        foreign: What the picked column says in lines of other series. Lines that are no rows and
            say neither are told with this one; None: they are told with another of the file.
        rows_at: Where in a JSON object the rows are.
        closed_before_us: Candles that close later had not closed when the file was made.
        has_signed_quantity: Whether a quantity is negative where the taker sold.
        claims_promise: Whether an intact file may claim the day or month that it promises.
        traded: A column of the file that is above 0 where something traded: where it is, no
            volume and no quote volume is 0, but left out. Empty where there is none such.
        leaves_out_quiet: Whether such files have no candle where nothing traded.
        remark: What whoever imports the file should know.
    """

    columns: Dictionary[str, str]
    constants: Dictionary[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    header: bool | None = None
    names: tuple[str, ...] = ()
    delimiter: str = ","
    time_format: str | None = None
    timezone: str | None = None
    since_us: int | None = None
    sides: Dictionary[str, str] = field(default_factory=lambda: SIDES)
    unit: Unit | None = None
    kind: TradeKind = TradeKind.SINGLE
    only: Dictionary[str, str] = field(default_factory=dict)
    picked: Dictionary[str, str] = field(default_factory=dict)
    foreign: frozenset[str] | None = None
    rows_at: tuple[str, ...] = ()
    closed_before_us: int | None = None
    has_signed_quantity: bool = False
    claims_promise: bool = False
    traded: str = ""
    leaves_out_quiet: bool = False
    remark: str = ""

    def field_of(self, line: str, at: int) -> str:
        """What *line*, which is no row, says in its column *at*; empty where it ends before."""
        fields = line.split(self.delimiter)
        return fields[at].strip().strip('"') if at < len(fields) else ""

    def require_for(self, data_type: DataType) -> None:
        """
        Raises:
            InvalidRequest: Columns are missing, or are none of *data_type*.
        """
        if data_type not in _REQUIRED:
            raise InvalidRequest(
                f"Files of {data_type} cannot be mapped: their levels have no fixed columns. Map "
                f"{', '.join(map(str, _REQUIRED))}."
            )
        ours = {*self.columns, *self.constants}
        allowed = (*_REQUIRED[data_type], *_OPTIONAL[data_type])
        if unknown := sorted(ours.difference(allowed)):
            raise InvalidRequest(
                f"{', '.join(unknown)}: no column of {data_type}. They are {', '.join(allowed)}."
            )
        if missing := [name for name in _REQUIRED[data_type] if name not in ours]:
            raise InvalidRequest(
                f"The mapping says nothing of {', '.join(missing)}, which {data_type} need. "
                f"Add for example --map {missing[0]}=COLUMN."
            )
        if timed := sorted(TIMES & self.constants.keys()):
            raise InvalidRequest(
                f"{timed[0]} cannot be a constant: map it to a column of the file."
            )
        if {"side", "is_buyer_maker"} <= ours:
            raise InvalidRequest("side and is_buyer_maker say the same: map one of them.")
        if ("first_trade_id" in ours) != ("last_trade_id" in ours):
            raise InvalidRequest("first_trade_id and last_trade_id come together: map both.")


def unit_for(
    told: Unit | None, instrument: Instrument, data_type: DataType, *, is_in_base: bool
) -> Unit:
    """The unit of a file's amounts.

    Args:
        told: What was said.
        instrument: Whose amounts they are.
        data_type: Of the file.
        is_in_base: Whether the format counts in the base asset, whatever the market.

    Raises:
        InvalidRequest: It is not known, or cannot be turned into the base asset.
    """
    if data_type is DataType.FUNDING_RATES:
        return Unit()
    if told is None:
        if not is_in_base and instrument.kind is not InstrumentKind.SPOT:
            raise InvalidRequest(
                f"{instrument.id} is a derivative, and nothing says whether its amounts are in "
                f"{instrument.base} or in contracts. Say --unit base, or --unit contracts:SIZE "
                "with the size of one contract."
            )
        return Unit()
    is_inverse = instrument.kind is InstrumentKind.INVERSE and told.kind is UnitKind.CONTRACTS
    if data_type is DataType.OHLCV and (told.kind is UnitKind.QUOTE or is_inverse):
        raise InvalidRequest(
            f"A candle's volume in {instrument.quote} is not its volume in {instrument.base}: its "
            "trades had different prices. Import its trades instead."
        )
    if told.kind is UnitKind.CONTRACTS and instrument.kind is InstrumentKind.SPOT:
        raise InvalidRequest(f"{instrument.id} is spot, which has no contracts: leave --unit out.")
    return told
