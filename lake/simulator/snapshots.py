"""One instrument's order books: the newest snapshot at a moment, as Binance writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.identifiers import Instrument
from lake.simulator.cache import Cache
from lake.simulator.row_groups import Groups
from lake.simulator.rows import WireFormat
from lake.simulator.text import Ints, exact_text

_COLUMNS = ("ts", "sequence", "bid_prices", "bid_quantities", "ask_prices", "ask_quantities")
# Snapshots that are decoded together: a megabyte at twenty levels.
_BATCH = 1_024

Level = list[str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A book at a moment, best levels first, in the venue's units and text."""

    at_ms: int
    sequence: int
    bids: list[Level]
    asks: list[Level]


class Snapshots:
    """The order books of one series.

    Args:
        instrument: What trades.
        groups: Gives the row groups of the series; called when they are first needed.
        batches: Shared cache of decoded rows.
    """

    def __init__(
        self,
        instrument: Instrument,
        groups: Callable[[], Groups],
        batches: Cache[pa.RecordBatch],
    ) -> None:
        self._wire = WireFormat.of(instrument)
        self._find_groups = groups
        self._groups: Groups | None = None
        self._batches = batches
        self._times: dict[int, Ints] = {}

    def at(self, now_ms: int, levels: int) -> Snapshot | None:
        """The newest book that was taken at or before *now_ms*; None: there is none yet."""
        if self._groups is None:
            self._groups = self._find_groups()
        index = self._groups.beginning_at_or_before(now_ms)
        if index < 0:
            return None
        row = int(np.searchsorted(self._times_of(index), now_ms, side="right")) - 1
        batch = self._batch(index, row // _BATCH)
        found = batch.slice(row % _BATCH, 1).to_pylist()[0]
        return Snapshot(
            int(self._times_of(index)[row]),
            found["sequence"] or 0,
            self._side(found["bid_prices"], found["bid_quantities"], levels),
            self._side(found["ask_prices"], found["ask_quantities"], levels),
        )

    def _side(self, prices: list[float], quantities: list[float], levels: int) -> list[Level]:
        return [
            [text_of(price, self._wire.price_decimals), self._quantity(price, quantity)]
            for price, quantity in zip(prices[:levels], quantities[:levels], strict=True)
        ]

    def _quantity(self, price: float, quantity: float) -> str:
        size = self._wire.contract_size
        if size is not None:
            return str(round(quantity * price / size))
        return text_of(quantity, self._wire.quantity_decimals)

    def _times_of(self, index: int) -> Ints:
        assert self._groups is not None
        if index not in self._times:
            ts = self._groups[index].read(["ts"])["ts"]
            self._times[index] = ts.cast(pa.int64()).to_numpy() // 1_000
        return self._times[index]

    def _batch(self, index: int, number: int) -> pa.RecordBatch:
        assert self._groups is not None
        group = self._groups[index]

        def make() -> Any:
            # A batch may end early where a page does: count rows, not batches.
            first, parts = number * _BATCH, []
            seen = 0
            for batch in group.batches(_COLUMNS, _BATCH):
                begin, stop = max(0, first - seen), first + _BATCH - seen
                if begin < batch.num_rows and stop > 0:
                    parts.append(batch.slice(begin, stop - begin))
                seen += batch.num_rows
                if seen >= first + _BATCH:
                    break
            return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]

        return self._batches.get((group.path, group.number, number), make)


def text_of(value: float, decimals: int) -> str:
    """*value* with at least so many decimals, exactly."""
    return exact_text(value, decimals).strip('"')
