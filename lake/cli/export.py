"""export: rows of series as files of other programs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place, utc_now, words
from lake.cli.holdings import Timeframes, VenueName
from lake.cli.output import Row, noun, print_rows
from lake.cli.retention import TypesOrAny
from lake.cli.series import Filters, named_series, one_type
from lake.domain.identifiers import DataType
from lake.domain.times import iso, parse_moment
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.exporting import Target
    from lake.domain.identifiers import Series
    from lake.storage.lake import Storage

Format = Literal["csv", "parquet", "freqtrade", "nautilus"]
Bounds = tuple[datetime | None, datetime | None]
_PATTERN = frozenset("*?[")
# What goes into one folder where nobody says which types are wanted: all that has a place there.
_CANDLES_AND_TRADES = {DataType.OHLCV, DataType.TRADES}
_TYPES = {
    "freqtrade": {*_CANDLES_AND_TRADES, DataType.FUNDING_RATES},
    "nautilus": _CANDLES_AND_TRADES,
}


def export(
    series: Annotated[
        list[str],
        Parameter(
            name=["SERIES", "--series", "--instrument", "--instruments", "--pairs", "-p"],
            consume_multiple=True,
        ),
    ],
    /,
    *,
    format_: Annotated[Format, Parameter(name=["--format"])],
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    type_: TypesOrAny = None,
    venue: VenueName = None,
    timeframe: Timeframes = None,
    start: str | None = None,
    end: str | None = None,
    force: bool = False,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Write rows of the lake to files of other programs; says what of the range is missing.

    csv and parquet: one file; its columns are the table's own for one id, with venue and
    instrument in front for several or a pattern. Times are UTC, in CSV ISO text.

    freqtrade: --output is its folder of one venue, for example user_data/data/binance; files get
    the names it looks for, in futures/ for derivatives.

    nautilus: --output is a catalog of nautilus_trader, which has to be installed.

    For example:

      lake export BTCUSDT.BINANCE --timeframe 1h --format csv --output btc.csv

      lake export '*USDT.BINANCE' --timeframe 1d --format parquet --output daily.parquet

      lake export '*' --venue binance --format freqtrade --output user_data/data/binance

    Args:
        series: Whose rows: ids, codes or patterns.
        format_: csv, parquet, freqtrade (feather) or nautilus.
        output: A file, or for freqtrade and nautilus a folder; never inside a lake.
        type_: What of them: ohlcv, trades, orderbook, funding_rates; needed for csv and parquet
            where several are held.
        venue: Only this venue.
        timeframe: Only candles of these timeframes; needed for csv and parquet where several
            are held.
        start: First moment wanted, UTC (default: all that is held).
        end: First moment not wanted any more, UTC (default: all that is held).
        force: Replace files that are there.
        json: Print one JSON object per file.
    """
    bounds = _bounds(start, end)
    with place.open() as storage:
        _require_outside(output, storage.root)
        filters = Filters(types=type_, venue=venue, timeframes=timeframe)
        chosen = _held(storage, named_series(storage, series, filters), bounds)
        if not type_ and format_ in _TYPES:
            chosen = _with_a_place(chosen, format_)
        if format_ == "nautilus":
            from lake.cli import nautilus

            written = nautilus.write(storage, chosen, bounds, output)
        else:
            from lake.cli.exporting import publish

            if format_ == "freqtrade":
                targets = _freqtrade(storage, chosen, bounds, output)
            else:
                targets = [
                    _one_file(
                        storage, chosen, bounds, output, format_, _names(series, chosen, timeframe)
                    )
                ]
            counts = publish(targets, force=force)
            written = list(zip((each.path for each in targets), counts, strict=True))
        _tell_missing(storage, chosen, bounds)
    rows: list[Row] = [{"file": str(path.absolute()), "rows": count} for path, count in written]
    print_rows(rows, as_json=json, empty="")
    return 0


def _with_a_place(chosen: list[Series], format_: str) -> list[Series]:
    """Those of *chosen* that *format_* has a place for; says which types are left out."""
    fitting = [each for each in chosen if each.data_type in _TYPES[format_]]
    if not fitting:
        return chosen
    left = Counter(each.data_type for each in chosen if each not in fitting)
    for kind, count in left.items():
        print(
            f"left out: {count:,} series of {kind}, for which {format_} has no place",
            file=sys.stderr,
        )
    return fitting


def _bounds(start: str | None, end: str | None) -> Bounds:
    now = utc_now()
    first = None if start is None else parse_moment(start, now=now)
    last = None if end is None else parse_moment(end, now=now)
    if first is not None and last is not None and first >= last:
        raise InvalidRequest(
            f"The range from {start} to {end} is empty: --end must be after --start."
        )
    return first, last


def _require_outside(output: Path, root: Path) -> None:
    """Refuse to write into a lake, by whatever name: that is no place for other files."""
    from lake.storage.files import is_lake

    place = output.resolve()
    for lake in (root.resolve(), *(each for each in (place, *place.parents) if is_lake(each))):
        if place.is_relative_to(lake):
            raise InvalidRequest(
                f"{output} lies in the lake at {lake}, where only the lake writes. "
                "Name a place outside of it."
            )


def _held(storage: Storage, chosen: Sequence[Series], bounds: Bounds) -> list[Series]:
    """Those of *chosen* that may have rows in the range.

    Raises:
        InvalidRequest: None of them has.
    """
    from lake.domain.times import to_us
    from lake.storage.held import held_files

    low, high = (None if each is None else to_us(each) for each in bounds)
    held = [each for each in chosen if held_files(storage.database, each, low, high)]
    if not held:
        names = ", ".join(str(each) for each in chosen[:5])
        raise InvalidRequest(
            f"Nothing is held of {names} from {_told(bounds[0], 'the beginning')} to "
            f"{_told(bounds[1], 'now')}. `lake status` shows what is."
        )
    return held


def _told(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else iso(moment)


def _names(
    asked: Sequence[str], chosen: Sequence[Series], frames: Sequence[str] | None
) -> list[str]:
    """The columns that say whose a row is. By how was asked, not by how much was found."""
    one_type(chosen)
    lengths = list(dict.fromkeys(str(each.timeframe) for each in chosen))
    if len(lengths) > 1 and not frames:
        raise InvalidRequest(
            f"That means candles of {len(lengths)} timeframes: {', '.join(lengths)}. "
            f"Say which with --timeframe, for example --timeframe {lengths[0]}."
        )
    single = len(words(asked)) == 1 and _PATTERN.isdisjoint(asked[0])
    several = len({each.instrument_id for each in chosen}) > 1
    named = ["venue", "instrument"] if several or not single else []
    return [*named, "timeframe"] if len(lengths) > 1 else named


def _one_file(
    storage: Storage,
    chosen: Sequence[Series],
    bounds: Bounds,
    path: Path,
    format_: Literal["csv", "parquet"],
    names: Sequence[str],
) -> Target:
    import pyarrow as pa

    from lake.cli.exporting import Target, named, open_csv, open_parquet, rows_of_series
    from lake.domain.schemas import ROW_SPECS

    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder. Name a file: --output {path}/rows.{format_}.")
    schema = ROW_SPECS[chosen[0].data_type].schema
    for place, name in enumerate(names):
        schema = schema.insert(place, pa.field(name, pa.string()))

    def tables() -> Iterator[pa.Table]:
        for each in chosen:
            yield from named(each, names, rows_of_series(storage, each, *bounds))

    return Target(path, schema, tables(), open_csv if format_ == "csv" else open_parquet)


def _freqtrade(
    storage: Storage, chosen: Sequence[Series], bounds: Bounds, folder: Path
) -> list[Target]:
    from lake.cli import freqtrade
    from lake.cli.exporting import Target, open_feather, rows_of_series

    targets: dict[Path, tuple[Series, Target]] = {}
    for each in chosen:
        instrument = storage.catalog.instrument(each.instrument_id)
        if instrument is None:
            raise InvalidRequest(
                f"The catalog does not know ccxt's name of {each.instrument_id}, and freqtrade's "
                f"files are named by it. `lake instruments {each.venue.ccxt_id}` fetches the list."
            )
        path = folder / freqtrade.file_name(each, instrument)
        if path in targets:
            raise InvalidRequest(
                f"{targets[path][0]} and {each} have one file for freqtrade, {path.name}. "
                "Export one venue at a time: --venue."
            )
        rows = freqtrade.converted(each.data_type, rows_of_series(storage, each, *bounds))
        target = Target(path, freqtrade.schema(each.data_type), rows, open_feather)
        targets[path] = (each, target)
    return [target for _, target in targets.values()]


def _tell_missing(storage: Storage, chosen: Sequence[Series], bounds: Bounds) -> None:
    """Say on stderr what of the range was not there to be exported, and why."""
    from lake.domain.held import SeriesFiles
    from lake.domain.times import to_us
    from lake.storage.held import held_files
    from lake.store.missing import Window, missing

    low, high = (None if each is None else to_us(each) for each in bounds)
    for each in chosen:
        files = SeriesFiles(each, held_files(storage.database, each, low, high) or [])
        counts: Counter[str] = Counter()
        unknown: set[str] = set()
        for gap in missing(storage, [files], Window(*bounds)):
            if gap.missing_count is None:
                unknown.add(gap.reason.value)
            else:
                counts[gap.reason.value] += gap.missing_count
        told = [f"{count:,} {reason}" for reason, count in sorted(counts.items())]
        told += [f"nobody knows how many {reason}" for reason in sorted(unknown)]
        if told:
            print(
                f"{each}: {noun(each.data_type)} of the range are missing: {', '.join(told)}. "
                "`lake gaps` lists them.",
                file=sys.stderr,
            )
