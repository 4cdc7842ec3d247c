"""Which files of vendors' archives the lake has taken in, and which the vendor does not have.

It can be made again only by importing the files again; nothing but work is lost with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lake.domain.identifiers import Series
from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, to_us
from lake.storage.catalog import find_series_id, series_id_of
from lake.storage.connection import Database, Row
from lake.storage.records import SERIES_COLUMNS, series_of

_COLUMNS = (
    "name, state, url, window_start, window_end, promises, rows, bytes, sha256, etag, reason, "
    "checked_at, imported_at"
)


class ArchiveState(Enum):
    STORED = "stored"
    ABSENT = "absent"
    """The vendor answered that there is no such file."""
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """What is known of one file of one series.

    Attributes:
        window: What it promises, or else from its first row to the end of its last.
        promises: Whether *window* is a promise that the file holds all of it.
    """

    name: str
    state: ArchiveState
    checked_at: datetime
    url: str | None = None
    window: TimeRange | None = None
    promises: bool = False
    rows: int = 0
    bytes: int | None = None
    sha256: str | None = None
    etag: str | None = None
    reason: str | None = None
    imported_at: datetime | None = None


class ArchiveFiles:
    """The table ``archive_files`` as values."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def known(self, series: Series, name: str) -> KnownFile | None:
        """What is known of the file called *name*; None where it was never met."""
        with self._database.reading() as transaction:
            series_id = find_series_id(transaction, series)
            row = transaction.row(
                f"select {_COLUMNS} from archive_files where series_id = ? and name = ?",
                (series_id, name),
            )
        return None if row is None else _known(row)

    def of(self, series: Series) -> dict[str, KnownFile]:
        """All files of *series* by name."""
        with self._database.reading() as transaction:
            series_id = find_series_id(transaction, series)
            if series_id is None:
                return {}
            rows = transaction.rows(
                f"select {_COLUMNS} from archive_files where series_id = ? order by name",
                (series_id,),
            )
        return {str(row[0]): _known(row) for row in rows}

    def all(self) -> list[tuple[Series, KnownFile]]:
        """Every file, by series and name."""
        rows = self._database.read(
            f"select {SERIES_COLUMNS}, {_COLUMNS} from archive_files "
            "inner join series using (series_id) "
            "order by data_type, venue, instrument, timeframe, name"
        )
        width = SERIES_COLUMNS.count(",") + 1
        return [(series_of(row[:width]), _known(row[width:])) for row in rows]

    def record(self, series: Series, file: KnownFile) -> None:
        """Note what became of *file*; what was known of its name is replaced.

        Raises:
            SeriesNotFound: ``ensure_series`` was never called for *series*.
        """
        window = file.window
        with self._database.writing() as transaction:
            transaction.run(
                f"insert into archive_files (series_id, {_COLUMNS}) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "on conflict (series_id, name) do update set state = excluded.state, "
                "url = ifnull(excluded.url, url), window_start = excluded.window_start, "
                "window_end = excluded.window_end, promises = excluded.promises, "
                "rows = excluded.rows, bytes = excluded.bytes, sha256 = excluded.sha256, "
                "etag = ifnull(excluded.etag, etag), reason = excluded.reason, "
                "checked_at = excluded.checked_at, imported_at = excluded.imported_at",
                (
                    series_id_of(transaction, series),
                    file.name,
                    file.state.value,
                    file.url,
                    None if window is None else to_us(window.start),
                    None if window is None else to_us(window.end),
                    int(file.promises),
                    file.rows,
                    file.bytes,
                    file.sha256,
                    file.etag,
                    file.reason,
                    to_us(file.checked_at),
                    None if file.imported_at is None else to_us(file.imported_at),
                ),
            )


def _known(row: Row) -> KnownFile:
    name, state, url, start, end, promises, rows, size, sha256, etag, reason, checked, took = row
    return KnownFile(
        name=name,
        state=ArchiveState(state),
        url=url,
        window=None if start is None else TimeRange(from_us(start), from_us(end)),
        promises=bool(promises),
        rows=rows,
        bytes=size,
        sha256=sha256,
        etag=etag,
        reason=reason,
        checked_at=from_us(checked),
        imported_at=None if took is None else from_us(took),
    )
