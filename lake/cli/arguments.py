"""What commands share on the command line, and how its text becomes values.

Nothing here imports what is heavy, reads a lake or asks a venue: what can be refused by looking
at the words alone is refused here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.config import Settings, load
from lake.domain.identifiers import InstrumentId, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import iso, parse_moment
from lake.errors import InvalidRequest, ReadOnlyLake, StorageError

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_SPAN = re.compile(r"(\d{1,15})\s*(ms|[smhdw])")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SEPARATORS = re.compile(r"[,\s]+")
_DAYS_MAX = 40_000  # a century: what is above is a slip of the finger


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the lake lies."""

    data: Annotated[Path | None, Parameter(name=["--data", "-d", "--datadir"])] = None
    """The lake's folder. Else LAKE_DATA, else lake.json upwards from here, else ./data."""

    def root(self) -> Path:
        """The lake that is there.

        Raises:
            NoLake: There is none.
        """
        from lake.storage.files import find_lake

        return find_lake(self.data, environment=os.environ, cwd=Path.cwd())

    def root_or_new(self) -> Path:
        """The lake that is there, or where a new one would be made."""
        from lake.storage.files import place_of_lake

        return place_of_lake(self.data, environment=os.environ, cwd=Path.cwd())

    def open(self) -> Storage:
        """The lake that is there."""
        from lake.storage.lake import Storage

        return Storage.open(self.root())

    def open_to_write(self) -> Storage:
        """The lake that is there.

        Raises:
            ReadOnlyLake: It cannot be written.
        """
        return _writable(self.open())

    @contextmanager
    def open_or_create(self, *, origin: str = "venue") -> Iterator[Storage]:
        """The lake that is there, or a new one, which goes again where nothing came into it."""
        from lake.storage.files import is_lake
        from lake.storage.lake import Storage

        root = self.root_or_new()
        try:
            storage = Storage.open(root, create=True, origin=origin)
        except StorageError as error:
            if is_lake(root):
                raise
            why = getattr(error.__cause__, "strerror", None) or str(error)
            raise ReadOnlyLake(
                f"A lake cannot be made at {root}: {why}. Name a folder that can be written "
                "with --data."
            ) from error
        try:
            yield _writable(storage)
        finally:
            storage.discard_if_empty()


def announce(storage: Storage) -> None:
    """Say where a new lake lies, once it is certain that something comes into it."""
    if storage.created:
        kind = "" if storage.origin == "venue" else f" of {storage.origin} data"
        print(f"new lake{kind} at {storage.root}", file=sys.stderr)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Line:
    """How a venue is reached."""

    base_url: str | None = None
    """Fetch from this URL instead of the venue: a proxy, a mirror, or `lake serve`."""
    accept_base_url: Annotated[bool | None, Parameter(negative="")] = None
    """The base URL is a mirror of the real venue: its rows may join the venue's own."""
    source: str | None = None
    """auto (default): archive files for what is old and large, the venue for the rest; or one of
    archive, rest."""
    archive_url: str | None = None
    """Root of a copy of the vendor's archive, instead of the vendor's own."""
    rate_share: float | None = None
    """Share of the venue's rate limit to use, above 0 and at most 1 (default 0.8)."""
    max_workers: int | None = None
    """Requests in flight at once (default 8)."""

    def settings(self, root: Path | None) -> Settings:
        return load(
            root,
            environment=os.environ,
            flags={
                "base_url": self.base_url,
                "accept_base_url": self.accept_base_url,
                "source": self.source,
                "archive_url": self.archive_url,
                "rate_share": self.rate_share,
                "max_workers": self.max_workers,
            },
        )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Span:
    """Which range is wanted."""

    start: str | None = None
    """First moment wanted, UTC: 2024-01-01, 2024-01-01T12:00, an epoch, or 7d (back from now)."""
    end: str | None = None
    """First moment not wanted any more, UTC (default: now)."""
    days: float | None = None
    """So many days: on from --start where that is given, else back from the end."""
    timerange: str | None = None
    """Both at once: 20240101-20240201; either side may be left open."""

    def bounds(self, now: datetime) -> tuple[datetime, datetime | None]:
        """Start and end; None as end means now, by the venue's clock.

        Raises:
            InvalidRequest: They cannot be read, contradict one another, or hold no time.
        """
        start_text, end_text = self.start, self.end
        if self.timerange is not None:
            if start_text or end_text or self.days is not None:
                raise InvalidRequest("Use either --timerange or --start, --end and --days.")
            start_text, end_text = _split_timerange(self.timerange)
        end = None if end_text in (None, "", "now") else parse_moment(end_text, now=now)
        start = None if not start_text else parse_moment(start_text, now=now)
        start, end = self._with_days(start, end, now)
        if start >= (end or now):
            raise InvalidRequest(
                f"The range from {iso(start)} to {iso(end or now)} is empty: --end must be after "
                "--start (half-open, UTC). Swap them, or leave --end out for now."
            )
        return start, end

    def _with_days(
        self, start: datetime | None, end: datetime | None, now: datetime
    ) -> tuple[datetime, datetime | None]:
        if self.days is None:
            if start is None:
                raise InvalidRequest(
                    "No start was given. Say where to begin: --start 2024-01-01, or --days 30."
                )
            return start, end
        if not 0 < self.days < _DAYS_MAX:
            raise InvalidRequest(
                f"--days {self.days:g} is not a number of days above 0 and below {_DAYS_MAX:,}."
            )
        if start is not None and self.end:
            raise InvalidRequest("Use two of --start, --end and --days: the third follows.")
        try:
            if start is None:
                return (end or now) - timedelta(days=self.days), end
            return start, start + timedelta(days=self.days)
        except OverflowError as error:
            raise InvalidRequest(
                f"--days {self.days:g} leads out of the calendar (years 1 to 9999)."
            ) from error


def _writable(storage: Storage) -> Storage:
    """*storage*, refused before anything is fetched where nothing could be stored."""
    if storage.read_only:
        storage.close()
        raise ReadOnlyLake(
            f"The lake at {storage.root} cannot be written. {storage.why_read_only} "
            "Or name another folder with --data."
        )
    return storage


HERE = Place()
DIRECT = Line()
UNBOUNDED = Span()


def _split_timerange(text: str) -> tuple[str | None, str | None]:
    found = re.fullmatch(r"(\d+)?-(\d+)?", text.strip())
    if found is None or not (found[1] or found[2]):
        raise InvalidRequest(
            f"{text!r} is not a time range. Write 20240101-20240201, 20240101- or -20240201."
        )
    return found[1], found[2]


def utc_now() -> datetime:
    """The only wall clock of the commands: naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def span_of(text: str, *, flag: str) -> timedelta:
    """The span that *text* names: ``50m``, ``7d``."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidRequest(
            f"{flag} {text!r} is not a span. Write a number and a unit (ms, s, m, h, d or w), "
            "for example 50m, 24h or 7d."
        )
    try:
        return timedelta(milliseconds=int(found[1]) * _UNITS_MS[found[2]])
    except OverflowError as error:
        raise InvalidRequest(f"{flag} {text!r} is longer than time goes.") from error


def words(texts: Iterable[str]) -> tuple[str, ...]:
    """*texts* cut at commas and spaces, in order, each once."""
    cut = (word for text in texts for word in _SEPARATORS.split(text) if word)
    return tuple(dict.fromkeys(cut))


def timeframes(texts: Iterable[str]) -> tuple[TimeFrame, ...]:
    """The timeframes named, each once."""
    return tuple(dict.fromkeys(TimeFrame.from_str(word) for word in words(texts)))


def venue_and_instruments(first: str, rest: Sequence[str]) -> tuple[Venue, tuple[str, ...]]:
    """``VENUE INSTRUMENT...``, or instruments alone that all name their venue.

    Raises:
        InvalidRequest: No instrument, or several venues.
    """
    named = words(rest)
    if named and "/" not in first and "." not in first:
        return Venue(first), named
    ids = words([first, *rest])
    if not all("." in each for each in ids):
        raise InvalidRequest(
            f"{' '.join(ids)!r} does not say which venue and which instruments. "
            "Write lake backfill VENUE INSTRUMENT..., for example: "
            "lake backfill binance BTC/USDT --days 30."
        )
    venues = sorted({InstrumentId.from_str(each).venue for each in ids})
    if len(venues) > 1:
        raise InvalidRequest(
            f"The instruments are at {len(venues)} venues: {', '.join(map(str, venues))}. "
            "Fetch from one venue at a time."
        )
    return venues[0], ids
