"""What a request costs at each venue, and how many rows a minute that allows. Asks no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import EPOCH
from lake.sources.capabilities import access
from lake.sources.capability import Capability, Paging
from lake.sources.cursor import CandleCursor, Cursor
from lake.sources.transport import COST_SCALE

# Books are mostly wanted so deep; deeper ones weigh more at some venues.
_BOOK_LEVELS = 20
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """One request for a whole page.

    Attributes:
        weight: In the venue's own units, or in ccxt's where the venue names none.
        requests_per_minute: With all of the limit; None where that is not known.
        rows: Most rows that it brings; None where it brings all there are.
    """

    weight: float
    requests_per_minute: float | None
    rows: int | None

    def rows_per_minute(self, share: float) -> int | None:
        """About how many rows a minute *share* of the limit allows."""
        if self.requests_per_minute is None or self.rows is None:
            return None
        return round(self.requests_per_minute * share * self.rows)


def cost_of(entry: Capability) -> Cost:
    """What a request for a page of *entry* costs."""
    is_book = entry.data_type is DataType.ORDERBOOK
    is_whole = entry.rows is not None and entry.rows.paging is Paging.WHOLE
    rows = None if is_whole else 1 if is_book else entry.page_size
    endpoint, way = entry.rows or entry.raw, access(entry.venue)
    limit = way.limit
    wanted = min(_BOOK_LEVELS, entry.page_size) if is_book else entry.page_size
    if endpoint is not None and endpoint.weight is not None and limit is not None:
        weight = endpoint.weight(wanted)
        a_minute = limit.weight * _MINUTE_S / limit.window_s / weight
        return Cost(weight if way.unit == 1 else weight / way.unit, a_minute, rows)
    cost = weight_of(entry, wanted) / COST_SCALE
    unit_ms = float(_ccxt_class(entry.venue)().rateLimit)
    return Cost(cost, _MINUTE_S * 1_000 / (unit_ms * cost) if unit_ms and cost else None, rows)


def weight_of(entry: Capability, wanted: int) -> int:
    """What a request for *wanted* rows costs, as the venue's budget counts it."""
    endpoint = entry.rows or entry.raw
    if endpoint is None:
        return COST_SCALE
    if endpoint.weight is not None:
        return endpoint.weight(wanted)
    return round(_ccxt_cost(_ccxt_class(entry.venue), entry, wanted) * COST_SCALE)


def _ccxt_class(venue: Venue) -> Any:
    import ccxt

    return getattr(ccxt, venue.ccxt_id)


def _ccxt_cost(client: Any, entry: Capability, wanted: int) -> float:
    """What ccxt counts for the endpoint that a request for a page goes to."""
    instrument = _any_instrument(entry)
    if entry.raw is not None:
        cursor = CandleCursor(TimeFrame.HOUR_1, 0, 3_600_000_000, wanted, EPOCH)
        request = entry.raw.request(instrument, cursor)
    else:
        assert entry.rows is not None
        request = entry.rows.request(instrument, Cursor(wanted, start_us=0, end_us=3_600_000_000))
    for base in client.__mro__:
        endpoint = vars(base).get(request.method)
        # A class may define a method of that name in front of the endpoint's description.
        if (config := getattr(endpoint, "config", None)) is not None:
            return float(config.get("cost", 1)) if isinstance(config, dict) else float(config or 1)
    return 1.0


def _any_instrument(entry: Capability) -> Instrument:
    kinds = entry.kinds or entry.volume_units or {InstrumentKind.SPOT}
    kind = next(each for each in InstrumentKind if each in kinds)
    settle = {InstrumentKind.LINEAR: "USDT", InstrumentKind.INVERSE: "BTC"}.get(kind)
    return Instrument(
        entry.venue, "BTCUSDT", "BTC/USDT", "BTC-USDT", kind, "BTC", "USDT", settle,
        contract_size=1.0,
    )  # fmt: skip
