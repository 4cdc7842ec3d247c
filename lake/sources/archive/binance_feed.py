"""Reads recorded messages of Binance's streams: trades, aggTrades, and books with their snapshots.

Source: Binance, "WebSocket Streams" and "How to manage a local order book correctly" (spot and
USD-M), and the recordings among the recorded data (read 2026-11-29).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from lake.domain.identifiers import DataType, Instrument, Venue
from lake.sources.archive.binance_names import (
    COINM,
    SPOT,
    coinm_contract_usd,
    instrument_of,
)
from lake.sources.archive.book_builder import BookEvent, Continuity
from lake.sources.archive.feed import (
    Frame,
    Json,
    Kind,
    RecordedTrade,
    Stream,
    levels_of,
)
from lake.sources.archive.mapping import Unit, UnitKind

_KINDS = {"trade": Kind.SINGLE, "aggTrade": Kind.AGGREGATE, "depthUpdate": Kind.CHANGES}
_SYMBOL = re.compile(r"[?&]symbol=([A-Z0-9_]+)", re.IGNORECASE)
_LIMIT = re.compile(r"[?&]limit=(\d+)")
# A snapshot is asked for while changes come already: so many before its answer are kept, a
# minute of the fastest stream.
_MOST_WAITING = 2_000


@dataclass(slots=True)
class BinanceFeed:
    """One pass over a recording.

    Args:
        venue: Spot, USD-M or COIN-M.
        symbol: Whose snapshots those are that do not say it.
    """

    venue: Venue
    symbol: str = ""
    levels: int | None = None
    has_dense_ids: bool = True
    _recent: deque[BookEvent] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))
    _snapshot: BookEvent | None = None
    _has_begun: bool = False

    @property
    def continuity(self) -> Continuity:
        return Continuity.SPAN if self.venue == SPOT else Continuity.PREVIOUS

    def marks(self, stream: Stream) -> tuple[bytes, ...]:
        if stream.kind.data_type is DataType.ORDERBOOK:
            return (b"depthUpdate", b"lastUpdateId")
        return (b"aggTrade",) if stream.kind is Kind.AGGREGATE else (b"trade",)

    def streams(self, frame: Frame) -> Iterator[Stream]:
        if (data := _event(frame)) is not None:
            yield Stream(data["s"], _KINDS[data["e"]])

    def market(self, symbol: str, hint: str | None) -> tuple[Instrument, Unit | None]:
        instrument = instrument_of(symbol, self.venue, hint)
        if self.venue == COINM:
            return instrument, Unit(UnitKind.CONTRACTS, coinm_contract_usd(instrument.base))
        return instrument, Unit()

    def trades(self, frame: Frame, stream: Stream) -> Iterator[RecordedTrade]:
        data = _event(frame)
        if data is None or data["s"] != stream.symbol or _KINDS[data["e"]] is not stream.kind:
            return
        is_single = stream.kind is Kind.SINGLE
        yield RecordedTrade(
            ts_us=int(data["T"]) * 1_000,
            trade_id=int(data["t" if is_single else "a"]),
            price=float(data["p"]),
            quantity=float(data["q"]),
            # The buyer was the maker: the taker sold.
            taker=-1 if data["m"] else 1,
            received_us=frame.received_us,
            first_id=None if is_single else int(data["f"]),
            last_id=None if is_single else int(data["l"]),
            raw=data,
        )

    def books(self, frame: Frame, stream: Stream) -> Iterator[BookEvent]:
        if _is_snapshot(frame.body):
            if (answered_of(frame) or self.symbol) != stream.symbol:
                return
            if stream.kind is Kind.BOOKS:
                yield _snapshot_of(frame)
            else:
                yield from self._begin(_snapshot_of(frame))
            return
        data = _event(frame)
        if data is None or data["e"] != "depthUpdate" or data["s"] != stream.symbol:
            return
        change = BookEvent(
            # Spot's changes bear no transaction time.
            ts_us=int(data["T"] if "T" in data else data["E"]) * 1_000,
            bids=levels_of(data["b"]),
            asks=levels_of(data["a"]),
            last_id=int(data["u"]),
            first_id=int(data["U"]),
            previous_id=int(data["pu"]) if "pu" in data else None,
            received_us=frame.received_us,
        )
        self._recent.append(change)
        yield from self._following(change)

    def _begin(self, snapshot: BookEvent) -> Iterator[BookEvent]:
        """Begin with *snapshot*, and what came since it was taken: its answer took its time."""
        self._snapshot, self._has_begun = snapshot, True
        for change in self._recent:
            yield from self._following(change)

    def _following(self, change: BookEvent) -> Iterator[BookEvent]:
        snapshot = self._snapshot
        if not self._has_begun:
            return
        if snapshot is not None:
            assert snapshot.last_id is not None
            assert change.last_id is not None
            if change.last_id < snapshot.last_id + (self.venue == SPOT):
                return
            self._snapshot = None
            # Spot's says no time, and the recorder's clock is another one: the book is known
            # from the first change after it.
            yield BookEvent(
                change.ts_us,
                snapshot.bids,
                snapshot.asks,
                is_snapshot=True,
                last_id=snapshot.last_id,
                received_us=snapshot.received_us,
            )
        yield change


def venue_of(body: Json) -> Venue | None:
    """Which of Binance's markets a message is of; None where it does not tell spot and others."""
    data = body.get("data", body) if isinstance(body, dict) else None
    if not isinstance(data, dict) or data.get("e") not in _KINDS:
        return None
    is_spot = "pu" not in data if data["e"] == "depthUpdate" else "M" in data
    if is_spot:
        return SPOT
    pair = str(data.get("s", "")).partition("_")[0]
    return COINM if pair.endswith("USD") else Venue("BINANCEUSDM")


def answered_of(frame: Frame) -> str | None:
    """The symbol whose book *frame* answers; None where it is no such answer, or does not say."""
    named = _SYMBOL.search(frame.url)
    return named[1].upper() if named and _is_snapshot(frame.body) else None


def asked_of(frame: Frame) -> int | None:
    """How many levels *frame* is the answer to, where it says."""
    found = _LIMIT.search(frame.url)
    return int(found[1]) if found else None


def _event(frame: Frame) -> dict[str, Json] | None:
    body = frame.body
    data = body.get("data", body) if isinstance(body, dict) and not frame.url else None
    known = isinstance(data, dict) and data.get("e") in _KINDS and isinstance(data.get("s"), str)
    return data if known else None


def _is_snapshot(body: Json) -> bool:
    return isinstance(body, dict) and "lastUpdateId" in body and "bids" in body


def _snapshot_of(frame: Frame) -> BookEvent:
    body = frame.body
    return BookEvent(
        frame.received_us,
        levels_of(body["bids"]),
        levels_of(body["asks"]),
        is_snapshot=True,
        last_id=int(body["lastUpdateId"]),
        received_us=frame.received_us,
    )
