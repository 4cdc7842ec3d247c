"""One perpetual's funding as Binance gives it at a moment: history, and what comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake.simulator.settlements import RATE_DECIMALS
from lake.simulator.text import Floats, Ints, Sheet, integers, quoted

_HOUR_MS = 3_600_000
USUAL_HOURS = 8
_COLUMNS = ("ts", "settled_at", "funding_rate", "interval_hours", "mark_price")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the settlement to come.

    Attributes:
        rate: The estimate: it moves from the last rate to the next one.
        next_ms: When it is due.
        hours: Between the last settlement and that one.
        ever_unusual: Whether the interval has ever been another than eight hours.
    """

    rate: float
    next_ms: int
    hours: int
    ever_unusual: bool


class FundingLog:
    """The settlements of one series.

    Args:
        symbol: The venue's own.
        says_mark: USD-M's history has mark prices, COIN-M's has none.
        load: Gives the rows of the series; called when they are first needed.
    """

    def __init__(self, symbol: str, load: Callable[[], pa.Table], *, says_mark: bool) -> None:
        self.symbol = symbol
        self._says_mark = says_mark
        self._load = load
        self._sheet: Sheet | None = None
        self._ts_ms: Ints = np.empty(0, np.int64)
        self._rate: Floats = np.empty(0)
        self._hours: Floats = np.empty(0)

    def page(
        self, start_ms: int | None, end_ms: int | None, limit: int, *, now_ms: int
    ) -> tuple[bytes, int]:
        """Settlements as Binance gives them, each followed by a comma, and their number.

        From *start_ms* the oldest ones; without it the newest ones up to *end_ms*.
        """
        sheet = self._known()
        last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
        stop = int(np.searchsorted(sheet.ts_ms, last_ms, side="right"))
        if start_ms is None:
            first = max(0, stop - limit)
        else:
            first = int(np.searchsorted(sheet.ts_ms, start_ms))
            stop = max(first, min(stop, first + limit))
        return sheet.rows(first, stop), stop - first

    def outlook(self, now_ms: int) -> Outlook:
        """What a client can know at *now_ms* of the next settlement."""
        self._known()
        after = int(np.searchsorted(self._ts_ms, now_ms, side="right"))
        last = after - 1
        unusual = bool((self._hours[:after] != USUAL_HOURS).any())
        if after == len(self._ts_ms):
            hours = int(self._hours[last]) if after else USUAL_HOURS
            known_ms = int(self._ts_ms[last]) if after else 0
            step = hours * _HOUR_MS
            next_ms = known_ms + ((now_ms - known_ms) // step + 1) * step
            return Outlook(float(self._rate[last]) if after else 0.0, next_ms, hours, unusual)
        next_ms, coming = int(self._ts_ms[after]), float(self._rate[after])
        hours = int(self._hours[after])
        if last < 0:
            return Outlook(coming, next_ms, hours, hours != USUAL_HOURS)
        share = (now_ms - int(self._ts_ms[last])) / (next_ms - int(self._ts_ms[last]))
        before = float(self._rate[last])
        rate = round(before + (coming - before) * share, RATE_DECIMALS)
        return Outlook(rate, next_ms, hours, unusual or hours != USUAL_HOURS)

    def _known(self) -> Sheet:
        if self._sheet is None:
            self._sheet = self._made(self._load().select(_COLUMNS))
        return self._sheet

    def _made(self, table: pa.Table) -> Sheet:
        ts = table["ts"].cast(pa.int64()).to_numpy() // 1_000
        settled = table["settled_at"].cast(pa.int64()).fill_null(-1).to_numpy() // 1_000
        said_ms = np.where(settled < 0, ts, settled)
        self._ts_ms = ts
        self._rate = table["funding_rate"].to_numpy()
        spacing = np.diff(ts) / _HOUR_MS
        derived = np.concatenate((spacing[:1] if len(spacing) else [USUAL_HOURS], spacing))
        given = table["interval_hours"].to_numpy()
        self._hours = np.where(np.isnan(given.astype(np.float64)), derived, given)
        if not len(ts):
            return Sheet.of(ts, [])
        mark = quoted(table["mark_price"].to_numpy().astype(np.float64), 8, before=b',"markPrice":')
        return Sheet.of(
            said_ms,
            [
                b'{"symbol":"' + self.symbol.encode() + b'","fundingTime":',
                integers(said_ms),
                *quoted(self._rate, RATE_DECIMALS, before=b',"fundingRate":'),
                *(mark if self._says_mark else []),
                b"},",
            ],
        )
