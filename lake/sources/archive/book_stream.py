"""Turns messages of one book into checked samples in a spool, with what they claim.

A rebuilt book claims only the time in which its ids prove it known, as ``rows_only``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected
from lake.domain.schemas import ORDERBOOK
from lake.domain.times import from_us, to_us
from lake.domain.variants import BookKind, BookVariant
from lake.errors import InvalidRequest
from lake.sources.archive.book_builder import (
    BookBuilder,
    BookEvent,
    Continuity,
    Level,
    Sample,
    require_levels,
)
from lake.sources.archive.container import refused
from lake.sources.archive.format import ArchiveFile, Hints, Streamed
from lake.sources.archive.span_lots import span_lots
from lake.sources.archive.spool import Spool
from lake.sources.books import book_fault

DEFAULT_EVERY = timedelta(seconds=1)
DEFAULT_DEPTH = 20
# A row of 20 levels is some 700 bytes.
_MEMORY_ROWS = 50_000
_MOST_UNSORTED_ROWS = 200_000
_BATCH_ROWS = 2_000
# Each is kept with its text; a file that has more is not what it says.
_MOST_BAD_ROWS = 10_000
BREAK = "book_break"
_OUTSIDE = "outside the time that the file's name says"


@dataclass(slots=True)
class _Taken:
    """Samples of one file."""

    spool: Spool
    now_us: int
    window: TimeRange | None = None
    rejected: list[Rejected] = field(default_factory=list)
    waiting: list[dict[str, object]] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        sides = {"bid": _arrays(sample.bids), "ask": _arrays(sample.asks)}
        if (reason := book_fault(sample.ts_us, self.now_us, sides)) is not None:
            self.rejected.append(Rejected(from_us(sample.ts_us), reason, repr(sample)))
            return
        if self.window is not None and from_us(sample.ts_us) not in self.window:
            self.rejected.append(Rejected(from_us(sample.ts_us), _OUTSIDE, repr(sample)))
            return
        row: dict[str, object] = {"ts": from_us(sample.ts_us), "sequence": sample.last_id}
        if sample.received_us is not None:
            row["received_at"] = from_us(sample.received_us)
        for name, (prices, quantities) in sides.items():
            row[f"best_{name}"] = float(prices[0]) if len(prices) else None
            row[f"best_{name}_quantity"] = float(quantities[0]) if len(prices) else None
            row[f"{name}_prices"] = prices.tolist()
            row[f"{name}_quantities"] = quantities.tolist()
        self.waiting.append(row)
        if len(self.waiting) >= _BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        self.spool.add(pa.Table.from_pylist(self.waiting, schema=ORDERBOOK.schema))
        self.waiting = []


def book_variant(path: Path, hints: Hints, *, levels: int | None = None) -> BookVariant:
    """How books of the file at *path* are sampled: as the user said, else every second, 20 deep.

    Args:
        path: Of the file.
        hints: What the user said.
        levels: Those that its books have at most; None where they are whole.

    Raises:
        InvalidRequest: More levels are wanted than it has.
    """
    depth = hints.depth or min(DEFAULT_DEPTH, levels or DEFAULT_DEPTH)
    if levels is not None and depth > levels:
        raise InvalidRequest(f"{path.name} has {levels} levels; --depth says {depth}.")
    return BookVariant(BookKind.REBUILT, depth, hints.every or DEFAULT_EVERY)


def builder_of(file: ArchiveFile, continuity: Continuity) -> BookBuilder:
    """A builder that samples as the variant of *file* says."""
    assert file.variant is not None
    variant = BookVariant.from_str(file.variant)
    assert variant.every is not None
    return BookBuilder(continuity, variant.every // timedelta(microseconds=1), variant.depth)


def rebuilt(
    events: Iterable[BookEvent],
    builder: BookBuilder,
    file: ArchiveFile,
    *,
    now: datetime,
    scratch: Path,
    is_intact: bool,
    inside: TimeRange | None = None,
) -> Streamed:
    """Samples of the book that *events* make, read to their end before any is handed over.

    Samples outside of *inside*, the time that the file's name says, are rejected.

    Raises:
        SourceError: The file is damaged, or makes no book.
    """

    def samples() -> Iterator[Sample]:
        for event in events:
            yield from builder.apply(event)
        builder.finish()

    return _streamed(samples(), builder, file, now, scratch, is_intact, inside)


def as_told(
    events: Iterable[BookEvent],
    depth: int,
    file: ArchiveFile,
    *,
    now: datetime,
    scratch: Path,
    is_intact: bool,
) -> Streamed:
    """Whole books as the file has them, off any grid; of several at one moment the last.

    Raises:
        SourceError: The file is damaged, or holds no book.
    """
    told = BookBuilder(Continuity.WHOLE, 1, depth)

    def samples() -> Iterator[Sample]:
        waiting: Sample | None = None
        for event in events:
            require_levels(event)
            bids, asks = list(event.bids[:depth]), list(event.asks[:depth])
            if waiting is not None and event.ts_us != waiting.ts_us:
                yield waiting
            waiting = Sample(event.ts_us, event.last_id, bids, asks, event.received_us)
            first, last = told.known[0] if told.known else (event.ts_us, event.ts_us)
            told.known = [(min(first, event.ts_us), max(last, event.ts_us + 1))]
        if waiting is not None:
            yield waiting

    return _streamed(samples(), told, file, now, scratch, is_intact, None)


def _streamed(
    samples: Iterator[Sample],
    builder: BookBuilder,
    file: ArchiveFile,
    now: datetime,
    scratch: Path,
    is_intact: bool,
    inside: TimeRange | None,
) -> Streamed:
    series, path = file.series, file.path
    spool = Spool(series, scratch, memory_rows=_MEMORY_ROWS, most_unsorted_rows=_MOST_UNSORTED_ROWS)
    with spool:
        taken = _Taken(spool, to_us(now), inside)
        try:
            for sample in samples:
                taken.add(sample)
                if len(taken.rejected) + len(builder.breaks) > _MOST_BAD_ROWS:
                    raise refused(path, f"has more than {_MOST_BAD_ROWS:,} faults in its books")
        except ValueError as error:
            raise refused(path, f"cannot be used: {error}") from error
        taken.flush()
        spool.finish()
        if not spool.rows:
            raise refused(path, _why_empty(builder, taken.rejected))
    spans = [TimeRange(from_us(start), from_us(end)) for start, end in builder.known]
    assert spool.first_us is not None
    assert spool.last_us is not None
    window = TimeRange(
        min(from_us(spool.first_us), *(span.start for span in spans)),
        max(
            from_us(spool.last_us + 1),
            *(span.end for span in spans),
            # A break is noted at the end of what was known, which no span holds.
            *(from_us(each.ts_us + 1) for each in builder.breaks),
        ),
    )
    notes = [Note(from_us(each.ts_us), BREAK, each.reason) for each in builder.breaks]
    found = span_lots(series, window, spool, spans, taken.rejected, notes)
    return Streamed(window, spool.rows, len(taken.rejected), found, is_intact, _remark(builder))


def _why_empty(builder: BookBuilder, rejected: list[Rejected]) -> str:
    if rejected:
        return f"holds no book that can be stored; the first is {rejected[0].reason}"
    if builder.breaks:
        return f"holds no book that is known at a sample: {builder.breaks[0].reason}"
    if not builder.known:
        return (
            "holds no snapshot with changes after it, of more than one moment, so no book can be "
            "rebuilt"
        )
    return "holds no sample: it is shorter than the interval (say a shorter --every)"


def _remark(builder: BookBuilder) -> str:
    told = []
    if builder.breaks:
        first = builder.breaks[0]
        told.append(
            f"the book breaks off {len(builder.breaks):,} times, first after "
            f"{from_us(first.ts_us).isoformat()}: {first.reason}"
        )
    if builder.ignored:
        told.append(f"{builder.ignored:,} changes came while no book was known")
    return "; ".join(told)


def _arrays(levels: list[Level]) -> tuple[np.ndarray, np.ndarray]:
    prices = np.array([price for price, _ in levels], dtype=np.float64)
    return prices, np.array([quantity for _, quantity in levels], dtype=np.float64)
