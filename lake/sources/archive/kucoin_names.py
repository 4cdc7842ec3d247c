"""Reads KuCoin's names of markets in its bulk files: `BTCUSDT` is spot, `BTCUSDTM` perpetual. Pure.

Files of books alone write spot as the exchange does, `BTC-USDT`; those of futures write BTC where
the exchange says XBT (Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader, docs/kucoin.md, read
2026-11-29). Both are understood, and the exchange's word is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lake.domain.identifiers import Venue
from lake.sources.archive.instruments import expiring, pair_of, split_pair

SPOT, FUTURES = Venue("KUCOIN"), Venue("KUCOINFUTURES")
_SPOT_QUOTES = (
    *("USDT", "USDC", "USDE", "USD1", "USDG", "DAI", "EUR", "BRL", "TRY", "PLN"),
    *("BTC", "ETH", "KCS"),
)
_MARGINS = ("USDT", "USDC", "USD")
_DATED = re.compile(r"(?:XBT|BTC|ETH)M[HMUZ]\d{2}")


@dataclass(frozen=True, slots=True)
class Market:
    """One market of KuCoin's.

    Attributes:
        symbol: As ccxt calls it.
        native_id: As the exchange does.
        names: As its files may.
    """

    venue: Venue
    symbol: str
    native_id: str
    names: frozenset[str]


def market_of(path: Path, name: str, hint: str | None) -> Market:
    """The market that the file at *path* calls *name*.

    Raises:
        SourceError: It is a contract with an end.
        InvalidRequest: It cannot be told where the base ends.
    """
    if _DATED.fullmatch(name):
        raise expiring(path.name, name)
    split = split_pair(name.removesuffix("M"), _MARGINS) if name.endswith("M") else None
    if split is None:
        is_told = name.count("-") == 1
        told = name.split("-") if is_told else pair_of(name, _SPOT_QUOTES, hint, name=path.name)
        base, quote = told
        native = f"{base}-{quote}"
        return Market(SPOT, f"{base}/{quote}", native, frozenset({native, f"{base}{quote}"}))
    base, quote = "BTC" if split[0] == "XBT" else split[0], split[1]
    native = f"{'XBT' if base == 'BTC' else base}{quote}M"
    symbol = f"{base}/{quote}:{base if quote == 'USD' else quote}"
    return Market(FUTURES, symbol, native, frozenset({native, f"{base}{quote}M"}))
