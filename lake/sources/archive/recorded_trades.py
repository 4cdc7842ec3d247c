"""Turns the trades of a recording into checked rows in a spool, with what they claim.

A recording claims only the time in which no trade is known to be missing, as ``rows_only``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected
from lake.domain.times import from_us
from lake.errors import SourceError
from lake.sources.archive.amounts import ToBase
from lake.sources.archive.container import refused
from lake.sources.archive.feed import RecordedTrade
from lake.sources.archive.format import ArchiveFile, Streamed
from lake.sources.archive.span_lots import span_lots
from lake.sources.archive.spool import Spool
from lake.sources.decode import Decoded
from lake.sources.trade_checks import validate_sparse_trades

_BATCH = 20_000
# A stream that begins again tells its latest trades once more: so many are remembered.
_MOST_REMEMBERED = 1_000_000
_MOST_BAD_ROWS = 100_000
_MOST_SPANS = 10_000


@dataclass(slots=True)
class _Runs:
    """The spans of time between which ids are missing, where the venue's leave none out."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    last_id: int | None = None
    missing: int = 0

    def add(self, first_id: int, last_id: int, ts_us: int) -> None:
        if self.last_id is None or first_id > self.last_id + 1:
            if self.last_id is not None:
                self.missing += first_id - self.last_id - 1
            self.spans.append((ts_us, ts_us + 1))
        elif last_id > self.last_id or not first_id:
            start, end = self.spans[-1]
            self.spans[-1] = (min(start, ts_us), max(end, ts_us + 1))
        self.last_id = max(last_id, self.last_id or 0)


def recorded(
    trades: Iterable[RecordedTrade],
    in_base: ToBase,
    file: ArchiveFile,
    *,
    now: datetime,
    scratch: Path,
    is_intact: Callable[[], bool],
    has_dense_ids: bool,
) -> Streamed:
    """The *trades* of a recording, read to their end before any is handed over.

    A trade that is told again counts once, as it was received first.

    Raises:
        SourceError: The file is damaged, or holds no trade that can be stored.
    """
    rejected: list[Rejected] = []
    runs = _Runs()
    with Spool(file.series, scratch) as spool:
        told = _once(trades)
        while batch := list(islice(told, _BATCH)):
            for each in batch:
                runs.add(each.trade_id if has_dense_ids else 0, each.trade_id, each.ts_us)
            rows, bad = _checked(batch, in_base, file.path, now)
            rejected += bad
            spool.add(rows)
            if len(rejected) > _MOST_BAD_ROWS or len(runs.spans) > _MOST_SPANS:
                raise refused(file.path, "has far too many bad rows, or holes, for a recording")
        try:
            spool.finish()
        except SourceError as error:
            raise refused(file.path, f"cannot be used: {error}") from error
    if not spool.rows or spool.first_us is None or spool.last_us is None:
        why = f"; the first is {rejected[0].reason}" if rejected else ""
        raise refused(file.path, f"holds no trade that can be stored{why}")
    window = TimeRange(from_us(spool.first_us), from_us(spool.last_us + 1))
    spans = [
        part
        for start, end in sorted(runs.spans)
        if (part := TimeRange(from_us(start), from_us(end)).intersection(window)) is not None
    ]
    remark = f"{runs.missing:,} trades are missing between its ids" if runs.missing else ""
    found = span_lots(file.series, window, spool, spans, rejected)
    return Streamed(window, spool.rows, len(rejected), found, is_intact(), remark)


def _once(trades: Iterable[RecordedTrade]) -> Iterator[RecordedTrade]:
    seen: dict[int, None] = {}
    for trade in trades:
        if trade.trade_id in seen:
            continue
        seen[trade.trade_id] = None
        if len(seen) > _MOST_REMEMBERED:
            del seen[next(iter(seen))]
        yield trade


def _checked(
    batch: list[RecordedTrade], in_base: ToBase, path: Path, now: datetime
) -> tuple[pa.Table, tuple[Rejected, ...]]:
    columns = {
        "ts": pa.array([each.ts_us for each in batch], pa.int64()),
        "trade_id": pa.array([each.trade_id for each in batch], pa.int64()),
        "price": pa.array([each.price for each in batch], pa.float64()),
        "quantity": pa.array([_quantity(each, in_base) for each in batch], pa.float64()),
        "taker": pa.array([each.taker for each in batch], pa.int8()),
        "received_at": pa.array([each.received_us for each in batch]).cast(pa.timestamp("us")),
    }
    if batch[0].first_id is not None:
        columns["first_trade_id"] = pa.array([each.first_id for each in batch], pa.int64())
        columns["last_trade_id"] = pa.array([each.last_id for each in batch], pa.int64())
    decoded = Decoded(pa.table(columns), lambda row: json.dumps(batch[row].raw))
    try:
        return validate_sparse_trades(decoded, now=now, whole_seconds=False)
    except SourceError as error:
        raise refused(path, f"cannot be used ({error})") from error


def _quantity(trade: RecordedTrade, in_base: ToBase) -> float:
    # What has no price is rejected for that, whatever it counts.
    return in_base(trade.price, trade.quantity) if trade.price else trade.quantity
