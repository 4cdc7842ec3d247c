"""Names of what is traded and where: venue, instrument, data type, series."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum

from lake.domain.timeframe import Grid, TimeFrame, grid_of
from lake.errors import InvalidRequest

_VENUE = re.compile(r"[A-Z0-9_]+")
# Names that ccxt has dropped, and names that other tools use, for venues that it has.
_VENUE_ALIASES = {
    "GATEIO": "GATE",
    "HUOBI": "HTX",
    "HUOBIPRO": "HTX",
    "COINBASEPRO": "COINBASE",
    "GDAX": "COINBASE",
    "OKEX": "OKX",
    "BINANCE_SPOT": "BINANCE",
    "BINANCESPOT": "BINANCE",
    "BINANCE_FUTURES": "BINANCEUSDM",
    "BINANCEFUTURES": "BINANCEUSDM",
    "BINANCE_USDM": "BINANCEUSDM",
    "BINANCE_UM": "BINANCEUSDM",
    "BINANCE_COINM": "BINANCECOINM",
    "BINANCE_CM": "BINANCECOINM",
    "BINANCE_DELIVERY": "BINANCECOINM",
    "KRAKEN_FUTURES": "KRAKENFUTURES",
    "KUCOIN_FUTURES": "KUCOINFUTURES",
}
# Hive readers turn these two into NULL, whatever their case, so no instrument may bear them.
_HIVE_NULLS = {"NULL", "__HIVE_DEFAULT_PARTITION__"}


@dataclass(frozen=True, slots=True, order=True)
class Venue:
    """Where it trades: the upper-cased ccxt id. Old and common names are understood."""

    name: str

    def __post_init__(self) -> None:
        name = self.name.strip().upper().replace("-", "_").replace(" ", "_")
        name = _VENUE_ALIASES.get(name, name)
        if not _VENUE.fullmatch(name) or name in _HIVE_NULLS:
            raise InvalidRequest(
                f"{self.name!r} is not a venue. Write a ccxt exchange id, for example BINANCE; "
                "`lake sources --all` lists them."
            )
        object.__setattr__(self, "name", name)

    @property
    def ccxt_id(self) -> str:
        return self.name.lower()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class InstrumentId:
    """One tradable instrument at one venue, written ``SYMBOL.VENUE``.

    A symbol may contain dots; the venue is what follows the last one.
    """

    symbol: str
    venue: Venue

    def __post_init__(self) -> None:
        if not self.symbol or self.symbol.upper() in _HIVE_NULLS:
            raise InvalidRequest(
                f"{self.symbol!r} cannot name an instrument: Parquet readers take it for NULL."
            )

    @classmethod
    def from_str(cls, text: str) -> InstrumentId:
        symbol, _, venue = text.rpartition(".")
        if not symbol or not venue:
            raise InvalidRequest(
                f"{text!r} is not an instrument id. "
                "Write SYMBOL.VENUE, for example BTCUSDT.BINANCE."
            )
        return cls(symbol, Venue(venue))

    def __str__(self) -> str:
        return f"{self.symbol}.{self.venue.name}"


class DataType(Enum):
    """What kind of rows a series holds. The value is the folder and table name."""

    OHLCV = "ohlcv"
    TRADES = "trades"
    ORDERBOOK = "orderbook"
    FUNDING_RATES = "funding_rates"

    @classmethod
    def from_str(cls, text: str) -> DataType:
        """The data type named *text*.

        Raises:
            InvalidRequest: It is unknown or not built yet; it is never stored as another.
        """
        word = text.strip().lower().replace("-", "_")
        try:
            return cls(_DATA_TYPE_ALIASES.get(word, word))
        except ValueError:
            names = ", ".join(each.value for each in cls)
            why = "is not built yet" if word in RESERVED_DATA_TYPES else "is not a data type"
            raise InvalidRequest(f"{text!r} {why}. Use one of: {names}.") from None

    def __str__(self) -> str:
        return self.value


_DATA_TYPE_ALIASES = {
    "candles": "ohlcv",
    "klines": "ohlcv",
    "trade": "trades",
    "order_book": "orderbook",
    "funding_rate": "funding_rates",
    "funding": "funding_rates",
}
RESERVED_DATA_TYPES = frozenset(
    {"ohlcv_mark", "ohlcv_index", "ohlcv_premium", "open_interest", "liquidations", "quotes"}
)


@dataclass(frozen=True, slots=True)
class Series:
    """One column of time: a data type of an instrument, for candles at one timeframe."""

    data_type: DataType
    instrument_id: InstrumentId
    timeframe: TimeFrame | None = None

    def __post_init__(self) -> None:
        if (self.data_type is DataType.OHLCV) != (self.timeframe is not None):
            raise InvalidRequest(
                f"A series of {self.data_type} {'needs a' if self.timeframe is None else 'has no'} "
                f"timeframe ({self.instrument_id})."
            )

    @property
    def venue(self) -> Venue:
        return self.instrument_id.venue

    @property
    def grid(self) -> Grid | None:
        """The grid its rows stand on; None for types whose rows come at any moment."""
        return None if self.timeframe is None else grid_of(self.venue, self.timeframe)

    def __str__(self) -> str:
        timeframe = f" {self.timeframe}" if self.timeframe else ""
        return f"{self.instrument_id} {self.data_type}{timeframe}"


class InstrumentKind(Enum):
    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the catalog knows of one instrument; sizes are None where the venue does not say.

    ``code`` is ours, ``symbol`` ccxt's unified one, ``native_id`` the venue's own.
    ``contract_size`` is in base units (linear) or quote units (inverse) per contract.
    """

    venue: Venue
    code: str
    symbol: str
    native_id: str
    kind: InstrumentKind
    base: str
    quote: str
    settle: str | None = None
    tick_size: float | None = None
    lot_size: float | None = None
    contract_size: float | None = None
    active: bool = True

    @property
    def id(self) -> InstrumentId:
        return InstrumentId(self.code, self.venue)


_SYMBOL = re.compile(
    r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)"
    r"(?::(?P<settle>[^/:-]+)(?:-(?P<expiry>\d{6})(?:-(?P<strike>[0-9.]+)-(?P<right>[CP]))?)?)?"
)


def instrument_code(symbol: str) -> str:
    """Our code for a ccxt unified *symbol*.

    ``BTC/USDT`` is ``BTCUSDT``, ``BTC/USDT:USDT`` ``BTCUSDT-PERP``, ``BTC/USD:BTC``
    ``BTCUSD-PERP-BTC``, ``BTC/USD:BTC-241227`` ``BTCUSD-241227-BTC``.

    Raises:
        InvalidRequest: *symbol* is not a unified symbol.
    """
    parts = _SYMBOL.fullmatch(symbol)
    if parts is None:
        raise InvalidRequest(
            f"{symbol!r} is not a ccxt symbol. Write BASE/QUOTE or BASE/QUOTE:SETTLE, "
            "for example BTC/USDT or BTC/USDT:USDT."
        )
    code = f"{parts['base']}{parts['quote']}".upper()
    if parts["settle"] is None:
        return code
    code += f"-{parts['expiry']}" if parts["expiry"] else "-PERP"
    if parts["strike"]:
        code += f"-{parts['strike']}-{parts['right']}"
    if parts["settle"] != parts["quote"]:
        code += f"-{parts['settle'].upper()}"
    return code


def expiry_of(code: str) -> date | None:
    """The day on which the instrument of *code* expires; None for spot and perpetuals."""
    found = re.search(r"-(\d{2})(\d{2})(\d{2})(?:-|$)", code)
    if found is None:
        return None
    try:
        return date(2000 + int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
