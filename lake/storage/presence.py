"""Where a series has its rows, and how many are expected in what it lacks: by data type.

Candles stand on their grid. Settlements and snapshots are expected at the spacing of those
held; who took snapshots says in coverage that promises nothing else between which of them none
was left out, because a book that did not change is not stored again. Of trades coverage alone
says what is there, and nobody knows how many are not. Files of settlements are read (they are
small) where the catalog shows that something is missing; those of other types never.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from lake.domain.coverage import Coverage
from lake.domain.gaps import Count, held_ranges
from lake.domain.identifiers import DataType, Series
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange, range_or_none, subtract, union
from lake.domain.settlements import first_interval_us, holes_us, last_interval_us
from lake.domain.times import from_us, to_us
from lake.storage import parquet
from lake.storage.columns import micros
from lake.storage.spacing import BROKEN

if TYPE_CHECKING:
    from lake.storage.lake import Storage
    from lake.storage.records import PartitionInfo

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Presence:
    """What a series has inside the range that is looked at.

    Attributes:
        held: Where nothing is missing.
        count: How many rows are expected in a range that is not held.
        first: The first row; None where there is none.
    """

    held: list[TimeRange]
    count: Count
    first: datetime | None


def presence(
    storage: Storage,
    series: Series,
    partitions: Sequence[PartitionInfo],
    coverage: Sequence[Coverage],
    examined: TimeRange,
) -> Presence:
    """What *series* has inside *examined*.

    Raises:
        StorageError: A file of settlements cannot be read.
    """
    first = min((each.min_ts for each in partitions if each.min_ts), default=None)
    if (grid := series.grid) is not None:
        bounds = [
            (each.min_ts, each.max_ts, each.gap_runs)
            for each in partitions
            if each.min_ts is not None and each.max_ts is not None
        ]
        return Presence(held_ranges(grid, bounds), grid.count, first)
    if series.data_type is DataType.TRADES:
        held = union(each.range for each in coverage if each.promises)
        return Presence(held, lambda window: None, first)
    filled = [each for each in partitions if each.rows]
    if not filled:
        return Presence([], lambda window: None, None)
    if series.data_type is DataType.ORDERBOOK:
        stretches = _snapshots(filled, examined)
    elif _are_even(filled, examined):
        stretches = []
    else:
        stretches = _settlements(storage, filled, examined)
    held = subtract([examined], [each.range for each in stretches])
    if series.data_type is DataType.ORDERBOOK:
        held = union([*held, *(each.range for each in coverage if not each.promises)])
    return Presence(held, lambda window: _expected(stretches, window), first)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A range without rows, and how many were due in it.

    Attributes:
        range: From the first that is missing to the next that is there.
        step_us: How far apart they were due; None where too few rows are held to say.
        anchor_us: A moment at which one was due, and so every step from it; None where only
            the spacing is known.
        most: Never more than so many from the start of the range.
    """

    range: TimeRange
    step_us: float | None
    anchor_us: int | None = None
    most: int | None = None

    def due(self, window: TimeRange) -> int | None:
        """How many were due inside *window*."""
        inside = self.range.intersection(window)
        if inside is None or self.step_us is None:
            return None if inside else 0
        start, end = to_us(inside.start), to_us(inside.end)
        if self.anchor_us is None:
            return round((end - start) / self.step_us)
        if self.most is not None:
            end = min(end, int(to_us(self.range.start) + (self.most - 1) * self.step_us) + 1)
        # How many moments anchor + n * step lie in the range: whole steps before its ends.
        until, before = (-((self.anchor_us - each) // self.step_us) for each in (end, start))
        return max(0, int(until - before))


def _expected(stretches: Sequence[_Stretch], window: TimeRange) -> int | None:
    total = 0
    for each in stretches:
        due = each.due(window)
        if due is None:
            return None
        total += due
    return total


def _settlements(
    storage: Storage, partitions: Sequence[PartitionInfo], examined: TimeRange
) -> list[_Stretch]:
    moments = [moment for each in partitions for moment in _moments(storage, each.partition)]
    found = [
        _Stretch(
            TimeRange(from_us(hole.start_us), from_us(hole.end_us)),
            hole.interval_us,
            hole.start_us,
            hole.missing,
        )
        for hole in holes_us(moments)
    ]
    if lead := range_or_none(examined.start, from_us(moments[0])):
        found.append(_Stretch(lead, first_interval_us(moments), moments[0]))
    last = last_interval_us(moments)
    if tail := range_or_none(from_us(moments[-1] + (last or 1)), examined.end):
        found.append(_Stretch(tail, last, moments[-1]))
    return found


def _moments(storage: Storage, partition: Partition) -> Iterator[int]:
    """The times of a file's rows; the other columns stay on the disk."""
    path = storage.parquet / partition.path
    with parquet.opened(path) as file:
        if file is None:
            raise parquet.behind(path, None)
        for group in range(file.groups):
            yield from micros(file.columns(group, ("ts",))["ts"]).tolist()


def _are_even(partitions: Sequence[PartitionInfo], examined: TimeRange) -> bool:
    """Whether the catalog alone shows that no settlement is missing.

    No file has holes, and what lies between files and around them is no wider than the mean
    interval beside it.
    """
    usual = [_usual_us(each) for each in partitions]
    if any(each.gap_runs for each in partitions) or None in usual:
        return False
    steps = [step for step in usual if step is not None]
    between = [
        (_bound(after.min_ts) - _bound(before.max_ts), max(steps[at], steps[at + 1]))
        for at, (before, after) in enumerate(pairwise(partitions))
    ]
    # A settlement due at the start would lie a whole interval before the first.
    lead = _bound(partitions[0].min_ts) - to_us(examined.start) + 1
    tail = to_us(examined.end) - _bound(partitions[-1].max_ts)
    return all(space <= step + 1 for space, step in [*between, (lead, steps[0]), (tail, steps[-1])])


def _snapshots(partitions: Sequence[PartitionInfo], examined: TimeRange) -> list[_Stretch]:
    """Where snapshots are missing: as each file says, and between files and around them."""
    found: list[_Stretch] = []

    def add(start_us: float, end: datetime, step_us: float | None) -> None:
        if window := range_or_none(from_us(int(start_us)), end):
            found.append(_Stretch(window, step_us))

    steps = [_usual_us(each) for each in partitions]
    for each, step in zip(partitions, steps, strict=True):
        for run in each.gap_runs:
            add(to_us(run.start), run.end, step)
    for at, (before, after) in enumerate(pairwise(partitions)):
        known = [step for step in steps[at : at + 2] if step is not None]
        step = max(known, default=None)
        last, following = _bound(before.max_ts), _bound(after.min_ts)
        if step is None or following - last >= BROKEN * step:
            add(last + (step or 1), from_us(following), step)
    if lead := range_or_none(examined.start, from_us(_bound(partitions[0].min_ts))):
        found.append(_Stretch(lead, steps[0]))
    last, step = _bound(partitions[-1].max_ts), steps[-1]
    if step is None or to_us(examined.end) - last >= BROKEN * step:
        add(last + (step or 1), examined.end, step)
    return found


def _usual_us(partition: PartitionInfo) -> float | None:
    """The mean spacing of a file's rows, its holes left out; None where one row has none."""
    if partition.rows < 2:
        return None
    absent = sum(to_us(run.end) - to_us(run.start) for run in partition.gap_runs)
    span = _bound(partition.max_ts) - _bound(partition.min_ts) - absent
    return span / (partition.rows - 1) or None


def _bound(moment: datetime | None) -> int:
    assert moment is not None
    return to_us(moment)
