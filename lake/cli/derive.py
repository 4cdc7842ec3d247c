"""`lake trades-to-ohlcv`: candles out of the trades that the lake holds."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place, timeframes, utc_now
from lake.cli.holdings import VenueName, chosen_series
from lake.cli.output import Row, print_error, print_rows
from lake.domain.identifiers import DataType
from lake.domain.times import parse_moment
from lake.errors import InvalidRequest, SeriesNotFound

if TYPE_CHECKING:
    from lake.ingestion.derive import Derived

FAILED = 1


def trades_to_ohlcv(
    series: Annotated[
        list[str],
        Parameter(
            name=["SERIES", "--series", "--instrument", "--instruments", "--pairs", "-p"],
            consume_multiple=True,
        ),
    ],
    /,
    *,
    timeframe: Annotated[list[str], Parameter(name=["--timeframe", "--timeframes", "-t"])],
    venue: VenueName = None,
    start: str | None = None,
    end: str | None = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Build candles of any timeframe out of stored trades.

    Only candles whose whole time is covered by trades are made, and what the venue itself
    answered is left as it is. `lake status` shows them as derived.

    For example:

      lake trades-to-ohlcv BTCUSDT.BINANCE --timeframe 1m,1h

    Args:
        series: Which trades: ids, codes or patterns.
        timeframe: The candles to build, for example 1m,1h,1d.
        venue: Only trades of this venue.
        start: First moment wanted, UTC (default: where the trades begin).
        end: First moment not wanted any more, UTC (default: where they end).
        json: Print one JSON object per series.
    """
    from lake.ingestion.derive import trades_to_ohlcv as build

    frames = timeframes(timeframe)
    first, last = _bounds(start, end)
    made: list[Derived] = []
    with place.open_to_write() as storage:
        found = chosen_series(storage, venue, series, None)
        chosen = [each for each in found if each.data_type is DataType.TRADES]
        if not chosen:
            raise SeriesNotFound(
                f"The lake holds no trades of {', '.join(series)}. Fetch them first, for example: "
                "lake backfill binance BTC/USDT --type trades --days 1."
            )
        for trades in chosen:
            made += build(storage, trades, frames, start=first, end=last)
    print_rows([_row(each) for each in made], as_json=json, empty="")
    if not any(each.made or each.quiet or each.left or each.skipped for each in made):
        names = ", ".join(dict.fromkeys(str(each.series.instrument_id) for each in made))
        print_error(
            "lake trades-to-ohlcv",
            f"No trades of {names} lie from {start or 'their beginning'} to {end or 'their end'}. "
            "`lake status --type trades` shows where they lie.",
        )
    for each in made:
        if not json and each.skipped:
            count = sum(part.count for part in each.skipped)
            noun = "candle was" if count == 1 else "candles were"
            print(f"{each.series}: {count:,} {noun} not made: {_reasons(each)}", file=sys.stderr)
    return 0 if any(each.made or each.quiet or each.left for each in made) else FAILED


def _reasons(derived: Derived) -> str:
    first, *others = derived.skipped
    more = f" (and {len(others):,} more)" if others else ""
    return f"{first.range}: {first.why}{more}"


def _row(derived: Derived) -> Row:
    series = derived.series
    return {
        "venue": series.venue.name,
        "instrument": series.instrument_id.symbol,
        "timeframe": series.timeframe,
        "made": derived.made,
        "new": derived.added,
        "changed": derived.changed,
        "without_trades": derived.quiet,
        "left_to_venue": derived.left,
        "not_covered": sum(part.count for part in derived.skipped),
    }


def _bounds(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    now = utc_now()
    first = None if start is None else parse_moment(start, now=now)
    last = None if end is None else parse_moment(end, now=now)
    if first is not None and last is not None and first >= last:
        raise InvalidRequest(
            f"The range from {start} to {end} is empty: --end must be after --start."
        )
    return first, last
