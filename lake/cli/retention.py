"""clean and drop: takes old rows or whole series out of the lake, after saying what goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place, utc_now
from lake.cli.asking import require_yes
from lake.cli.holdings import Instruments, Timeframes, VenueName
from lake.cli.output import Row, counted, print_rows, size_text
from lake.cli.series import Filters, named_series, one_type
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.domain.identifiers import Series
    from lake.storage.lake import Storage
    from lake.storage.retention import Removal

_DAYS_MAX = 40_000  # a century: what is above is a slip of the finger
Types = Annotated[list[str], Parameter(name=["--type"])]
TypesOrAny = Annotated[list[str] | None, Parameter(name=["--type"])]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"])]


def clean(
    *,
    days_to_keep: float,
    type_: Types,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    yes: Yes = False,
    dry_run: bool = False,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Take out what is older than so many days: whole files, for good.

    Shows rows, bytes and ranges first and asks. What went is not fetched again by any backfill
    or update, and its gaps read `expired`. The file (day, month or year) that holds the border
    stays whole. Snapshots keep what they have.

    For example:

      lake clean --days-to-keep 90 --type trades,orderbook --dry-run

      lake clean --days-to-keep 730 --type ohlcv --timeframe 1m --venue binance --yes

    Args:
        days_to_keep: So many days back from now stay; at least 1.
        type_: What is meant: ohlcv, trades, orderbook, funding_rates; several with commas.
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        yes: Do not ask.
        dry_run: Only show what would go.
        json: Print one JSON object per series.
    """
    from lake.storage.retention import expire, expiring

    if not 1 <= days_to_keep < _DAYS_MAX:
        raise InvalidRequest(
            f"--days-to-keep {days_to_keep:g} is not a number of days from 1 to {_DAYS_MAX:,}. "
            "`lake drop` takes a whole series out."
        )
    before = utc_now() - timedelta(days=days_to_keep)
    with _opened(place, dry_run=dry_run) as storage:
        filters = Filters(types=type_, venue=venue, timeframes=timeframe)
        chosen = named_series(storage, instrument or (), filters)
        return _take_out(
            [each for each in (expiring(storage, one, before) for one in chosen) if each.files],
            lambda series: expire(storage, series, before),
            yes=yes,
            dry_run=dry_run,
            as_json=json,
            nothing=f"nothing is older than {days_to_keep:g} days by a whole file",
        )


def drop(
    series: Annotated[
        list[str],
        Parameter(
            name=["SERIES", "--series", "--instrument", "--instruments", "--pairs", "-p"],
            consume_multiple=True,
        ),
    ],
    /,
    *,
    type_: TypesOrAny = None,
    venue: VenueName = None,
    timeframe: Timeframes = None,
    yes: Yes = False,
    dry_run: bool = False,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Take whole series out of the lake, as if they had never been stored.

    Shows rows, bytes and ranges first and asks. Coverage, jobs and notes go as well, so that a
    backfill fetches all of it anew. Snapshots keep what they have.

    For example:

      lake drop BTCUSDT.BINANCE --type ohlcv --timeframe 5m --dry-run

      lake drop '*USDT-PERP' --venue bybit --type trades --yes

    Args:
        series: Whose: ids, codes or patterns.
        type_: What of them: ohlcv, trades, orderbook, funding_rates; needed where several are
            held.
        venue: Only this venue.
        timeframe: Only candles of these timeframes.
        yes: Do not ask.
        dry_run: Only show what would go.
        json: Print one JSON object per series.
    """
    from lake.storage.retention import drop as drop_one
    from lake.storage.retention import dropping

    with _opened(place, dry_run=dry_run) as storage:
        filters = Filters(types=type_, venue=venue, timeframes=timeframe)
        chosen = named_series(storage, series, filters)
        if not type_:
            one_type(chosen)
        return _take_out(
            [dropping(storage, each) for each in chosen],
            lambda each: drop_one(storage, each),
            yes=yes,
            dry_run=dry_run,
            as_json=json,
            nothing="",
        )


def _opened(place: Place, *, dry_run: bool) -> Storage:
    return place.open() if dry_run else place.open_to_write()


def _take_out(
    going: Sequence[Removal],
    act: Callable[[Series], Removal],
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    nothing: str,
) -> int:
    if dry_run or not going:
        print_rows([_row(each) for each in going], as_json=as_json, empty=nothing)
        return 0
    if not as_json:
        print_rows([_row(each) for each in going], as_json=False, empty="")
    files, rows, size = (
        sum(each.files for each in going),
        sum(each.rows for each in going),
        sum(each.bytes for each in going),
    )
    what = (
        f"{counted(rows, 'row')} of {len(going):,} series in {counted(files, 'file')} "
        f"({size_text(size)})"
    )
    require_yes(f"{what} go for good", yes=yes)
    gone: list[Removal] = []
    try:
        for each in going:
            gone.append(act(each.series))
    finally:
        # What was written meanwhile went as well: what is said here is what happened.
        if as_json:
            print_rows([_row(each) for each in gone], as_json=True, empty="")
        else:
            count = sum(each.rows for each in gone)
            freed = size_text(sum(each.bytes for each in gone))
            print(f"{counted(count, 'row')} of {len(gone):,} series taken out, {freed} freed")
    return 0


def _row(each: Removal) -> Row:
    return {
        "venue": each.series.venue.name,
        "instrument": each.series.instrument_id.symbol,
        "timeframe": each.series.timeframe,
        "data_type": each.series.data_type,
        "first_ts": each.first,
        "last_ts": each.last,
        "rows": each.rows,
        "files": each.files,
        "bytes": each.bytes,
        "kept_from": each.retained_from,
    }
