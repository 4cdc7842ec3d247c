"""The box's bulk archive: files in Binance's tree and formats, made of the lake when asked for.

Days and months that have ended and hold rows are there, with their ``.CHECKSUM``; everything else
is not. Sources: the README of binance/binance-public-data (read 2026-11-22). It knows no HTTP but
byte ranges.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.errors import InvalidRequest
from lake.simulator.cache import Cache
from lake.simulator.clock import Clock
from lake.simulator.faults import Answer
from lake.simulator.shelf import Shelf

PREFIX = "/archive/"
_CACHE_BYTES = 64 << 20
_APIS = {"spot": "spot", "futures/um": "usdm", "futures/cm": "coinm"}
_PATH = re.compile(
    r"data/(?P<market>spot|futures/um|futures/cm)/(?P<span>monthly|daily)/"
    r"(?P<kind>klines|aggTrades|trades|fundingRate)/(?P<symbol>[^/]+)/(?:(?P<timeframe>[^/]+)/)?"
    r"(?P=symbol)-(?P<what>[^-/]+)-(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d))?\.zip"
)
_RANGE = re.compile(r"bytes=(\d+)-")
# Spot's files count microseconds from here on (../shared/data/README.md).
_MICROSECONDS_FROM = datetime(2025, 1, 1)
_WHEN = (2026, 1, 1, 0, 0, 0)


@dataclass(slots=True)
class ArchiveBehaviour:
    """How the tree differs from a perfect one: names of files.

    Attributes:
        missing: Not there, whatever the lake holds.
        revised: Published again since, with the first volume, quantity or rate but 0 doubled.
        corrupted: One byte differs from what the checksum was made of.
        unproven: There is no ``.CHECKSUM``.
    """

    missing: set[str] = field(default_factory=set)
    revised: set[str] = field(default_factory=set)
    corrupted: set[str] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)


class ArchiveTree:
    """Answers for paths below :data:`PREFIX`."""

    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._storage = shelf.storage
        self._shelf = shelf
        self._clock = clock
        self._files: Cache[bytes] = Cache(_CACHE_BYTES, len)
        self.behaviour = ArchiveBehaviour()

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The file, a part of it, or its checksum; 404 where there is none."""
        path = path.removeprefix(PREFIX)
        is_checksum = path.endswith(".CHECKSUM")
        name = path.rpartition("/")[2].removesuffix(".CHECKSUM")
        behaviour = self.behaviour
        body = None if name in behaviour.missing else self._zip(path.removesuffix(".CHECKSUM"))
        if body is None or (is_checksum and name in behaviour.unproven):
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        digest = hashlib.sha256(body).hexdigest()
        if is_checksum:
            return Answer(200, f"{digest}  {name}\n".encode(), "text/plain")
        if name in behaviour.corrupted:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        tag = (("ETag", f'"{digest[:32]}"'), ("Accept-Ranges", "bytes"))
        part = _RANGE.fullmatch(headers.get("Range", ""))
        if part is not None and headers.get("If-Range", tag[0][1]) == tag[0][1]:
            start = int(part[1])
            if start >= len(body):
                return Answer(416, b"", "application/zip", tag)
            told = (("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"),)
            return Answer(206, body[start:], "application/zip", tag + told)
        return Answer(200, body, "application/zip", tag)

    def _zip(self, path: str) -> bytes | None:
        asked = _asked(path)
        if asked is None or asked.promise.end > self._clock.now():
            return None
        listing = self._shelf.listings[asked.api].get(asked.symbol)
        if listing is None:
            return None
        series = Series(asked.data_type, listing.instrument.id, asked.timeframe)
        info = self._storage.catalog.series_info(series)
        if info is None or (asked.variant is not None and info.variant != asked.variant):
            return None
        name = path.rpartition("/")[2]
        is_revised = name in self.behaviour.revised

        def make() -> bytes:
            text = io.BytesIO()
            rows = self._rows(series, asked.promise)
            if not _write(text, rows, asked, listing.instrument, is_revised=is_revised):
                return b""
            packed = io.BytesIO()
            member = zipfile.ZipInfo(name.removesuffix(".zip") + ".csv", _WHEN)
            member.compress_type = zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr(member, text.getbuffer(), compresslevel=1)
            return packed.getvalue()

        return self._files.get((path, is_revised), make) or None

    def _rows(self, series: Series, promise: TimeRange) -> Iterator[pa.Table]:
        for partition, window in split(series, promise):
            for table in self._storage.read_tables(partition):
                moments = table["ts"].cast(pa.int64())
                inside = pc.and_(
                    pc.greater_equal(moments, to_us(window.start)),
                    pc.less(moments, to_us(window.end)),
                )
                if (rows := table.filter(inside)).num_rows:
                    yield rows


@dataclass(frozen=True, slots=True)
class _Asked:
    api: str
    symbol: str
    kind: str
    promise: TimeRange
    timeframe: TimeFrame | None

    @property
    def data_type(self) -> DataType:
        kinds = {"klines": DataType.OHLCV, "fundingRate": DataType.FUNDING_RATES}
        return kinds.get(self.kind, DataType.TRADES)

    @property
    def variant(self) -> str | None:
        return {"aggTrades": "aggregate/venue", "trades": "single/venue"}.get(self.kind)


def _asked(path: str) -> _Asked | None:
    found = _PATH.fullmatch(path)
    if found is None or (found["day"] is None) != (found["span"] == "monthly"):
        return None
    if found["what"] != (found["timeframe"] or found["kind"]):
        return None
    year, month, day = int(found["year"]), int(found["month"]), found["day"]
    try:
        start = datetime(year, month, int(day or 1))
        timeframe = TimeFrame(found["timeframe"]) if found["kind"] == "klines" else None
    except ValueError:
        return None
    end = start + timedelta(days=1) if day else (start + timedelta(days=32)).replace(day=1)
    api = _APIS[found["market"]]
    return _Asked(api, found["symbol"], found["kind"], TimeRange(start, end), timeframe)


def _write(
    text: io.BytesIO,
    rows: Iterator[pa.Table],
    asked: _Asked,
    instrument: Instrument,
    *,
    is_revised: bool,
) -> bool:
    """Write *rows* as Binance would; whether there were any."""
    unit = 1 if asked.api == "spot" and asked.promise.start >= _MICROSECONDS_FROM else 1_000
    columns = {DataType.OHLCV: _candles, DataType.TRADES: _trades, DataType.FUNDING_RATES: _funding}
    is_first = True
    for table in rows:
        found = columns[asked.data_type](table, asked, instrument, unit)
        if is_first and is_revised:
            found = _doubled(found)
        options = pa_csv.WriteOptions(
            include_header=is_first and asked.api != "spot", quoting_style="none"
        )
        pa_csv.write_csv(pa.table(found), text, options)
        is_first = False
    return not is_first


def _doubled(columns: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    name = next(each for each in ("volume", "quantity", "last_funding_rate") if each in columns)
    values = columns[name].to_pylist()
    first = next((at for at, value in enumerate(values) if value), 0)
    values[first] *= 2
    return columns | {name: pa.chunked_array([values])}


def _times(table: pa.Table, name: str, unit: int) -> pa.ChunkedArray:
    return pc.divide(table[name].cast(pa.int64()), unit)


def _candles(
    table: pa.Table, asked: _Asked, instrument: Instrument, unit: int
) -> dict[str, pa.ChunkedArray]:
    assert asked.timeframe is not None
    grid = Series(DataType.OHLCV, instrument.id, asked.timeframe).grid
    assert grid is not None
    ends = [to_us(grid.next(each)) // unit - 1 for each in table["ts"].to_pylist()]
    base, quote = table["volume"], table["quote_volume"]
    taker, taker_quote = table["taker_buy_volume"], table["taker_buy_quote_volume"]
    if instrument.kind is InstrumentKind.INVERSE:
        size = instrument.contract_size
        base, quote = pc.divide(quote, size), base
        taker, taker_quote = pc.divide(taker_quote, size), taker
    return {
        "open_time": _times(table, "ts", unit),
        **{name: table[name] for name in ("open", "high", "low", "close")},
        "volume": base,
        "close_time": pa.chunked_array([ends]),
        "quote_volume": quote,
        "count": table["trade_count"],
        "taker_buy_volume": taker,
        "taker_buy_quote_volume": taker_quote,
        "ignore": pa.chunked_array([[0] * table.num_rows]),
    }


def _trades(
    table: pa.Table, asked: _Asked, instrument: Instrument, unit: int
) -> dict[str, pa.ChunkedArray]:
    if instrument.kind is InstrumentKind.INVERSE:
        raise InvalidRequest("The box has no archives of COIN-M's trades.")
    is_maker = pc.if_else(pc.equal(table["side"], "sell"), "true", "false")
    best = {"is_best_match": pc.if_else(pc.is_valid(table["ts"]), "True", "True")}
    is_spot = asked.api == "spot"
    if asked.kind == "aggTrades":
        found = {
            "agg_trade_id": table["trade_id"],
            "price": table["price"],
            "quantity": table["quantity"],
            "first_trade_id": table["first_trade_id"],
            "last_trade_id": table["last_trade_id"],
            "transact_time": _times(table, "ts", unit),
            "is_buyer_maker": is_maker,
        }
    else:
        found = {
            "id": table["trade_id"],
            "price": table["price"],
            "quantity": table["quantity"],
            "quote_qty": pc.multiply(table["price"], table["quantity"]),
            "time": _times(table, "ts", unit),
            "is_buyer_maker": is_maker,
        }
    return found | best if is_spot else found


def _funding(
    table: pa.Table, asked: _Asked, instrument: Instrument, unit: int
) -> dict[str, pa.ChunkedArray]:
    settled = pc.coalesce(table["settled_at"], table["ts"]).cast(pa.int64())
    return {
        "calc_time": pc.divide(settled, 1_000),
        "funding_interval_hours": table["interval_hours"].cast(pa.int64()),
        "last_funding_rate": table["funding_rate"],
    }
