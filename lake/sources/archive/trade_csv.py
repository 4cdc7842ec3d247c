"""Turns a CSV of trades into checked rows in a spool; bad rows are kept as they stand.

What its columns mean, formats know. Ids of the venue are needed, dense or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.coverage import Claim
from lake.domain.identifiers import Series
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import Rejected
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.archive.container import Container, refused
from lake.sources.archive.csv_blocks import Block, CsvBlocks, CsvColumns
from lake.sources.archive.format import Lot
from lake.sources.archive.spool import MEMORY_ROWS, TABLE_ROWS, Spool, SpooledRows
from lake.sources.decode import Decoded
from lake.sources.trade_checks import CheckedTrades, validate_trades
from lake.sources.units_of_time import NO_TIME, times_us

_OUTSIDE = "outside the time that the file's name says"
# Each is kept with its text; a file that has more is not what it says.
_MOST_BAD_ROWS = 100_000
_NO_ID = -1
_COLUMNS = ("ts", "trade_id", "price", "quantity", "side", "first_trade_id", "last_trade_id")


@dataclass(frozen=True, slots=True)
class TradeCsv:
    """One CSV of trades and how it is read.

    Attributes:
        container: The opened file. It is read to its end, so its CRC is compared.
        columns: What its fields are: ``ts``, ``trade_id``, ``price``, ``quantity``,
            ``is_buyer_maker``, and ``first_trade_id, last_trade_id`` of aggregates.
        promise: Rows of other times are rejected.
        now: Rows of later times are, too.
        budget: Bytes that the CSV may have.
        convert: Gives quantities our unit.
    """

    container: Container
    columns: CsvColumns
    promise: TimeRange
    now: datetime
    budget: int
    convert: Callable[[pa.Table], pa.Table]

    def read(self, *, is_text: bool) -> Iterator[CheckedTrades]:
        """Its trades as they stand, checked block by block.

        Args:
            is_text: Read slowly, so that bad lines are kept as they were written.

        Raises:
            SourceError: The file is damaged, or holds different trades of one id.
            pa.ArrowInvalid: Some line is no row of numbers; not where *is_text*.
        """
        for block in CsvBlocks(self.container, self.columns, self.budget).read(is_text=is_text):
            yield self._checked(block)

    def _checked(self, block: Block) -> CheckedTrades:
        raw = block.raw or _no_text
        table = self.convert(block.table)
        for name in ("first_trade_id", "last_trade_id"):
            if name in table.column_names and table[name].null_count:
                at = table.column_names.index(name)
                table = table.set_column(at, name, table[name].fill_null(_NO_ID))
        maker = table["is_buyer_maker"].combine_chunks()
        # The buyer was the maker: the taker sold.
        taker = pc.subtract(pa.scalar(1, pa.int8()), pc.multiply(maker.cast(pa.int8()), 2))
        if taker.null_count:
            taker = taker.fill_null(0)
        table = table.drop_columns(["is_buyer_maker"]).append_column("taker", taker.cast(pa.int8()))
        ts = times_us(table["ts"])
        start, end = to_us(self.promise.start), to_us(self.promise.end)
        rejected = [(-1, each) for each in block.rejected]
        if len(ts) and (ts.min() < start or ts.max() >= end):
            outside = (ts != NO_TIME) & ((ts < start) | (ts >= end))
            for row in np.flatnonzero(outside).tolist():
                rejected.append((-1, Rejected(from_us(int(ts[row])), _OUTSIDE, raw(row))))
            inside = np.flatnonzero(~outside)
            table, whole = table.take(pa.array(inside)), raw
            raw = lambda row: whole(int(inside[row]))  # noqa: E731 - shorter than a function
        try:
            found = validate_trades(Decoded(table, raw), now=self.now, whole_seconds=False)
        except SourceError as error:
            raise refused(self.container.path, f"cannot be used ({error})") from error
        return CheckedTrades(found.rows, (*rejected, *found.rejected))


@dataclass(slots=True)
class Tally:
    """What the trades of one file come to.

    Attributes:
        rejected: Rows that cannot be stored.
        first_id, last_id: The lowest and the highest id of the others.
    """

    rejected: list[Rejected] = field(default_factory=list)
    first_id: int | None = None
    last_id: int | None = None

    def add(self, part: CheckedTrades) -> None:
        """Count the next block."""
        self.rejected += [each for _, each in part.rejected]
        if not part.rows.num_rows:
            return
        first, last = part.rows["trade_id"][0].as_py(), part.rows["trade_id"][-1].as_py()
        self.first_id = first if self.first_id is None else min(first, self.first_id)
        self.last_id = last if self.last_id is None else max(last, self.last_id)

    def remark(self, rows: int) -> str:
        """What the user should know of its ids: a venue may leave some out, or a file be cut."""
        if self.first_id is None or self.last_id is None:
            return ""
        missing = self.last_id - self.first_id + 1 - rows - len(self.rejected)
        if missing <= 0:
            return ""
        return (
            f"its ids are not dense: {missing:,} between {self.first_id} and {self.last_id} are "
            "not in it"
        )


def spooled(
    csv: TradeCsv,
    series: Series,
    scratch: Path,
    *,
    memory_rows: int = MEMORY_ROWS,
    table_rows: int = TABLE_ROWS,
) -> tuple[Spool, Tally]:
    """All trades of *csv*, read to its end and found intact.

    Args:
        csv: The file.
        series: What it holds.
        scratch: Where rows go that memory should not hold.
        memory_rows: So many are kept in memory; of more all go there.
        table_rows: Of those, how many are handed on at a time.

    Raises:
        SourceError: The file is damaged, nonsense, or holds different trades of one id.
    """

    def new_spool() -> Spool:
        return Spool(
            series, scratch, columns=_COLUMNS, memory_rows=memory_rows, table_rows=table_rows
        )

    try:
        return _read(csv, new_spool, is_text=False)
    except (pa.ArrowInvalid, _HasBadRows):
        # Once more: bad lines are kept as they were written.
        return _read(csv, new_spool, is_text=True)


def lots(
    series: Series,
    promise: TimeRange,
    spool: Spool,
    claims: Sequence[Claim],
    rejected: list[Rejected],
) -> Iterator[Lot]:
    """The rows of *spool*, a lot for each partition of *promise*, with or without rows.

    A bad row goes with the lot of its time, one without or of another time with the first.
    Without claims there are only the lots that have something in them.
    """
    empty = ROW_SPECS[series.data_type].schema.empty_table()
    parts = spool.parts()
    following = next(parts, None)
    in_promise = [(row, row.ts is not None and row.ts in promise) for row in rejected]
    for number, (partition, window) in enumerate(split(series, promise)):
        bad = [
            row
            for row, is_inside in in_promise
            if (row.ts is not None and row.ts in window if is_inside else number == 0)
        ]
        rows: pa.Table | SpooledRows = empty
        has_rows = following is not None and following[0] == partition
        if following is not None and has_rows:
            rows = following[2]
        here = tuple(
            replace(claim, range=span)
            for claim in claims
            if (span := claim.range.intersection(window)) is not None
        )
        if has_rows or bad or here:
            yield Lot(window, rows, here, tuple(bad))
        if has_rows:
            following = next(parts, None)


class _HasBadRows(Exception):
    """The fast pass met a row whose text has to be kept."""


def _no_text(row: int) -> str:
    return ""


def _read(csv: TradeCsv, new_spool: Callable[[], Spool], *, is_text: bool) -> tuple[Spool, Tally]:
    tally = Tally()
    with new_spool() as spool:
        for part in csv.read(is_text=is_text):
            if part.rejected and not is_text:
                raise _HasBadRows
            tally.add(part)
            if len(tally.rejected) > _MOST_BAD_ROWS:
                break
            spool.add(part.rows)
        _require_sense(csv, spool, tally)
        try:
            spool.finish()
        except SourceError as error:
            raise refused(csv.container.path, f"cannot be used: {error}") from error
        return spool, tally


def _require_sense(csv: TradeCsv, spool: Spool, tally: Tally) -> None:
    """Refuse a file that is well-formed and still not what it says."""
    bad = len(tally.rejected)
    if bad > spool.seen or bad > _MOST_BAD_ROWS:
        raise refused(
            csv.container.path,
            f"has {bad:,} bad rows of {spool.seen + bad:,}; the first: "
            f"{tally.rejected[0].reason!r}",
        )
