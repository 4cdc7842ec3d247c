"""What requests weigh, in the units of each venue and in those of ccxt."""

from __future__ import annotations

import pytest

from lake.domain.identifiers import DataType, Venue
from lake.sources.capabilities import capability
from lake.sources.costs import cost_of, weight_of


@pytest.mark.parametrize(
    ("venue", "kind", "weight", "requests_per_minute"),
    [
        # 1,200 units a minute: 20 and one for 60 candles each, one for 20 settlements each.
        ("HYPERLIQUID", DataType.OHLCV, 104, 1_200 / 104),
        ("HYPERLIQUID", DataType.FUNDING_RATES, 45, 1_200 / 45),
        ("HYPERLIQUID", DataType.ORDERBOOK, 2, 600),
        # ccxt's: so many of its units, one every 34, 7.5 and 1,000 ms.
        ("COINBASE", DataType.TRADES, 3, 60_000 / 34 / 3),
        ("KUCOINFUTURES", DataType.OHLCV, 6, 60_000 / 7.5 / 6),
        ("KRAKEN", DataType.OHLCV, 1.2, 60_000 / 1_000 / 1.2),
        ("BINANCE", DataType.OHLCV, 2, 3_000),
    ],
)
def test_a_page_weighs_what_the_venue_counts(
    venue: str, kind: DataType, weight: float, requests_per_minute: float
) -> None:
    cost = cost_of(capability(Venue(venue), kind))

    assert cost.weight == pytest.approx(weight)
    assert cost.requests_per_minute == pytest.approx(requests_per_minute)


def test_plans_count_several_units_where_ccxt_does() -> None:
    """In hundredths, as the budget does."""
    assert weight_of(capability(Venue("KUCOINFUTURES"), DataType.OHLCV), 200) == 600
    assert weight_of(capability(Venue("ALPACA"), DataType.OHLCV), 200) == 100
