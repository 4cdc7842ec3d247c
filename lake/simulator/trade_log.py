"""One instrument's trades as a venue gives them at a moment: by id, by time, the newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from lake.domain.identifiers import Instrument, InstrumentKind
from lake.simulator.cache import Cache
from lake.simulator.row_groups import Groups
from lake.simulator.rows import WireFormat
from lake.simulator.text import Ints, decimals_of
from lake.simulator.trade_rows import COLUMNS, TradeRows, TradeSheet, aggregates, fills

# 8,192 trades are a megabyte of text.
_CHUNK = 8_192
_LAST_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class Caches:
    """Shared by all logs of a box: text ready to send, and columns that it is made of."""

    texts: Cache[TradeSheet]
    columns: Cache[TradeRows]


@dataclass(frozen=True, slots=True)
class _Marks:
    """First time and first id of each chunk of a row group."""

    ts_ms: Ints
    ids: Ints


class TradeLog:
    """The trades of one series.

    Args:
        instrument: What trades.
        groups: Gives the row groups of the series; called when they are first needed.
        caches: Where pages come from.
    """

    def __init__(
        self, instrument: Instrument, groups: Callable[[], Groups], caches: Caches
    ) -> None:
        self.wire = WireFormat.of(instrument)
        self._spot = instrument.kind is InstrumentKind.SPOT
        self._lot_decimals = 0 if self.wire.contract_size else decimals_of(instrument.lot_size)
        self._find_groups = groups
        self._groups: Groups | None = None
        self._caches = caches
        self._marks: dict[int, _Marks] = {}

    @property
    def groups(self) -> Groups:
        if self._groups is None:
            self._groups = self._find_groups()
        return self._groups

    @property
    def have_ids(self) -> bool:
        """Without ids of the venue there is nothing to serve in Binance's format."""
        return self.groups.have_ids

    def from_id(self, number: int, limit: int, *, now_ms: int) -> tuple[bytes, int]:
        """Up to *limit* aggregates from *number* on, each followed by a comma; how many."""
        index = self.groups.reaching_id(number)
        if index == len(self.groups):
            return b"", 0
        chunk = int(np.searchsorted(self._marks_of(index).ids, number, side="right")) - 1
        sheet = self._sheet(index, max(0, chunk))
        row = int(np.searchsorted(sheet.ids, number))
        return self._forward(index, max(0, chunk), row, limit, now_ms)

    def oldest(self, start_ms: int, end_ms: int, limit: int, *, now_ms: int) -> tuple[bytes, int]:
        """The first *limit* aggregates from *start_ms* to *end_ms*, both inclusive."""
        index = self.groups.ending_at_or_after(start_ms)
        if index == len(self.groups):
            return b"", 0
        # Rows of the same millisecond may begin in the chunk before.
        chunk = int(np.searchsorted(self._marks_of(index).ts_ms, start_ms)) - 1
        sheet = self._sheet(index, max(0, chunk))
        row = int(np.searchsorted(sheet.ts_ms, start_ms))
        return self._forward(index, max(0, chunk), row, limit, min(end_ms, now_ms))

    def newest(self, start_ms: int, end_ms: int, limit: int, *, now_ms: int) -> tuple[bytes, int]:
        """The last *limit* aggregates from *start_ms* to *end_ms*, ascending."""
        rows, count = b"", 0
        for sheet, stop in self._backward(min(end_ms, now_ms)):
            first = int(np.searchsorted(sheet.ts_ms, start_ms))
            first = max(first, stop - (limit - count))
            if first >= stop:
                break
            rows = sheet.rows(first, stop) + rows
            count += stop - first
            if first > 0 or count == limit:
                break
        return rows, count

    def recent_fills(self, limit: int, *, now_ms: int) -> list[Any]:
        """The newest *limit* single trades as Binance's ``trades`` gives them."""
        text, count = self.newest(0, _LAST_MS, limit, now_ms=now_ms)
        if not count:
            return []
        found = msgspec.json.decode(b"[" + text[:-1] + b"]")
        rows = TradeRows(
            np.array([row["T"] for row in found]),
            np.array([row["a"] for row in found]),
            np.array([float(row["p"]) for row in found]),
            np.array([float(row["q"]) for row in found]),
            np.array([{False: 0, True: 1, None: 2}[row["m"]] for row in found]),
            np.array([row["f"] for row in found]),
            np.array([row["l"] for row in found]),
        )
        made = fills(rows, self.wire, lot_decimals=self._lot_decimals, spot=self._spot)
        return made[-limit:]

    def between(self, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """All aggregates from *start_ms* to *end_ms*, decoded; meant for a minute at most."""
        text, _ = self.oldest(start_ms, end_ms, 1 << 40, now_ms=end_ms)
        found: list[dict[str, Any]] = msgspec.json.decode(b"[" + text[:-1] + b"]") if text else []
        return found

    def price_at(self, now_ms: int) -> str | None:
        """The newest trade's price as text."""
        text, count = self.newest(0, now_ms, 1, now_ms=now_ms)
        price: str | None = msgspec.json.decode(text[:-1])["p"] if count else None
        return price

    def _forward(
        self, index: int, chunk: int, row: int, limit: int, last_ms: int
    ) -> tuple[bytes, int]:
        parts: list[bytes] = []
        count = 0
        while True:
            sheet = self._sheet(index, chunk)
            stop = min(row + limit - count, len(sheet.ids))
            if stop > row and sheet.ts_ms[stop - 1] > last_ms:
                stop = int(np.searchsorted(sheet.ts_ms, last_ms, side="right"))
            if stop > row:
                parts.append(sheet.rows(row, stop))
                count += stop - row
            if count == limit or stop < len(sheet.ids):
                break
            chunk, row = chunk + 1, 0
            if chunk == len(self._marks_of(index).ids):
                index, chunk = index + 1, 0
                if index == len(self.groups) or self.groups[index].first_ms > last_ms:
                    break
        return b"".join(parts), count

    def _backward(self, last_ms: int) -> Any:
        """Sheets from the one that holds *last_ms* back, with the row after the last wanted."""
        index = self.groups.beginning_at_or_before(last_ms)
        while index >= 0:
            marks = self._marks_of(index)
            chunk = int(np.searchsorted(marks.ts_ms, last_ms, side="right")) - 1
            for each in range(chunk, -1, -1):
                sheet = self._sheet(index, each)
                yield sheet, int(np.searchsorted(sheet.ts_ms, last_ms, side="right"))
            index -= 1

    def _sheet(self, index: int, chunk: int) -> TradeSheet:
        group = self.groups[index]

        def make() -> TradeSheet:
            rows = self._rows(index).slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
            return aggregates(rows, self.wire, best_match=self._spot)

        return self._caches.texts.get((group.path, group.number, chunk), make)

    def _rows(self, index: int) -> TradeRows:
        group = self.groups[index]
        return self._caches.columns.get(
            (group.path, group.number), lambda: TradeRows.of(group.read(COLUMNS), self.wire)
        )

    def _marks_of(self, index: int) -> _Marks:
        if index not in self._marks:
            rows = self._rows(index)
            self._marks[index] = _Marks(rows.ts_ms[::_CHUNK].copy(), rows.ids[::_CHUNK].copy())
        return self._marks[index]
