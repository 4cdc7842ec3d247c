"""Reads recorded messages of Coinbase's Advanced Trade streams: trades and level2 books.

Source: Coinbase, "Advanced Trade WebSocket Channels", and the recording among the recorded data
(read 2026-11-29). ``sequence_num`` counts the messages of a connection, whatever they are of, so
a hole in it may hide a change of any book.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lake.domain.identifiers import Instrument, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.book_builder import BookEvent, Continuity, Level
from lake.sources.archive.feed import Frame, Json, Kind, RecordedTrade, Stream
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapping import Unit
from lake.sources.wire_values import iso_us

_COINBASE = Venue("COINBASE")
_NAME = re.compile(r"([A-Z0-9]+)-([A-Z0-9]+)")
# The maker's side, as lake.sources.venues.coinbase says; recorded sells come at the best ask.
_TAKERS = {"BUY": -1, "SELL": 1}
_SIDES = {"bid": "bid", "offer": "ask"}


@dataclass(slots=True)
class CoinbaseFeed:
    """One pass over a recording."""

    levels: int | None = None
    continuity: Continuity = Continuity.UNPROVED
    has_dense_ids: bool = True
    _last: dict[str, int] = field(default_factory=dict)
    _lost: str = ""

    def marks(self, stream: Stream) -> tuple[bytes, ...]:
        return () if stream.kind is Kind.CHANGES else (b"market_trades",)

    def streams(self, frame: Frame) -> Iterator[Stream]:
        for event in _events(frame, "l2_data"):
            yield Stream(event["product_id"], Kind.CHANGES)
        for event in _events(frame, "market_trades"):
            for row in event["trades"]:
                yield Stream(row["product_id"], Kind.SINGLE)

    def market(self, symbol: str, hint: str | None) -> tuple[Instrument, Unit | None]:
        found = _NAME.fullmatch(symbol)
        if found is None:
            raise InvalidRequest(f"{symbol} of {_COINBASE} is no spot market, and is not read.")
        ccxt = f"{found[1]}/{found[2]}"
        return agreed(ccxt, _COINBASE, hint, name=symbol, native_id=symbol), Unit()

    def trades(self, frame: Frame, stream: Stream) -> Iterator[RecordedTrade]:
        for event in _events(frame, "market_trades"):
            # Newest first.
            for row in reversed(event["trades"]):
                if row["product_id"] != stream.symbol:
                    continue
                yield RecordedTrade(
                    ts_us=iso_us(row["time"]),
                    trade_id=int(row["trade_id"]),
                    price=float(row["price"]),
                    quantity=float(row["size"]),
                    taker=_TAKERS.get(row["side"]),
                    received_us=frame.received_us,
                    raw=row,
                )

    def books(self, frame: Frame, stream: Stream) -> Iterator[BookEvent]:
        self._follow(frame)
        for event in _events(frame, "l2_data"):
            if event["product_id"] != stream.symbol:
                continue
            sides: dict[str, list[Level]] = {"bid": [], "ask": []}
            for row in event["updates"]:
                level = (float(row["price_level"]), float(row["new_quantity"]))
                sides[_SIDES[row["side"]]].append(level)
            fault, self._lost = self._lost, ""
            yield BookEvent(
                ts_us=iso_us(frame.body["timestamp"]),
                bids=sides["bid"],
                asks=sides["ask"],
                is_snapshot=event["type"] == "snapshot",
                last_id=int(frame.body["sequence_num"]),
                fault=fault,
                received_us=frame.received_us,
            )

    def _follow(self, frame: Frame) -> None:
        """Notice what a connection lost; the next message of the book tells it."""
        if frame.body is None:
            if self._last.pop(frame.connection, None) is not None:
                self._lost = "the connection was made anew"
            return
        if frame.url or not isinstance(frame.body, dict) or "sequence_num" not in frame.body:
            return
        number, last = int(frame.body["sequence_num"]), self._last.get(frame.connection)
        self._last[frame.connection] = number
        if last is not None and number != last + 1:
            self._lost = f"message {number} of the connection does not follow {last}"


def _events(frame: Frame, channel: str) -> list[Json]:
    body = frame.body
    if frame.url or not isinstance(body, dict) or body.get("channel") != channel:
        return []
    return list(body["events"])
