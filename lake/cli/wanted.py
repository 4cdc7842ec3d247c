"""From the words of `lake backfill` and `lake plan` to a request, per data type.

All that can be refused without asking anyone is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import (
    UNBOUNDED,
    Span,
    span_of,
    timeframes,
    utc_now,
    venue_and_instruments,
)
from lake.cli.output import noun
from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import iso
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.config import Settings
    from lake.ingestion import Request
    from lake.ingestion.recording import Recording
    from lake.sources.capability import Capability

Instruments = Annotated[
    tuple[str, ...],
    Parameter(name=["--instrument", "--instruments", "--pairs", "-p"], consume_multiple=True),
]
VenueName = Annotated[str, Parameter(name=["--venue", "--exchange"])]
Timeframes = Annotated[list[str] | None, Parameter(name=["--timeframe", "--timeframes", "-t"])]
TypeName = Annotated[str, Parameter(name=["--type"])]
DEFAULT_TIMEFRAME = "1m"
_DEFAULT_EVERY = "10s"
_DEFAULT_DEPTH = 20


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """How order books are recorded."""

    every: str | None = None
    """orderbook: time between two snapshots, at its multiples of the clock (default 10s)."""
    for_: Annotated[str | None, Parameter(name=["--for"])] = None
    """orderbook: how long to take snapshots: 30m, 1h, 7d (default: until Ctrl-C)."""
    depth: int | None = None
    """orderbook: levels kept of each side (default 20)."""

    @property
    def given(self) -> list[str]:
        """The flags that were given."""
        flags = {"--every": self.every, "--for": self.for_, "--depth": self.depth}
        return [name for name, value in flags.items() if value is not None]


NO_SNAPSHOTS = Snapshots()


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the command line said is wanted."""

    venue: str
    instruments: Sequence[str]
    timeframe: Sequence[str] | None = None
    type_: str = "ohlcv"
    span: Span = UNBOUNDED
    snapshots: Snapshots = NO_SNAPSHOTS
    refetch: bool = False

    @property
    def data_type(self) -> DataType:
        return DataType.from_str(self.type_)

    def request(self, settings: Settings) -> Request:
        """The rows of a range of time.

        Raises:
            InvalidRequest: The words contradict one another, or the venue cannot give it.
        """
        where, ids = venue_and_instruments(self.venue, self.instruments)
        kind = self.data_type
        chosen = self._timeframes(kind)
        if self.snapshots.given:
            raise InvalidRequest(
                f"{self.snapshots.given[0]} was given, but it is for order books only: "
                f"{kind} of a range of time are wanted here. Leave it out, or say "
                "--type orderbook."
            )
        now = utc_now()
        start, end = self.span.bounds(now)
        entry = require_venue(where.name, kind)
        for each in chosen:
            _require_timeframe(entry, each)
            # What stands in for a venue may keep another time.
            if settings.base_url is None and end is not None:
                _require_within_reach(entry, each, end, now)
        from lake.ingestion import Request

        return Request(where, ids, chosen, start, end, data_type=kind, refetch=self.refetch)

    def recording(self) -> Recording:
        """Snapshots of order books, from now on.

        Raises:
            InvalidRequest: The words contradict one another, or the venue gives no books.
        """
        where, ids = venue_and_instruments(self.venue, self.instruments)
        self._timeframes(DataType.ORDERBOOK)
        if self.span != UNBOUNDED or self.refetch:
            raise InvalidRequest(
                "A range of order books was asked for, but venues keep no history of their "
                "books: snapshots can only be taken from now on. Leave out --start, --end, "
                "--days, --timerange and --refetch, and say how often and how long: "
                "--every 10s --for 1h."
            )
        every = _positive("--every", self.snapshots.every or _DEFAULT_EVERY)
        for_ = None if self.snapshots.for_ is None else _positive("--for", self.snapshots.for_)
        if for_ is not None and for_ < every:
            raise InvalidRequest(
                f"--for {self.snapshots.for_} is shorter than --every "
                f"{self.snapshots.every or _DEFAULT_EVERY}, so no snapshot might fall into it. "
                "Make it longer."
            )
        require_venue(where.name, DataType.ORDERBOOK)
        from lake.ingestion.recording import Recording

        depth = _DEFAULT_DEPTH if self.snapshots.depth is None else self.snapshots.depth
        if depth < 1:
            raise InvalidRequest(f"--depth {depth} holds no level. Write for example 20.")
        return Recording(where, ids, every=every, duration=for_, depth=depth)

    def _timeframes(self, kind: DataType) -> tuple[TimeFrame, ...]:
        if kind is DataType.OHLCV:
            return timeframes(self.timeframe or [DEFAULT_TIMEFRAME])
        if self.timeframe:
            raise InvalidRequest(
                f"--timeframe {' '.join(self.timeframe)} was given, but {noun(kind)} have no "
                "timeframe: only candles do. Leave it out, or leave out --type for candles."
            )
        return ()


def require_venue(name: str, data_type: DataType = DataType.OHLCV) -> Capability:
    """What the venue of that name can give.

    Raises:
        InvalidRequest: ccxt knows no such venue (near names are in the message), or it does not
            give the type.
    """
    from lake.sources.capabilities import capability

    return capability(Venue(name), data_type)


def _positive(flag: str, text: str) -> timedelta:
    span = span_of(text, flag=flag)
    if not span:
        raise InvalidRequest(f"{flag} {text!r} is no time. Write for example 10s or 1h.")
    return span


def _require_timeframe(entry: Capability, timeframe: TimeFrame) -> None:
    if entry.timeframes is not None and timeframe not in entry.timeframes:
        names = " ".join(each.value for each in TimeFrame if each in entry.timeframes)
        raise InvalidRequest(
            f"{timeframe} candles were asked for, but {entry.venue} has only: {names}. "
            "Choose one with --timeframe."
        )


def _require_within_reach(
    entry: Capability, timeframe: TimeFrame, end: datetime, now: datetime
) -> None:
    if entry.depth_candles is None:
        return
    grid = grid_of(entry.venue, timeframe)
    first = grid.advance(grid.floor(now), 1 - entry.depth_candles)
    if end <= first:
        raise InvalidRequest(
            f"{timeframe} candles up to {iso(end)} were asked for, but {limit_text(entry)}: "
            f"today those from {iso(first)} on. Ask for a later range or a longer timeframe."
        )


def limit_text(entry: Capability) -> str:
    """How far back a venue's history can be had; empty where nothing limits it."""
    return entry.depth_reason.format(venue=entry.venue, count=entry.depth_candles)
