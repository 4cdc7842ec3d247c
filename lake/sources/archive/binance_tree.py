"""Where Binance's archive keeps what, and which of its files are worth a download. Pure.

Sources: the README of binance/binance-public-data (paths; daily files come the next day, monthly
ones on the first Monday of the next month), read 2026-11-22; `facts/venues.md`, section 5.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange, intersect
from lake.domain.timeframe import TimeFrame
from lake.domain.variants import IdScheme, TradeKind, TradesVariant
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import COINM, SPOT, USDM

DEFAULT_URL = "https://data.binance.vision"
_MARKETS = {SPOT: "spot", USDM: "futures/um", COINM: "futures/cm"}
# The first Monday is the seventh at the latest; a day of a month's file is given some grace.
_MONTH_AFTER = timedelta(days=8)
_DAY_AFTER = timedelta(days=1)
# Requests that a file must save before it is worth a download of its own: REST gives a month of
# hours in one.
_WORTH_REQUESTS = 10
_ROWS_A_REQUEST = 1_000
_WORTH_TRADES = timedelta(hours=6)
_NO_DAILY_CANDLES = frozenset({TimeFrame.DAY_3, TimeFrame.WEEK_1, TimeFrame.MONTH_1})
AGGREGATE = TradesVariant(TradeKind.AGGREGATE, IdScheme.VENUE)
_SINGLE = TradesVariant(TradeKind.SINGLE, IdScheme.VENUE)


class Choice(Enum):
    """Where rows are taken from."""

    AUTO = "auto"
    """What is old and large from archives, the rest from the venue."""
    ARCHIVE = "archive"
    REST = "rest"

    @classmethod
    def from_str(cls, text: str) -> Choice:
        try:
            return cls(text.lower())
        except ValueError as error:
            raise InvalidRequest(
                f"{text!r} is no source. Use auto (archives for what is old and large, the venue "
                "for the rest), archive or rest."
            ) from error


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of the tree: its path below the root, and what it promises."""

    path: str
    promise: TimeRange
    is_month: bool

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def is_offered(series: Series) -> bool:
    """Whether the tree has files of such a series."""
    if series.venue not in _MARKETS:
        return False
    if series.data_type is DataType.FUNDING_RATES:
        return series.venue != SPOT
    return series.data_type in (DataType.OHLCV, DataType.TRADES)


def variant_of(series: Series, held: str | None) -> str | None:
    """The kind of rows that files of *series* give: what is held, else what REST gives, too.

    Raises:
        InvalidRequest: What is held cannot be had from archives.
    """
    if series.data_type is not DataType.TRADES:
        return held
    kind = AGGREGATE if held is None else TradesVariant.from_str(held)
    if kind not in (AGGREGATE, _SINGLE):
        raise InvalidRequest(
            f"{series} holds {kind} trades, and {series.venue}'s archives have {AGGREGATE} and "
            f"{_SINGLE} ones, which may not be mixed with them. Use another lake (--data)."
        )
    return str(kind)


def choose(
    series: Series,
    native_id: str,
    pieces: Sequence[TimeRange],
    *,
    now: datetime,
    variant: str | None = None,
    only_worthwhile: bool = True,
) -> list[RemoteFile]:
    """The files to download for *pieces*: whole months first, days where a month is not out yet.

    Args:
        series: What is wanted.
        native_id: The venue's own spelling of the instrument.
        pieces: The ranges that are missing.
        now: The present (naive UTC).
        variant: The kind of trades.
        only_worthwhile: Leave out files that a few requests of REST replace.
    """
    tree = _Tree(series, native_id, variant)
    chosen: list[RemoteFile] = []
    for month in tree.months(pieces):
        if month.promise.end + _MONTH_AFTER <= now and _is_worth(
            series, month, pieces, only_worthwhile
        ):
            chosen.append(month)
        elif month.promise.end + _MONTH_AFTER > now:
            chosen += tree.days(month, pieces, now=now, only_worthwhile=only_worthwhile)
    return chosen


def days_instead(
    series: Series,
    native_id: str,
    month: RemoteFile,
    pieces: Sequence[TimeRange],
    *,
    now: datetime,
    variant: str | None = None,
) -> list[RemoteFile]:
    """The days of a *month* that the tree does not have as one file."""
    tree = _Tree(series, native_id, variant)
    return tree.days(month, pieces, now=now, only_worthwhile=False)


def path_of(series: Series, native_id: str, name: str) -> str:
    """The path of the file that the tree calls *name*.

    Raises:
        InvalidRequest: *name* is not one of the tree's for that series.
    """
    kind = name.removeprefix(f"{native_id}-").split("-", 1)[0]
    dashes = name.removesuffix(".zip").removeprefix(f"{native_id}-{kind}-").count("-")
    known = {"aggTrades", "trades", "fundingRate", str(series.timeframe)}
    if not name.startswith(f"{native_id}-") or kind not in known or dashes not in (1, 2):
        raise InvalidRequest(f"{name} is no file of {series} in Binance's archive.")
    folder = (
        f"klines/{native_id}/{kind}" if kind == str(series.timeframe) else f"{kind}/{native_id}"
    )
    span = "monthly" if dashes == 1 else "daily"
    return f"data/{_MARKETS[series.venue]}/{span}/{folder}/{name}"


@dataclass(frozen=True, slots=True)
class _Tree:
    series: Series
    native_id: str
    variant: str | None

    @property
    def _kind(self) -> str:
        if self.series.data_type is DataType.OHLCV:
            return str(self.series.timeframe)
        if self.series.data_type is DataType.FUNDING_RATES:
            return "fundingRate"
        return "trades" if self.variant == str(_SINGLE) else "aggTrades"

    def months(self, pieces: Sequence[TimeRange]) -> Iterator[RemoteFile]:
        """Every calendar month that *pieces* touch."""
        last: datetime | None = None
        for piece in sorted(pieces):
            start = piece.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            while start < piece.end:
                end = (start + timedelta(days=32)).replace(day=1)
                if last is None or start > last:
                    last = start
                    yield self._file(TimeRange(start, end), f"{start:%Y-%m}", is_month=True)
                start = end

    def days(
        self,
        month: RemoteFile,
        pieces: Sequence[TimeRange],
        *,
        now: datetime,
        only_worthwhile: bool,
    ) -> list[RemoteFile]:
        """The days of *month* that are out and that *pieces* touch."""
        if self.series.data_type is DataType.FUNDING_RATES:
            return []
        if self.series.timeframe in _NO_DAILY_CANDLES:
            return []
        found = []
        start = month.promise.start
        while start < month.promise.end:
            end = start + timedelta(days=1)
            file = self._file(TimeRange(start, end), f"{start:%Y-%m-%d}", is_month=False)
            if end + _DAY_AFTER <= now and _is_worth(self.series, file, pieces, only_worthwhile):
                found.append(file)
            start = end
        return found

    def _file(self, promise: TimeRange, when: str, *, is_month: bool) -> RemoteFile:
        name = f"{self.native_id}-{self._kind}-{when}.zip"
        return RemoteFile(path_of(self.series, self.native_id, name), promise, is_month)


def _is_worth(
    series: Series, file: RemoteFile, pieces: Sequence[TimeRange], only_worthwhile: bool
) -> bool:
    wanted = intersect(list(pieces), [file.promise])
    if not wanted:
        return False
    if not only_worthwhile:
        return True
    if series.data_type is DataType.TRADES:
        return sum((each.duration for each in wanted), timedelta()) >= _WORTH_TRADES
    grid = series.grid
    # Settlements: REST gives a year in two requests.
    rows = 0 if grid is None else sum(grid.count(each) for each in wanted)
    return rows >= _WORTH_REQUESTS * _ROWS_A_REQUEST
