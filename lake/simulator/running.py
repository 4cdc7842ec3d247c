"""Candles that are not final: the one in progress, and those still to be corrected.

Works on kline rows as text, exactly (Decimal); a row keeps the decimals it came with.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from lake.simulator.rows import WireFormat

Row = list[Any]
OPEN, HIGH, LOW, CLOSE, CLOSE_TIME, COUNT = 1, 2, 3, 4, 6, 8
_SUMS = (5, 7, 9, 10)
_SMALLEST = Decimal("0.00000001")


def decode(rows: bytes) -> list[Row]:
    """Rows that are each followed by a comma."""
    found: list[Row] = msgspec.json.decode(b"[" + rows[:-1] + b"]") if rows else []
    return found


def encode(row: Row) -> bytes:
    """The row and its comma."""
    return msgspec.json.encode(row) + b","


def partial(row: Row, share: float, *, close_ms: int) -> Row:
    """*row* as it looked when *share* (0..1) of its time had passed.

    Volumes and count only grow with *share*, the range only widens; at the start it is flat
    at its open.
    """
    opened = Decimal(row[OPEN])
    young = list(row)

    def towards(field: int) -> Decimal:
        step = (Decimal(row[field]) - opened) * Decimal(share)
        return opened + step.quantize(_unit(row[field]), ROUND_HALF_EVEN)

    close = towards(CLOSE)
    young[HIGH] = _text(max(towards(HIGH), close, opened), row[HIGH])
    young[LOW] = _text(min(towards(LOW), close, opened), row[LOW])
    young[CLOSE] = _text(close, row[CLOSE])
    for field in _SUMS:
        if row[field] is not None:
            grown = (Decimal(row[field]) * Decimal(share)).quantize(_unit(row[field]), ROUND_DOWN)
            young[field] = _text(grown, row[field])
    if row[COUNT] is not None:
        young[COUNT] = int(row[COUNT] * share)
    young[CLOSE_TIME] = close_ms
    return young


def aggregate(fine: Sequence[Row], *, open_ms: int, close_ms: int) -> Row:
    """One row made of the finer rows that lie in it."""
    whole = list(fine[0])
    whole[0] = open_ms
    whole[HIGH] = max((row[HIGH] for row in fine), key=Decimal)
    whole[LOW] = min((row[LOW] for row in fine), key=Decimal)
    whole[CLOSE] = fine[-1][CLOSE]
    whole[CLOSE_TIME] = close_ms
    for field in _SUMS:
        if all(row[field] is not None for row in fine):
            whole[field] = format(sum((Decimal(row[field]) for row in fine), Decimal(0)), "f")
    if all(row[COUNT] is not None for row in fine):
        whole[COUNT] = sum(row[COUNT] for row in fine)
    return whole


def of_trades(
    trades: Sequence[dict[str, Any]], stored: Row, *, close_ms: int, wire: WireFormat
) -> Row:
    """The candle *stored* as it was when only *trades* (aggregates as text) had happened."""
    row = list(stored)
    row[CLOSE_TIME] = close_ms
    prices = [Decimal(each["p"]) for each in trades] or [Decimal(stored[OPEN])]
    for field, price in ((HIGH, max(prices)), (LOW, min(prices)), (CLOSE, prices[-1])):
        row[field] = _text(price, stored[field])
    totals = [Decimal(0)] * 4
    count = 0
    for each, price in zip(trades, prices, strict=False):
        quantity = Decimal(each["q"])
        worth = quantity * price
        if wire.contract_size is not None:
            coins = quantity * Decimal(wire.contract_size) / price
            worth = coins.quantize(_SMALLEST, ROUND_HALF_EVEN)
        count += each["l"] - each["f"] + 1
        for at, amount in ((0, quantity), (1, worth)):
            totals[at] += amount
            totals[at + 2] += 0 if each["m"] else amount
    for field, total in zip(_SUMS, totals, strict=True):
        if row[field] is not None:
            row[field] = _at_least(total, stored[field])
    if row[COUNT] is not None:
        row[COUNT] = count
    return row


def _at_least(value: Decimal, like: str) -> str:
    """*value* with as many decimals as *like*, or more where it has more."""
    short = value.normalize()
    needed = int(short.as_tuple().exponent)
    return format(value.quantize(min(_unit(like), Decimal(1).scaleb(min(0, needed)))), "f")


def _unit(like: str) -> Decimal:
    return Decimal(1).scaleb(int(Decimal(like).as_tuple().exponent))


def _text(value: Decimal, like: str) -> str:
    return format(value.quantize(_unit(like)), "f")
