"""What ccxt's unified methods give of each venue, so far as its own code says. Data only.

Taken from ``has`` of ccxt 4.5.90 without importing it; a test compares the two. Venues with an
entry of their own (``venues``) do not come here.
"""

from __future__ import annotations

from datetime import timedelta

from lake.domain.identifiers import DataType, InstrumentKind, Venue
from lake.sources.capability import Capability


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LACKING: dict[DataType, frozenset[str]] = {
    DataType.TRADES: _names("blockchaincom coinbaseinternational mudrex onetrading"),
    DataType.ORDERBOOK: _names("derive mudrex"),
    DataType.FUNDING_RATES: _names(
        """
        alpaca bigone binanceus bit2c bitbank bitbns bitflyer bithumb bitopro bitrue bitso
        bitteam bittrade bitvavo blockchaincom btcbox btcmarkets btcturk cex coinbase
        coinbaseexchange coincheck coinmate coinone coinsph coinspot cryptomus delta foxbit
        gemini hollaex independentreserve indodax kraken latoken lbank lighter luno mercado
        mudrex nado ndax onetrading p2b paymium poloniex revolutx tokocrypto upbit zaif zebpay
        """
    ),
}
# Of these ccxt names no trade; ids are derived from the trades' values.
_WITHOUT_IDS = _names("bithumb bitopro delta hashkey hibachi hollaex modetrade toobit woo woofipro")
# Of these ccxt asks for aggregates (Binance's aggTrades), without their first and last ids.
_AGGREGATES = _names("aster binanceus tokocrypto")
# Units of linear derivatives' amounts, by the venues' own answers (ccxt's recorded ones, read
# 2026-11-22): what a trade is worth, or the candles' volumes beside it, tell one from the other.
_UNITS = {
    "BLOFIN": "contracts",
    "HASHKEY": "contracts",
    "POLONIEX": "contracts",
    "TOOBIT": "contracts",
    "WEEX": "base",
}
# Where ccxt 4.5.90 breaks on ``until``.
WITHOUT_UNTIL = _names("aster")
_METHODS = {
    DataType.TRADES: "fetchTrades",
    DataType.ORDERBOOK: "fetchOrderBook",
    DataType.FUNDING_RATES: "fetchFundingRateHistory",
}
_COLUMNS = {
    DataType.TRADES: ("ts", "trade_ref", "price", "quantity", "side"),
    DataType.ORDERBOOK: ("ts", "sequence", "bids", "asks", "received_at"),
    DataType.FUNDING_RATES: ("ts", "settled_at", "funding_rate", "interval_hours"),
}
_SETTLE_AFTER = {
    DataType.TRADES: timedelta(minutes=5),
    DataType.ORDERBOOK: timedelta(0),
    DataType.FUNDING_RATES: timedelta(minutes=30),
}
_NOW_ONLY = "{venue} gives the book of this moment only: snapshots are taken from now on"
# How far back trades reach is not known; that they begin somewhere is told while asking.
_UNKNOWN_REACH = "how far back its trades reach is not known: what lies before is told as an error"


def lacks(venue: Venue, data_type: DataType) -> bool:
    """Whether ccxt has no unified method for *data_type* of *venue*."""
    return venue.ccxt_id in _LACKING.get(data_type, frozenset())


def method(data_type: DataType) -> str:
    """The name of ccxt's unified method, as its ``has`` spells it."""
    return _METHODS[data_type]


def unified_rows(venue: Venue, data_type: DataType) -> Capability:
    """The entry of a venue that is asked for trades, books or funding by unified methods."""
    ids = "derived" if venue.ccxt_id in _WITHOUT_IDS else "venue"
    what = "aggregate" if venue.ccxt_id in _AGGREGATES else "single"
    variants = {DataType.TRADES: f"{what}/{ids}", DataType.ORDERBOOK: "rest/{depth}"}
    depth_reasons = {DataType.TRADES: _UNKNOWN_REACH, DataType.ORDERBOOK: _NOW_ONLY}
    derivatives = frozenset({InstrumentKind.LINEAR, InstrumentKind.INVERSE})
    is_funding = data_type is DataType.FUNDING_RATES
    return Capability(
        venue=venue,
        data_type=data_type,
        page_size=100,
        settle_after=_SETTLE_AFTER[data_type],
        columns=_COLUMNS[data_type],
        rank=40,
        concurrency=1,
        kinds=derivatives if is_funding else None,
        variant=variants.get(data_type),
        depth=timedelta(0) if data_type is DataType.ORDERBOOK else None,
        depth_reason=depth_reasons.get(data_type, ""),
        # Some venues look no further than an hour from where they are asked to start, whatever
        # the end: silence in a longer span would prove nothing.
        longest_window=timedelta(hours=1) if data_type is DataType.TRADES else None,
    )


def is_coin(kind: InstrumentKind, contract_size: float | None) -> bool:
    """Whether one contract is one coin, so that it does not matter which of the two is counted."""
    return kind is InstrumentKind.LINEAR and contract_size == 1


def amount_unit(kind: InstrumentKind, venue: Venue, contract_size: float | None) -> str | None:
    """What an amount of an instrument counts: ``base``, ``contracts``, or None: not known."""
    if kind is InstrumentKind.SPOT or is_coin(kind, contract_size):
        return "base"
    return _UNITS.get(venue.name) if kind is InstrumentKind.LINEAR else None
