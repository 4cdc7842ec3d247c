"""Reads KuCoin's bulk files of order books: 50 levels a side, a whole book a line, by day of UTC.

`historical-data.kucoin.com`, `depth/orderbooklv50/BTC-USDT/BTC-USDT-orderbooklv50-2025-01-14.zip`,
as StockSharp's adapter of it and Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader read it
(read 2026-11-29): a first line `data`, then lines of JSON with `timestamp` in ms, `bids` and `asks`
of price and quantity, and `sequence` where it is of futures, whose quantities are contracts. A
file may hold seconds of the days beside its own, so its name promises nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from lake.domain.identifiers import DataType, Series
from lake.domain.variants import BookKind, BookVariant
from lake.errors import InvalidRequest
from lake.sources.archive.amounts import ToBase, to_base
from lake.sources.archive.binance_names import require_type
from lake.sources.archive.book_builder import BookEvent, Continuity, Level
from lake.sources.archive.book_stream import as_told, builder_of, rebuilt
from lake.sources.archive.bound_reader import BoundReader
from lake.sources.archive.container import open_container, peek, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, Streamed
from lake.sources.archive.instruments import agreed
from lake.sources.archive.json_lines import objects
from lake.sources.archive.kucoin_names import FUTURES, SPOT, market_of
from lake.sources.archive.mapped_reader import require_utc, venue_or
from lake.sources.archive.mapping import UnitKind, unit_for
from lake.sources.archive.spool import SWAP_US

_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9]+(?:-[A-Z0-9]+)?)-orderbooklv50-\d{4}-\d{2}-\d{2}\.(?:zip|csv|csv\.gz)"
)
_HEADER = b"data"
_NEEDED = ("timestamp", "bids", "asks")
_KNOWN = frozenset({*_NEEDED, "sequence", "ts"})
_LEVELS = 50
# A day of a busy market is some 2 GB.
_MOST_BYTES = 64 << 30
# Milliseconds of any time since 1973; seconds and microseconds are others.
_MS = range(10**11, 10**14)
_FIRST_KEYS = re.compile(rb'"([A-Za-z]\w*)"\s*:')


class KucoinBooks:
    """The reader. It keeps nothing between files."""

    name = "KuCoin order book archives"
    tag = VENDOR
    files = "SYMBOL-orderbooklv50-YYYY-MM-DD.zip"
    data_types = (DataType.ORDERBOOK,)
    venues = (SPOT, FUTURES)
    suffixes = (".zip", ".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        with peek(path) as container:
            _require_books(path, container.head())
        require_type(path, DataType.ORDERBOOK, hints.data_type)
        require_utc(path, hints)
        market = market_of(path, named["symbol"], hints.instrument)
        venue_or(path, hints, market.venue)
        instrument = agreed(
            market.symbol,
            market.venue,
            hints.instrument,
            name=path.name,
            native_id=market.native_id,
        )
        unit = unit_for(hints.unit, instrument, DataType.TRADES, is_in_base=False)
        if unit.kind is UnitKind.CONTRACTS:
            instrument = replace(instrument, contract_size=unit.size)
        if hints.depth is not None and hints.depth > _LEVELS:
            raise InvalidRequest(f"{path.name} has {_LEVELS} levels; --depth says {hints.depth}.")
        variant = BookVariant(BookKind.FEED, hints.depth or _LEVELS, hints.every)
        series = Series(DataType.ORDERBOOK, instrument.id)
        reader = BoundReader(self, partial(_read, to_base(unit, instrument)))
        return (ArchiveFile(path, reader, series, instrument, None, str(variant)),)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        raise AssertionError(f"{file.path} has a reader of its own")


def _require_books(path: Path, head: bytes) -> None:
    """
    Raises:
        SourceError: Its first lines are not those of books as they are known.
    """
    header, _, rest = head.partition(b"\n")
    if header.strip() != _HEADER:
        raise refused(path, "is named like books of KuCoin, and does not begin with their header")
    first = rest.partition(b"\n")[0]
    keys = [each.decode() for each in _FIRST_KEYS.findall(first)]
    if unknown := [key for key in keys if key not in _KNOWN]:
        raise refused(
            path,
            f"has unknown fields ({', '.join(unknown)}); known are {', '.join(sorted(_KNOWN))}",
        )


def _read(in_base: ToBase, file: ArchiveFile, now: datetime, scratch: Path) -> Streamed:
    assert file.variant is not None
    variant = BookVariant.from_str(file.variant)
    with open_container(file.path) as container:
        lines = objects(container, _MOST_BYTES, header=_HEADER)
        events = _events(file.path, lines, in_base)
        is_intact = bool(container.evidence)
        if variant.every is None:
            return as_told(
                events, variant.depth, file, now=now, scratch=scratch, is_intact=is_intact
            )
        builder = builder_of(file, Continuity.WHOLE)
        events = _in_order(file.path, events)
        return rebuilt(events, builder, file, now=now, scratch=scratch, is_intact=is_intact)


def _events(
    path: Path, lines: Iterator[tuple[int, dict[str, Any]]], in_base: ToBase
) -> Iterator[BookEvent]:
    for number, line in lines:
        if unknown := line.keys() - _KNOWN:
            raise refused(path, f"has unknown fields ({', '.join(unknown)}; line {number})")
        try:
            moment, sequence = line["timestamp"], line.get("sequence")
            if type(moment) is not int or moment not in _MS or line.get("ts", moment) != moment:
                raise ValueError(f"its time is {json.dumps(moment)}")
            yield BookEvent(
                ts_us=moment * 1_000,
                bids=_levels(line["bids"], in_base),
                asks=_levels(line["asks"], in_base),
                is_snapshot=True,
                last_id=None if sequence is None else int(sequence),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise refused(path, f"has a line that is no book (line {number}: {error})") from error


def _in_order(path: Path, events: Iterator[BookEvent]) -> Iterator[BookEvent]:
    """*events*, whose order is that of their times: else a sample would show another moment's."""
    last_us = 0
    for event in events:
        if event.ts_us < last_us - SWAP_US:
            raise refused(
                path, "has books that are not in the order of their times: leave --every out"
            )
        last_us = max(last_us, event.ts_us)
        yield event


def _levels(rows: Any, in_base: ToBase) -> list[Level]:
    return [(float(price), in_base(float(price), float(quantity))) for price, quantity in rows]
