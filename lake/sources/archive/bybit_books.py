"""Reads Bybit's order book archives (``ob500``): a snapshot and its changes, as lines of JSON.

Source: `../shared/data/README.md` (read 2026-11-29). Sizes of linear contracts are in the base
asset; inverse ones count US dollars and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentKind,
    Series,
    Venue,
    instrument_code,
)
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import require_type
from lake.sources.archive.book_builder import BookEvent, Continuity
from lake.sources.archive.book_stream import book_variant, builder_of, rebuilt
from lake.sources.archive.container import open_container, peek, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, Streamed
from lake.sources.archive.json_lines import HTML, objects

BYBIT = Venue("BYBIT")
_LEVELS = 500
_NAME = re.compile(
    r"(?:(?P<date>\d{4}-\d{2}-\d{2})[_-])?(?:(?P<symbol>[A-Z0-9]+)[_-])?ob500\.data(?:\.zip)?",
    re.IGNORECASE,
)
_TOPIC = re.compile(rb'"topic":\s*"orderbook\.500\.([A-Z0-9]+)"')
# Quote assets of Bybit's linear perpetuals; those of others (BTCUSD, dated ones) count dollars
# or have an expiry that the name alone does not tell.
_LINEAR = re.compile(r"(?P<base>[A-Z0-9]+?)USDT")
# A day of a busy market is some 10 GB.
_MOST_BYTES = 64 << 30


class BybitBooks:
    """The reader. It keeps nothing between files."""

    name = "Bybit order book archives"
    tag = VENDOR
    files = "YYYY-MM-DD_SYMBOL_ob500.data.zip"
    data_types = (DataType.ORDERBOOK,)
    venues = (BYBIT,)
    suffixes = (".data.zip", "ob500.data")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        named = _NAME.fullmatch(path.name)
        if named is None:
            return None
        with peek(path, unlike=HTML) as container:
            found = _TOPIC.search(container.head())
        if found is None:
            raise refused(path, "is named like an order book of Bybit, and holds none")
        require_type(path, DataType.ORDERBOOK, hints.data_type)
        if hints.venue not in (None, BYBIT):
            raise InvalidRequest(f"{path.name} is of {BYBIT}, but --venue says {hints.venue}.")
        symbol = found[1].decode()
        if named["symbol"] is not None and named["symbol"].upper() != symbol:
            raise refused(path, f"is named {named['symbol']}, and holds {symbol}")
        instrument = _instrument(path, symbol, hints.instrument)
        variant = book_variant(path, hints, levels=_LEVELS)
        series = Series(DataType.ORDERBOOK, instrument.id)
        return (ArchiveFile(path, self, series, instrument, None, str(variant)),)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        builder = builder_of(file, Continuity.DENSE)
        with open_container(file.path, unlike=HTML) as container:
            lines = objects(container, _MOST_BYTES)
            events = _events(file.path, file.instrument.native_id, lines)
            return rebuilt(
                events,
                builder,
                file,
                now=now,
                scratch=scratch,
                is_intact=bool(container.evidence),
                inside=_day(file.path),
            )


def _day(path: Path) -> TimeRange | None:
    """The day that the name of the file at *path* says, if any."""
    named = _NAME.fullmatch(path.name)
    if named is None or named["date"] is None:
        return None
    try:
        start = datetime.fromisoformat(named["date"])
    except ValueError as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
    return TimeRange(start, start + timedelta(days=1))


def _instrument(path: Path, symbol: str, hint: str | None) -> Instrument:
    found = _LINEAR.fullmatch(symbol)
    if found is None:
        raise SourceError(
            f"{path.name} holds {symbol}. Only USDT perpetuals are read: the sizes of others may "
            "be in dollars, and nothing in the file says so. Nothing of it was stored.",
            retryable=False,
        )
    base = found["base"]
    ccxt = f"{base}/USDT:USDT"
    code = instrument_code(ccxt)
    if hint is not None and hint.upper() not in {code, ccxt, symbol, f"{code}.{BYBIT}"}:
        raise InvalidRequest(
            f"{path.name} holds {code} of {BYBIT}, but --instrument says {hint!r}. "
            "500 levels are those of perpetuals; leave --instrument out."
        )
    return Instrument(
        BYBIT, code, ccxt, symbol, InstrumentKind.LINEAR, base, "USDT", "USDT", contract_size=1.0
    )


def _events(
    path: Path, symbol: str, lines: Iterator[tuple[int, dict[str, Any]]]
) -> Iterator[BookEvent]:
    for number, line in lines:
        try:
            if line["topic"] != f"orderbook.{_LEVELS}.{symbol}" or line["data"]["s"] != symbol:
                raise refused(path, f"holds a book of something else, too (line {number})")
            if line["type"] not in ("snapshot", "delta"):
                raise refused(path, f"has a message of kind {line['type']!r} (line {number})")
            data = line["data"]
            yield BookEvent(
                ts_us=int(line["ts"]) * 1_000,
                bids=[(float(price), float(size)) for price, size in data["b"]],
                asks=[(float(price), float(size)) for price, size in data["a"]],
                is_snapshot=line["type"] == "snapshot",
                last_id=int(data["u"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise refused(path, f"has a message that is no book (line {number})") from error
