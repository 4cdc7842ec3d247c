"""archive: the vendors' files that were taken in, and whether they were published anew."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from lake.cli.arguments import DIRECT, HERE, Line, Place, words
from lake.cli.fetch import engine
from lake.cli.holdings import Instruments, Timeframes, TypeName, VenueName, chosen_series
from lake.cli.output import Row, counted, print_error, print_rows
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lake.config import Settings
    from lake.domain.identifiers import Series
    from lake.ingestion.archive_verify import Mended, Verdict
    from lake.storage.archive_files import KnownFile
    from lake.storage.lake import Storage

FAILED, VIOLATIONS, PARTLY = 1, 3, 4
app = App(name="archive", help="Vendors' archive files: which were taken in, which have changed.")


@app.default
@app.command(name="list")
def list_files(
    *,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    state: Annotated[list[str] | None, Parameter(name=["--state"])] = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """List the files that were taken in, and those that the vendor does not have.

    For example:

      lake archive list --state absent

    Args:
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        state: Only these: stored, absent (the vendor has no such file), refused.
        json: Print one JSON object per file.
    """
    states = set(words(state or ()))
    if unknown := states - {"stored", "absent", "refused"}:
        raise InvalidRequest(
            f"--state {' '.join(sorted(unknown))} is none. Use stored, absent or refused."
        )
    with place.open() as storage:
        chosen = set(chosen_series(storage, venue, instrument, timeframe, type_))
        rows = [
            _row(series, file)
            for series, file in storage.archives.all()
            if series in chosen and (not states or file.state.value in states)
        ]
    print_rows(rows, as_json=json, empty="no file of an archive was taken in")
    return 0


@app.command
def verify(
    *,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    changed: bool = False,
    fix: bool = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Compare the files that were taken in with the checksums that their vendor publishes today.

    Ends with 3 where a file was published anew. With --fix those are downloaded and taken in
    again: their ranges become what they hold now, and the old rows stay in `revisions`. Ends
    with 4 where some of them could not be, with 1 where none could.

    For example:

      lake archive verify --venue binance --changed

      lake archive verify --fix

    Args:
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        changed: List only files that have changed.
        fix: Take changed files in again.
        json: Print one JSON object per file.
    """
    from lake.cli import interrupt

    settings = line.settings(place.root())
    with place.open_to_write() if fix else place.open() as storage:
        chosen = set(chosen_series(storage, venue, instrument, timeframe, type_))
        found, mended = interrupt.run(
            lambda _: _verified(storage, settings, chosen, should_mend=fix)
        )
    differing = [each for each in found if each.standing.value == "changed"]
    rows = [_row(each.series, each.file) | {"state": each.standing.value} for each in found]
    if changed:
        rows = [row for row, each in zip(rows, found, strict=True) if each in differing]
    empty = "no file has changed" if found else "no file that its vendor publishes was taken in"
    print_rows(rows, as_json=json, empty=empty)
    if not json:
        print(f"{counted(len(found), 'file')} compared, {_what_came(differing, mended, fix=fix)}")
    problems = [each.problem for each in mended if each.problem is not None]
    for problem in problems:
        print_error("lake archive verify", problem)
    if problems:
        return FAILED if len(problems) == len(mended) else PARTLY
    return VIOLATIONS if differing and not fix else 0


async def _verified(
    storage: Storage, settings: Settings, chosen: set[Series], *, should_mend: bool
) -> tuple[Sequence[Verdict], Sequence[Mended]]:
    """How every file stands, and what came of those that were to be taken in again."""
    from lake.ingestion.archive_verify import Standing, mend, verify

    async with engine(storage, settings) as backfill:
        found = await verify(storage, backfill.archives, wanted=chosen)
        differing = [each for each in found if each.standing is Standing.CHANGED]
        if not should_mend or not differing:
            return found, []
        print(f"taking in {counted(len(differing), 'file')} again", file=sys.stderr, flush=True)
        return found, await mend(storage, backfill.archives, differing)


def _what_came(differing: Sequence[Verdict], mended: Sequence[Mended], *, fix: bool) -> str:
    if not fix:
        return f"{len(differing):,} changed"
    failed = sum(each.problem is not None for each in mended)
    told = f"{len(mended) - failed:,} taken in again"
    return f"{told}, {failed:,} could not be" if failed else told


def _row(series: Series, file: KnownFile) -> Row:
    return {
        "venue": series.venue.name,
        "instrument": series.instrument_id.symbol,
        "timeframe": series.timeframe,
        "data_type": series.data_type,
        "file": file.name,
        "state": file.state,
        "start": None if file.window is None else file.window.start,
        "end": None if file.window is None else file.window.end,
        "rows": file.rows,
        "bytes": file.bytes,
        "checked_at": file.checked_at.replace(microsecond=0),
        "reason": file.reason,
    }
