"""How complete a range of a series is: rows counted in the files, gaps told by the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lake.domain.gaps import Gap, GapReason
from lake.domain.identifiers import Series
from lake.domain.ranges import TimeRange, subtract
from lake.domain.schemas import ROW_SPECS
from lake.store.missing import Window, missing
from lake.store.reads import files_of, read

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# Nobody expects rows there, so they are no loss.
NOT_EXPECTED = frozenset({GapReason.BEFORE_LISTING, GapReason.AFTER_DELISTING, GapReason.EXPIRED})


@dataclass(frozen=True, slots=True)
class DataQualityMetrics:
    """What is held of one series in a range.

    Attributes:
        series: Whose rows.
        start_time: The range; where none was asked for, from the first row to the last.
        end_time: Its end.
        actual_records: Rows held.
        expected_records: Rows that there should be, but for those before listing, after
            delisting and expired. None where nobody can know (trades).
        missing_records: Rows that are expected and not held; None where nobody can know.
        completeness_ratio: Held of expected, 0 to 1; for trades and books the share of the
            range's time that an answer covers. 1 where nothing is expected.
        duplicate_records: Rows that have the key of another one.
        rejected_records: Rows of the range that were refused and lie in quarantine.
        data_gaps: Every run of missing rows with its reason, also those not expected.
        first_ts: The first row held in the range; None where there is none, like ``last_ts``.
        freshness: How long ago the newest row ended; None where there is none.
    """

    series: Series
    start_time: datetime | None
    end_time: datetime | None
    actual_records: int
    expected_records: int | None
    missing_records: int | None
    completeness_ratio: float
    duplicate_records: int
    rejected_records: int
    data_gaps: tuple[Gap, ...]
    first_ts: datetime | None
    last_ts: datetime | None
    freshness: timedelta | None


def measure(
    storage: Storage, series: Series, start: datetime | None, end: datetime | None
) -> DataQualityMetrics:
    """The metrics of ``[start, end)``; reads the keys of its rows.

    Raises:
        SeriesNotFound: The series was never stored.
        StorageError: A file is damaged.
    """
    spec = ROW_SPECS[series.data_type]
    keys = list(dict.fromkeys(("ts", *spec.key)))
    rows = read(storage, [series], start=start, end=end, columns=keys)
    first, last = (rows["ts"][0], rows["ts"][-1]) if rows.height else (None, None)
    files = files_of(storage, [series], start, end)
    gaps = tuple(missing(storage, files, Window(start, end)))
    losses = [gap for gap in gaps if gap.reason not in NOT_EXPECTED]
    is_counted = all(gap.missing_count is not None for gap in losses)
    lost = sum(gap.missing_count or 0 for gap in losses) if is_counted else None
    until = series.grid.next(last) if series.grid is not None and last is not None else last
    span = _span(start or first, end or until)
    if lost is not None:
        expected = rows.height + lost
        ratio = rows.height / expected if expected else 1.0
    else:
        expected = None
        ratio = _share_of_time(span, gaps)
    rejected = storage.catalog.rejected(series)
    return DataQualityMetrics(
        series=series,
        start_time=start or first,
        end_time=end or until,
        actual_records=rows.height,
        expected_records=expected,
        missing_records=lost,
        completeness_ratio=ratio,
        duplicate_records=rows.height - rows.select(spec.key).n_unique(),
        rejected_records=sum(
            each.ts is not None and span is not None and each.ts in span for each in rejected
        ),
        data_gaps=gaps,
        first_ts=first,
        last_ts=last,
        freshness=None if until is None else storage.clock() - until,
    )


def _span(start: datetime | None, end: datetime | None) -> TimeRange | None:
    return TimeRange(start, end) if start is not None and end is not None and start < end else None


def _share_of_time(span: TimeRange | None, gaps: tuple[Gap, ...]) -> float:
    if span is None:
        return 1.0
    left_out = [gap.range for gap in gaps if gap.reason in NOT_EXPECTED]
    expected = subtract([span], left_out)
    whole = sum(each.duration.total_seconds() for each in expected)
    held = subtract(expected, [gap.range for gap in gaps])
    covered = sum(each.duration.total_seconds() for each in held)
    return covered / whole if whole else 1.0
