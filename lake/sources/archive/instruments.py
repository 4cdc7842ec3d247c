"""Names an instrument from what a file and its user say, without any network. Pure."""

from __future__ import annotations

import re

from lake.domain.identifiers import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
    instrument_code,
)
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import COINM, USDM, coinm_contract_usd

# Quote assets of the exchanges whose names run together, longest first, so that USDT is found
# before T would be.
_QUOTES = sorted(
    [
        "USDT",
        "FDUSD",
        "USDC",
        "TUSD",
        "BUSD",
        "USDP",
        "USDS",
        "PAX",
        "UST",
        "DAI",
        "USD1",
        "USDE",
        "USDD",
        "PYUSD",
        "EURT",
        "EURI",
        "USDG",
        "RLUSD",
        "USDQ",
        "USDR",
        "IDRT",
        "BIDR",
        "TRY",
        "BRL",
        "EUR",
        "GBP",
        "AUD",
        "JPY",
        "CAD",
        "CHF",
        "MXN",
        "USD",
        "XBT",
        "BTC",
        "ETH",
        "BNB",
        "XRP",
        "DOGE",
        "DOT",
        "SOL",
    ],
    key=len,
    reverse=True,
)
_CODE = re.compile(r"(?P<pair>[^-]+)(?:-(?P<term>PERP|\d{6}))?(?:-(?P<settle>[A-Z0-9]+))?")


def split_pair(pair: str) -> tuple[str, str] | None:
    """Base and quote of a name such as ``BTCUSDT``; None where it ends in no known quote."""
    for quote in _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    return None


def instrument_of_symbol(symbol: str, venue: Venue, native_id: str | None = None) -> Instrument:
    """The instrument that ccxt calls *symbol*.

    Raises:
        InvalidRequest: It is no such symbol.
    """
    symbol = symbol.strip().upper()
    code = instrument_code(symbol)
    pair, _, rest = symbol.partition(":")
    base, quote = pair.split("/")
    settle = rest.split("-")[0] or None
    kind, size = InstrumentKind.SPOT, None
    if settle is not None:
        kind = InstrumentKind.LINEAR if settle == quote else InstrumentKind.INVERSE
        if re.search(r"-[CP]$", symbol):
            kind = InstrumentKind.OPTION
    if venue == USDM and kind is InstrumentKind.LINEAR:
        size = 1.0
    if venue == COINM and kind is InstrumentKind.INVERSE:
        size = coinm_contract_usd(base)
    return Instrument(
        venue=venue,
        code=code,
        symbol=symbol,
        native_id=native_id or symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        contract_size=size,
    )


def symbol_of(hint: str) -> str:
    """The ccxt symbol of what a user called an instrument: a symbol, our code or id.

    Raises:
        InvalidRequest: It does not say where its base asset ends.
    """
    text = hint.strip().upper()
    if "/" in text:
        return text
    code = InstrumentId.from_str(text).symbol if "." in text else text
    found = _CODE.fullmatch(code)
    split = None if found is None else split_pair(found["pair"])
    if found is None or split is None:
        raise InvalidRequest(
            f"{hint!r} does not say where its base asset ends. Write BASE/QUOTE or "
            "BASE/QUOTE:SETTLE, for example --instrument BTC/USDT:USDT."
        )
    base, quote = split
    if found["term"] is None:
        return f"{base}/{quote}"
    term = "" if found["term"] == "PERP" else f"-{found['term']}"
    return f"{base}/{quote}:{found['settle'] or quote}{term}"


def agreed(symbol: str, venue: Venue, hint: str | None, *, name: str, native_id: str) -> Instrument:
    """The instrument that a file called *name* is of; *hint* must be the same one.

    Raises:
        InvalidRequest: *hint* is another one.
    """
    instrument = instrument_of_symbol(symbol, venue, native_id)
    if hint is None:
        return instrument
    same = {
        instrument.code,
        instrument.symbol,
        native_id.upper(),
        str(instrument.id),
        f"{instrument.base}{instrument.quote}",
    }
    if hint.upper() not in same:
        raise InvalidRequest(
            f"{name} holds {instrument.symbol} of {venue} ({instrument.code}), but --instrument "
            f"says {hint!r}. Leave --instrument out, or give the file that you mean."
        )
    return instrument
