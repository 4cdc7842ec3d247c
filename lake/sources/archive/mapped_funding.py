"""Checks the settlements of a foreign file as a whole: they are few, and their hours tell a zone.

Perpetuals settle at hours of UTC that their interval divides (00:00, 08:00, 16:00). Times without
a zone that lie elsewhere are local time of somewhere, and are refused until a zone is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from lake.domain.rows import Rejected
from lake.domain.schemas import FUNDING_RATES
from lake.domain.settlements import HOUR_US, MINUTE_US, intervals_us
from lake.domain.times import DAY_US, from_us
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.container import refused
from lake.sources.archive.format import ArchiveFile
from lake.sources.archive.mapped_columns import Converted
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.moments import zone_of
from lake.sources.archive.timeframe_check import commonest_step
from lake.sources.decode import Decoded
from lake.sources.funding_checks import Settlement, validate_funding

_Ints = np.ndarray[Any, np.dtype[np.int64]]

# A settlement an hour for a hundred years.
_MOST_ROWS = 1_000_000
_MOST_HOURS = 24.0
# Where not all venues' clocks begin at midnight (BitMEX: 04:00, 12:00, 20:00; its contract guides).
_FIRST_HOURS = {"BITMEX": 4}
# A venue may settle off its grid for a day when it changes the interval.
_MOSTLY = 0.5


def funding_rows(
    file: ArchiveFile, mapping: Mapping, blocks: Sequence[Converted], *, now: datetime
) -> tuple[pa.Table, tuple[Rejected, ...], str]:
    """The settlements of a file in the lake's schema, ascending; bad rows; what to know.

    Raises:
        SourceError: There are far too many.
        InvalidRequest: Their times are those of another zone than was told.
    """
    if sum(block.table.num_rows for block in blocks) > _MOST_ROWS:
        raise refused(file.path, "has more settlements than any market had")
    if not blocks:
        return FUNDING_RATES.schema.empty_table(), (), ""
    table = pa.concat_tables([block.table for block in blocks]).combine_chunks()
    raws = [(block.raw, row) for block in blocks for row in range(block.table.num_rows)]

    def raw(row: int) -> str:
        text, number = raws[row]
        return text(number)

    fine, rejected = _with_intervals(table, raw)
    chosen = fine.tolist()
    decoded = Decoded(table.take(pa.array(fine, pa.int64())), lambda row: raw(chosen[row]))
    try:
        checked = validate_funding(decoded, now=now, whole_seconds=True)
    except SourceError as error:
        raise refused(file.path, f"cannot be used ({error})") from error
    remark = _look_at_zone(file, mapping, checked.rows, any(each.is_zoneless for each in blocks))
    hours = _told_hours(decoded.table, checked.rows)
    return _table(checked.rows, hours), (*rejected, *checked.rejected), remark


def _with_intervals(table: pa.Table, raw: Callable[[int], str]) -> tuple[_Ints, list[Rejected]]:
    """The rows whose interval, where told, is one; the others are rejected."""
    if "interval_hours" not in table.column_names:
        return np.arange(table.num_rows), []
    hours = table["interval_hours"]
    values = np.asarray(hours.to_numpy(), dtype=np.float64)
    odd = ~hours.is_null().to_numpy() & ~((values > 0) & (values <= _MOST_HOURS))
    moments = table["settled_at"].to_pylist()
    reason = "the interval is not a number of hours"
    rejected = [Rejected(moments[row], reason, raw(row)) for row in np.flatnonzero(odd).tolist()]
    return np.flatnonzero(~odd), rejected


def _told_hours(table: pa.Table, rows: Sequence[Settlement]) -> list[float | None]:
    """What the file says of intervals, else what the settlements' own distances say."""
    if "interval_hours" in table.column_names:
        moments = table["settled_at"].cast(pa.int64()).to_pylist()
        told = dict(zip(moments, table["interval_hours"].to_pylist(), strict=True))
        return [told[each.settled_us] for each in rows]
    intervals = intervals_us([each.ts_us for each in rows])
    return [None if each is None else each / HOUR_US for each in intervals]


def _look_at_zone(
    file: ArchiveFile, mapping: Mapping, rows: Sequence[Settlement], is_zoneless: bool
) -> str:
    """What to know about the hours of the settlements.

    Raises:
        InvalidRequest: They are local time of a zone that was not told, or not that one.
    """
    moments = np.array([each.ts_us for each in rows], dtype=np.int64)
    interval = commonest_step(moments)
    # Longer ones than a day, or odd ones, say nothing.
    if interval is None or interval <= 0 or DAY_US % interval:
        return ""
    off = (moments - _FIRST_HOURS.get(file.series.venue.name, 0) * HOUR_US) % interval
    steps, counts = np.unique(off, return_counts=True)
    if counts[steps != 0].sum() <= _MOSTLY * len(moments):
        return ""
    commonest = int(steps[counts.argmax()])
    first = int(moments[off == commonest][0]) % interval
    shown = ", ".join(
        f"{from_us(first + number * interval):%H:%M}"
        for number in range(min(3, DAY_US // interval))
    )
    hours = interval / HOUR_US
    said = (
        f"its settlements, {hours:g} hours apart, are at {shown}, off the {hours:g}-hour grid of "
        "UTC"
    )
    zone = zone_of(mapping.timezone)
    if not is_zoneless or zone is UTC:
        return said
    if zone is not None:
        raise InvalidRequest(
            f"{file.path.name}: with --timezone {mapping.timezone} {said}. Say the zone that it "
            "was written in, or --timezone UTC if its times are right as they are."
        )
    raise InvalidRequest(
        f"{file.path.name}: {said}, and its times say no zone: they look like local time. Say "
        f"--timezone {_ahead(commonest, interval)} (or whatever zone it was written in), or "
        "--timezone UTC if they are right."
    )


def _ahead(off_us: int, interval: int) -> str:
    """The nearest offset that puts settlements *off_us* from the grid onto it."""
    offset = off_us if off_us <= interval // 2 else off_us - interval
    sign = "-" if offset < 0 else "+"
    return f"{sign}{abs(offset) // HOUR_US:02}:{abs(offset) % HOUR_US // MINUTE_US:02}"


def _table(rows: Sequence[Settlement], hours: Sequence[float | None]) -> pa.Table:
    columns = {
        "ts": [from_us(each.ts_us) for each in rows],
        "settled_at": [from_us(each.settled_us) for each in rows],
        "funding_rate": [each.rate for each in rows],
        "interval_hours": hours,
        "predicted_rate": [each.predicted_rate for each in rows],
        "mark_price": [each.mark_price for each in rows],
        "index_price": [each.index_price for each in rows],
    }
    return pa.Table.from_arrays(
        [
            pa.array(columns[each.name], each.type)
            if each.name in columns
            else pa.nulls(len(rows), each.type)
            for each in FUNDING_RATES.schema
        ],
        schema=FUNDING_RATES.schema,
    )
