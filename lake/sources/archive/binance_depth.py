"""Reads Binance's tick-level books of futures (``T_DEPTH``): a CSV of snapshots, one of changes.

Source: Binance, "Binance Futures Order Book Historical Data" (read 2026-11-29), and the pieces
among the recorded data. Both files are needed and read as one: that of the changes is imported,
with that of the snapshots beside it. Snapshots alone are books as they were asked for.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.ranges import TimeRange
from lake.domain.variants import BookKind, BookVariant
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.amounts import ToBase, to_base
from lake.sources.archive.binance_names import (
    COINM,
    USDM,
    instrument_of,
    require_type,
    venues_by_symbol,
)
from lake.sources.archive.book_builder import BookEvent, Continuity, Level
from lake.sources.archive.book_csv import book_tables, spans
from lake.sources.archive.book_stream import as_told, book_variant, builder_of, rebuilt
from lake.sources.archive.bound_reader import BoundReader
from lake.sources.archive.container import damaged, refused
from lake.sources.archive.csv_blocks import CsvColumns
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, NotRecognised, Streamed
from lake.sources.archive.mapped_reader import first_lines, require_utc
from lake.sources.archive.mapping import Unit, UnitKind

_TYPES = {
    "symbol": pa.string(),
    "timestamp": pa.int64(),
    "first_update_id": pa.int64(),
    "last_update_id": pa.int64(),
    "side": pa.string(),
    "update_type": pa.string(),
    "price": pa.float64(),
    "qty": pa.float64(),
    "pu": pa.int64(),
}
_COLUMNS = CsvColumns(tuple(_TYPES), _TYPES, header=True)
_PART = re.compile(r"(?P<start>.*depth[_-])(?P<part>snap|update)(?P<end>\.csv(?:\.gz)?)")
_DATE = re.compile(r"_T_DEPTH_(\d{4}-\d{2}-\d{2})_")
# What a snapshot is asked for with.
_MOST_LEVELS = 1_000


class BinanceDepth:
    """The reader. It keeps nothing between files."""

    name = "Binance tick-level order books"
    tag = VENDOR
    files = "SYMBOL_T_DEPTH_YYYY-MM-DD_depth_update.csv beside ..._depth_snap.csv"
    data_types = (DataType.ORDERBOOK,)
    venues = (USDM, COINM)
    suffixes = (".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _PART.fullmatch(path.name)
        if named is None:
            return None
        lines = first_lines(path)
        header = lines[0] if lines else []
        if "update_type" not in header:
            return None
        if tuple(header) != _COLUMNS.names:
            raise refused(path, f"has other columns than is known ({', '.join(_COLUMNS.names)})")
        if len(lines) < 2:
            raise refused(path, "holds no rows")
        require_type(path, DataType.ORDERBOOK, hints.data_type)
        require_utc(path, hints)
        instrument = _instrument(path, lines[1][0], hints)
        other = path.with_name(
            f"{named['start']}{'update' if named['part'] == 'snap' else 'snap'}{named['end']}"
        )
        series = Series(DataType.ORDERBOOK, instrument.id)
        if named["part"] == "snap":
            if other.is_file():
                raise NotRecognised(
                    f"{path.name} holds the snapshots of {other.name}. Import that one: both are "
                    "read together.",
                    retryable=False,
                )
            variant = BookVariant(BookKind.REST, hints.depth or _MOST_LEVELS)
            reader = BoundReader(self, _snapshots)
            return (ArchiveFile(path, reader, series, instrument, None, str(variant)),)
        if not other.is_file():
            raise SourceError(
                f"{path.name} holds changes, which make no book without its snapshots. Put "
                f"{other.name} beside it. Nothing of it was stored.",
                retryable=False,
            )
        reader = BoundReader(self, partial(_rebuilt, other))
        variant = book_variant(path, hints)
        file = ArchiveFile(path, reader, series, instrument, None, str(variant), beside=(other,))
        return (file,)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        raise AssertionError(f"{file.path} has a reader of its own")


def _instrument(path: Path, symbol: str, hints: Hints) -> Instrument:
    """Spot has no such files, so what could be either is USD-M."""
    venue = COINM if venues_by_symbol(symbol) == (COINM,) else USDM
    if hints.venue not in (None, venue):
        raise InvalidRequest(f"{path.name} is of {venue}, but --venue says {hints.venue}.")
    return instrument_of(symbol, venue, hints.instrument)


def _in_base(instrument: Instrument) -> ToBase:
    if instrument.venue == COINM:
        assert instrument.contract_size is not None
        return to_base(Unit(UnitKind.CONTRACTS, instrument.contract_size), instrument)
    return to_base(Unit(), instrument)


def _snapshots(file: ArchiveFile, now: datetime, scratch: Path) -> Streamed:
    assert file.variant is not None
    depth = BookVariant.from_str(file.variant).depth
    symbol = file.instrument.native_id
    with book_tables(file.path, _COLUMNS, symbol) as (tables, container):
        events = _events(tables, file.path, _in_base(file.instrument))
        is_intact = bool(container.evidence)
        return as_told(events, depth, file, now=now, scratch=scratch, is_intact=is_intact)


def _rebuilt(snapshots: Path, file: ArchiveFile, now: datetime, scratch: Path) -> Streamed:
    symbol, in_base = file.instrument.native_id, _in_base(file.instrument)
    with (
        book_tables(snapshots, _COLUMNS, symbol) as (before, one),
        book_tables(file.path, _COLUMNS, symbol) as (after, other),
    ):
        events = heapq.merge(
            _events(before, snapshots, in_base),
            _events(after, file.path, in_base),
            # By ids, since times are rounded; a snapshot goes before what follows it.
            key=lambda event: (event.last_id or 0, not event.is_snapshot),
        )
        return rebuilt(
            events,
            builder_of(file, Continuity.PREVIOUS),
            file,
            now=now,
            scratch=scratch,
            is_intact=bool(one.evidence and other.evidence),
            inside=_day(file.path),
        )


def _day(path: Path) -> TimeRange | None:
    found = _DATE.search(path.name)
    if found is None:
        return None
    try:
        start = datetime.fromisoformat(found[1])
    except ValueError as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
    return TimeRange(start, start + timedelta(days=1))


@dataclass(slots=True)
class _Message:
    """Rows of one update id."""

    ts_us: int
    first_id: int
    last_id: int
    previous_id: int
    is_snapshot: bool
    bids: list[Level]
    asks: list[Level]


def _events(tables: Iterator[pa.Table], path: Path, in_base: ToBase) -> Iterator[BookEvent]:
    waiting: _Message | None = None
    for message in _parts(tables, path, in_base):
        if waiting is None:
            waiting = message
        elif (waiting.last_id, waiting.ts_us) == (message.last_id, message.ts_us):
            waiting.bids += message.bids
            waiting.asks += message.asks
        else:
            yield _event(waiting, path)
            waiting = message
    if waiting is not None:
        yield _event(waiting, path)


def _event(message: _Message, path: Path) -> BookEvent:
    if message.is_snapshot and not (message.bids and message.asks):
        side = "asks" if message.bids else "bids"
        raise damaged(path, f"has a snapshot without {side}: a part of it was cut off")
    return BookEvent(
        message.ts_us,
        sorted(message.bids, reverse=True) if message.is_snapshot else message.bids,
        sorted(message.asks) if message.is_snapshot else message.asks,
        is_snapshot=message.is_snapshot,
        last_id=message.last_id,
        first_id=None if message.is_snapshot else message.first_id,
        previous_id=None if message.is_snapshot else message.previous_id,
    )


def _parts(tables: Iterator[pa.Table], path: Path, in_base: ToBase) -> Iterator[_Message]:
    """Messages, those at the borders of blocks in parts."""
    for table in tables:
        if not pc.all(pc.is_in(table["side"], pa.array(["a", "b"]))).as_py():
            raise refused(path, "has sides other than a and b")
        kinds = pc.unique(table["update_type"]).to_pylist()
        if unknown := [kind for kind in kinds if kind not in ("snap", "set", "delete")]:
            raise refused(path, f"has rows of an unknown kind ({unknown[0]!r})")
        ids, ts = table["last_update_id"].to_numpy(), table["timestamp"].to_numpy()
        is_bid = pc.equal(table["side"], "b").to_pylist()
        kind = table["update_type"].to_pylist()
        prices, amounts = table["price"].to_pylist(), table["qty"].to_pylist()
        first, previous = table["first_update_id"].to_numpy(), table["pu"].to_numpy()
        edges = np.flatnonzero((np.diff(ids) != 0) | (np.diff(ts) != 0)) + 1
        for start, end in spans(edges.tolist(), len(ids)):
            sides: tuple[list[Level], list[Level]] = ([], [])
            for row in range(start, end):
                if not prices[row] > 0:
                    raise refused(path, f"has a price that is none ({prices[row]!r})")
                amount = 0.0 if kind[row] == "delete" else in_base(prices[row], amounts[row])
                sides[not is_bid[row]].append((prices[row], amount))
            yield _Message(
                int(ts[start]) * 1_000,
                int(first[start]),
                int(ids[start]),
                int(previous[start]),
                kind[start] == "snap",
                *sides,
            )
