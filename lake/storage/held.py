"""What is held, in one look into the catalog: what a read starts with."""

from __future__ import annotations

from dataclasses import dataclass

from lake.domain.held import HeldFile
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.storage.connection import Database
from lake.storage.records import (
    SERIES_COLUMNS,
    WHERE_SERIES,
    Listing,
    moment_or_none,
    series_key,
    series_of,
)

_FIRST, _LAST = -(1 << 62), 1 << 62
_FILES = f"""
select
    path, range_start, range_end, rows, min_ts, max_ts, bytes, sha256, schema_version,
    generation, gap_runs
from series
left join partitions
    on
        partitions.series_id = series.series_id
        and partitions.range_start < $end
        and partitions.range_end > $start
where {WHERE_SERIES}
order by partitions.range_start
"""


def held_files(
    database: Database, series: Series, start_us: int | None = None, end_us: int | None = None
) -> list[HeldFile] | None:
    """The files of *series* that may hold rows of ``[start_us, end_us)``, ascending.

    Costs some 20 µs, however many files the lake has.

    Returns:
        None where the series was never stored; an empty list where it has nothing there.
    """
    bindings: dict[str, object] = {
        **series_key(series),
        "start": _FIRST if start_us is None else start_us,
        "end": _LAST if end_us is None else end_us,
    }
    rows = database.read(_FILES, bindings)
    if not rows:
        return None
    return [HeldFile(*row) for row in rows if row[0] is not None]


def held_series(database: Database, data_type: DataType) -> list[Series]:
    """The series of one data type, by venue, instrument and timeframe."""
    rows = database.read(
        f"select {SERIES_COLUMNS} from series where data_type = ? "
        "order by venue, instrument, timeframe",
        (data_type.value,),
    )
    return [series_of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Seen:
    """When an instrument is known to have traded, by what the catalog holds; microseconds.

    ``first`` is the first row that the venue has, or that is held, of any of its series;
    ``last`` the last row held; ``told`` when the venue's list was last read.
    """

    first: int | None
    last: int | None
    told: int


_SEEN = """
with bounds as (
    select
        series.venue,
        series.instrument,
        min(series.first_available) as first_available,
        min(partitions.min_ts) as min_ts,
        max(partitions.max_ts) as max_ts
    from series
    left join partitions on partitions.series_id = series.series_id
    group by series.venue, series.instrument
)

select
    instruments.venue,
    instruments.code,
    min(ifnull(first_available, min_ts), ifnull(min_ts, first_available)),
    max_ts,
    instruments.updated_at
from instruments
left join bounds on bounds.venue = instruments.venue and bounds.instrument = instruments.code
"""


def seen_instruments(database: Database) -> dict[InstrumentId, Seen]:
    """What is known of every instrument listed."""
    return {
        InstrumentId(code, Venue(venue)): Seen(first, last, told)
        for venue, code, first, last, told in database.read(_SEEN)
    }


def all_listings(database: Database) -> dict[InstrumentId, list[Listing]]:
    """The spans in which instruments traded, as far as somebody said so, ascending."""
    listings: dict[InstrumentId, list[Listing]] = {}
    for venue, code, start, end, evidence in database.read(
        "select venue, instrument, listed_from, listed_to, evidence from listings "
        "order by listed_from"
    ):
        listings.setdefault(InstrumentId(code, Venue(venue)), []).append(
            Listing(moment_or_none(start), moment_or_none(end), evidence)
        )
    return listings


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one series, counted over its files; moments are microseconds."""

    series: Series
    files: int
    rows: int
    bytes: int
    first_us: int | None
    last_us: int | None


def holdings(database: Database) -> list[Holding]:
    """Every series with what its files hold, by data type, venue, instrument and timeframe."""
    rows = database.read(
        f"select {SERIES_COLUMNS}, count(path), ifnull(sum(rows), 0), ifnull(sum(bytes), 0), "
        "min(min_ts), max(max_ts) from series left join partitions using (series_id) "
        "group by series_id order by data_type, venue, instrument, timeframe"
    )
    return [Holding(series_of(row[:4]), *row[4:]) for row in rows]
