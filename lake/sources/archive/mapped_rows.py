"""Turns a foreign file and its mapping into checked rows in a spool, and hands them on.

Nothing of a file is handed on before all of it was read. Trades without ids get derived ones
once they are in order, so that a block's border inside of one moment does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake.domain.coverage import NOT_IN_FILE, QUIET_LEFT_OUT, Basis, Claim
from lake.domain.identifiers import DataType
from lake.domain.ranges import TimeRange, subtract
from lake.domain.rows import Rejected
from lake.domain.schemas import TRADES
from lake.domain.times import from_us, to_us
from lake.domain.variants import derive_refs
from lake.errors import SourceError
from lake.sources.archive.claims import candles_claim, promised_claim, settlements_claim
from lake.sources.archive.container import damaged, refused
from lake.sources.archive.format import ArchiveFile, Streamed
from lake.sources.archive.mapped_columns import Converted, Converter
from lake.sources.archive.mapped_funding import funding_rows
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.spool import Spool, SpooledRows
from lake.sources.archive.tables import kind_of, opened
from lake.sources.archive.timeframe_check import Spacing, commonest_step
from lake.sources.archive.trade_csv import lots
from lake.sources.decode import Decoded
from lake.sources.trade_checks import validate_sparse_trades
from lake.sources.validation import validate_candles

_OUTSIDE = "outside the time that the file's name says"
# Each is kept with its text; a file that has more is not what it says.
_MOST_BAD_ROWS = 100_000


@dataclass(slots=True)
class _Reading:
    """One file while it is read."""

    file: ArchiveFile
    mapping: Mapping
    now: datetime
    rejected: list[Rejected] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    outside: int = 0
    """Rows of other times than the file's name says."""
    step_us: int | None = None
    """How far settlements are apart; None where there is but one."""

    @property
    def is_cut_elsewhere(self) -> bool:
        """Whether its days are not those that we take them for: some hours are not in it then.

        Trades may be cut by when they arrived, so that some of the day before come with them.
        """
        return bool(self.outside) and self.file.series.data_type is not DataType.TRADES

    def refuse_nonsense(self, rows: int) -> None:
        """Refuse a file that is well-formed and still not what it says."""
        bad = len(self.rejected)
        if bad > rows or bad > _MOST_BAD_ROWS:
            raise refused(
                self.file.path,
                f"has {bad:,} bad rows of {rows + bad:,}; the first: {self.rejected[0].reason!r}",
            )
        if not rows:
            raise refused(self.file.path, "holds no rows")


def streamed(file: ArchiveFile, mapping: Mapping, *, now: datetime, scratch: Path) -> Streamed:
    """Every row of *file*, read by *mapping*; all of it was read, and found intact.

    Raises:
        SourceError: It is damaged, or not what it says.
        InvalidRequest: What the user said of it cannot be.
    """
    reading = _Reading(file, mapping, now, remarks=[mapping.remark])
    converter = Converter(file, mapping)
    with (
        Spool(file.series, scratch) as spool,
        opened(file.path, kind_of(file.path), mapping) as (blocks, evidence),
    ):
        try:
            converted = (converter.convert(each) for each in blocks)
            _fill(reading, spool, _kept(reading, converted))
            reading.refuse_nonsense(spool.seen)
            spool.finish()
        except (pa.ArrowException, OSError) as error:
            raise damaged(file.path, f"is damaged, or cannot be read ({error})") from error
        except SourceError as error:
            if file.path.name in str(error):
                raise
            raise refused(file.path, f"cannot be used: {error}") from error
    claims = _claims(reading, spool, evidence)
    window = file.promise or claims[0].range
    found = lots(file.series, window, spool, claims, reading.rejected)
    if file.variant is not None and file.variant.endswith("/derived"):
        found = (replace(lot, rows=_with_refs(lot.rows)) for lot in found)
    return Streamed(
        window,
        spool.rows,
        len(reading.rejected),
        found,
        bool(evidence),
        "; ".join(each for each in reading.remarks if each),
    )


def _kept(reading: _Reading, blocks: Iterator[Converted]) -> Iterator[Converted]:
    """*blocks* without what is rejected already, or is outside of what the file promises."""
    promise = reading.file.promise
    for block in blocks:
        reading.rejected += block.rejected
        if len(reading.rejected) > _MOST_BAD_ROWS:
            return
        if promise is None or not block.table.num_rows:
            yield block
            continue
        ts = block.ts_us
        timed = ts > 0
        outside = timed & ((ts < to_us(promise.start)) | (ts >= to_us(promise.end)))
        reading.outside += int(outside.sum())
        for row in np.flatnonzero(outside).tolist():
            reading.rejected.append(Rejected(from_us(int(ts[row])), _OUTSIDE, block.raw(row)))
        yield block.taken(np.flatnonzero(~outside)) if outside.any() else block


def _fill(reading: _Reading, spool: Spool, blocks: Iterator[Converted]) -> None:
    data_type = reading.file.series.data_type
    if data_type is DataType.FUNDING_RATES:
        rows, rejected, remark = funding_rows(
            reading.file, reading.mapping, list(blocks), now=reading.now
        )
        reading.rejected += rejected
        reading.remarks.append(remark)
        reading.step_us = commonest_step(rows["ts"].cast(pa.int64()).to_numpy())
        spool.add(rows)
    elif data_type is DataType.OHLCV:
        _fill_candles(reading, spool, blocks)
    else:
        for block in blocks:
            checked = Decoded(block.table, block.raw)
            rows, bad = validate_sparse_trades(checked, now=reading.now, whole_seconds=True)
            reading.rejected += bad
            spool.add(rows)


def _fill_candles(reading: _Reading, spool: Spool, blocks: Iterator[Converted]) -> None:
    grid = reading.file.series.grid
    assert grid is not None
    closed_before, told = reading.now, reading.mapping.closed_before_us
    if told is not None:
        closed_before = min(closed_before, from_us(told))
    spacing = Spacing(grid)
    running = 0
    for block in blocks:
        checked = validate_candles(
            block.table, grid, None, closed_before=closed_before, raw=block.raw
        )
        reading.rejected += checked.rejected
        running += checked.running
        spacing.look(checked.rows)
        spool.add(checked.rows)
    spacing.require(reading.file.path)
    if running:
        reading.remarks.append(f"candles that had not closed are left out: {running:,}")


def _claims(reading: _Reading, spool: Spool, evidence: str) -> tuple[Claim, ...]:
    """What the file may claim: as a rule only the rows that it has."""
    file = reading.file
    assert spool.first_us is not None
    assert spool.last_us is not None
    if file.promise is not None and reading.mapping.claims_promise and not reading.is_cut_elsewhere:
        return _promised(reading, file.promise, spool, evidence)
    grid = file.series.grid
    end = from_us(spool.last_us + 1) if grid is None else grid.next(from_us(spool.last_us))
    held = TimeRange(from_us(spool.first_us), end)
    quiet = grid is not None and reading.mapping.leaves_out_quiet
    claim = Claim(held, Basis.ROWS_ONLY, QUIET_LEFT_OUT if quiet else "")
    if reading.is_cut_elsewhere:
        reading.remarks.append("has rows of other days than its name says, so it promises nothing")
        return (claim,)
    # That a day's file begins late or ends early is another matter than a quiet candle inside.
    outside = subtract([file.promise], [held]) if file.promise is not None else []
    return (claim, *(Claim(each, Basis.ROWS_ONLY, NOT_IN_FILE) for each in outside))


def _promised(
    reading: _Reading, promise: TimeRange, spool: Spool, evidence: str
) -> tuple[Claim, ...]:
    """What an intact file may claim of what its name says."""
    series, last_us = reading.file.series, spool.last_us
    assert last_us is not None
    if series.grid is not None:
        told = candles_claim(promise, series.grid, last_us, spool.rows, evidence)
        reading.remarks.append(told.remark)
        return told.claims
    if series.data_type is DataType.FUNDING_RATES:
        claim, remark = settlements_claim(promise, last_us, reading.step_us, reading.now, evidence)
        reading.remarks.append(remark)
        return (claim,)
    told = promised_claim(promise, last_us, reading.now, evidence, what=str(series.data_type))
    reading.remarks.append(told.remark)
    return told.claims


def _with_refs(rows: pa.Table | SpooledRows) -> pa.Table | SpooledRows:
    """*rows* of one partition, each with an id derived from what it says."""
    if isinstance(rows, pa.Table):
        return pa.concat_tables([TRADES.schema.empty_table(), *_named([rows])]).combine_chunks()
    return SpooledRows(rows.num_rows, lambda: _named(rows))


def _named(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    held = TRADES.schema.empty_table()
    for table in tables:
        joined = pa.concat_tables([held, table])
        if not joined.num_rows:
            continue
        moments = joined["ts"].cast(pa.int64()).to_numpy()
        # Rows of the last moment wait for those that may follow.
        border = int(np.searchsorted(moments, moments[-1]))
        held = joined.slice(border)
        if border:
            yield _derived(joined.slice(0, border))
    if held.num_rows:
        yield _derived(held)


def _derived(rows: pa.Table) -> pa.Table:
    refs = derive_refs(
        rows["ts"].cast(pa.int64()).to_pylist(),
        rows["price"].to_pylist(),
        rows["quantity"].to_pylist(),
        rows["side"].to_pylist(),
    )
    at = rows.column_names.index("trade_ref")
    rows = rows.set_column(at, rows.schema.field(at), pa.array(refs, pa.string()))
    return rows.sort_by([("ts", "ascending"), ("trade_ref", "ascending")]).combine_chunks()
