"""report: the lake's quality as one HTML file to look at, to mail or to publish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place, utc_now
from lake.cli.holdings import Instruments, Timeframes, TypeName, VenueName, chosen_series
from lake.cli.output import counted, print_rows, shown_path, size_text
from lake.errors import InvalidRequest, StorageError


def report(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("quality.html"),
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Write the lake's quality as one HTML file, which needs no network to be opened.

    It shows how complete each series is month by month, every gap with its reason, the candles
    around the most serious ones, what the checks found, jobs, and what is stored. docs/report.md
    says what the colours mean.

    For example:

      lake report

      lake report --output site/index.html --data /srv/lake

      lake report --venue binance --timeframe 1h,1d -o hours.html

    Args:
        output: The file to write; one that is there is replaced.
        venue: Only this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        json: Print one JSON object: path, bytes, series, gaps.
    """
    root = place.root()
    _require_place(output, root)
    narrowed = any((venue, instrument, timeframe, type_))
    with place.open() as storage:
        from lake.report import gather, make_page

        chosen = chosen_series(storage, venue, instrument, timeframe, type_)
        facts = gather(storage, chosen, now=utc_now(), narrowed=narrowed)
    page = make_page(facts).encode()
    try:
        _write(page, output)
    except OSError as error:
        raise StorageError(
            f"The report cannot be written to {output}: {error.strerror or error}. Name another "
            "file with --output."
        ) from error
    if json:
        row = {"path": shown_path(output), "bytes": len(page)}
        print_rows([row | {"series": len(chosen), "gaps": facts.gaps}], as_json=True, empty="")
    else:
        held = f"{len(chosen):,} series, {counted(facts.gaps, 'gap')}"
        print(f"{shown_path(output)}: {size_text(len(page))}, {held}")
    return 0


def _require_place(output: Path, root: Path) -> None:
    """Refuse what cannot be written, before the lake is read.

    Raises:
        InvalidRequest: A folder, a file in none, or a place among the lake's own files.
    """
    if output.is_dir():
        raise InvalidRequest(
            f"{output} is a folder. Name a file in it: --output {output / 'quality.html'}."
        )
    if not output.absolute().parent.is_dir():
        raise InvalidRequest(
            f"There is no folder {output.absolute().parent} to write {output.name} to. Make it "
            "first, or name another file with --output."
        )
    place = output.resolve()
    lake = root.resolve()
    # A page may lie at the top of the lake's folder, where the default puts it for who works there.
    if place.is_relative_to(lake) and (place.parent != lake or place.suffix not in _ENDINGS):
        raise InvalidRequest(
            f"{output} lies among the files of the lake at {root.absolute()}, which a report must "
            "not join. Name a file outside of it: --output quality.html."
        )


_ENDINGS = (".html", ".htm")


def _write(page: bytes, output: Path) -> None:
    """Write the whole page or nothing: what was there stays until the new one is complete."""
    if output.exists() and not output.is_file():
        output.write_bytes(page)  # a device or a pipe cannot be replaced
        return
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
