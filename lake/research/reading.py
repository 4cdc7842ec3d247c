"""Reads for research: the rows, and the truth about what of the range is not among them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from lake.domain.held import SeriesFiles
from lake.domain.identifiers import DataType, Series
from lake.domain.schemas import ROW_SPECS
from lake.errors import InvalidRequest
from lake.research.wholeness import OnGap, tell
from lake.store.missing import Window, missing
from lake.store.reads import files_of, with_files

if TYPE_CHECKING:
    import polars as pl

    from lake.domain.gaps import Gap
    from lake.research.names import Chosen
    from lake.storage.lake import Storage
    from lake.warehouse.reader import Rows

# From here to the line of the caller: read or scan, the method of Lake, then theirs.
_STACK = 3


def read(
    storage: Storage,
    chosen: Chosen,
    window: Window,
    columns: Sequence[str] | None,
    on_gap: OnGap,
    *,
    wide: bool = False,
) -> pl.DataFrame:
    """The rows of *window*, in the shape that was asked for; see :class:`lake.research.Lake`."""
    from lake.warehouse import panel
    from lake.warehouse.reader import read_rows, require_columns, with_names

    spec = ROW_SPECS[chosen.series[0].data_type]
    if on_gap is OnGap.FILL and spec.data_type is not DataType.OHLCV:
        raise InvalidRequest(
            f"on_gap='fill' was asked of {spec.data_type}: only candles can be filled. "
            "Use warn, raise or ignore."
        )
    names = require_columns(spec, columns)
    if wide:
        names = [name for name in names if name != "ts"]
    if not names:
        raise InvalidRequest("A wide frame has ts anyhow: name another column.")
    needed = dict.fromkeys(["ts", *names] if wide else names)
    if on_gap is OnGap.FILL:
        needed |= dict.fromkeys(("ts", "close"))

    def act(files: list[SeriesFiles]) -> tuple[Rows, list[SeriesFiles]]:
        bounds = {"start": window.start, "end": window.end}
        return read_rows(storage.parquet, spec, files, list(needed), **bounds), files

    rows, files = with_files(storage, chosen.series, window.start, window.end, act)
    if on_gap is not OnGap.IGNORE:
        gaps = missing(storage, files, window)
        if on_gap is OnGap.FILL:
            rows = _filled(rows, chosen.series, _end(storage, window))
            # Before the first candle there is no price to fill with.
            firsts = dict(zip(chosen.series, _firsts(rows), strict=True))
            gaps = [gap for gap in gaps if _is_before(gap, firsts[gap.series])]
        tell(gaps, on_gap, stacklevel=_STACK)
    if wide:
        return panel.wide(rows, chosen.series, names)
    shown, frame = list(names), rows.frame
    if chosen.named:
        shown = ["venue", "instrument", *names]
        frame = with_names(rows, chosen.series)
    if on_gap is OnGap.FILL:
        shown.append("is_filled")
    return frame if frame.columns == shown else frame.select(shown)


def scan(
    storage: Storage,
    chosen: Chosen,
    window: Window,
    columns: Sequence[str] | None,
    on_gap: OnGap,
) -> pl.LazyFrame:
    """The rows of *window*, lazily."""
    from lake.warehouse.reader import require_columns
    from lake.warehouse.scan import scan as lazily

    if on_gap is OnGap.FILL:
        raise InvalidRequest("A scan does not fill. Use warn, raise or ignore, or read at once.")
    spec = ROW_SPECS[chosen.series[0].data_type]

    def files(series: Series, start: datetime | None, end: datetime | None) -> SeriesFiles:
        [listed] = files_of(storage, [series], start, end)
        return listed

    def on_read(series: Sequence[Series], start: datetime | None, end: datetime | None) -> None:
        if on_gap is not OnGap.IGNORE:
            listed = files_of(storage, series, start, end)
            tell(missing(storage, listed, Window(start, end)), on_gap, stacklevel=_STACK)

    # An empty range is refused now, not at the first collect.
    with_files(storage, (), window.start, window.end, partial(len))
    return lazily(
        storage.parquet,
        spec,
        chosen.series,
        files,
        columns=require_columns(spec, columns),
        start=window.start,
        end=window.end,
        named=chosen.named,
        on_read=on_read,
    )


def _end(storage: Storage, window: Window) -> datetime | None:
    """Where filling ends: a candle that is still open is not filled."""
    return None if window.end is None else min(window.end, storage.clock())


def _filled(rows: Rows, series: Sequence[Series], end: datetime | None) -> Rows:
    """Each series filled by itself."""
    import polars as pl

    from lake.warehouse.filling import filled
    from lake.warehouse.reader import Rows

    frames = []
    offset = 0
    for each, count in zip(series, rows.counts, strict=True):
        grid = each.grid
        assert grid is not None
        until = None if end is None else grid.floor(end)
        frames.append(filled(rows.frame.slice(offset, count), grid, until))
        offset += count
    return Rows(pl.concat(frames), [frame.height for frame in frames])


def _firsts(rows: Rows) -> list[datetime | None]:
    """The first moment of each series."""
    firsts, offset = [], 0
    for count in rows.counts:
        firsts.append(rows.frame["ts"][offset] if count else None)
        offset += count
    return firsts


def _is_before(gap: Gap, first: datetime | None) -> bool:
    return first is None or gap.range.start < first
