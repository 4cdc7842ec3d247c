"""Binance's trade archives, made in tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from archive_kit import epoch_ms

AGGREGATE_HEADER = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
)


def aggregate(
    number: int,
    moment: datetime,
    *,
    price: str = "100.50000000",
    quantity: str = "0.25000000",
    maker: str = "True",
    unit: int = 1,
    tail: str = ",True",
) -> str:
    """One line of spot's aggTrades: two fills a trade. *tail* "" makes it futures'."""
    ts = epoch_ms(moment) * unit
    first = number * 2
    return f"{number},{price},{quantity},{first},{first + 1},{ts},{maker}{tail}\n"


def aggregates(
    start: datetime,
    numbers: Iterable[int],
    *,
    every: timedelta = timedelta(seconds=1),
    unit: int = 1,
    tail: str = ",True",
) -> str:
    """A trade for each of *numbers*, number n at *start* plus n times *every*."""
    return "".join(
        aggregate(number, start + number * every, unit=unit, tail=tail) for number in numbers
    )
