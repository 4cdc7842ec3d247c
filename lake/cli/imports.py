"""import: vendors' archive files into the lake."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import DIRECT, HERE, Place, announce, span_of
from lake.cli.output import Row, print_error, print_rows, print_table, seconds_text
from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.ingestion.imports import FileOutcome, ImportEvent, ImportReport
    from lake.sources.archive.mapping import Unit
    from lake.sources.archive.mapping_text import MappingFile
    from lake.storage.lake import Storage


def import_(
    path: tuple[Path, ...],
    *,
    venue: Annotated[str | None, Parameter(name=["--venue", "--exchange"])] = None,
    instrument: Annotated[str | None, Parameter(name=["--instrument", "-p"])] = None,
    type_: Annotated[str | None, Parameter(name=["--type"])] = None,
    timeframe: Annotated[str | None, Parameter(name=["--timeframe", "-t"])] = None,
    timezone: str | None = None,
    unit: str | None = None,
    map_: Annotated[str | None, Parameter(name=["--map"])] = None,
    mapping: Path | None = None,
    ignore: str | None = None,
    constant: Annotated[str | None, Parameter(name=["--set"])] = None,
    sides: str | None = None,
    time_format: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    every: str | None = None,
    depth: int | None = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Store the rows of vendors' archive files: zips or CSVs, or folders of them.

    The format is recognised; a file is stored wholly or not at all. Makes the lake where there
    is none.

    For example:

      lake import ~/Downloads/BTCUSDT-1m-2024-01.zip

      lake import archives/ --venue binanceusdm

      lake import data/spot/daily/aggTrades/BTCUSDT/

      lake import my.csv --venue KRAKEN --instrument BTC/USD --type trades
        --map ts=time,price=px,quantity=size,side --timezone Europe/Berlin

    `lake sources --archives` lists what is known, and how such files are called.

    Args:
        path: Files and folders; a folder is searched for archives.
        venue: Where the files' names do not say it, or to insist on one.
        instrument: Likewise: code, id or ccxt symbol.
        type_: Likewise: ohlcv, trades or funding_rates.
        timeframe: Likewise: 1m, 1h ...
        timezone: The zone of times that say none, where it is not UTC: Europe/Berlin, +03:00.
        unit: What amounts are in: base, quote, or contracts:SIZE.
        map_: What the columns of files mean that are of no known format: OURS=THEIRS,... by name,
            or by number from 1.
        mapping: The same, and all the rest, in a TOML file (docs/importing.md).
        ignore: Columns that are left out on purpose: A,B.
        constant: What every row is: side=buy.
        sides: Their words for sides: 1=buy,2=sell.
        time_format: How times are written, as strptime takes it: %d.%m.%Y %H:%M.
        delimiter: Of a CSV: one character, or tab.
        header: Whether a CSV's first line names its columns; seen by its first line otherwise.
        every: How often an order book rebuilt from changes is sampled: 1s (the default), 1m ...
        depth: Levels a side of such a book, 20 by default.
        json: Print one JSON object per file.
    """
    told = _mapping(
        mapping, map_, ignore, constant, sides, time_format, delimiter, timezone, header=header
    )
    chosen_venue = None if venue is None else Venue(venue)
    chosen_type = None if type_ is None else DataType.from_str(type_)
    sampled_every = None if every is None else span_of(every, flag="--every")
    if sampled_every is not None and not sampled_every:
        raise InvalidRequest("--every must be longer than nothing: 1s, 1m ...")
    if depth is not None and depth < 1:
        raise InvalidRequest("--depth is the levels of a side: 1 or more.")
    chosen_timeframe = None if timeframe is None else TimeFrame.from_str(timeframe)
    from lake.ingestion.imports import import_files

    if told is not None:
        chosen_venue = chosen_venue or told.venue
        instrument = instrument or told.instrument
        chosen_type = chosen_type or told.data_type
        chosen_timeframe = chosen_timeframe or told.timeframe
    chosen_unit = None if unit is None else _unit(unit)
    settings = DIRECT.settings(place.root_or_new())
    with place.open_or_create() as storage:
        report = import_files(
            storage,
            path,
            venue=chosen_venue,
            instrument=instrument,
            data_type=chosen_type,
            timeframe=chosen_timeframe,
            timezone=timezone,
            unit=chosen_unit,
            mapping=None if told is None else told.mapping,
            every=sampled_every,
            depth=depth,
            min_free=settings.min_free,
            on_event=_Watch() if sys.stderr.isatty() else None,
        )
        rows = [_row(storage, each) for each in report.files]
        if report.jobs:
            announce(storage)
    _print_report(report, rows, as_json=json)
    return report.exit_code


def _unit(text: str) -> Unit:
    from lake.sources.archive.mapping import Unit

    return Unit.from_str(text)


def _mapping(
    file: Path | None,
    columns: str | None,
    ignore: str | None,
    constants: str | None,
    sides: str | None,
    time_format: str | None,
    delimiter: str | None,
    timezone: str | None,
    *,
    header: bool | None,
) -> MappingFile | None:
    """What was said of columns, on the command line and in a file; None where nothing was."""
    if file is None and columns is None:
        if any(each is not None for each in (ignore, constants, sides, time_format, delimiter)):
            raise InvalidRequest(
                "--ignore, --set, --sides, --time-format and --delimiter say how a mapped file is "
                "read. Say what its columns mean: --map ts=COLUMN,... or --mapping FILE."
            )
        return None
    from lake.sources.archive.mapping_text import (
        MappingFile,
        joined,
        mapping_of,
        names_of,
        pairs_of,
        read_mapping,
    )

    said = mapping_of(
        pairs_of(columns, option="--map"),
        constants=pairs_of(constants, option="--set"),
        ignore=names_of(ignore),
        sides=pairs_of(sides, option="--sides"),
        header=header,
        delimiter=delimiter,
        time_format=time_format,
        timezone=timezone,
    )
    return MappingFile(said) if file is None else joined(read_mapping(file), said)


class _Watch:
    """One line that is written over, on a terminal only: how many files are done."""

    def __init__(self) -> None:
        self._files = 0

    def __call__(self, event: ImportEvent) -> None:
        from lake.ingestion.imports import FileOutcome

        if isinstance(event, FileOutcome):
            self._files += 1
            print(f"\r\x1b[K{self._files:,} files: {event.path.name}", end="", file=sys.stderr)


def _print_report(report: ImportReport, rows: list[Row], *, as_json: bool) -> None:
    from lake.ingestion.imports import FileState

    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    if as_json:
        print_rows(rows, as_json=True, empty="")
    else:
        counts = ", ".join(
            f"{report.count(state):,} {state.value}" for state in FileState if report.count(state)
        )
        print(
            f"{report.rows_added:,} rows added, {report.rows_changed:,} changed "
            f"in {seconds_text(report.seconds)}; files: {counts or 'none found'}"
        )
        if rows:
            print_table([_short(row) for row in rows])
    for each in report.files:
        if each.state is FileState.REFUSED:
            print_error("lake import", _reason(each))


def _reason(each: FileOutcome) -> str:
    """Why a file was refused, in one line that names it."""
    reason = " ".join(each.reason.split())
    return reason if each.path.name in reason else f"{each.path.name}: {reason}"


def _notes(storage: Storage, each: FileOutcome) -> list[str]:
    """What the file's rows gave reason to note, as the catalog keeps it."""
    if each.series is None or each.window is None or not each.notes:
        return []
    noted = storage.catalog.notes(each.series)
    return [str(note.text) for note in noted if note.ts in each.window]


def _row(storage: Storage, each: FileOutcome) -> Row:
    series = each.series
    return {
        "file": str(each.path),
        "state": each.state.value,
        "venue": None if series is None else series.venue.name,
        "instrument": None if series is None else series.instrument_id.symbol,
        "timeframe": None if series is None else series.timeframe,
        "data_type": None if series is None else series.data_type,
        "start": None if each.window is None else each.window.start,
        "end": None if each.window is None else each.window.end,
        "rows": each.rows,
        "rejected": each.rejected,
        "notes": _notes(storage, each),
        "reason": _reason(each) if each.reason else None,
    }


def _short(row: Row) -> Row:
    """For people: the file's name without its folder, and no reason, which stderr tells."""
    short = {name: value for name, value in row.items() if name not in ("reason", "data_type")}
    notes = row["notes"]
    assert isinstance(notes, list)
    return short | {"file": Path(str(row["file"])).name, "notes": len(notes)}
