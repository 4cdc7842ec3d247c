"""Reads the order books of tardis.dev's CSV files: snapshots, and books made of changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.variants import BookVariant
from lake.sources.archive.amounts import ToBase, to_base
from lake.sources.archive.book_builder import BookEvent, Continuity, Level
from lake.sources.archive.book_csv import book_tables, spans
from lake.sources.archive.book_stream import as_told, builder_of, rebuilt
from lake.sources.archive.container import refused
from lake.sources.archive.csv_blocks import CsvColumns
from lake.sources.archive.format import ArchiveFile, Streamed
from lake.sources.archive.mapping import Unit

_TYPES = {
    "exchange": pa.string(),
    "symbol": pa.string(),
    "timestamp": pa.int64(),
    "local_timestamp": pa.int64(),
    "is_snapshot": pa.bool_(),
    "side": pa.string(),
}
# A snapshot may come in several messages, one after the other; books that are nothing but
# snapshots would run on.
_LONGEST_SNAPSHOT_US = 60_000_000
_AGAIN = "a new snapshot follows: what came before it may not be all"


def snapshots(
    names: Sequence[str], unit: Unit, file: ArchiveFile, now: datetime, scratch: Path
) -> Streamed:
    """The rows of ``book_snapshot_N``: each is a whole book of N levels.

    Raises:
        SourceError: The file is damaged, or not what its header says.
    """
    assert file.variant is not None
    variant = BookVariant.from_str(file.variant)
    columns = _columns(names, names[4:])
    with book_tables(file.path, columns, file.instrument.native_id) as (tables, container):
        events = _whole(tables, variant.depth, to_base(unit, file.instrument))
        is_intact = bool(container.evidence)
        if variant.every is None:
            return as_told(
                events, variant.depth, file, now=now, scratch=scratch, is_intact=is_intact
            )
        builder = builder_of(file, Continuity.WHOLE)
        return rebuilt(events, builder, file, now=now, scratch=scratch, is_intact=is_intact)


def changes(
    names: Sequence[str], unit: Unit, file: ArchiveFile, now: datetime, scratch: Path
) -> Streamed:
    """Samples of the book that ``incremental_book_L2`` makes; it has no ids to prove it by.

    Raises:
        SourceError: The file is damaged, or makes no book.
    """
    with book_tables(file.path, _columns(names), file.instrument.native_id) as (tables, container):
        events = _messages(tables, file.path, to_base(unit, file.instrument))
        builder = builder_of(file, Continuity.UNPROVED)
        is_intact = bool(container.evidence)
        return rebuilt(events, builder, file, now=now, scratch=scratch, is_intact=is_intact)


def _columns(names: Sequence[str], optional: Sequence[str] = ()) -> CsvColumns:
    types = {name: _TYPES.get(name, pa.float64()) for name in names}
    return CsvColumns(tuple(names), types, frozenset(optional), header=True)


def _whole(tables: Iterator[pa.Table], depth: int, in_base: ToBase) -> Iterator[BookEvent]:
    for table in tables:
        columns = {
            (side, what): [table[f"{side}[{level}].{what}"].to_pylist() for level in range(depth)]
            for side in ("asks", "bids")
            for what in ("price", "amount")
        }

        def levels(
            side: str, row: int, columns: dict[tuple[str, str], Any] = columns
        ) -> list[Level]:
            prices, amounts = columns[side, "price"], columns[side, "amount"]
            found = []
            for level in range(depth):
                price, amount = prices[level][row], amounts[level][row]
                if price is not None and amount is not None:
                    found.append((price, in_base(price, amount)))
            return found

        moments = table["timestamp"].to_pylist()
        arrived = table["local_timestamp"].to_pylist()
        for row, ts_us in enumerate(moments):
            yield BookEvent(
                ts_us,
                levels("bids", row),
                levels("asks", row),
                is_snapshot=True,
                received_us=arrived[row],
            )


@dataclass(slots=True)
class _Message:
    """Levels that came together."""

    ts_us: int
    arrived_us: int
    is_snapshot: bool
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    first_us: int = 0
    """When the first part of it arrived."""

    def event(self, fault: str) -> BookEvent:
        return BookEvent(
            self.ts_us,
            self.bids,
            self.asks,
            is_snapshot=self.is_snapshot,
            fault=fault if self.is_snapshot else "",
            received_us=self.arrived_us,
        )


def _messages(tables: Iterator[pa.Table], path: Path, in_base: ToBase) -> Iterator[BookEvent]:
    """Rows of one arrival are one message; snapshots that follow one another are one book."""
    waiting: _Message | None = None
    seen_snapshot = False
    for part in _parts(tables, path, in_base):
        if waiting is None:
            waiting = part
        elif waiting.is_snapshot and part.is_snapshot:
            if part.arrived_us - waiting.first_us > _LONGEST_SNAPSHOT_US:
                raise refused(
                    path, "holds nothing but snapshots for a minute: read book_snapshot_25 instead"
                )
            _join(waiting, part)
        elif waiting.arrived_us == part.arrived_us and waiting.is_snapshot == part.is_snapshot:
            _join(waiting, part)
        else:
            yield waiting.event(_AGAIN if seen_snapshot else "")
            seen_snapshot |= waiting.is_snapshot
            waiting = part
    if waiting is not None:
        yield waiting.event(_AGAIN if seen_snapshot else "")


def _join(one: _Message, other: _Message) -> None:
    one.ts_us, one.arrived_us = max(one.ts_us, other.ts_us), other.arrived_us
    one.bids += other.bids
    one.asks += other.asks


def _parts(tables: Iterator[pa.Table], path: Path, in_base: ToBase) -> Iterator[_Message]:
    """Rows of one arrival inside of one block."""
    for table in tables:
        sides = table["side"]
        if not pc.all(pc.is_in(sides, pa.array(["bid", "ask"]))).as_py():
            raise refused(path, "has sides other than bid and ask")
        is_bid = pc.equal(sides, "bid").to_pylist()
        ts, arrived = table["timestamp"].to_numpy(), table["local_timestamp"].to_numpy()
        snapshot = np.asarray(table["is_snapshot"].to_numpy(zero_copy_only=False), dtype=bool)
        prices, amounts = table["price"].to_pylist(), table["amount"].to_pylist()
        edges = np.flatnonzero((np.diff(arrived) != 0) | (np.diff(snapshot) != 0)) + 1
        for start, end in spans(edges.tolist(), len(ts)):
            first = int(arrived[start])
            message = _Message(int(ts[end - 1]), first, bool(snapshot[start]), first_us=first)
            for row in range(start, end):
                price = prices[row]
                if not price > 0:
                    raise refused(path, f"has a price that is none ({price!r})")
                side = message.bids if is_bid[row] else message.asks
                side.append((price, in_base(price, amounts[row])))
            yield message
