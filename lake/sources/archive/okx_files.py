"""Reads OKX's bulk files of candles and funding: CSV in zip, by day or month of UTC+8.

`static.okx.com/cdn/okex/traderecords`, as Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader
(docs/okx.md), Loothore907/tidelab and others describe what they found in them (read 2026-11-29):

- `BTC-USDT-candlesticks-2024-05-20.zip`, `...-2024-05.zip`: minutes, times in ms. `vol` counts the
  base asset of spot and contracts of swaps, `vol_ccy` the base asset of swaps, `vol_quote` the
  quote asset; swaps' months until 2024 say 0 or nothing in the last two. `confirm` is 0 in months
  that are long over, so it says nothing; rows may stand twice.
- `BTC-USDT-SWAP-fundingrates-2022-03.zip`, and `allswap-fundingrates-2024-07-01.zip` of all swaps:
  the rates that were settled, times in ms.

Trades are read elsewhere (:mod:`lake.sources.archive.venue_trades`). Files of many instruments are
read of funding alone; borrowing rates are nothing that the lake stores.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapped_reader import (
    RecognisedByMapping,
    first_lines,
    mapped_file,
    require_columns,
    require_utc,
    venue_or,
)
from lake.sources.archive.mapping import Mapping, UnitKind
from lake.sources.archive.okx_names import promised, symbol_of_native
from lake.sources.archive.tables import opened

_OKX = Venue("OKX")
_PERIOD = r"(?P<period>\d{4}-\d{2}(?:-\d{2})?)\.(?:zip|csv|csv\.gz)"
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+-[A-Z0-9]+(?:-[A-Z0-9]+)?|allswap)"
    rf"-(?P<kind>candlesticks|fundingrates)-{_PERIOD}"
)
_OTHERS = re.compile(
    rf"(?:all[a-z]+|[A-Z0-9]+-[A-Z0-9]+-(?:futures|option)chain)-(?P<kind>[a-z]+)-{_PERIOD}"
)
_ALL = "allswap"
_NAMED = "instrument_name"
_CANDLES = (
    _NAMED,
    "open",
    "high",
    "low",
    "close",
    "vol",
    "vol_ccy",
    "vol_quote",
    "open_time",
    "confirm",
)
_FUNDING = (_NAMED, "funding_rate", "funding_time")
_FUNDED = Mapping(
    columns={"ts": "funding_time", "funding_rate": "funding_rate"},
    header=True,
    claims_promise=True,
)
_SWAP = re.compile(r"[A-Z0-9]+-[A-Z0-9]+-SWAP")


class OkxFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "OKX archives"
    tag = VENDOR
    files = (
        "BASE-QUOTE[-SWAP]-candlesticks-YYYY-MM[-DD].zip, ...-SWAP-fundingrates-..., allswap-..."
    )
    data_types = (DataType.OHLCV, DataType.FUNDING_RATES)
    venues = (_OKX,)
    suffixes = (".zip", ".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None or (named["symbol"] == _ALL and named["kind"] != "fundingrates"):
            _refuse_others(path)
            return None
        lines = first_lines(path)
        require_utc(path, hints)
        venue_or(path, hints, _OKX)
        if named["kind"] == "candlesticks":
            require_columns(path, lines, _CANDLES)
            return self._candles(path, named, lines, hints)
        require_columns(path, lines, _FUNDING)
        if named["symbol"] == _ALL:
            return self._all_funding(path, named["period"], hints)
        _require_instrument(path, lines, named["symbol"])
        instrument = _instrument(path, named["symbol"], hints.instrument)
        mapping = replace(_FUNDED, only={_NAMED: named["symbol"]})
        return (self._funding(path, mapping, instrument, named["period"], hints),)

    def _candles(
        self, path: Path, named: re.Match[str], lines: Sequence[Sequence[str]], hints: Hints
    ) -> Sequence[ArchiveFile]:
        native = named["symbol"]
        _require_instrument(path, lines, native)
        instrument = _instrument(path, native, hints.instrument)
        is_spot = instrument.kind is InstrumentKind.SPOT
        in_contracts = hints.unit is not None and hints.unit.kind is UnitKind.CONTRACTS
        volume = "vol" if is_spot or in_contracts else "vol_ccy"
        if volume == "vol_ccy":
            _require_told(path, lines, instrument)
        prices = {name: name for name in ("open", "high", "low", "close")}
        mapping = Mapping(
            columns={"ts": "open_time", **prices, "volume": volume, "quote_volume": "vol_quote"},
            header=True,
            only={_NAMED: native},
            claims_promise=True,
            traded="vol",
        )
        return mapped_file(
            self,
            path,
            mapping,
            instrument,
            DataType.OHLCV,
            hints=hints,
            timeframe=TimeFrame.MINUTE_1,
            promise=promised(path, named["period"]),
            is_in_base=True,
        )

    def _all_funding(self, path: Path, period: str, hints: Hints) -> Sequence[ArchiveFile]:
        """The swaps of a file of all, or the one that the user asked for."""
        held, unread = _instruments_in(path)
        files: list[ArchiveFile] = []
        for native in filter(_SWAP.fullmatch, held):
            try:
                instrument = _instrument(path, native, hints.instrument)
            except InvalidRequest:
                continue
            mapping = replace(_FUNDED, picked={_NAMED: native})
            if not files:
                # What is of none of the series is told once, with the first.
                foreign = frozenset((*held, *unread)) - {native}
                mapping = replace(mapping, foreign=foreign, remark=_left_out(held, unread))
            file = self._funding(path, mapping, instrument, period, hints)
            files.append(replace(file, part=native))
        if not files:
            asked = f" of {hints.instrument}" if hints.instrument else ""
            raise InvalidRequest(f"{path.name} holds no funding{asked}.")
        return files

    def _funding(
        self, path: Path, mapping: Mapping, instrument: Instrument, period: str, hints: Hints
    ) -> ArchiveFile:
        [file] = mapped_file(
            self,
            path,
            mapping,
            instrument,
            DataType.FUNDING_RATES,
            hints=hints,
            promise=promised(path, period),
        )
        return file


def _refuse_others(path: Path) -> None:
    """
    Raises:
        SourceError: It is a file of OKX's that is not read.
    """
    if (other := _OTHERS.fullmatch(path.name)) is None:
        return
    what = "many instruments at once: download the files of one"
    if other["kind"] == "borrowrates":
        what = "rates of borrowing, which the lake does not store"
    raise SourceError(f"{path.name} holds {what}. Nothing of it was stored.", retryable=False)


def _instrument(path: Path, native: str, hint: str | None) -> Instrument:
    return agreed(symbol_of_native(path, native), _OKX, hint, name=path.name, native_id=native)


def _require_instrument(path: Path, lines: Sequence[Sequence[str]], native: str) -> None:
    """Refuse a chain of contracts under the name of one, before any of it is read."""
    if len(lines) > 1 and lines[1][0] != native:
        raise refused(path, f"is named {native}, and holds {lines[1][0]}")


def _require_told(path: Path, lines: Sequence[Sequence[str]], instrument: Instrument) -> None:
    """
    Raises:
        InvalidRequest: Its first candle says how many contracts traded, and not how much.
    """
    first = dict(zip(_CANDLES, lines[1], strict=False)) if len(lines) > 1 else {}
    if _number(first.get("vol", "")) > 0 and not _number(first.get("vol_ccy", "")) > 0:
        way = "Say --unit contracts:SIZE with the size of one contract."
        if instrument.kind is InstrumentKind.INVERSE:
            way = "Import its trades instead, or backfill it."
        raise InvalidRequest(
            f"{path.name} counts contracts, and its vol_ccy, the volume in {instrument.base}, is "
            f"not filled in. {way}"
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _instruments_in(path: Path) -> tuple[list[str], list[str]]:
    """The names in a file of all swaps, which is small; those of swaps without a whole line."""
    found, broken = set[str](), set[str]()
    at = _FUNDING.index(_NAMED)
    with opened(path, "csv", _FUNDED) as (blocks, _):
        for block in blocks:
            found.update(each for each in block.table[_NAMED].unique().to_pylist() if each)
            broken.update(_FUNDED.field_of(each.raw, at) for each in block.rejected)
    return sorted(found), sorted(filter(_SWAP.fullmatch, broken - found))


def _left_out(held: Sequence[str], unread: Sequence[str]) -> str:
    others = [each for each in held if not _SWAP.fullmatch(each)]
    remarks = [
        f"{', '.join(others)} left out: no perpetual" if others else "",
        f"{', '.join(unread)} left out: no line of it can be read" if unread else "",
    ]
    return "; ".join(filter(None, remarks))
