"""What commands share on the command line, and how its text becomes values.

Nothing here imports what is heavy, reads a lake or asks a venue: what can be refused by looking
at the words alone is refused here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.config import Settings, load
from lake.domain.identifiers import DataType, InstrumentId, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import iso, parse_moment
from lake.errors import InvalidRequest, ReadOnlyLake, StorageError

if TYPE_CHECKING:
    from lake.storage.lake import Storage

_SPAN = re.compile(r"(\d+)\s*([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
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

    def open_or_create(self) -> Storage:
        """The lake that is there, or a new one; a new one is announced with its path."""
        from lake.storage.files import is_lake
        from lake.storage.lake import Storage

        root = self.root_or_new()
        try:
            storage = Storage.open(root, create=True)
        except StorageError as error:
            if is_lake(root):
                raise
            why = getattr(error.__cause__, "strerror", None) or str(error)
            raise ReadOnlyLake(
                f"A lake cannot be made at {root}: {why}. Name a folder that can be written "
                "with --data."
            ) from error
        if storage.created:
            print(f"new lake at {storage.root}", file=sys.stderr)
        return _writable(storage)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Line:
    """How a venue is reached."""

    base_url: str | None = None
    """Fetch from this URL instead of the venue: a proxy, a mirror, or `lake serve`."""
    accept_base_url: Annotated[bool | None, Parameter(negative="")] = None
    """The base URL is a mirror of the real venue: its rows may join the venue's own."""
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
    """So many days back from the end, instead of --start."""
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
        start = self._start(start_text, end or now, now)
        if start >= (end or now):
            raise InvalidRequest(
                f"The range from {iso(start)} to {iso(end or now)} is empty: --end must be after "
                "--start (half-open, UTC). Swap them, or leave --end out for now."
            )
        return start, end

    def _start(self, text: str | None, end: datetime, now: datetime) -> datetime:
        if self.days is not None:
            if text:
                raise InvalidRequest("Use either --start or --days, not both.")
            if not 0 < self.days < _DAYS_MAX:
                raise InvalidRequest(f"--days {self.days:g} is not a number of days above 0.")
            return end - timedelta(days=self.days)
        if not text:
            raise InvalidRequest(
                "No start was given. Say where to begin: --start 2024-01-01, or --days 30."
            )
        return parse_moment(text, now=now)


def _writable(storage: Storage) -> Storage:
    """*storage*, refused before anything is fetched where nothing could be stored."""
    if storage.read_only:
        root = storage.root
        storage.close()
        raise ReadOnlyLake(
            f"The lake at {root} cannot be written. Run as a user who may write it, "
            "or name another folder with --data."
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
            f"{flag} {text!r} is not a span. Write a number and a unit (s, m, h, d or w), "
            "for example 50m, 24h or 7d."
        )
    try:
        return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
    except OverflowError as error:
        raise InvalidRequest(f"{flag} {text!r} is longer than time goes.") from error


def without_mirror(message: str) -> str:
    """A refusal to mix origins, for commands that no URL could mirror: what is left to do."""
    return re.sub(r",? or say --accept-base-url[^.]*", "", message)


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


def data_type(text: str) -> DataType:
    """The data type, where it can be fetched already."""
    kind = DataType.from_str(text)
    if kind is not DataType.OHLCV:
        raise InvalidRequest(
            f"{kind} cannot be fetched by this version yet. Use --type ohlcv (candles)."
        )
    return kind
