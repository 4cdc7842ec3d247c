"""sources and instruments: what can be had, before anything is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import DIRECT, HERE, Line, Place, words
from lake.cli.output import Row, print_rows
from lake.cli.wanted import limit_text
from lake.domain.identifiers import DataType, Instrument, Venue
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.config import Settings
    from lake.sources.capability import Capability
    from lake.storage.lake import Storage


def sources(
    venue: Annotated[tuple[str, ...], Parameter(name=["--venue", "--exchange"])] = (),
    *,
    all_: Annotated[bool, Parameter(name=["--all"])] = False,
    json: bool = False,
) -> int:
    """Show what each venue can give: page size, depth of history, columns, settle lag.

    For example:

      lake sources

      lake sources kraken hyperliquid

    Args:
        venue: Only these; else the venues that the lake reads from their raw endpoints, and
            those whose history is limited.
        all_: Every venue that ccxt knows.
        json: Print one JSON object per venue and data type.
    """
    from lake.sources.capabilities import capabilities

    if venue:
        found = [_capability(each) for each in words(venue)]
    else:
        found = [each for each in capabilities() if all_ or json or each.raw or each.depth_candles]
    print_rows([_source_row(each) for each in found], as_json=json, empty="no such venue")
    if not venue and not all_ and not json:
        print(
            "\nEvery other ccxt venue: page by page through ccxt; `lake sources --all` lists them."
        )
    return 0


def _capability(name: str) -> Capability:
    from lake.sources.capabilities import capability

    try:
        return capability(Venue(name), DataType.OHLCV)
    except InvalidRequest as error:
        # Alone it lists only some of them.
        text = str(error).replace("`lake sources` lists", "`lake sources --all` lists")
        raise InvalidRequest(text) from error


def _source_row(each: Capability) -> Row:
    frames = (
        "as ccxt says"
        if each.timeframes is None
        else " ".join(
            frame.value for frame in sorted(each.timeframes, key=lambda frame: frame.nominal_us)
        )
    )
    return {
        "venue": each.venue.name,
        "data_type": each.data_type,
        "way": "raw" if each.raw else "unified",
        "page_size": each.page_size,
        "newest_only": each.depth_candles,
        "settle_after_s": int(each.settle_after.total_seconds()),
        "extra_columns": len(each.columns) - 6,
        "rank": each.rank,
        "timeframes": frames,
        "limits": limit_text(each) or None,
    }


def instruments(
    venue: Annotated[str, Parameter(name=["--venue", "--exchange"])],
    pattern: Annotated[tuple[str, ...], Parameter(name=["--instrument", "-p"])] = (),
    *,
    refresh: bool = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """List the instruments of a venue: our code, ccxt's symbol, the venue's own id.

    Read from the lake where it knows them, else asked of the venue.

    For example:

      lake instruments binanceusdm 'BTC*'

    Args:
        venue: A ccxt exchange id.
        pattern: Only these: codes, symbols, ids or patterns.
        refresh: Ask the venue even where the lake knows its instruments.
        json: Print one JSON object per instrument.
    """
    from lake.domain.resolve import resolve

    where = Venue(venue)
    listed = _listed(where, place, line, refresh=refresh)
    if pattern:
        chosen = {
            each.code: each for text in words(pattern) for each in resolve(text, where, listed)
        }
        listed = list(chosen.values())
    rows = [_instrument_row(each) for each in sorted(listed, key=lambda each: each.code)]
    print_rows(rows, as_json=json, empty=f"{where} lists no instruments")
    return 0


def _listed(venue: Venue, place: Place, line: Line, *, refresh: bool) -> list[Instrument]:
    import tempfile
    from pathlib import Path

    from lake.cli import interrupt
    from lake.sources.capabilities import capability
    from lake.storage.files import is_lake
    from lake.storage.lake import Storage

    root = place.root_or_new()
    settings = line.settings(root)
    if is_lake(root):
        with Storage.open(root) as storage:
            known = storage.catalog.instruments(venue)
            if known and not refresh:
                return known
            capability(venue, DataType.OHLCV)
            return interrupt.run(lambda _: _asked(storage, settings, venue))
    capability(venue, DataType.OHLCV)
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage.open(Path(folder) / "lake", create=True) as storage,
    ):
        return interrupt.run(lambda _: _asked(storage, settings, venue))


async def _asked(storage: Storage, settings: Settings, venue: Venue) -> list[Instrument]:
    from lake.cli.fetch import engine

    async with engine(storage, settings) as backfill:
        source = await backfill.venues.source(venue)
        listed: list[Instrument] = await source.instruments()
    if settings.base_url is None and not storage.read_only:
        from lake.cli.arguments import utc_now

        storage.catalog.upsert_instruments(listed, fetched_at=utc_now())
    return listed


def _instrument_row(each: Instrument) -> Row:
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
    }
