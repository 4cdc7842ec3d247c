"""Names an instrument from what a file and its user say, without any network. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lake.domain.identifiers import (
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
    instrument_code,
)
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import COINM, USDM, coinm_contract_usd

# Of every exchange together. Some end in others (TUSD in USD), so names may be ambiguous: DOTUSD.
_QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "USDE", "USDG", "PYUSD", "RLUSD", "USD1"),
    *("DAI", "EURT", "EURI", "USD", "EUR", "GBP", "AUD", "JPY", "CAD", "CHF", "TRY", "BRL"),
    *("XBT", "BTC", "ETH", "BNB", "SOL"),
)
_CODE = re.compile(r"(?P<pair>[^-]+)(?:-(?P<term>PERP|\d{6}))?(?:-(?P<settle>[A-Z0-9]+))?")


def split_pair(pair: str, quotes: Sequence[str] = _QUOTES) -> tuple[str, str] | None:
    """Base and quote of a name such as ``BTCUSDT``; None unless just one of *quotes* ends it."""
    found = [quote for quote in quotes if pair.endswith(quote) and pair != quote]
    return (pair.removesuffix(found[0]), found[0]) if len(found) == 1 else None


def pair_of(
    pair: str,
    quotes: Sequence[str],
    hint: str | None,
    *,
    name: str,
    assets: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """Base and quote of what a file called *name* calls *pair*.

    Args:
        pair: The venue's own spelling.
        quotes: The venue's quote assets.
        hint: What the user said; where *quotes* leave it open, a symbol that fits decides.
        name: Of the file.
        assets: The venue's own names of assets to everybody's.

    Raises:
        InvalidRequest: It cannot be told where the base ends.
    """
    known = assets or {}
    if split := split_pair(pair, quotes):
        return known.get(split[0], split[0]), known.get(split[1], split[1])
    if hint and "/" in hint:
        base, _, quote = hint.upper().partition(":")[0].partition("/")
        theirs = {ours: native for native, ours in known.items()}
        if pair in {
            f"{one}{other}"
            for one in (base, theirs.get(base, base))
            for other in (quote, theirs.get(quote, quote))
        }:
            return base, quote
    raise InvalidRequest(
        f"{name}: {pair} does not say where its base asset ends. Say which pair it is, for example "
        f"--instrument {pair[:-3]}/{pair[-3:]}."
    )


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
    split = None
    if found is not None:
        # DOTUSD-PERP-DOT: what an inverse contract settles in is its base.
        base = found["settle"]
        is_told = base and found["pair"].startswith(base) and found["pair"] != base
        split = (base, found["pair"][len(base) :]) if is_told else split_pair(found["pair"])
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


def expiring(name: str, native: str) -> SourceError:
    """The error for a file called *name* of *native*, a contract with an end."""
    return SourceError(
        f"{name} is of {native}, which is no perpetual: such contracts are not read yet.",
        retryable=False,
    )
