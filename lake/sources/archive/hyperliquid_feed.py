"""Reads recorded messages of Hyperliquid's streams: trades, and books of 20 levels sent whole.

Source: Hyperliquid, "API, Websocket, Subscriptions" (WsTrade, WsBook), and the recording among
the recorded data (read 2026-11-29), whose prices prove that ``B`` is a taker that bought.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lake.domain.identifiers import Instrument, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.book_builder import BookEvent, Continuity
from lake.sources.archive.feed import Frame, Json, Kind, RecordedTrade, Stream
from lake.sources.archive.instruments import agreed
from lake.sources.archive.mapping import Unit

_HYPERLIQUID = Venue("HYPERLIQUID")
_PERPETUAL = re.compile(r"[A-Za-z0-9]+")
_TAKERS = {"B": 1, "A": -1}


@dataclass(slots=True)
class HyperliquidFeed:
    """One pass over a recording."""

    levels: int | None = 20
    continuity: Continuity = Continuity.WHOLE
    has_dense_ids: bool = False

    def marks(self, stream: Stream) -> tuple[bytes, ...]:
        return (b"l2Book",) if stream.kind is Kind.BOOKS else (b"trades",)

    def streams(self, frame: Frame) -> Iterator[Stream]:
        channel, data = _told(frame)
        if channel == "l2Book":
            yield Stream(data["coin"], Kind.BOOKS)
        elif channel == "trades":
            for row in data:
                yield Stream(row["coin"], Kind.SINGLE)

    def market(self, symbol: str, hint: str | None) -> tuple[Instrument, Unit | None]:
        if _PERPETUAL.fullmatch(symbol) is None:
            raise InvalidRequest(f"{symbol} of {_HYPERLIQUID} is no perpetual, and is not read.")
        ccxt = f"{symbol.upper()}/USDC:USDC"
        instrument = agreed(ccxt, _HYPERLIQUID, hint, name=symbol, native_id=symbol)
        return instrument, Unit()

    def trades(self, frame: Frame, stream: Stream) -> Iterator[RecordedTrade]:
        channel, data = _told(frame)
        for row in data if channel == "trades" else ():
            if row["coin"] != stream.symbol:
                continue
            yield RecordedTrade(
                ts_us=int(row["time"]) * 1_000,
                trade_id=int(row["tid"]),
                price=float(row["px"]),
                quantity=float(row["sz"]),
                taker=_TAKERS.get(row["side"], 0),
                received_us=frame.received_us,
                raw=row,
            )

    def books(self, frame: Frame, stream: Stream) -> Iterator[BookEvent]:
        channel, data = _told(frame)
        if channel != "l2Book" or data["coin"] != stream.symbol:
            return
        bids, asks = (
            [(float(level["px"]), float(level["sz"])) for level in side] for side in data["levels"]
        )
        yield BookEvent(
            int(data["time"]) * 1_000,
            bids,
            asks,
            is_snapshot=True,
            received_us=frame.received_us,
        )


def _told(frame: Frame) -> tuple[str, Json]:
    body = frame.body
    if frame.url or not isinstance(body, dict) or "data" not in body:
        return "", None
    return str(body.get("channel", "")), body["data"]
