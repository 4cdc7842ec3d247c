"""What the names of Binance's archives say: market, kind, instrument, timeframe, day or month.

Pure: it reads no file. Source: the README of binance/binance-public-data, and
`../shared/data/README.md` (read 2026-11-22).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
    instrument_code,
)
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError

SPOT, USDM, COINM = Venue("BINANCE"), Venue("BINANCEUSDM"), Venue("BINANCECOINM")
VENUES = (SPOT, USDM, COINM)

_SUFFIX = re.compile(r"(?:\.csv|\.zip|\.gz)+$", re.IGNORECASE)
_SYMBOL = r"(?P<symbol>[^-\s/\\]+)"
# A browser adds (1) to a file that it has downloaded before.
_PERIOD = r"(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2}))?(?: ?\(\d+\))?"
_CANDLES = re.compile(rf"{_SYMBOL}-(?P<timeframe>\d+(?:mo|[smhdwM]))-{_PERIOD}")
_ROWS = re.compile(rf"{_SYMBOL}-(?P<kind>aggTrades|trades|fundingRate)-{_PERIOD}")
_OTHER_KINDS = re.compile(
    r"[^-\s/\\]+-(?P<kind>bookTicker|bookDepth|metrics"
    r"|liquidationSnapshot|BVOLIndex|EOHSummary)-\d{4}-\d{2}.*"
)
# These folders hold files that are named and shaped like candles but are prices of another kind.
_OTHER_CANDLES = {
    "markpriceklines": "ohlcv_mark",
    "indexpriceklines": "ohlcv_index",
    "premiumindexklines": "ohlcv_premium",
}
_WORDS = {"spot": SPOT, "um": USDM, "usdm": USDM, "usdtm": USDM, "cm": COINM, "coinm": COINM}
_ABOUT_DATA = {"binance", "vision", "futures", "klines", "candles", "data", "archive", "archives"}
_DATED = re.compile(r"(?P<pair>[^_]+)_(?P<expiry>\d{6})")
# Quote assets that Binance has listed, longest first, so that USDT is found before T would be.
_QUOTE_NAMES = """
USDT FDUSD USDC TUSD BUSD USDP USDS PAX UST DAI USD1 AEUR EURI BFUSD XUSD RLUSD IDRT BIDR
BKRW BVND VAI NGN RUB TRY UAH ZAR BRL EUR GBP AUD JPY MXN ARS COP CZK PLN RON IDR USD
BTC ETH BNB XRP TRX DOGE DOT SOL
"""
_QUOTES = sorted(_QUOTE_NAMES.split(), key=len, reverse=True)
# US dollars per COIN-M contract (Binance contract specifications): BTC 100, everything else 10.
# The reader compares it with every file's own volumes before it relies on it.
_COINM_CONTRACT_USD = {"BTC": 100.0}
_COINM_OTHER_CONTRACT_USD = 10.0


@dataclass(frozen=True, slots=True)
class CandleName:
    """What ``SYMBOL-TIMEFRAME-YYYY-MM[-DD]`` says."""

    symbol: str
    timeframe: TimeFrame
    promise: TimeRange


@dataclass(frozen=True, slots=True)
class RowsName:
    """What ``SYMBOL-KIND-YYYY-MM[-DD]`` says, *kind* one of aggTrades, trades, fundingRate."""

    symbol: str
    kind: str
    promise: TimeRange


def csv_stem(name: str) -> str:
    """*name* without ``.zip``, ``.csv``, ``.gz``."""
    return _SUFFIX.sub("", name)


def parse_name(name: str) -> CandleName | None:
    """What the file called *name* says it holds; None where it is not named like candles.

    Raises:
        InvalidRequest: It names a day or timeframe that does not exist.
    """
    found = _CANDLES.fullmatch(csv_stem(name))
    if found is None:
        return None
    promise = _period(name, found)
    return CandleName(found["symbol"].upper(), TimeFrame.from_str(found["timeframe"]), promise)


def parse_rows_name(name: str) -> RowsName | None:
    """What the file called *name* says it holds; None where it is no trades and no funding.

    Raises:
        InvalidRequest: It names a day that does not exist.
    """
    found = _ROWS.fullmatch(csv_stem(name))
    if found is None:
        return None
    return RowsName(found["symbol"].upper(), found["kind"], _period(name, found))


def require_stored_kind(path: Path) -> None:
    """Refuse Binance's other kinds of files by name; they must never be stored as candles."""
    if other := _OTHER_KINDS.fullmatch(csv_stem(path.name)):
        raise SourceError(
            f"{path.name} holds {other['kind']}, which the lake does not import yet. "
            "Imported are klines, aggTrades, trades and fundingRate.",
            retryable=False,
        )
    for part in path.parts[:-1]:
        if reserved := _OTHER_CANDLES.get(re.sub(r"[^a-z]", "", part.lower())):
            raise SourceError(
                f"{path.name} lies in {part}: its candles are {reserved}, which is not built "
                "yet and is never stored as ohlcv.",
                retryable=False,
            )


def venues_by_symbol(symbol: str) -> tuple[Venue, ...]:
    """The venues whose spelling *symbol* is."""
    if symbol.endswith("_PERP"):
        return (COINM,)
    if dated := _DATED.fullmatch(symbol):
        return (COINM,) if dated["pair"].endswith("USD") else (USDM,)
    return (SPOT, USDM)


def venues_by_path(path: Path) -> tuple[tuple[Venue, ...], str]:
    """The venues that the folders of *path* name, nearest first, and the folder that does."""
    for part in reversed(path.absolute().parts[:-1]):
        words = set(re.split(r"[^a-z0-9]+", part.lower()))
        if len(words) > 1 and not words & _ABOUT_DATA:
            continue
        if named := {_WORDS[word] for word in words & _WORDS.keys()}:
            return tuple(sorted(named)), part
        if "futures" in words:
            return (USDM, COINM), part
    return VENUES, ""


def instrument_of(symbol: str, venue: Venue, hint: str | None) -> Instrument:
    """The instrument that *venue* calls *symbol*, without any network.

    Args:
        symbol: The venue's own spelling, from the file's name.
        venue: One of :data:`VENUES`.
        hint: What the user said, a ccxt symbol or our code; it must be the same instrument.

    Raises:
        InvalidRequest: The pair cannot be told apart, or *hint* is another instrument.
    """
    pair, _, term = symbol.partition("_")
    said = hint if hint and "/" in hint else None
    if said is not None:
        base, quote = said.upper().partition(":")[0].split("/")
    else:
        base, quote = _split(pair, symbol, venue)
    settle = {SPOT: None, USDM: quote, COINM: base}[venue]
    ccxt = f"{base}/{quote}"
    if settle is not None:
        ccxt += f":{settle}" + (f"-{term}" if term.isdigit() else "")
    code = instrument_code(ccxt)
    same = {code, ccxt.upper(), symbol, f"{code}.{venue}", f"{base}{quote}"}
    if base + quote != pair or (hint is not None and hint.upper() not in same):
        raise InvalidRequest(
            f"The file holds {symbol} of {venue} ({code}), but --instrument says {hint!r}. "
            "Leave --instrument out, or give the file that you mean."
        )
    kind = {SPOT: InstrumentKind.SPOT, USDM: InstrumentKind.LINEAR, COINM: InstrumentKind.INVERSE}
    size = {SPOT: None, USDM: 1.0, COINM: coinm_contract_usd(base)}
    return Instrument(
        venue=venue,
        code=code,
        symbol=ccxt,
        native_id=symbol,
        kind=kind[venue],
        base=base,
        quote=quote,
        settle=settle,
        contract_size=size[venue],
    )


def coinm_contract_usd(base: str) -> float:
    """US dollars that one COIN-M contract on *base* is worth."""
    return _COINM_CONTRACT_USD.get(base, _COINM_OTHER_CONTRACT_USD)


def native_symbol(hint: str, venue: Venue) -> str:
    """The venue's spelling of what the user called *hint*: for files whose name says nothing."""
    text = hint.upper()
    code = instrument_code(text) if "/" in text else text
    if "." in code:
        code = InstrumentId.from_str(code).symbol
    pair, *tail = code.split("-")
    if not tail or (venue == USDM and tail[0] == "PERP"):
        return pair
    return f"{pair}_{tail[0]}"


def require_type(path: Path, held: DataType, hinted: DataType | None) -> None:
    """Refuse a ``--type`` that these files are not."""
    if hinted not in (None, held):
        what = "candles (ohlcv)" if held is DataType.OHLCV else str(held)
        raise InvalidRequest(
            f"{path.name} holds {what}, but --type says {hinted}. Leave --type out."
        )


def _period(name: str, found: re.Match[str]) -> TimeRange:
    """The day or month that *name* promises."""
    year, month, day = int(found["year"]), int(found["month"]), found["day"]
    try:
        start = datetime(year, month, int(day or 1))
        end = start + timedelta(days=1) if day else (start + timedelta(days=32)).replace(day=1)
    except (ValueError, OverflowError) as error:
        # The last month of year 9999 has no end that a computer knows.
        raise InvalidRequest(f"{name} names a day that does not exist: {error}.") from error
    return TimeRange(start, end)


def _split(pair: str, symbol: str, venue: Venue) -> tuple[str, str]:
    # COIN-M quotes in US dollars alone: DOTUSD is not DO in TUSD.
    for quote in ("USD",) if venue == COINM else _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    raise InvalidRequest(
        f"{symbol} of {venue} does not end in a quote asset that is known here. "
        f"Say which pair it is, for example --instrument {pair[:-4]}/{pair[-4:]}."
    )
