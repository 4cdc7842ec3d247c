"""Joins new rows with the rows that a partition holds. Pure: tables in, tables out.

Everything is done by column, so a month of minutes costs milliseconds. Rows of every table are
sorted by ``ts``, then key; keys are compared null-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lake.domain.coverage import Coverage
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note
from lake.domain.schemas import RowSpec
from lake.domain.times import from_us, to_us
from lake.storage.columns import (
    compare,
    is_increasing,
    is_sorted,
    key_codes,
    micros,
    sort_rows,
)

UNRANKED = -1
"""The rank of stored rows that nobody has named as theirs: any source may replace them."""
MAX_NOTES = 1_000
"""Differing rows written out one by one in a commit; the rest are summed up in one note."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a partition is to hold, and what that does to the rows it held.

    ``old_rows`` are the rows that change or go, as they were.
    """

    rows: pa.Table
    added: int = 0
    changed: int = 0
    removed: int = 0
    old_rows: pa.Table | None = None
    notes: tuple[Note, ...] = ()

    @property
    def alters(self) -> bool:
        """Whether the file has to be written again."""
        return bool(self.added or self.changed or self.removed)


def merge(
    stored: pa.Table | None,
    new: pa.Table,
    spec: RowSpec,
    *,
    rank: int,
    source: str,
    coverage: Sequence[Coverage],
    room: int = MAX_NOTES,
) -> Merged:
    """*stored* with *new* merged into it, by key; differing rows make at most *room* notes, + 1.

    A new row replaces a stored one only if *rank* is no lower than the stored row's (that of
    the promise that covers its ``ts``, else that of the best source whose rows lie there) and
    it has no null where the stored row has a value.
    Where it does not and some value contradicts, a note says so. Of several new rows with one
    key the last counts.
    """
    if stored is not None and new.num_rows == 0:
        return Merged(stored)
    new, notes = fold(new, spec, source, room)
    if stored is None or stored.num_rows == 0:
        return Merged(new, added=new.num_rows, notes=notes)
    if appended := _appended(stored, new, spec):
        return Merged(appended, added=new.num_rows, notes=notes)

    held, fresh = _matches(stored, new, spec)
    verdict = judge(_taken(stored, held), _taken(new, fresh), rank=rank, coverage=coverage)
    replaces, noted = verdict.replaces, verdict.noted
    notes += difference_notes(stored.take(held[noted]), new.take(fresh[noted]), source, room)
    return _assembled(stored, new, spec, held, fresh, replaces, np.empty(0, np.int64), notes)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which stored rows give way to the new ones beside them, and where a note must say why not."""

    replaces: Bools
    noted: Bools


def judge(stored: pa.Table, new: pa.Table, *, rank: int, coverage: Sequence[Coverage]) -> Verdict:
    """Decide between the rows at each place of both tables, whose keys are the same."""
    difference = compare(stored, new)
    outranked = _ranks(coverage, micros(stored["ts"])) > rank
    replaces = difference.any & ~difference.loses & ~outranked
    return Verdict(replaces, difference.contradicts & ~replaces)


def replace(
    stored: pa.Table | None,
    new: pa.Table,
    spec: RowSpec,
    window: TimeRange,
    *,
    room: int = MAX_NOTES,
) -> Merged:
    """*stored* with the rows of *window* made exactly *new*, whatever the ranks."""
    new, notes = fold(new, spec, "the replacement", room)
    if stored is None or stored.num_rows == 0:
        return Merged(new, added=new.num_rows, notes=notes)
    held, fresh = _matches(stored, new, spec)
    replaces = compare(_taken(stored, held), _taken(new, fresh)).any
    moments = micros(stored["ts"])
    goes = (moments >= to_us(window.start)) & (moments < to_us(window.end))
    goes[held] = False
    return _assembled(stored, new, spec, held, fresh, replaces, np.flatnonzero(goes), notes)


def _assembled(
    stored: pa.Table,
    new: pa.Table,
    spec: RowSpec,
    held: Ints,
    fresh: Ints,
    replaces: Bools,
    gone: Ints,
    notes: tuple[Note, ...],
) -> Merged:
    enters = np.ones(new.num_rows, np.bool_)
    enters[fresh[~replaces]] = False
    stays = np.ones(stored.num_rows, np.bool_)
    stays[held[replaces]] = False
    stays[gone] = False
    changed = int(replaces.sum())
    added = int(enters.sum()) - changed
    if not (added or changed or len(gone)):
        return Merged(stored, notes=notes)
    rows = pa.concat_tables([stored.filter(pa.array(stays)), new.filter(pa.array(enters))])
    leaving = np.flatnonzero(~stays)
    return Merged(
        sort_rows(rows, spec),
        added=added,
        changed=changed,
        removed=len(gone),
        old_rows=stored.take(leaving) if len(leaving) else None,
        notes=notes,
    )


def fold(
    new: pa.Table, spec: RowSpec, source: str, room: int = MAX_NOTES
) -> tuple[pa.Table, tuple[Note, ...]]:
    """*new* sorted, the last row of each key, and notes on those it overrules."""
    if spec.key == ("ts",) and is_increasing(micros(new["ts"])):
        return new, ()
    codes = key_codes(new, spec)
    if is_increasing(codes) and is_sorted(new, spec):
        return new, ()
    _, last = np.unique(codes[::-1], return_index=True)
    last = len(codes) - 1 - last
    if len(last) == len(codes):
        return sort_rows(new, spec), ()
    winner = np.empty(len(codes), np.int64)
    winner[np.argsort(codes, kind="stable")] = np.repeat(last, np.diff(_group_edges(codes)))
    overruled = np.flatnonzero(winner != np.arange(len(codes)))
    winners, losers = new.take(winner[overruled]), new.take(overruled)
    differs = np.flatnonzero(compare(winners, losers).contradicts)
    notes = difference_notes(winners.take(differs), losers.take(differs), source, room)
    return sort_rows(new.take(np.sort(last)), spec), notes


def _group_edges(codes: Ints) -> Ints:
    """Where each key's rows begin once sorted by key, and the end of the last."""
    ordered = np.sort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(ordered)) + 1
    return np.concatenate([[0], starts, [len(codes)]]).astype(np.int64)


def _appended(stored: pa.Table, new: pa.Table, spec: RowSpec) -> pa.Table | None:
    """Both one after the other, where the rows of one all come before those of the other."""
    if spec.key != ("ts",):
        return None
    first, last = micros(stored["ts"])[[0, -1]]
    opens, closes = micros(new["ts"])[[0, -1]]
    if last < opens:
        return pa.concat_tables([stored, new])
    if closes < first:
        return pa.concat_tables([new, stored])
    return None


def _matches(stored: pa.Table, new: pa.Table, spec: RowSpec) -> tuple[Ints, Ints]:
    """Positions in both tables of the rows whose keys are in both, in stored order."""
    if new.num_rows == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    both = key_codes(pa.concat_tables([stored, new]), spec)
    ours, theirs = both[: stored.num_rows], both[stored.num_rows :]
    order = np.argsort(theirs, kind="stable")
    place = np.searchsorted(theirs, ours, sorter=order)
    place[place == len(theirs)] = 0
    candidate = order[place]
    held = np.flatnonzero(theirs[candidate] == ours)
    return held, candidate[held]


def _taken(table: pa.Table, positions: Ints) -> pa.Table:
    """Those rows; without a copy where they are one run, as when a range is fetched again."""
    count = len(positions)
    if count and positions[-1] - positions[0] == count - 1 and is_increasing(positions):
        return table.slice(int(positions[0]), count)
    return table.take(positions)


def _ranks(coverage: Sequence[Coverage], moments: Ints) -> Ints:
    """The rank that each moment's stored row has."""
    ranks = np.full(len(moments), UNRANKED, np.int64)
    # A promise outweighs what only has rows.
    for row in sorted(coverage, key=lambda row: (row.promises, row.range)):
        inside = (moments >= to_us(row.range.start)) & (moments < to_us(row.range.end))
        rank = row.source_rank
        ranks[inside] = rank if row.promises else np.maximum(ranks[inside], rank)
    return ranks


def difference_notes(
    kept: pa.Table, other: pa.Table, source: str, room: int = MAX_NOTES
) -> tuple[Note, ...]:
    """What *other* says where it is not believed: *room* notes, and one on all the rest."""
    if kept.num_rows == 0:
        return ()
    shown = [
        Note(mine["ts"], "differs", f"{source} says {_contradictions(mine, theirs)}")
        for mine, theirs in zip(
            kept.slice(0, room).to_pylist(),
            other.slice(0, room).to_pylist(),
            strict=True,
        )
    ]
    if kept.num_rows > room:
        moments = micros(kept["ts"])[room:]
        text = (
            f"{source} differs from what is kept in {len(moments)} more rows, "
            f"up to {from_us(int(moments[-1])).isoformat()}"
        )
        shown.append(Note(from_us(int(moments[0])), "differs", text))
    return tuple(shown)


def _contradictions(kept: dict[str, Any], other: dict[str, Any]) -> str:
    return ", ".join(
        f"other {name}"
        if isinstance(value, list)
        else f"{name} {other[name]!r} where {value!r} is kept"
        for name, value in kept.items()
        if value is not None and other[name] is not None and value != other[name]
    )
