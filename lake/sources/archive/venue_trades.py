"""Reads the trade archives of Bybit, KuCoin, OKX and Gate: CSV in gzip or zip, by day or month.

Formats as many public readers of these files describe them, alike but where said, and Gate's
announcement "Gate.io Makes all Historical Data Downloads Available" (article 21688); read
2026-11-29. None of these files is among the recorded data.

- Bybit derivatives, ``public.bybit.com/trading``: ``BTCUSDT2024-01-01.csv.gz``; seconds with
  fractions; sizes in the base asset, in dollars where the contract is inverse.
- Bybit spot, ``public.bybit.com/spot``: ``BTCUSDT_2024-01-01.csv.gz``, ``BTCUSDT-2024-01.csv.gz``;
  ids count from 1 in every file, so they name nothing, and ids are derived.
- KuCoin, ``historical-data.kucoin.com``: ``BTCUSDT-trades-2024-01-01.zip``; futures in contracts.
- OKX, ``static.okx.com/cdn/okex/traderecords``: ``BTC-USDT-trades-2024-01-01.zip``, ``-2024-01``;
  its days are those of UTC+8; swaps in contracts.
- Gate spot, ``download.gatedata.org/spot/deals``: ``BTC_USDT-202401.csv.gz``, no header line. Which
  of 1 and 2 bought is told in both ways, so its sides are not stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.identifiers import DataType, Venue
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest
from lake.sources.archive.container import refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed, expiring, pair_of, split_pair
from lake.sources.archive.kucoin_names import FUTURES, SPOT, market_of
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping, Unit, UnitKind
from lake.sources.archive.okx_names import symbol_of_native

_BYBIT, _OKX, _GATE = Venue("BYBIT"), Venue("OKX"), Venue("GATE")
_DATE = r"(?P<date>\d{4}-\d{2}-\d{2})"
_PACKED = r"\.(?:csv|csv\.gz|zip)"
_BYBIT_COLUMNS = tuple(
    [
        "timestamp",
        "symbol",
        "side",
        "size",
        "price",
        "tickDirection",
        "trdMatchID",
        "grossValue",
        "homeNotional",
        "foreignNotional",
        "RPI",
    ]
)
_BYBIT_SPOT_COLUMNS = ("id", "timestamp", "price", "volume", "side", "rpi")
_KUCOIN_COLUMNS = ("trade_id", "trade_time", "price", "size", "side")
_OKX_COLUMNS = ("trade_id", "side", "price", "size", "created_time")
# A Bybit inverse contract is one dollar (Bybit's contract specifications).
_ONE_DOLLAR = Unit(UnitKind.CONTRACTS, 1.0)
_SPOT_QUOTES = ("USDT", "USDC", "USDE", "USD1", "DAI", "EUR", "BRL", "TRY", "PLN", "BTC", "ETH")
_GATE_NAMES = ("timestamp", "id", "price", "amount", "side")


@dataclass(frozen=True, slots=True)
class _Told:
    """What a file's name and first lines say."""

    venue: Venue
    symbol: str
    native_id: str
    mapping: Mapping
    promise: TimeRange | None = None
    is_in_base: bool = False


_Look = Callable[[Path, re.Match[str], list[list[str]], str | None], _Told | None]


class VenueTrades(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Trade archives of Bybit, KuCoin, OKX and Gate"
    tag = VENDOR
    files = (
        "SYMBOLYYYY-MM-DD.csv.gz, SYMBOL_YYYY-MM-DD.csv.gz, SYMBOL-trades-YYYY-MM-DD.zip, "
        "BASE_QUOTE-YYYYMM.csv.gz"
    )
    data_types = (DataType.TRADES,)
    venues = (_BYBIT, SPOT, FUTURES, _OKX, _GATE)
    suffixes = (".csv.gz", ".csv", ".zip")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        for pattern, look in _FORMATS:
            named = pattern.fullmatch(path.name)
            told = None if named is None else look(path, named, first_lines(path), hints.instrument)
            if told is None:
                continue
            require_utc(path, hints)
            venue = venue_or(path, hints, told.venue)
            instrument = agreed(
                told.symbol, venue, hints.instrument, name=path.name, native_id=told.native_id
            )
            return mapped_file(
                self,
                path,
                told.mapping,
                instrument,
                DataType.TRADES,
                hints=hints,
                promise=told.promise,
                is_in_base=told.is_in_base,
            )
        return None


def _bybit(
    path: Path, named: re.Match[str], lines: list[list[str]], hint: str | None
) -> _Told | None:
    if not lines or "trdMatchID" not in lines[0]:
        return None
    _require_names(path, lines[0], _BYBIT_COLUMNS)
    native, split = named["symbol"], split_pair(named["symbol"], ("USDT", "USD"))
    if native.endswith("PERP"):
        base, quote = native.removesuffix("PERP"), "USDC"
    elif split is not None:
        base, quote = split
    else:
        raise expiring(path.name, native)
    is_inverse = quote == "USD"
    mapping = Mapping(
        columns={
            "ts": "timestamp",
            "trade_id": "trdMatchID",
            "side": "side",
            "quantity": "size",
            "price": "price",
        },
        header=True,
        unit=_ONE_DOLLAR if is_inverse else Unit(),
        only={"symbol": native},
        claims_promise=True,
    )
    symbol = f"{base}/{quote}:{base if is_inverse else quote}"
    return _Told(_BYBIT, symbol, native, mapping, _day(path, named["date"]), True)


def _bybit_spot(
    path: Path, named: re.Match[str], lines: list[list[str]], hint: str | None
) -> _Told | None:
    header = lines[0] if lines else []
    if tuple(header) not in (_BYBIT_SPOT_COLUMNS, _BYBIT_SPOT_COLUMNS[:-1]):
        return None
    # Monthly files have a sixth field that their header does not name.
    fields = len(lines[1]) if len(lines) > 1 else len(header)
    mapping = Mapping(
        columns={"ts": "timestamp", "price": "price", "quantity": "volume", "side": "side"},
        header=True,
        names=_BYBIT_SPOT_COLUMNS[: max(len(header), fields)],
    )
    return _Told(_BYBIT, _spot(path, named["symbol"], hint), named["symbol"], mapping)


def _kucoin(
    path: Path, named: re.Match[str], lines: list[list[str]], hint: str | None
) -> _Told | None:
    if not lines or tuple(lines[0]) != _KUCOIN_COLUMNS:
        return None
    native = named["symbol"]
    mapping = Mapping(
        columns={
            "ts": "trade_time",
            "trade_id": "trade_id",
            "price": "price",
            "quantity": "size",
            "side": "side",
        },
        header=True,
    )
    market = market_of(path, native, hint)
    return _Told(market.venue, market.symbol, market.native_id, mapping)


def _okx(
    path: Path, named: re.Match[str], lines: list[list[str]], hint: str | None
) -> _Told | None:
    # Older headers say everything twice: trade_id/... in English and in Chinese.
    theirs = {cell.split("/")[0]: cell for cell in (lines[0] if lines else [])}
    if not theirs.keys() >= set(_OKX_COLUMNS):
        return None
    _require_names(path, list(theirs), (*_OKX_COLUMNS, "instrument_name", "source"))
    native = named["symbol"]
    symbol = symbol_of_native(path, native)
    mapping = Mapping(
        columns={
            "ts": theirs["created_time"],
            "trade_id": theirs["trade_id"],
            "price": theirs["price"],
            "quantity": theirs["size"],
            "side": theirs["side"],
        },
        header=True,
        only={"instrument_name": native} if "instrument_name" in theirs else {},
    )
    return _Told(_OKX, symbol, native, mapping)


def _gate(
    path: Path, named: re.Match[str], lines: list[list[str]], hint: str | None
) -> _Told | None:
    first = lines[0] if lines else []
    if len(first) != len(_GATE_NAMES) or first[4] not in ("1", "2") or not first[1].isdecimal():
        return None
    base, quote = named["symbol"].split("_")
    mapping = Mapping(
        columns={"ts": "timestamp", "trade_id": "id", "price": "price", "quantity": "amount"},
        names=_GATE_NAMES,
        header=False,
    )
    return _Told(_GATE, f"{base}/{quote}", named["symbol"], mapping)


_FORMATS: tuple[tuple[re.Pattern[str], _Look], ...] = (
    (re.compile(rf"(?P<symbol>[A-Z0-9-]+?){_DATE}{_PACKED}"), _bybit),
    (re.compile(rf"(?P<symbol>[A-Z0-9]+)(?:_{_DATE}|-\d{{4}}-\d{{2}}){_PACKED}"), _bybit_spot),
    (re.compile(rf"(?P<symbol>[A-Z0-9]+)-trades-{_DATE}{_PACKED}"), _kucoin),
    (
        re.compile(
            r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+(?:-[A-Z0-9]+)?)-trades-\d{4}-\d{2}(?:-\d{2})?"
            rf"{_PACKED}"
        ),
        _okx,
    ),
    (re.compile(rf"(?P<symbol>[A-Z0-9]+_[A-Z0-9]+)-\d{{6}}{_PACKED}"), _gate),
)


def _require_names(path: Path, names: Sequence[str], known: Sequence[str]) -> None:
    """
    Raises:
        SourceError: The header names a column that is not known.
    """
    if unknown := [name for name in names if name not in known]:
        raise refused(
            path, f"has unknown columns ({', '.join(unknown)}); known is {','.join(known)}"
        )


def _spot(path: Path, native: str, hint: str | None) -> str:
    return "/".join(pair_of(native, _SPOT_QUOTES, hint, name=path.name))


def _day(path: Path, text: str) -> TimeRange:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
    return TimeRange(start, start + timedelta(days=1))
