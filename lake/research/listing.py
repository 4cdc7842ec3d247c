"""What is missing, and what can be traded, as polars frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lake.domain.identifiers import DataType, Instrument, Series, Venue, expiry_of
from lake.domain.timeframe import TimeFrame
from lake.domain.times import from_us, iso
from lake.errors import SeriesNotFound
from lake.research.names import Words, choose
from lake.storage.held import Seen, all_listings, seen_instruments
from lake.storage.records import Listing

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage


def gaps(
    storage: Storage,
    instruments: Words | None,
    timeframe: str | TimeFrame | None,
    data_type: str | DataType,
    venue: str | Venue | None,
) -> pl.DataFrame:
    """The gaps of the series chosen; see :meth:`lake.research.Lake.gaps`."""
    import polars as pl

    from lake.quality import explained_gaps

    kind = DataType.from_str(data_type) if isinstance(data_type, str) else data_type
    length = TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
    where = Venue(venue) if isinstance(venue, str) else venue
    held = [each.series for each in storage.catalog.series() if each.series.data_type is kind]
    lengths: Sequence[TimeFrame | None] = [length]
    if length is None and kind is DataType.OHLCV:
        lengths = [each for each in TimeFrame if any(one.timeframe is each for one in held)]
    chosen: dict[Series, None] = {}
    words = "*" if instruments is None else instruments
    for each in lengths if held else ():
        with suppress(SeriesNotFound):
            chosen |= dict.fromkeys(choose(storage, words, kind, each, where).series)
    if held and not chosen:
        # Nowhere: the last length says what is near.
        choose(storage, words, kind, lengths[-1], where)
    return pl.DataFrame(
        [
            (
                gap.series.venue.name,
                gap.series.instrument_id.symbol,
                gap.series.timeframe.value if gap.series.timeframe else None,
                gap.series.data_type.value,
                gap.range.start,
                gap.range.end,
                gap.missing_count,
                gap.reason.value,
                gap.evidence,
            )
            for gap in explained_gaps(storage, list(chosen))
        ],
        schema={
            "venue": pl.String,
            "instrument": pl.String,
            "timeframe": pl.String,
            "data_type": pl.String,
            "gap_start": pl.Datetime("us"),
            "gap_end": pl.Datetime("us"),
            "missing_count": pl.Int64,
            "reason": pl.String,
            "evidence": pl.String,
        },
        orient="row",
    )


def instruments(
    storage: Storage, pattern: str, venue: str | Venue | None, active_at: datetime | None
) -> pl.DataFrame:
    """The instruments known; see :meth:`lake.research.Lake.instruments`."""
    import polars as pl

    where = Venue(venue) if isinstance(venue, str) else venue
    wanted = pattern.upper()
    seen, listings = seen_instruments(storage.database), all_listings(storage.database)
    rows = []
    for each in storage.catalog.instruments(where):
        names = (each.code.upper(), str(each.id).upper(), each.symbol.upper())
        # One that was listed since is left to the next call.
        if each.id not in seen or not any(fnmatchcase(name, wanted) for name in names):
            continue
        for span in _spans(each, seen[each.id], listings.get(each.id)):
            if active_at is None or _traded(each, span, seen[each.id], active_at):
                rows.append((*_columns(each), span.listed_from, span.listed_to, span.evidence))
    text, number, moment = pl.String, pl.Float64, pl.Datetime("us")
    return pl.DataFrame(
        rows,
        schema={
            **dict.fromkeys(("venue", "instrument", "symbol", "native_id", "kind"), text),
            **dict.fromkeys(("base", "quote", "settle"), text),
            **dict.fromkeys(("tick_size", "lot_size", "contract_size"), number),
            "active": pl.Boolean,
            "listed_from": moment,
            "listed_to": moment,
            "evidence": text,
        },
        orient="row",
    )


def _spans(each: Instrument, seen: Seen, listings: Sequence[Listing] | None) -> Sequence[Listing]:
    """When it traded, as far as that is known: what the venue said, else what its rows show."""
    if listings:
        return listings
    start = None if seen.first is None else from_us(seen.first)
    evidence = [] if start is None else [f"its first row is of {iso(start)}"]
    end = None
    if (expiry := expiry_of(each.code)) is not None:
        end = datetime(expiry.year, expiry.month, expiry.day) + timedelta(days=1)
        evidence.append(f"expires on {expiry}")
    elif not each.active and seen.last is not None:
        end = from_us(seen.last + 1)
        evidence.append("not active any more; its last row held is taken for the end")
    return (Listing(start, end, "; ".join(evidence) or "the venue's list"),)


def _traded(each: Instrument, span: Listing, seen: Seen, moment: datetime) -> bool:
    """Whether it is known to have traded at *moment*."""
    if span.listed_to is not None and moment >= span.listed_to:
        return False
    if span.listed_from is not None and moment >= span.listed_from:
        return each.active or span.listed_to is not None
    # Nothing older says so, but the venue lists it as active.
    return span.listed_from is None and each.active and moment >= from_us(seen.told)


def _columns(each: Instrument) -> tuple[object, ...]:
    return (
        each.venue.name,
        each.code,
        each.symbol,
        each.native_id,
        each.kind.value,
        each.base,
        each.quote,
        each.settle,
        each.tick_size,
        each.lot_size,
        each.contract_size,
        each.active,
    )
