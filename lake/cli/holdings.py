"""status and gaps: what the lake holds, what is missing of it and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place, timeframes, utc_now, words
from lake.cli.disk import place_rows, series_rows
from lake.cli.output import Row, print_rows, size_text
from lake.cli.report import gap_row, series_order
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.times import parse_moment
from lake.errors import InvalidRequest, SeriesNotFound

if TYPE_CHECKING:
    from lake.storage.lake import Storage

# Nobody expects candles there, so they do not count as missing.
_NOT_EXPECTED = {GapReason.BEFORE_LISTING, GapReason.AFTER_DELISTING, GapReason.EXPIRED}

VenueName = Annotated[str | None, Parameter(name=["--venue", "--exchange"])]
Instruments = Annotated[
    list[str] | None,
    Parameter(name=["--instrument", "--instruments", "--pairs", "-p"], consume_multiple=True),
]
Timeframes = Annotated[list[str] | None, Parameter(name=["--timeframe", "--timeframes", "-t"])]
TypeName = Annotated[str | None, Parameter(name=["--type"])]


def status(
    *,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    disk: bool = False,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Show what the lake holds: rows, first and last, how complete, how large.

    For example:

      lake status --venue binance --timeframe 1h

      lake status --disk

    Args:
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        disk: What it takes on the disk instead: bytes per row, files, what CSV would take and
            the share of it that is saved; then folders and room left.
        json: Print one JSON object per series.
    """
    with place.open() as storage:
        chosen = chosen_series(storage, venue, instrument, timeframe, type_)
        rows = series_rows(storage, chosen) if disk else _status_rows(storage, chosen)
        if not json:
            size = size_text(sum(int(str(row["bytes"])) for row in rows))
            origin = "" if storage.origin == "venue" else f" of {storage.origin} data"
            print(f"lake{origin} at {storage.root}: {len(rows)} series, {size}")
    print_rows(rows, as_json=json, empty="nothing is stored yet: lake backfill --help")
    if disk and not json:
        print()
        print_rows(place_rows(storage.root), as_json=False, empty="")
    return 0


def gaps(
    *,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    reason: Annotated[list[str] | None, Parameter(name=["--reason"])] = None,
    since: Annotated[str | None, Parameter(name=["--start", "--since"])] = None,
    until: Annotated[str | None, Parameter(name=["--end", "--until"])] = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """List every run of missing rows, with the reason and how it is known.

    For example:

      lake gaps --instrument BTCUSDT.BINANCE --timeframe 1m

      lake gaps --reason not_fetched,failed --json

    Args:
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        reason: Only these reasons: not_fetched, failed, provisional, venue_has_none,
            venue_outage, no_trades, before_listing, after_delisting, beyond_source,
            lost_by_source, in_quarantine, expired.
        since: Only gaps that end after this.
        until: Only gaps that begin before this.
        json: Print one JSON object per gap.
    """
    from lake.quality import explained_gaps

    reasons = {_reason(each) for each in words(reason or ())}
    now = utc_now()
    first = None if since is None else parse_moment(since, now=now)
    last = None if until is None else parse_moment(until, now=now)
    with place.open() as storage:
        found = explained_gaps(storage, chosen_series(storage, venue, instrument, timeframe, type_))
    rows = [
        gap_row(gap, start=gap.range.start, end=gap.range.end, count=gap.missing_count)
        for gap in sorted(found, key=lambda each: series_order(each.series))
        if (not reasons or gap.reason in reasons)
        and (first is None or gap.range.end > first)
        and (last is None or gap.range.start < last)
    ]
    print_rows(rows, as_json=json, empty="no gaps")
    return 0


def _reason(text: str) -> GapReason:
    try:
        return GapReason(text.lower())
    except ValueError:
        names = ", ".join(each.value for each in GapReason)
        raise InvalidRequest(f"{text!r} is no reason for a gap. Use one of: {names}.") from None


def chosen_series(
    storage: Storage,
    venue: str | None,
    instruments: Sequence[str] | None,
    frames: Sequence[str] | None,
    kind: str | None = None,
) -> list[Series]:
    """The held series that the filters leave.

    Raises:
        SeriesNotFound: A filter leaves nothing although the lake holds something.
    """
    from lake.domain.resolve import resolve

    held = [each.series for each in storage.catalog.series()]
    chosen = held
    given = {"--venue": venue, "--type": kind, "--timeframe": " ".join(frames or ())}
    filters = [f"{flag} {value}" for flag, value in given.items() if value]
    if venue is not None:
        wanted = Venue(venue)
        chosen = [each for each in chosen if each.venue == wanted]
    if kind is not None:
        of_kind = DataType.from_str(kind)
        chosen = [each for each in chosen if each.data_type is of_kind]
    if frames:
        kept = timeframes(frames)
        chosen = [each for each in chosen if each.timeframe in kept]
    if instruments:
        known = [
            each
            for each in storage.catalog.instruments()
            if each.id in {series.instrument_id for series in held}
        ]
        ids: set[InstrumentId] = set()
        for text in words(instruments):
            meant: set[InstrumentId] = set()
            for each in {series.venue for series in chosen}:
                try:
                    found = resolve(text, each, [one for one in known if one.venue == each])
                except InvalidRequest:
                    continue
                meant.update(one.id for one in found)
            if held and not any(each.instrument_id in meant for each in chosen):
                # One wrong name among others must not be passed over in silence.
                raise _nothing(held, [repr(text), *filters])
            ids |= meant
        chosen = [each for each in chosen if each.instrument_id in ids]
    if held and not chosen:
        raise _nothing(held, filters)
    return sorted(chosen, key=series_order)


def _nothing(held: Sequence[Series], filters: Sequence[str]) -> SeriesNotFound:
    names = ", ".join(sorted({str(each) for each in held})[:5])
    return SeriesNotFound(
        f"The lake holds nothing that fits {', '.join(filters)}. It holds {len(held)} series: "
        f"{names}{' ...' if len(held) > 5 else ''}. `lake status` lists them."
    )


def _status_rows(storage: Storage, chosen: Sequence[Series]) -> list[Row]:
    from lake.storage.gaps import find_gaps

    missing: dict[Series, int | None] = dict.fromkeys(chosen, 0)
    for gap in find_gaps(storage, chosen):
        if gap.reason not in _NOT_EXPECTED:
            # Nobody knows how many trades a range that was never asked for has.
            known, more = missing[gap.series], gap.missing_count
            missing[gap.series] = None if known is None or more is None else known + more
    variants = {info.series: info.variant for info in storage.catalog.series()}
    rows: list[Row] = []
    for series in chosen:
        parts = storage.catalog.partitions(series)
        count = sum(part.rows for part in parts)
        lacking = missing[series]
        expected = None if lacking is None else count + lacking
        sources = {each.source for each in storage.catalog.coverage(series)}
        rows.append(
            {
                "venue": series.venue.name,
                "instrument": series.instrument_id.symbol,
                "timeframe": series.timeframe,
                "data_type": series.data_type,
                "variant": variants[series],
                "first_ts": min((part.min_ts for part in parts if part.min_ts), default=None),
                "last_ts": max((part.max_ts for part in parts if part.max_ts), default=None),
                "rows": count,
                "missing": lacking,
                "completeness": round(count / expected, 6) if expected else None,
                "source": " ".join(sorted(sources)) or None,
                "files": len(parts),
                "bytes": sum(part.bytes for part in parts),
            }
        )
    return rows
