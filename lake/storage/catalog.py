"""What the lake knows of series: origin, files, coverage, notes, refused rows, failures.

Instruments are in :mod:`lake.storage.instruments`; files and coverage are written by commits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from lake.domain.coverage import Coverage
from lake.domain.gaps import Fact, GapReason
from lake.domain.identifiers import Series
from lake.domain.partitions import Partition
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, Rejected
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, SeriesNotFound
from lake.storage.connection import Database, Transaction
from lake.storage.coverage import add_failed, set_beyond_source
from lake.storage.instruments import Instruments
from lake.storage.records import (
    COVERAGE_COLUMNS,
    SERIES_COLUMNS,
    WHERE_SERIES,
    BeyondSource,
    CancelledRange,
    FailedRange,
    FirstAvailable,
    PartitionInfo,
    Revision,
    RevisionFile,
    SeriesInfo,
    coverage_of,
    moment_or_none,
    ranges_from_json,
    series_key,
    series_of,
)

_SERIES_ID = f"select series_id from series where {WHERE_SERIES}"


def find_series_id(transaction: Transaction, series: Series) -> int | None:
    """The catalog's number of *series*."""
    row = transaction.row(_SERIES_ID, series_key(series))
    return None if row is None else int(row[0])


def series_id_of(transaction: Transaction, series: Series) -> int:
    """The catalog's number of *series*.

    Raises:
        SeriesNotFound: ``ensure_series`` was never called for it.
    """
    found = find_series_id(transaction, series)
    if found is None:
        raise SeriesNotFound(
            f"The lake has no series {series}. Bring it in with `lake backfill {series.venue} "
            f"{series.instrument_id.symbol}`; `lake status` shows what is held."
        )
    return found


class Catalog(Instruments):
    """The catalog's tables as values. Every call sees the newest committed state."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        super().__init__(database, clock)

    def ensure_series(
        self,
        series: Series,
        origin: str,
        *,
        accept_origin: bool = False,
        variant: str | None = None,
        way_out: str = "",
    ) -> None:
        """Make *series* known, once. Origin and variant are the first that it was given.

        Args:
            series: The series.
            origin: ``venue``, the base URL that answers instead, or the name of a generator.
            accept_origin: The caller vouches that *origin* mirrors the series' own.
            variant: What its rows may not be mixed with others of (``aggregate/venue``,
                ``rest/20``); None where the data type knows no variants.
            way_out: What the caller's user can do beside taking another lake where the origins
                differ: a clause that begins with a comma.

        Raises:
            InvalidRequest: The series is held with rows of another origin or variant.
        """
        key = series_key(series)
        held = self.series_info(series)
        if held is None or (held.variant is None and variant is not None):
            with self._database.writing() as transaction:
                transaction.run(
                    "insert into series (data_type, venue, instrument, timeframe, origin, "
                    "variant, created_at) values ($data_type, $venue, $instrument, $timeframe, "
                    "$origin, $variant, $created_at) on conflict do nothing",
                    key
                    | {"origin": origin, "variant": variant, "created_at": to_us(self._clock())},
                )
                # Only a series without rows may still become one of some variant.
                transaction.run(
                    "update series set variant = $variant where variant is null and "
                    f"{WHERE_SERIES} and not exists (select 1 from partitions "
                    "where partitions.series_id = series.series_id)",
                    key | {"variant": variant},
                )
            held = self.series_info(series)
            assert held is not None
        if held.origin != origin and not accept_origin:
            raise InvalidRequest(
                f"{series} is held with rows from {_origin_text(held.origin)}; rows from "
                f"{_origin_text(origin)} would be mixed with them. Use another lake (--data)"
                f"{way_out}."
            )
        if held.variant != variant:
            raise InvalidRequest(
                f"{series} is held as {_variant_text(held.variant)}; rows that are "
                f"{_variant_text(variant)} would stand for the same events a second time. Use "
                "another lake for them (--data), or the source that gave those held "
                "(`lake sources` shows what each gives)."
            )

    def series(self) -> list[SeriesInfo]:
        """Every series, by data type, venue, instrument and timeframe."""
        rows = self._database.read(f"{_SERIES} order by data_type, venue, instrument, timeframe")
        return [_series_info(row) for row in rows]

    def series_ids(self) -> list[tuple[int, Series]]:
        """Every series with its number in the catalog, by name."""
        rows = self._database.read(
            f"select series_id, {SERIES_COLUMNS} from series "
            "order by data_type, venue, instrument, timeframe"
        )
        return [(int(row[0]), series_of(row[1:])) for row in rows]

    def series_info(self, series: Series) -> SeriesInfo | None:
        """What is known of *series*; None when it is not held."""
        row = self._database.read_one(f"{_SERIES} where {WHERE_SERIES}", series_key(series))
        return None if row is None else _series_info(row)

    def note_wanted(self, series: Series, wanted: TimeRange) -> None:
        """Widen what is wanted of *series* by *wanted*: gaps are looked for inside of it."""
        with self._database.writing() as transaction:
            transaction.run(
                "update series set wanted_start = min(ifnull(wanted_start, $start), $start), "
                "wanted_end = max(ifnull(wanted_end, $end), $end) where series_id = $series_id",
                {
                    "start": to_us(wanted.start),
                    "end": to_us(wanted.end),
                    "series_id": series_id_of(transaction, series),
                },
            )

    def set_first_available(
        self, series: Series, moment: datetime, evidence: str, *, source: str = "venue"
    ) -> None:
        """Note the first row that the venue has of *series*.

        Args:
            series: The series.
            moment: Its first row.
            evidence: How that is known.
            source: Who said so: ``venue``, or the base URL that answered instead.
        """
        with self._database.writing() as transaction:
            transaction.run(
                "update series set first_available = ?, first_available_evidence = ?, "
                "first_available_source = ?, first_available_at = ? where series_id = ?",
                (
                    to_us(moment),
                    evidence,
                    source,
                    to_us(self._clock()),
                    series_id_of(transaction, series),
                ),
            )

    def first_available(self, series: Series) -> datetime | None:
        """The first row that the venue has of *series*, where that was ever asked."""
        told = self.first_told(series)
        return None if told is None else told.moment

    def first_told(self, series: Series) -> FirstAvailable | None:
        """The same with who said so, and when."""
        row = self._database.read_one(
            "select first_available, first_available_source, first_available_at from series "
            f"where {WHERE_SERIES}",
            series_key(series),
        )
        if row is None or row[0] is None:
            return None
        return FirstAvailable(from_us(row[0]), row[1], moment_or_none(row[2]))

    def partitions(self, series: Series) -> list[PartitionInfo]:
        """The files of *series*, ascending."""
        rows = self._database.read(
            f"{_PARTITIONS} where series_id = ({_SERIES_ID}) order by range_start",
            series_key(series),
        )
        return [_partition_info(row) for row in rows]

    def all_partitions(self) -> list[PartitionInfo]:
        """The files of all series, by path."""
        return [_partition_info(row) for row in self._database.read(f"{_PARTITIONS} order by path")]

    def partition(self, partition: Partition) -> PartitionInfo | None:
        """What is known of one file; None when there is none."""
        row = self._database.read_one(f"{_PARTITIONS} where path = ?", (partition.path,))
        return None if row is None else _partition_info(row)

    def coverage(self, series: Series) -> list[Coverage]:
        """What was asked and answered of *series*: disjoint, ascending."""
        rows = self._database.read(
            f"select {COVERAGE_COLUMNS} from coverage where series_id = ({_SERIES_ID}) "
            "order by start_ts",
            series_key(series),
        )
        return [coverage_of(row) for row in rows]

    def notes(self, series: Series) -> list[Note]:
        """What sources said of rows beyond the columns, ascending."""
        rows = self._database.read(
            f"select ts, kind, text from notes where series_id = ({_SERIES_ID}) "
            "order by ts, kind, text",
            series_key(series),
        )
        return [Note(from_us(ts), kind, text) for ts, kind, text in rows]

    def rejected(self, series: Series) -> list[Rejected]:
        """The rows that were refused, ascending; those without a readable time first."""
        rows = self._database.read(
            f"select ts, reason, raw from quarantine where series_id = ({_SERIES_ID}) "
            "order by ts, reason, raw",
            series_key(series),
        )
        return [Rejected(moment_or_none(ts), reason, raw) for ts, reason, raw in rows]

    def revision_files(self, series: Series | None = None) -> list[RevisionFile]:
        """The files of rows that were changed or taken out many at a time, oldest first."""
        where = "" if series is None else f"and series_id = ({_SERIES_ID}) "
        rows = self._database.read(
            "select path, partition_path, generation, rows, min_ts, max_ts, bytes, sha256, why, "
            f"job_id, revised_at from revision_files where pending = 0 {where}"
            "order by revised_at, path",
            {} if series is None else series_key(series),
        )
        return [
            RevisionFile(
                path=path,
                partition=Partition.from_path(partition),
                generation=generation,
                rows=count,
                min_ts=moment_or_none(low),
                max_ts=moment_or_none(high),
                bytes=size,
                sha256=sha256,
                why=why,
                job_id=job_id,
                at=from_us(at),
            )
            for (path, partition, generation, count, low, high, size, sha256, *rest) in rows
            for why, job_id, at in [rest]
        ]

    def revisions(self, series: Series) -> list[Revision]:
        """The rows that were changed or taken out, as they were before, oldest first.

        Those that changed many at a time are in files: :meth:`revision_files`.
        """
        rows = self._database.read(
            "select ts, key, generation, old_row, why, job_id, revised_at from revisions "
            f"where series_id = ({_SERIES_ID}) and pending = 0 "
            "order by revised_at, generation, ts, key",
            series_key(series),
        )
        return [
            Revision(
                ts=from_us(ts),
                key=key,
                generation=generation,
                old_row=json.loads(old_row),
                why=why,
                job_id=job_id,
                at=from_us(revised_at),
            )
            for ts, key, generation, old_row, why, job_id, revised_at in rows
        ]

    def failed(self, series: Series) -> list[FailedRange]:
        """The ranges that jobs gave up and that no coverage has answered since, ascending."""
        rows = self._database.read(
            "select start_ts, end_ts, job_id, error, failed_at from failed_ranges "
            f"where series_id = ({_SERIES_ID}) order by start_ts",
            series_key(series),
        )
        return [
            FailedRange(TimeRange(from_us(start), from_us(end)), job_id, error, from_us(at))
            for start, end, job_id, error, at in rows
        ]

    def add_failed(self, series: Series, window: TimeRange, job_id: str, error: str) -> None:
        """Note that *window* was given up by a job; that outlives the job's own row."""
        with self._database.writing() as transaction:
            series_id = series_id_of(transaction, series)
            add_failed(transaction, series_id, window, job_id, error, self._clock())

    def gap_facts(self, series: Series) -> list[Fact]:
        """What other rows show of missing ones, the most telling reasons first."""
        rows = self._database.read(
            "select start_ts, end_ts, reason, evidence from gap_facts "
            f"where series_id = ({_SERIES_ID}) order by case reason when 'lost_by_source' then 0 "
            "when 'venue_outage' then 1 else 2 end, start_ts",
            series_key(series),
        )
        return [
            Fact(TimeRange(from_us(start), from_us(end)), GapReason(reason), evidence)
            for start, end, reason, evidence in rows
        ]

    def cancelled(self, series: Series) -> list[CancelledRange]:
        """What jobs wanted, were cancelled before and no coverage has answered since, ascending."""
        rows = self._database.read(
            "select start_ts, end_ts, job_id, why, cancelled_at from cancelled_ranges "
            f"where series_id = ({_SERIES_ID}) order by start_ts",
            series_key(series),
        )
        return [
            CancelledRange(TimeRange(from_us(start), from_us(end)), job_id, why, from_us(at))
            for start, end, job_id, why, at in rows
        ]

    def set_beyond_source(self, series: Series, window: TimeRange, why: str) -> None:
        """Note that no source of ours reaches *window*; the newest such word on it is kept."""
        with self._database.writing() as transaction:
            series_id = series_id_of(transaction, series)
            set_beyond_source(transaction, series_id, window, why, self._clock())

    def beyond_source(self, series: Series) -> list[BeyondSource]:
        """What no source reached when it was asked for and no coverage answers, ascending."""
        rows = self._database.read(
            "select start_ts, end_ts, why, noted_at from beyond_source "
            f"where series_id = ({_SERIES_ID}) order by start_ts",
            series_key(series),
        )
        return [
            BeyondSource(TimeRange(from_us(start), from_us(end)), why, from_us(at))
            for start, end, why, at in rows
        ]


_SERIES = (
    f"select origin, variant, retained_from, wanted_start, wanted_end, {SERIES_COLUMNS} from series"
)
_PARTITIONS = (
    "select path, rows, min_ts, max_ts, bytes, sha256, schema_version, generation, gap_runs, "
    "missing, job_id, written_at from partitions"
)


def _partition_info(row: tuple[Any, ...]) -> PartitionInfo:
    path, rows, low, high, size, sha256, version, generation, gap_runs, missing, job, at = row
    return PartitionInfo(
        partition=Partition.from_path(path),
        rows=rows,
        min_ts=moment_or_none(low),
        max_ts=moment_or_none(high),
        bytes=size,
        sha256=sha256,
        schema_version=version,
        generation=generation,
        gap_runs=ranges_from_json(gap_runs),
        missing=missing,
        job_id=job,
        written_at=from_us(at),
    )


def _series_info(row: tuple[Any, ...]) -> SeriesInfo:
    origin, variant, retained_from, wanted_start, wanted_end, *names = row
    wanted = None
    if wanted_start is not None and wanted_end is not None:
        wanted = TimeRange(from_us(wanted_start), from_us(wanted_end))
    return SeriesInfo(
        series_of(tuple(names)), origin, moment_or_none(retained_from), wanted, variant
    )


def _origin_text(origin: str) -> str:
    return "the venue itself" if origin == "venue" else origin


def _variant_text(variant: str | None) -> str:
    return "of no stated variant" if variant is None else variant
