"""What venues do not give, and the way out. Data; from the venues' REST docs, read 2026-11-22."""

from __future__ import annotations

from lake.domain.identifiers import DataType

_ARCHIVES = "its archives hold them, which `lake import` cannot read yet."
_NO_FUNDING = "it is a spot market, and funding is paid on perpetuals only. Ask {perpetuals}."

NOT_TO_BE_HAD: dict[tuple[str, DataType], str] = {
    ("BINANCE", DataType.FUNDING_RATES): _NO_FUNDING.format(
        perpetuals="BINANCEUSDM or BINANCECOINM"
    ),
    ("KRAKEN", DataType.FUNDING_RATES): _NO_FUNDING.format(perpetuals="KRAKENFUTURES"),
    ("COINBASE", DataType.FUNDING_RATES): "its public REST has no funding history. Ask another "
    "venue, for example BINANCEUSDM.",
    ("KUCOIN", DataType.FUNDING_RATES): _NO_FUNDING.format(perpetuals="KUCOINFUTURES"),
    ("BYBIT", DataType.TRADES): "its public REST gives only the newest 1,000 of them and no "
    f"history: {_ARCHIVES}",
    ("HYPERLIQUID", DataType.TRADES): "its public REST gives fills of one user only and no "
    f"history: {_ARCHIVES}",
    ("KUCOIN", DataType.TRADES): "its public REST gives only the newest 100 of them and no "
    f"history: {_ARCHIVES}",
    ("KUCOINFUTURES", DataType.TRADES): "its public REST gives only the newest 100 of them and no "
    f"history: {_ARCHIVES}",
}
