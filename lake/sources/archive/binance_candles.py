"""Reads Binance's candle archives: spot, USD-M and COIN-M, by day or by month.

Twelve columns, with or without a header line, times in ms or us. COIN-M counts `volume` in
contracts and gives the base amount where the others give the quote amount.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import Grid
from lake.domain.times import from_us
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import (
    COINM,
    SPOT,
    USDM,
    VENUES,
    CandleName,
    instrument_of,
    native_symbol,
    parse_name,
    parse_rows_name,
    require_stored_kind,
    require_type,
)
from lake.sources.archive.binance_venue import venue_of
from lake.sources.archive.candle_csv import CandleCsv
from lake.sources.archive.candle_stream import Tally, lots, survey
from lake.sources.archive.claims import Told, candles_claim
from lake.sources.archive.container import Container, open_container, refused
from lake.sources.archive.csv_blocks import CsvColumns, has_header
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, Lot, Streamed

_F64, _I64 = pa.float64(), pa.int64()
_COLUMNS = CsvColumns(
    names=(
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "close_time",
        "quote_volume",
        "trade_count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "ignore",
    ),
    types={
        "open_time": _I64,
        "open": _F64,
        "high": _F64,
        "low": _F64,
        "close": _F64,
        "volume": _F64,
        "close_time": _I64,
        "quote_volume": _F64,
        "trade_count": _I64,
        "taker_buy_volume": _F64,
        "taker_buy_quote_volume": _F64,
    },
    time="open_time",
)
_FIELDS = len(_COLUMNS.names)
# A line is about 110 to 160 bytes; rows beyond the grid get some room too.
_MAX_LINE_BYTES = 512
_SPARE_ROWS = 2_000
# A file without a promise may hold years of minutes.
_MAX_UNNAMED_BYTES = 2 << 30
# What is in no order is sorted in memory, some 300 MB of it.
_MOST_UNSORTED_ROWS = 2_000_000
# Each is kept with its text; a file that has more is not what it says.
_MOST_BAD_ROWS = 100_000
# From here on (in us) a time is in microseconds: only spot's archives ever are.
_MICROSECONDS = 10**15
# Rounding of an inverse candle's base volume against its contracts: prices lie inside the
# candle, so nearly all quotients do; the rest are candles of one contract.
_FITTING_SHARE = 0.95
_FITTING_TOLERANCE = 0.02


class BinanceCandles:
    """The reader. It keeps nothing between files."""

    name = "Binance candle archives"
    tag = VENDOR
    files = "SYMBOL-TIMEFRAME-YYYY-MM[-DD].zip, .csv"
    data_types = (DataType.OHLCV,)
    venues = VENUES
    suffixes = (".zip", ".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = parse_name(path.name)
        require_stored_kind(path)
        if named is None and parse_rows_name(path.name) is not None:
            # A file that is named like trades is no candles, whatever is in it.
            return None
        if named is None and not (path.suffix.lower() == ".zip" or _fully_hinted(hints)):
            return None
        with open_container(path) as container:
            head = container.head()
            inner = parse_name(container.csv_name)
            if named is None and inner is None and not _fully_hinted(hints):
                return None
            named = _agreed(path, named, inner)
            if not _looks_like_candles(head):
                raise refused(
                    path, f"does not hold candles: its lines do not have {_FIELDS} fields"
                )
        require_type(path, DataType.OHLCV, hints.data_type)
        if hints.timezone not in (None, "UTC"):
            raise InvalidRequest(
                f"{path.name} counts time from 1970 in UTC; --timezone does not apply to it."
            )
        venue = _venue(path, named, hints, head)
        symbol = named.symbol if named else native_symbol(hints.instrument or "", venue)
        timeframe = named.timeframe if named else hints.timeframe
        assert timeframe is not None
        if hints.timeframe not in (None, timeframe):
            raise InvalidRequest(
                f"{path.name} holds {timeframe} candles, but --timeframe says {hints.timeframe}."
            )
        instrument = instrument_of(symbol, venue, hints.instrument)
        series = Series(DataType.OHLCV, instrument.id, timeframe)
        return (ArchiveFile(path, self, series, instrument, named.promise if named else None),)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        # A day or a month fits into memory; what promises nothing may hold years.
        return self._whole(file, now) if file.promise else self._in_windows(file, now)

    def _whole(self, file: ArchiveFile, now: datetime) -> Streamed:
        with open_container(file.path) as container:
            csv = _csv(file, container, now)
            checked = csv.read()
            tally, fit = Tally(), _Fit(file)
            tally.add(checked)
            fit.look(checked.rows)
            _require_sense(file, tally)
            fit.require()
            told = _told(file, csv.grid, tally, container.evidence)
            is_intact = bool(container.evidence)
        window = file.promise or told.claims[0].range
        lot = Lot(window, checked.rows, told.claims, checked.rejected, checked.notes)
        return Streamed(window, tally.rows, tally.rejected, iter((lot,)), is_intact, told.remark)

    def _in_windows(self, file: ArchiveFile, now: datetime) -> Streamed:
        fit = _Fit(file)
        with open_container(file.path) as container:
            csv = _csv(file, container, now)
            tally, is_text = survey(csv, fit.look)
            _require_sense(file, tally)
            fit.require()
            told = _told(file, csv.grid, tally, container.evidence)
        [claim] = told.claims
        if tally.is_ascending:
            found = _streamed(file, claim, now, is_text=is_text)
        elif tally.rows <= _MOST_UNSORTED_ROWS:
            found = self._whole(file, now).lots
        else:
            raise refused(
                file.path,
                f"has {tally.rows:,} candles that are not in the order of their times, too many "
                "to be sorted in memory; sort it, or cut it by month",
            )
        return Streamed(claim.range, tally.rows, tally.rejected, found, remark=told.remark)


def _csv(file: ArchiveFile, container: Container, now: datetime) -> CandleCsv:
    grid = file.series.grid
    assert grid is not None
    return CandleCsv(
        container,
        _COLUMNS,
        grid,
        file.promise,
        closed_before=now,
        budget=_budget(grid, file.promise),
        convert=lambda table: _in_our_units(table, file.instrument),
    )


def _streamed(file: ArchiveFile, claim: Claim, now: datetime, *, is_text: bool) -> Iterator[Lot]:
    windows = [window for _, window in split(file.series, claim.range)]
    try:
        with open_container(file.path) as container:
            blocks = _csv(file, container, now).blocks(is_text=is_text)
            yield from lots(blocks, windows, claim)
    except pa.ArrowInvalid as error:
        raise refused(file.path, "changed while it was read") from error


def _fully_hinted(hints: Hints) -> bool:
    return None not in (hints.venue, hints.instrument, hints.timeframe)


def _agreed(path: Path, outer: CandleName | None, inner: CandleName | None) -> CandleName | None:
    """What the file and the member in it say together; a renamed zip is told by its member."""
    if outer is not None and inner is not None and outer != inner:
        raise refused(
            path,
            f"holds {inner.symbol} {inner.timeframe} of {inner.promise}, which is not what its "
            "own name says",
        )
    return outer or inner


def _looks_like_candles(head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return first.count(b",") == _FIELDS - 1


def _venue(path: Path, named: CandleName | None, hints: Hints, head: bytes) -> Venue:
    """The venue that every hint agrees on: the user, the folders, the symbol, the contents."""
    shown: tuple[Venue, ...] = VENUES
    # Only spot is ever in microseconds, and only futures have a header line.
    if _first_time(head) >= _MICROSECONDS:
        shown = (SPOT,)
    elif has_header(head):
        shown = (USDM, COINM)
    return venue_of(path, named.symbol if named else None, hints, shown=shown)


def _first_time(head: bytes) -> int:
    for line in head.splitlines():
        first = line.lstrip(b"\xef\xbb\xbf").split(b",", 1)[0]
        if first.isdigit():
            return int(first)
    return 0


def _budget(grid: Grid, promise: TimeRange | None) -> int:
    if promise is None:
        return _MAX_UNNAMED_BYTES
    return (grid.count(promise) + _SPARE_ROWS) * _MAX_LINE_BYTES


def _in_our_units(table: pa.Table, instrument: Instrument) -> pa.Table:
    """Columns named and counted as ours; COIN-M's contracts become quote amounts."""
    names = ["ts" if name == "open_time" else name for name in table.column_names]
    table = table.rename_columns(names)
    if instrument.venue != COINM:
        return table
    size = instrument.contract_size
    ours = {
        "volume": table["quote_volume"],
        "quote_volume": pc.multiply(table["volume"], size),
        "taker_buy_volume": table["taker_buy_quote_volume"],
        "taker_buy_quote_volume": pc.multiply(table["taker_buy_volume"], size),
    }
    for name, column in ours.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _require_sense(file: ArchiveFile, tally: Tally) -> None:
    """Refuse a file that is well-formed and still not what it says."""
    if not tally.rows and not tally.rejected:
        raise refused(file.path, "holds no candles")
    if tally.rejected > tally.rows or tally.rejected > _MOST_BAD_ROWS:
        raise refused(
            file.path,
            f"has {tally.rejected:,} bad rows of {tally.rows + tally.rejected:,}; the first "
            f"{tally.first_reason!r}",
        )
    if not tally.volume and tally.trades:
        raise SourceError(
            f"{file.path.name} has trades but no volume in any row: these are mark, index or "
            "premium prices, which are never stored as ohlcv.",
            retryable=False,
        )


class _Fit:
    """Compares COIN-M's contract size with a file's volumes: quote / base lies in the candle."""

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self._fitting = self._traded = 0

    def look(self, rows: pa.Table) -> None:
        """Count the rows whose volumes fit."""
        if self._file.series.venue != COINM:
            return
        base = rows["volume"].to_numpy()
        traded = base > 0
        price = rows["quote_volume"].to_numpy()[traded] / base[traded]
        low = rows["low"].to_numpy()[traded] * (1 - _FITTING_TOLERANCE)
        high = rows["high"].to_numpy()[traded] * (1 + _FITTING_TOLERANCE)
        self._traded += int(traded.sum())
        self._fitting += int(np.sum((price >= low) & (price <= high)))

    def require(self) -> None:
        """
        Raises:
            SourceError: Too few do.
        """
        if self._fitting >= self._traded * _FITTING_SHARE:
            return
        size = self._file.instrument.contract_size
        raise SourceError(
            f"{self._file.path.name}: contracts of {size:g} {self._file.instrument.quote} do not "
            "fit its volumes, so its quote volume cannot be computed. Backfill the series "
            "instead: the exchange names the contract size.",
            retryable=False,
        )


def _told(file: ArchiveFile, grid: Grid, tally: Tally, evidence: str) -> Told:
    """What the file may claim."""
    promise, first_us, last_us = file.promise, tally.first_us, tally.last_us
    assert first_us is not None
    assert last_us is not None
    if promise is None:
        closed = grid.next(from_us(last_us))
        claim = Claim(TimeRange(from_us(first_us), closed), Basis.ROWS_ONLY)
        return Told(claim, "its name promises nothing, so its holes mean nothing")
    return candles_claim(promise, grid, last_us, tally.rows, evidence)
