"""Reads Bitget's bulk files of trades: CSV in zip, up to 100,000 trades a file.

`img.bitgetimg.com/online/trades`, as Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader and
several who measured the files describe them (read 2026-11-29):

- `SPBL/BTCUSDT/20250601_001.zip`, `SPBL/BTCUSDT/BTCUSDT_SPBL_20240101_001.zip`; SPBL is spot, UMCBL
  USDT, CMCBL USDC and DMCBL coin perpetuals. The CSV inside is called as the older files are.
- Times are ms that tell whole seconds, ids have 19 digits and are not dense. `size(base)` is in the
  base asset: `volume(quote)` is the price times it, which is looked at in the first rows.

A day, of UTC+8, is cut into numbered files, and nothing says how many: no file promises anything.
Bitget's candles and books are spreadsheets, which no reader takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lake.domain.identifiers import DataType, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.container import peek, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed, expiring, pair_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_columns,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping, UnitKind

_BITGET = Venue("BITGET")
_PRODUCTS = r"SPBL|UMCBL|CMCBL|DMCBL"
_NAME = re.compile(
    rf"(?:(?P<symbol>[A-Z0-9]+)_(?P<product>{_PRODUCTS})_)?(?P<part>\d{{8}}_\d{{3}})\.(?:zip|csv)"
)
_COLUMNS = ("trade_id", "timestamp", "price", "side", "volume(quote)", "size(base)")
_MAPPING = Mapping(
    columns={
        "ts": "timestamp",
        "trade_id": "trade_id",
        "price": "price",
        "quantity": "size(base)",
        "side": "side",
    },
    header=True,
)
_SPOT_QUOTES = ("USDT", "USDC", "EUR", "BRL", "BTC", "ETH", "BGB")
# How a perpetual's name ends, and what it is counted and settled in.
_PERPETUALS = {"UMCBL": ("USDT", "USDT"), "CMCBL": ("PERP", "USDC"), "DMCBL": ("USD", "USD")}
# Amounts are rounded; contracts, or another asset, would be off by far more.
_MOST_OFF = 2.0


class BitgetTrades(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Bitget trade archives"
    tag = VENDOR
    files = "PRODUCT/SYMBOL/YYYYMMDD_NNN.zip, SYMBOL_PRODUCT_YYYYMMDD_NNN.zip"
    data_types = (DataType.TRADES,)
    venues = (_BITGET,)
    suffixes = (".zip", ".csv")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if path.suffix.lower() == ".xlsx":
            # A named spreadsheet is refused with what to do, as it is inside of a zip.
            with peek(path):
                return None
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path)
        if named["symbol"] is None and (not lines or lines[0][0] != _COLUMNS[0]):
            return None
        require_columns(path, lines, _COLUMNS)
        _require_base(path, lines, hints)
        require_utc(path, hints)
        venue_or(path, hints, _BITGET)
        native, product = _market(path, named)
        symbol = _symbol(path, native, product, hints.instrument)
        instrument = agreed(symbol, _BITGET, hints.instrument, name=path.name, native_id=native)
        return mapped_file(
            self, path, _MAPPING, instrument, DataType.TRADES, hints=hints, is_in_base=True
        )


def _market(path: Path, named: re.Match[str]) -> tuple[str, str]:
    """Symbol and product, which the file, what is in it, and its folders say alike.

    Raises:
        SourceError: They differ.
        InvalidRequest: Nothing says it.
    """
    with peek(path) as container:
        inner = _NAME.fullmatch(container.csv_name)
    told = {
        (each["symbol"], each["product"])
        for each in (named, inner)
        if each is not None and each["symbol"]
    }
    product, symbol = path.absolute().parts[-3:-1]
    if re.fullmatch(_PRODUCTS, product):
        told.add((symbol, product))
    if len(told) > 1 or (inner is not None and inner["part"] != named["part"]):
        raise refused(
            path, f"holds {inner[0] if inner else symbol}, which is not what it is called"
        )
    if not told:
        raise InvalidRequest(
            f"{path.name} does not say of which market it is. Keep it in its folders, for example "
            f"SPBL/BTCUSDT/{path.name}, or call it BTCUSDT_SPBL_{path.name}."
        )
    [found] = told
    return found


def _symbol(path: Path, native: str, product: str, hint: str | None) -> str:
    if product == "SPBL":
        return "/".join(pair_of(native, _SPOT_QUOTES, hint, name=path.name))
    ending, quote = _PERPETUALS[product]
    base = native.removesuffix(ending)
    if base in ("", native):
        raise expiring(path.name, native)
    return f"{base}/{quote}:{base if product == 'DMCBL' else quote}"


def _require_base(path: Path, lines: Sequence[Sequence[str]], hints: Hints) -> None:
    """
    Raises:
        SourceError: Its sizes are not in the base asset.
        InvalidRequest: The user says so.
    """
    if hints.unit is not None and hints.unit.kind is not UnitKind.BASE:
        raise InvalidRequest(f"{path.name} counts in the base asset: leave --unit out.")
    fits = []
    for line in lines[1:]:
        try:
            price, quote, size = (float(line[at]) for at in (2, 4, 5))
        except (ValueError, IndexError):
            continue
        fits.append(quote / _MOST_OFF <= price * size <= quote * _MOST_OFF)
    if fits and not any(fits):
        raise refused(path, "has sizes that are not in the base asset, as its header says")
