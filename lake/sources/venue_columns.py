"""What the entries of many venues say alike: columns of a type, and reasons. Data only."""

from __future__ import annotations

CANDLES = ("ts", "open", "high", "low", "close", "volume")
TRADES = ("ts", "trade_id", "price", "quantity", "side")
TRADES_BY_REF = ("ts", "trade_ref", "price", "quantity", "side")
BOOK = ("ts", "sequence", "bids", "asks", "received_at")
BOOK_WITHOUT_SEQUENCE = ("ts", "bids", "asks", "received_at")
FUNDING = ("ts", "settled_at", "funding_rate", "interval_hours")
NEWEST = "{venue}'s REST gives only the newest {count:,} candles of each timeframe"
NOW_ONLY = "{venue} gives the book of this moment only: snapshots are taken from now on"
