"""Trades, settlements and books of ccxt's unified methods: requests and decoders.

ccxt drops rows before ``since`` by itself and a venue may not know the end of a span. Rows
outside are left out here; an answer of only such rows is none to its request, because a venue
that ignores times would else look like one that has nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from lake.domain.identifiers import DataType, Instrument
from lake.domain.times import epoch_us, from_us, iso
from lake.domain.variants import IdScheme, TradesVariant
from lake.errors import SourceError
from lake.sources.capability import Capability, Paging, Request, RowsEndpoint
from lake.sources.connection import Connection
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded, as_integer, as_number, contract_size, refused
from lake.sources.fields import side
from lake.sources.trade_answers import AskTrades
from lake.sources.transport import Call
from lake.sources.unified_methods import WITHOUT_UNTIL, amount_unit

_ODD = float("nan")


def unified_ask(
    line: Connection, entry: Capability, instrument: Instrument, what: str
) -> AskTrades:
    """The function that asks for rows of *instrument* by the unified method."""

    has_no_until = entry.venue.ccxt_id in WITHOUT_UNTIL

    async def ask(cursor: Cursor) -> Decoded:
        await line.load_markets()
        client, symbol = line.client, instrument.symbol
        if entry.data_type is DataType.ORDERBOOK:
            book = await line.send(Call(), what, client.fetch_order_book, symbol, cursor.limit)
            return decode_book(book, instrument)
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        is_trades = entry.data_type is DataType.TRADES
        fetch = client.fetch_trades if is_trades else client.fetch_funding_rate_history
        rows = await line.send(
            Call(),
            what,
            fetch,
            symbol,
            cursor.start_us // 1_000,
            cursor.limit,
            {} if has_no_until else {"until": cursor.end_us // 1_000 - 1},
        )
        rows = _asked_for(rows, cursor, what)
        return decode_trades(rows, instrument, entry) if is_trades else decode_settlements(rows)

    return ask


def _nothing(instrument: Instrument, cursor: Cursor) -> Request:
    raise AssertionError("unified methods make their own requests")


def _no_body(body: bytes, instrument: Instrument) -> Decoded:
    raise AssertionError("unified methods read their own answers")


# How the walks ask by unified methods: times are milliseconds, either end may be cut.
UNIFIED_ROWS = RowsEndpoint(_nothing, _no_body, paging=Paging.SPAN)


def _asked_for(rows: Any, cursor: Cursor, what: str) -> list[Any]:
    """The rows inside of the span.

    Raises:
        SourceError: There are rows, but all outside: the venue ignores times, or does not reach
            back so far.
    """
    if not isinstance(rows, list):
        raise refused(repr(rows).encode(), "is not a list of rows")
    start, end = (cursor.start_us or 0) // 1_000, (cursor.end_us or 0) // 1_000
    inside = [each for each in rows if not _is_beside(each, start, end)]
    if rows and not inside:
        times = [us for each in rows if (us := as_integer(each.get("timestamp"))) is not None]
        first = iso(from_us(epoch_us(min(times, default=0))))
        raise SourceError(
            # A proxy's mistake looks the same, so it is asked again.
            f"{what}: those from {iso(from_us(start * 1_000))} to {iso(from_us(end * 1_000))} were "
            f"asked for, but the venue gave others (the first of {first}). It does not reach back "
            "so far, or ignores times; nothing is claimed. Ask for a later start.",
            retryable=True,
        )
    return inside


def _is_beside(row: Any, start_ms: int, end_ms: int) -> bool:
    ms = as_integer(row.get("timestamp")) if isinstance(row, dict) else None
    return ms is not None and not start_ms <= ms < end_ms


def decode_trades(rows: list[Any], instrument: Instrument, entry: Capability) -> Decoded:
    """Trades of ``fetch_trades``, in the base asset.

    Raises:
        SourceError: Trades have no ids where their venue gives them.
    """
    scale = _scale(instrument)
    columns: dict[str, pa.Array] = {
        "ts": pa.array([as_integer(_of(row, "timestamp")) for row in rows], pa.int64()),
        "price": _numbers(rows, "price", 1.0),
        "quantity": _numbers(rows, "amount", scale),
        "taker": pa.array([side(_of(row, "side")) for row in rows], pa.int8()),
    }
    if entry.variant is not None and TradesVariant.from_str(entry.variant).ids is IdScheme.VENUE:
        ids = [_of(row, "id") for row in rows]
        if any(each in (None, "") for each in ids):
            raise SourceError(
                f"Trades of {instrument.id} have ids, but the answer has trades without. What was "
                "stored stays; nothing of this is.",
                retryable=True,
            )
        columns["trade_ref"] = pa.array([str(each) for each in ids], pa.string())
    return Decoded(pa.table(columns), _raw(rows))


def decode_settlements(rows: list[Any]) -> Decoded:
    """Settlements of ``fetch_funding_rate_history``."""
    table = {
        "settled_at": pa.array([as_integer(_of(row, "timestamp")) for row in rows], pa.int64()),
        "funding_rate": _numbers(rows, "fundingRate", 1.0),
    }
    return Decoded(pa.table(table), _raw(rows))


def decode_book(book: Any, instrument: Instrument) -> Decoded:
    """The book of ``fetch_order_book`` as one row, in the base asset.

    Raises:
        SourceError: *book* is none (retryable).
    """
    if not isinstance(book, dict) or not all(
        isinstance(book.get(each), list) for each in ("bids", "asks")
    ):
        raise refused(repr(book).encode(), "is not an order book")
    scale = _scale(instrument)
    columns: dict[str, pa.Array] = {
        "ts": pa.array([as_integer(book.get("timestamp"))], pa.int64()),
        "sequence": pa.array([as_integer(book.get("nonce"))], pa.int64()),
    }
    for levels, name in (("bids", "bid"), ("asks", "ask")):
        prices = [_number(_at(each, 0)) for each in book[levels]]
        amounts = [_number(_at(each, 1)) * scale for each in book[levels]]
        columns[f"{name}_prices"] = pa.array([prices], pa.list_(pa.float64()))
        columns[f"{name}_quantities"] = pa.array([amounts], pa.list_(pa.float64()))
    return Decoded(pa.table(columns), _raw([book]))


def _scale(instrument: Instrument) -> float:
    """What an amount is multiplied by to be in the base asset.

    Raises:
        SourceError: That is not known.
    """
    unit = amount_unit(instrument.kind, instrument.venue, instrument.contract_size)
    if unit is None:
        raise SourceError(
            f"{instrument.id}: in what unit its amounts are is not known. Nothing was stored.",
            retryable=False,
        )
    return contract_size(instrument) if unit == "contracts" else 1.0


def _of(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, dict) else None


def _at(level: Any, place: int) -> Any:
    return level[place] if isinstance(level, list | tuple) and len(level) > place else None


def _numbers(rows: list[Any], name: str, scale: float) -> pa.Array:
    return pa.array([_number(_of(row, name)) * scale for row in rows], pa.float64())


def _number(value: Any) -> float:
    number = as_number(value)
    return _ODD if number is None else number


def _raw(rows: list[Any]) -> Callable[[int], str]:
    return lambda row: msgspec.json.encode(rows[row], enc_hook=repr).decode()
