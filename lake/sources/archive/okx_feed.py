"""Reads recorded messages of OKX's public streams: trades, and books proved by their checksums.

Source: OKX, "API v5, WebSocket, Order book channel": ``prevSeqId`` and the checksum, a signed
CRC-32 of the 25 best levels of both sides as they were written; and the recording among the
recorded data (read 2026-11-29), which has checksums alone. Sizes of contracts come from the
answers about instruments in the recording.
"""

from __future__ import annotations

import heapq
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from lake.domain.identifiers import Instrument, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.book_builder import BookEvent, Continuity
from lake.sources.archive.feed import (
    Frame,
    Json,
    Kind,
    RecordedTrade,
    Stream,
    levels_of,
)
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapping import Unit, UnitKind

_OKX = Venue("OKX")
_BOOKS = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
_NAME = re.compile(
    r"(?P<base>[A-Z0-9]+)-(?P<quote>[A-Z0-9]+)(?:-(?P<term>SWAP|\d{6}))?", re.IGNORECASE
)
_CHECKED_LEVELS = 25
_TAKERS = {"buy": 1, "sell": -1}


@dataclass(slots=True)
class _Side:
    """Levels by price, with the text that checksums are made of."""

    sign: int
    levels: dict[float, tuple[str, str]] = field(default_factory=dict)

    def lay(self, rows: Json) -> None:
        for price, size, *_ in rows:
            if float(size):
                self.levels[float(price)] = (price, size)
            else:
                self.levels.pop(float(price), None)

    def best(self) -> list[tuple[str, str]]:
        keys = heapq.nsmallest(_CHECKED_LEVELS, self.levels, key=lambda price: self.sign * price)
        return [self.levels[key] for key in keys]


@dataclass(slots=True)
class OkxFeed:
    """One pass over a recording."""

    levels: int | None = 400
    continuity: Continuity = Continuity.UNPROVED
    has_dense_ids: bool = False
    _sizes: dict[str, Unit] = field(default_factory=dict)
    _bids: _Side = field(default_factory=lambda: _Side(-1))
    _asks: _Side = field(default_factory=lambda: _Side(1))
    _last_id: int | None = None
    _is_known: bool = False

    def marks(self, stream: Stream) -> tuple[bytes, ...]:
        return (stream.symbol.encode(),)

    def streams(self, frame: Frame) -> Iterator[Stream]:
        if "/public/instruments" in frame.url:
            self._learn(frame.body)
            return
        channel, name = _told(frame)
        if channel in _BOOKS and "action" in frame.body:
            yield Stream(name, Kind.CHANGES)
        elif channel in ("trades", "trades-all"):
            yield Stream(name, _kind(frame.body))

    def market(self, symbol: str, hint: str | None) -> tuple[Instrument, Unit | None]:
        found = _NAME.fullmatch(symbol)
        if found is None:
            raise InvalidRequest(f"{symbol} of OKX is an option or a spread, which is not read.")
        base, quote, term = found["base"], found["quote"], found["term"]
        settle = base if quote == "USD" else quote
        ccxt = f"{base}/{quote}"
        if term is not None:
            ccxt += f":{settle}" + ("" if term.upper() == "SWAP" else f"-{term}")
        instrument = agreed(ccxt, _OKX, hint, name=symbol, native_id=symbol)
        return instrument, Unit() if term is None else self._sizes.get(symbol)

    def trades(self, frame: Frame, stream: Stream) -> Iterator[RecordedTrade]:
        channel, name = _told(frame)
        if name != stream.symbol or channel not in ("trades", "trades-all"):
            return
        if _kind(frame.body) is not stream.kind:
            return
        for row in frame.body["data"]:
            yield RecordedTrade(
                ts_us=int(row["ts"]) * 1_000,
                trade_id=int(row["tradeId"]),
                price=float(row["px"]),
                quantity=float(row["sz"]),
                taker=_TAKERS.get(row["side"], 0),
                received_us=frame.received_us,
                raw=row,
            )

    def books(self, frame: Frame, stream: Stream) -> Iterator[BookEvent]:
        channel, name = _told(frame)
        if name != stream.symbol or channel not in _BOOKS or "action" not in frame.body:
            return
        is_snapshot = frame.body["action"] == "snapshot"
        for row in frame.body["data"]:
            fault = self._fault(row, is_snapshot=is_snapshot)
            yield BookEvent(
                ts_us=int(row["ts"]) * 1_000,
                bids=levels_of(row["bids"]),
                asks=levels_of(row["asks"]),
                is_snapshot=is_snapshot,
                last_id=int(row["seqId"]) if "seqId" in row else None,
                fault=fault,
                received_us=frame.received_us,
            )

    def _fault(self, row: Json, *, is_snapshot: bool) -> str:
        """What ids and checksum say of *row* and of all before it; empty where all is well."""
        if is_snapshot:
            self._bids.levels.clear()
            self._asks.levels.clear()
        fault = ""
        if not is_snapshot and self._is_known and "prevSeqId" in row:
            previous = int(row["prevSeqId"])
            if previous != self._last_id:
                fault = f"update id {previous} does not follow {self._last_id}"
        self._last_id = int(row["seqId"]) if "seqId" in row else None
        self._bids.lay(row["bids"])
        self._asks.lay(row["asks"])
        self._is_known = is_snapshot or (self._is_known and not fault)
        told = row.get("checksum")
        # It is 0 where the venue does not fill it in.
        if self._is_known and told and int(told) != self._checksum():
            fault = f"the book's checksum is not {told}"
            self._is_known = False
        # A snapshot that contradicts itself is found by the change that follows it.
        return "" if is_snapshot else fault

    def _checksum(self) -> int:
        pairs = zip_longest(self._bids.best(), self._asks.best(), fillvalue=())
        text = ":".join(chain.from_iterable(chain(bid, ask) for bid, ask in pairs))
        crc = zlib.crc32(text.encode())
        return crc - (1 << 32) if crc >= 1 << 31 else crc

    def _learn(self, body: Json) -> None:
        """The sizes of contracts: in the base asset, or in dollars where they are inverse."""
        for row in body.get("data", ()) if isinstance(body, dict) else ():
            size, kind = row.get("ctVal"), row.get("ctType")
            if size and kind in ("linear", "inverse"):
                whole = float(size) * float(row.get("ctMult") or 1)
                self._sizes[row["instId"]] = Unit(UnitKind.CONTRACTS, whole)


def _told(frame: Frame) -> tuple[str, str]:
    """The channel and instrument of a message that has data; empty where it is none."""
    body = frame.body
    if frame.url or not isinstance(body, dict) or not isinstance(body.get("data"), list):
        return "", ""
    told = body.get("arg")
    if not isinstance(told, dict):
        return "", ""
    return str(told.get("channel", "")), str(told.get("instId", ""))


def _kind(body: Json) -> Kind:
    """Since 2023 a trade says how many fills it stands for."""
    return Kind.AGGREGATE if any("count" in row for row in body["data"]) else Kind.SINGLE
