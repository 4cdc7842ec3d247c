"""Synthetic funding: when a perpetual settles, at which rate, and how late the venue is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Instrument, InstrumentKind, expiry_of
from lake.domain.schemas import FUNDING_RATES
from lake.domain.times import to_us, utc
from lake.errors import InvalidRequest
from lake.simulator.instruments import Market
from lake.simulator.tables import prices
from lake.simulator.trades import FUNDING, Floats, Ints, stream

_HOUR_US = 3_600_000_000
_HOURS_PER_DAY = 24
RATE_DECIMALS = 8
_CAP = 0.0075
_INTEREST = 0.0001
_SPREAD = 0.0002
# In the recorded history of Binance 41 % of the settlements come late, none by more.
_LATE = 0.41
_LATEST_MS = 47


@dataclass(frozen=True, slots=True)
class FundingSchedule:
    """How many hours lie between settlements, from which moment on.

    Attributes:
        changes: Moments (us) and hours, ascending; settlements are at hours of the day that
            are multiples of the hours in force.
    """

    changes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, hours: Mapping[datetime, int] | int) -> FundingSchedule:
        """One interval throughout, or intervals by the moment from which they hold (UTC)."""
        if isinstance(hours, int):
            hours = {datetime(1970, 1, 1): hours}
        for each in hours.values():
            if each < 1 or _HOURS_PER_DAY % each:
                raise InvalidRequest(
                    f"Funding every {each} hours does not divide a day. Choose 1, 2, 4, 8 ..."
                )
        return cls(tuple(sorted((to_us(utc(moment)), each) for moment, each in hours.items())))

    def moments(self, start_us: int, end_us: int) -> Ints:
        """Settlements in ``[start, end)``."""
        parts = [np.empty(0, np.int64)]
        ends = [moment for moment, _ in self.changes[1:]] + [end_us]
        for (begin, hours), stop in zip(self.changes, ends, strict=True):
            step = hours * _HOUR_US
            first = -(-max(begin, start_us) // step) * step
            parts.append(np.arange(first, max(first, min(stop, end_us)), step))
        return np.concatenate(parts)

    def before(self, moment_us: int) -> int:
        """The settlement before the one at *moment_us*; none: an interval earlier."""
        known = self.moments(moment_us - 2 * _HOURS_PER_DAY * _HOUR_US, moment_us)
        if len(known):
            return int(known[-1])
        hours = next((each for begin, each in self.changes if begin <= moment_us), 8)
        return moment_us - hours * _HOUR_US


def is_perpetual(instrument: Instrument) -> bool:
    return instrument.kind in (InstrumentKind.LINEAR, InstrumentKind.INVERSE) and (
        expiry_of(instrument.code) is None
    )


def settlements_table(
    market: Market, schedule: FundingSchedule, moments: Ints, ticks: Ints, *, seed: int
) -> pa.Table:
    """Settlements in the lake's ``funding_rates`` schema.

    Args:
        market: A perpetual.
        schedule: What the intervals follow from.
        moments: Scheduled settlements (us), ascending, at least one.
        ticks: The price at each.
        seed: The same seed gives the same rates.
    """
    rate, late_ms = _drawn(market, moments, seed)
    spacing = np.diff(moments, prepend=schedule.before(int(moments[0])))
    # COIN-M's history says no mark price.
    mark = None if market.is_inverse else pa.array(prices(market, ticks))
    columns = {
        "ts": pa.array(moments.view("datetime64[us]")),
        "settled_at": pa.array((moments + late_ms * 1_000).view("datetime64[us]")),
        "funding_rate": pa.array(rate),
        "interval_hours": pa.array(spacing / _HOUR_US),
    }
    if mark is not None:
        columns["mark_price"] = mark
    return pa.Table.from_arrays(
        [
            columns.get(field.name, pa.nulls(len(moments), field.type))
            for field in FUNDING_RATES.schema
        ],
        schema=FUNDING_RATES.schema,
    )


def _drawn(market: Market, moments: Ints, seed: int) -> tuple[Floats, Ints]:
    """Rate and lateness of each settlement: they depend on its hour, not on the schedule."""
    days, hours = np.divmod(moments // _HOUR_US, _HOURS_PER_DAY)
    rate, late_ms = np.empty(len(moments)), np.empty(len(moments), np.int64)
    for day in np.unique(days).tolist():
        draw = stream(seed, str(market.instrument.id), FUNDING, day)
        drift = np.clip(_INTEREST + _SPREAD * draw.standard_normal(_HOURS_PER_DAY), -_CAP, _CAP)
        late = draw.integers(1, _LATEST_MS + 1, _HOURS_PER_DAY)
        late[draw.random(_HOURS_PER_DAY) >= _LATE] = 0
        ours = days == day
        unit = 10**RATE_DECIMALS
        rate[ours] = np.rint(drift[hours[ours]] * unit) / unit
        late_ms[ours] = late[hours[ours]]
    return rate, late_ms
