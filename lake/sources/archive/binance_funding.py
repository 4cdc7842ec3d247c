"""Reads Binance's funding archives: settlements of USD-M and COIN-M perpetuals, by month.

Three columns below a header line: the time in ms, the interval in hours, the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.coverage import Claim
from lake.domain.identifiers import DataType, Series
from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected
from lake.domain.schemas import FUNDING_RATES
from lake.domain.times import from_us
from lake.errors import SourceError
from lake.sources.archive.binance_names import instrument_of, require_type
from lake.sources.archive.binance_rows_file import (
    FUTURES_ONLY,
    Layout,
    layout_of,
    named_rows,
    require_utc,
)
from lake.sources.archive.binance_venue import venue_of
from lake.sources.archive.claims import promised_claim
from lake.sources.archive.container import Container, open_container, refused
from lake.sources.archive.csv_blocks import Block, CsvBlocks
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, Lot, Streamed
from lake.sources.decode import Decoded
from lake.sources.funding_checks import Settlement, validate_funding
from lake.sources.units_of_time import NO_TIME, times_us

_KIND = "fundingRate"
_LAYOUT = Layout(
    {"settled_at": pa.int64(), "interval_hours": pa.float64(), "funding_rate": pa.float64()},
    (("calc_time", "funding_interval_hours", "last_funding_rate"),),
    FUTURES_ONLY,
)
# A month of hourly settlements is 744 lines of some 30 bytes.
_MOST_BYTES = 1 << 20
_MOST_HOURS = 24.0


class BinanceFunding:
    """The reader. It keeps nothing between files."""

    name = "Binance funding archives"
    tag = VENDOR
    files = "SYMBOL-fundingRate-YYYY-MM.zip, .csv"
    data_types = (DataType.FUNDING_RATES,)
    venues = FUTURES_ONLY
    suffixes = (".zip", ".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        found = named_rows(path, (_KIND,))
        if found is None:
            return None
        named, head = found
        layout = layout_of(path, head, (_LAYOUT,))
        require_type(path, DataType.FUNDING_RATES, hints.data_type)
        require_utc(path, hints)
        venue = venue_of(path, named.symbol, hints, shown=layout.venues)
        if venue not in layout.venues:
            raise refused(path, f"cannot be of {venue}, which has no funding")
        instrument = instrument_of(named.symbol, venue, hints.instrument)
        series = Series(DataType.FUNDING_RATES, instrument.id)
        return (ArchiveFile(path, self, series, instrument, named.promise),)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        assert file.promise is not None
        with open_container(file.path) as container:
            if _LAYOUT.is_empty(container.head()):
                container.require_intact(_MOST_BYTES)
                found = _Found([], [])
            else:
                found = _read(container, file.promise, now)
            evidence = container.evidence
        if len(found.rejected) > len(found.rows):
            raise refused(
                file.path,
                f"has {len(found.rejected)} bad rows of {len(found.rejected) + len(found.rows)}; "
                f"the first: {found.rejected[0].reason!r}",
            )
        last_us = found.rows[-1][0].ts_us if found.rows else None
        told = promised_claim(file.promise, last_us, now, evidence, what="settlements")
        lot = _lot(file.promise, found, told.claim)
        is_told = bool(found.rows or found.rejected)
        return Streamed(
            file.promise,
            len(found.rows),
            len(found.rejected),
            iter((lot,) if is_told else ()),
            bool(evidence),
            told.remark,
        )


@dataclass(slots=True)
class _Found:
    """The settlements of one file, ascending, with their intervals."""

    rows: list[tuple[Settlement, float]]
    rejected: list[Rejected]


def _read(container: Container, promise: TimeRange, now: datetime) -> _Found:
    csv = CsvBlocks(container, _LAYOUT.columns, _MOST_BYTES)
    try:
        found = _checked(list(csv.read(is_text=False)), promise, now, container.path)
        if not found.rejected:
            return found
    except pa.ArrowInvalid:
        pass
    return _checked(list(csv.read(is_text=True)), promise, now, container.path)


def _checked(blocks: list[Block], promise: TimeRange, now: datetime, path: Path) -> _Found:
    rejected = [each for block in blocks for each in block.rejected]
    table = pa.concat_tables([block.table for block in blocks]).combine_chunks()
    raws = [(block.raw or _no_text, row) for block in blocks for row in range(len(block.table))]

    def raw(row: int) -> str:
        text, number = raws[row]
        return text(number)

    hours = np.asarray(table["interval_hours"].to_numpy(), dtype=np.float64)
    odd = ~((hours > 0) & (hours <= _MOST_HOURS))
    settled = times_us(table["settled_at"])
    for row in np.flatnonzero(odd).tolist():
        ts = None if settled[row] == NO_TIME else from_us(int(settled[row]))
        rejected.append(Rejected(ts, "the interval is not a number of hours", raw(row)))
    fine = np.flatnonzero(~odd).tolist()
    decoded = Decoded(table.take(pa.array(fine, pa.int64())), lambda row: raw(fine[row]))
    try:
        checked = validate_funding(decoded, now=now, whole_seconds=False)
    except SourceError as error:
        raise refused(path, f"cannot be used ({error})") from error
    row_of = {int(settled[row]): row for row in reversed(fine)}
    rows = []
    for each in checked.rows:
        row = row_of[each.settled_us]
        # One that came a little early is of the file before its own moment's.
        if from_us(each.settled_us) in promise or from_us(each.ts_us) in promise:
            rows.append((each, float(hours[row])))
        else:
            moment = from_us(each.settled_us)
            rejected.append(
                Rejected(moment, "outside the time that the file's name says", raw(row))
            )
    return _Found(rows, [*rejected, *checked.rejected])


def _no_text(row: int) -> str:
    return ""


def _lot(promise: TimeRange, found: _Found, claim: Claim | None) -> Lot:
    moments = [from_us(each.ts_us) for each, _ in found.rows]
    columns = {
        "ts": moments,
        "settled_at": [from_us(each.settled_us) for each, _ in found.rows],
        "funding_rate": [each.rate for each, _ in found.rows],
        "interval_hours": [hours for _, hours in found.rows],
    }
    rows = pa.Table.from_arrays(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(len(moments), field.type)
            for field in FUNDING_RATES.schema
        ],
        schema=FUNDING_RATES.schema,
    )
    window = promise
    if moments:
        after = from_us(found.rows[-1][0].ts_us + 1)
        window = TimeRange(min(promise.start, moments[0]), max(promise.end, after))
    return Lot(window, rows, () if claim is None else (claim,), tuple(found.rejected))
