"""Finds why candles are missing, as other rows of the lake show it, and keeps that.

What a series' own catalog rows say about its gaps (never asked for, failed, not settled ...) is
read whenever gaps are listed. What only other rows show is looked for here, in SQL
(``sql/reasons/``), and stored in ``gap_facts``: that the whole venue was down, that a longer
candle or trades contain what is missing, that nothing was traded.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from lake.domain.gaps import Gap, GapReason
from lake.domain.identifiers import DataType, Series
from lake.domain.times import to_us
from lake.errors import StorageError
from lake.sql_files import sql_file, sql_files
from lake.storage.gaps import find_gaps
from lake.warehouse import Warehouse

if TYPE_CHECKING:
    from lake.storage.lake import Storage

Fact = tuple[int, int, int, str, str]
"""Number of the series, start and end in us, reason, evidence."""
_OF_THE_CATALOG = ("venue_outage", "cut_short")
_OF_ROWS = ("longer_candles", "trades")
# Series of so many rows are looked at together: what DuckDB sorts of them fits into its memory.
BATCH_ROWS = 60_000_000
# What DuckDB may take; what it needs more goes to the disk.
MEMORY = "1500MiB"
# Longer candles, and the trades before and after, may lie so far outside of a hole.
_MARGIN = timedelta(days=32)
# Reads spend at most this part of the time on reasons.
_SHARE_OF_READS = 0.02
# What may turn out to be something else; the others are facts already.
_MAY_CHANGE = frozenset(
    {
        GapReason.LOST_BY_SOURCE,
        GapReason.VENUE_OUTAGE,
        GapReason.NO_TRADES,
        GapReason.VENUE_HAS_NONE,
        GapReason.NOT_FETCHED,
    }
)
_HOLES = (
    "select series_id, venue, instrument, min(start_ts) as first, max(end_ts) as last "
    "from checked_holes group by all order by venue, instrument"
)


def explained_gaps(
    storage: Storage, wanted: Collection[Series] | None = None, *, newest: bool = True
) -> list[Gap]:
    """The gaps of *wanted* (None: of all series), by series and time, with their reasons.

    What other rows show is looked for first, where that can change a reason.

    Args:
        storage: The lake.
        wanted: The series.
        newest: Look again whenever the lake has changed. A read of rows says False: reasons that
            were found before do until looking again is cheap. In a lake that grows every second
            all of its holes would be looked into with every read.

    Raises:
        StorageError: The catalog cannot be read or written.
    """
    before = storage.checks.facts_state()
    found = find_gaps(storage, wanted)
    is_open = any(
        gap.series.data_type is DataType.OHLCV and gap.reason in _MAY_CHANGE for gap in found
    )
    if not is_open or not (newest or storage.checks.facts_are_cheap(_SHARE_OF_READS)):
        return found
    explain_gaps(storage, waits=newest)
    # Whoever looked for them, this thread or another.
    return find_gaps(storage, wanted) if storage.checks.facts_state() != before else found


def explain_gaps(
    storage: Storage, warehouse: Warehouse | None = None, *, waits: bool = True
) -> bool:
    """Look for what explains gaps, if the lake has changed since that was done last.

    An instrument of which a file cannot be read keeps the reasons that its own catalog rows give,
    and is looked at again the next time.

    Args:
        storage: The lake; nothing happens where it cannot be written.
        warehouse: DuckDB on the lake, opened with ``checks``; one is opened where none is given.
        waits: Wait for another thread that is looking, rather than leave it at that.

    Returns:
        Whether it was looked for.

    Raises:
        StorageError: The catalog cannot be read or written.
    """
    if storage.read_only or not storage.checks.looking.acquire(blocking=waits):
        return False
    try:
        return _explain(storage, warehouse)
    finally:
        storage.checks.looking.release()


def _explain(storage: Storage, warehouse: Warehouse | None) -> bool:
    state = _state(storage)
    if storage.checks.facts_state() == state:
        return False
    started = time.monotonic()
    # DuckDB must see no older catalog than the state says, and its next look the facts.
    storage.expire_snapshot()
    unread: set[int] = set()
    if not _has_candles(storage):
        facts = []
    elif warehouse is None:
        with Warehouse(storage.root, catalog=storage.snapshot, checks=True) as opened:
            facts = _facts(storage, opened, unread)
    else:
        facts = _facts(storage, warehouse, unread)
        warehouse.look_at()
    # What could not be read may be readable next time, though nothing is committed meanwhile.
    storage.checks.keep_facts(facts, f"{state} without {sorted(unread)}" if unread else state)
    storage.expire_snapshot()
    storage.checks.note_cost(time.monotonic() - started)
    return True


def _state(storage: Storage) -> str:
    """Something that differs whenever what facts are found from does."""
    parts: list[object] = [file.sha256 for file in sql_files("reasons")]
    for statement in (
        "select count(*), max(written_at), sum(generation) from partitions",
        "select count(*), max(confirmed_at), sum(end_ts - start_ts) from coverage",
        "select count(*), max(noted_at) from notes where kind = 'early_close'",
        "select count(*), max(series_id) from series",
    ):
        parts += storage.database.read(statement)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _has_candles(storage: Storage) -> bool:
    found = storage.database.read_one(
        "select 1 from partitions inner join series using (series_id) "
        "where data_type = 'ohlcv' limit 1"
    )
    return found is not None


def _facts(storage: Storage, warehouse: Warehouse, unread: set[int]) -> list[Fact]:
    """What is found; the numbers of series that cannot be read are added to *unread*."""
    warehouse.connection.execute(f"set memory_limit = '{MEMORY}'")
    warehouse.look_at()
    holes = warehouse.arrow(_HOLES).to_pylist()
    if not holes:
        return []
    facts: list[Fact] = []
    for name in _OF_THE_CATALOG:
        facts += _rows(warehouse.arrow(sql_file("reasons", name).text))
    for batch in _batches(storage, holes):
        try:
            facts += _shown_by_rows(warehouse, batch)
        except StorageError:
            # One damaged file must not cost the others their reasons.
            for each in batch:
                try:
                    facts += _shown_by_rows(warehouse, [each])
                except StorageError:
                    unread.update(each.series)
    return facts


def _shown_by_rows(warehouse: Warehouse, batch: Sequence[_Group]) -> list[Fact]:
    series = [number for each in batch for number in each.series]
    since = min(each.since for each in batch) - _MARGIN
    until = max(each.until for each in batch) + _MARGIN
    warehouse.look_at(series, since, until)
    found = [_rows(warehouse.arrow(sql_file("reasons", name).text)) for name in _OF_ROWS]
    return [fact for facts in found for fact in facts]


def _rows(answer: pa.Table) -> list[Fact]:
    return [
        (
            each["series_id"],
            to_us(each["start_ts"]),
            to_us(each["end_ts"]),
            each["reason"],
            each["evidence"],
        )
        for each in answer.to_pylist()
    ]


@dataclass(frozen=True, slots=True)
class _Group:
    """The series of one instrument by their numbers, and the time of their holes."""

    series: tuple[int, ...]
    since: datetime
    until: datetime


def _batches(storage: Storage, holes: list[dict[str, object]]) -> Iterator[list[_Group]]:
    """Instruments that other rows may say something about, so many as memory holds."""
    rows: dict[int, int] = dict(
        storage.database.read("select series_id, sum(rows) from partitions group by series_id")
    )
    companions: dict[tuple[str, str], list[tuple[int, Series]]] = defaultdict(list)
    for series_id, series in storage.catalog.series_ids():
        key = (series.venue.name, series.instrument_id.symbol)
        if series.data_type.value in ("ohlcv", "trades"):
            companions[key].append((series_id, series))
    batch: list[_Group] = []
    size = 0
    seen: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for hole in holes:
        key = (str(hole["venue"]), str(hole["instrument"]))
        assert isinstance(hole["first"], datetime)
        assert isinstance(hole["last"], datetime)
        seen[key] += [hole["first"], hole["last"]]
    for key, moments in seen.items():
        together = companions[key]
        if len(together) < 2:
            continue
        count = sum(rows.get(series_id, 0) for series_id, _ in together)
        if batch and size + count > BATCH_ROWS:
            yield batch
            batch, size = [], 0
        numbers = tuple(series_id for series_id, _ in together)
        batch.append(_Group(numbers, min(moments), max(moments)))
        size += count
    if batch:
        yield batch
