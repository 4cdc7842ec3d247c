"""sources and instruments: what can be had, before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import DIRECT, HERE, Line, Place, words
from lake.cli.output import Row, print_rows
from lake.cli.wanted import limit_text
from lake.config import DEFAULT_RATE_SHARE
from lake.domain.identifiers import (
    DataType,
    Instrument,
    InstrumentId,
    InstrumentKind,
    Venue,
    expiry_of,
)
from lake.errors import InvalidRequest

_SOURCE_COLUMNS = (
    "venue",
    "data_type",
    "way",
    "reach",
    "page_size",
    "weight",
    "rows_per_minute",
    "settle_after_s",
    "extra_columns",
    "rank",
    "kinds",
    "holds",
    "timeframes",
    "limits",
)

if TYPE_CHECKING:
    from lake.config import Settings
    from lake.sources.capability import Capability
    from lake.storage.lake import Storage
    from lake.storage.records import Listing


def sources(
    venue: Annotated[tuple[str, ...], Parameter(name=["--venue", "--exchange"])] = (),
    *,
    type_: Annotated[str | None, Parameter(name=["--type"])] = None,
    all_: Annotated[bool, Parameter(name=["--all"])] = False,
    archives: bool = False,
    json: bool = False,
) -> int:
    """Show what each venue gives of each data type: how far back, at what cost, and what it lacks.

    For example:

      lake sources

      lake sources kraken hyperliquid

      lake sources --type trades

      lake sources --archives

    way: raw (the venue's own endpoint) or unified (through ccxt). page_size: rows of one answer.
    weight: what an answer takes of the venue's rate limit. settle_after_s: how old a row is before
    it counts as final. extra_columns: columns of candles beyond the usual six. rank: who wins
    where two sources differ, the higher. holds: what stored rows are, and are not mixed with.

    Args:
        venue: Only these, with all types; else the venues that the lake reads from their raw
            endpoints, and those whose history is limited.
        type_: Only this type: ohlcv, trades, funding_rates or orderbook.
        all_: Every venue that ccxt knows.
        archives: The files that `lake import` reads instead: whose, of what, and their names.
        json: Print one JSON object per venue and data type, or per kind of file.
    """
    kinds = list(DataType) if type_ is None else [DataType.from_str(type_)]
    if archives:
        print_rows(_archives(words(venue), kinds), as_json=json, empty="no such files")
        return 0
    if venue:
        for each in words(venue):
            _require_known(Venue(each))
        rows = [_row_of(Venue(each), kind) for each in words(venue) for kind in kinds]
    else:
        rows = _overview(kinds, is_whole=all_ or json)
    print_rows(rows, as_json=json, empty="no such venue")
    if not json:
        print(
            f"\nrows_per_minute: with the default share ({DEFAULT_RATE_SHARE:g}) of the venue's "
            "limit; of books, snapshots of 20 levels."
        )
        if not venue and not all_:
            print(
                "Every other ccxt venue: page by page through ccxt; `lake sources --all` lists "
                "them."
            )
    return 0


def _archives(venues: Sequence[str], kinds: Sequence[DataType]) -> list[Row]:
    """The formats of files that hold some of *kinds*, of all venues or of some of *venues*."""
    from lake.sources.archive import FORMATS

    wanted = {Venue(each) for each in venues}
    return [
        {
            "format": each.name,
            "files": each.files,
            "data_types": " ".join(map(str, each.data_types)),
            "venues": " ".join(map(str, each.venues)) or "any",
        }
        for each in FORMATS
        if any(kind in kinds for kind in each.data_types)
        and (not wanted or not each.venues or wanted & set(each.venues))
    ]


def _require_known(venue: Venue) -> None:
    from lake.sources.capabilities import capability

    capability(venue, DataType.OHLCV)


def _overview(kinds: Sequence[DataType], *, is_whole: bool) -> list[Row]:
    """Venues in the order of the table, each with all *kinds*."""
    from lake.sources.capabilities import capabilities

    named = dict.fromkeys(
        each.venue
        for kind in DataType
        for each in capabilities(kind)
        if is_whole or each.raw or each.rows or each.depth_candles
    )
    return [_row_of(venue, kind) for venue in named for kind in kinds]


def _row_of(venue: Venue, kind: DataType) -> Row:
    from lake.sources.capabilities import capability

    try:
        return _source_row(capability(venue, kind))
    except InvalidRequest:
        return _refused_row(venue, kind)


def _refused_row(venue: Venue, kind: DataType) -> Row:
    from lake.sources.capabilities import refusal

    why = refusal(venue, kind).rstrip(".")
    row: Row = dict.fromkeys(_SOURCE_COLUMNS)
    return row | {
        "venue": venue.name,
        "data_type": kind,
        "way": "none",
        "reach": "nothing",
        "limits": why[:1].upper() + why[1:],
    }


def _source_row(each: Capability) -> Row:
    from lake.sources.costs import cost_of

    cost = cost_of(each) if each.raw or each.rows else None
    values: tuple[object, ...] = (
        each.venue.name,
        each.data_type,
        "raw" if each.raw or each.rows else "unified",
        _reach(each),
        each.page_size,
        None if cost is None else cost.weight,
        None if cost is None else cost.rows_per_minute(DEFAULT_RATE_SHARE),
        int(each.settle_after.total_seconds()),
        # What the schema has beside what every candle has: where the venue says it.
        len(each.columns) - 6 if each.data_type is DataType.OHLCV else None,
        each.rank,
        None if each.kinds is None else " ".join(sorted(kind.value for kind in each.kinds)),
        None if each.variant is None else each.variant.format(depth="DEPTH"),
        _timeframes(each),
        limit_text(each) or None,
    )
    return dict(zip(_SOURCE_COLUMNS, values, strict=True))


def _reach(each: Capability) -> str:
    """How far back from now rows can be had."""
    if each.depth_candles is not None:
        return f"newest {each.depth_candles:,}"
    if each.depth is None:
        return "all"
    return f"{each.depth.days} days" if each.depth else "now only"


def _timeframes(each: Capability) -> str | None:
    if each.data_type is not DataType.OHLCV:
        return None
    if each.timeframes is None:
        return "as ccxt says"
    return " ".join(
        frame.value for frame in sorted(each.timeframes, key=lambda frame: frame.nominal_us)
    )


def instruments(
    venue: Annotated[str, Parameter(name=["--venue", "--exchange"])],
    pattern: Annotated[
        tuple[str, ...], Parameter(name=["--instrument", "--instruments", "--pairs", "-p"])
    ] = (),
    *,
    kind: Annotated[str | None, Parameter(name=["--kind"])] = None,
    refresh: bool = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """List the instruments of a venue: names, kind, sizes, and since when and until when listed.

    Read from the lake where it knows them, else asked of the venue. Sizes of contracts are in the
    base asset (linear) or the quote asset (inverse); a listing is known where it was ever seen.

    For example:

      lake instruments binanceusdm 'BTC*'

      lake instruments okx '*USDT-PERP' --kind linear

    Args:
        venue: A ccxt exchange id.
        pattern: Only these: codes, symbols, ids or patterns.
        kind: Only this kind: spot, linear, inverse or option.
        refresh: Ask the venue even where the lake knows its instruments.
        json: Print one JSON object per instrument.
    """
    from lake.domain.resolve import resolve

    where = Venue(venue)
    chosen_kind = None if kind is None else _kind(kind)
    listed, listings = _listed(where, place, line, refresh=refresh)
    if pattern:
        chosen = {
            each.code: each for text in words(pattern) for each in resolve(text, where, listed)
        }
        listed = list(chosen.values())
    rows = [
        _instrument_row(each, listings.get(each.id))
        for each in sorted(listed, key=lambda each: each.code)
        if chosen_kind is None or each.kind is chosen_kind
    ]
    print_rows(rows, as_json=json, empty=f"{where} lists no such instruments")
    return 0


def _kind(text: str) -> InstrumentKind:
    try:
        return InstrumentKind(text.strip().lower())
    except ValueError:
        names = ", ".join(each.value for each in InstrumentKind)
        raise InvalidRequest(f"--kind {text!r} is not known. Use one of: {names}.") from None


def _listed(
    venue: Venue, place: Place, line: Line, *, refresh: bool
) -> tuple[list[Instrument], dict[InstrumentId, Listing]]:
    """The venue's instruments, and the listings that the lake knows of them."""
    from lake.cli.fetch import run_in_passing
    from lake.sources.capabilities import capability
    from lake.storage.files import is_lake
    from lake.storage.lake import Storage

    root = place.root_or_new()
    settings = line.settings(root)
    if is_lake(root):
        with Storage.open(root) as storage:
            known = storage.catalog.instruments(venue)
            if known and not refresh:
                return known, _listings(storage, known)
    capability(venue, DataType.OHLCV)

    async def ask(storage: Storage) -> tuple[list[Instrument], dict[InstrumentId, Listing]]:
        listed = await _asked(storage, settings, venue)
        return listed, _listings(storage, listed)

    return run_in_passing(place, ask)


def _listings(storage: Storage, instruments: Iterable[Instrument]) -> dict[InstrumentId, Listing]:
    """The newest listing of each; the first row ever seen where no listing was told."""
    from lake.storage.records import Listing

    found: dict[InstrumentId, Listing] = {}
    for info in storage.catalog.series():
        first = storage.catalog.first_available(info.series)
        known = found.get(info.series.instrument_id)
        if first and (known is None or known.listed_from is None or first < known.listed_from):
            found[info.series.instrument_id] = Listing(first, None, "first row")
    for each in instruments:
        if told := storage.catalog.listings(each.id):
            found[each.id] = told[-1]
    return found


async def _asked(storage: Storage, settings: Settings, venue: Venue) -> list[Instrument]:
    from lake.cli.fetch import engine

    async with engine(storage, settings) as backfill:
        source = await backfill.venues.exchange(venue)
        listed: list[Instrument] = await source.instruments()
    if settings.base_url is None and not storage.read_only:
        from lake.cli.arguments import utc_now

        storage.catalog.upsert_instruments(listed, fetched_at=utc_now())
    return listed


def _instrument_row(each: Instrument, listing: Listing | None) -> Row:
    expiry = expiry_of(each.code)
    expired = None if expiry is None else datetime(expiry.year, expiry.month, expiry.day)
    return {
        "venue": each.venue.name,
        "instrument": each.code,
        "symbol": each.symbol,
        "native_id": each.native_id,
        "kind": each.kind.value,
        "base": each.base,
        "quote": each.quote,
        "settle": each.settle,
        "tick_size": each.tick_size,
        "lot_size": each.lot_size,
        "contract_size": each.contract_size,
        "active": each.active,
        "listed_from": None if listing is None else listing.listed_from,
        "listed_to": (None if listing is None else listing.listed_to) or expired,
    }
