"""Reads settlements out of tardis.dev's ``derivative_ticker``: what was told last before each.

A row says the next settlement's time and its rate as it stands; a rate counts as settled where
the file goes on until the settlement and said it shortly before. Prices and open interest are
left out: they are not those of the settlement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.coverage import Basis, Claim
from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, iso
from lake.sources.archive.container import open_container, refused
from lake.sources.archive.csv_blocks import CsvBlocks, CsvColumns
from lake.sources.archive.format import ArchiveFile, Streamed
from lake.sources.archive.mapped_columns import Converted
from lake.sources.archive.mapped_funding import funding_rows
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.spool import Spool
from lake.sources.archive.trade_csv import lots

_NAMES = (
    "exchange",
    "symbol",
    "timestamp",
    "local_timestamp",
    "funding_timestamp",
    "funding_rate",
    "predicted_funding_rate",
    "open_interest",
    "last_price",
    "index_price",
    "mark_price",
)
_TYPES = {
    "symbol": pa.string(),
    "timestamp": pa.int64(),
    "funding_timestamp": pa.int64(),
    "funding_rate": pa.float64(),
}
_OPTIONAL = frozenset({"funding_timestamp", "funding_rate", "mark_price"})
_MOST_BYTES = 64 << 30
# A row is written when anything changes, which is every few seconds in a market that lives.
_NEAR_US = 60_000_000
_LAST_TOLD_US = 600_000_000
# A day has 24 at most; a file that has more is not what it says.
_MOST_SETTLEMENTS = 100_000


@dataclass(slots=True)
class _Tickers:
    """The last rate told of each settlement, and when."""

    rates: dict[int, tuple[int, float]] = field(default_factory=dict)
    last_us: int = 0

    def add(self, table: pa.Table) -> None:
        moments = table["timestamp"].to_numpy()
        self.last_us = max(self.last_us, int(moments.max()))
        due = table["funding_timestamp"].fill_null(0).to_numpy()
        rates = table["funding_rate"].fill_null(float("nan")).to_numpy()
        # A settlement that is over is told a little longer by some.
        told = np.flatnonzero((due > 0) & ~np.isnan(rates) & (moments <= due))
        if not len(told):
            return
        # The last of each run is what counts.
        ends = told[np.append(np.diff(due[told]) != 0, True)]
        for row in ends.tolist():
            self.rates[int(due[row])] = (int(moments[row]), float(rates[row]))

    def settled(self) -> tuple[list[tuple[int, float]], int]:
        """Each settlement that the file knows, ascending, and how many it does not know."""
        known = [
            (due, rate)
            for due, (told, rate) in sorted(self.rates.items())
            if self.last_us >= due - _NEAR_US and told >= due - _LAST_TOLD_US
        ]
        over = sum(due <= self.last_us for due in self.rates)
        return known, max(0, over - len(known))


def settlements(file: ArchiveFile, now: datetime, scratch: Path) -> Streamed:
    """Every settlement of which *file* tells the last rate.

    Raises:
        SourceError: The file is damaged, or tells no settlement.
    """
    path, tickers = file.path, _Tickers()
    columns = CsvColumns(_NAMES, _TYPES, _OPTIONAL, header=True)
    with open_container(path) as container:
        evidence = container.evidence
        try:
            for block in CsvBlocks(container, columns, _MOST_BYTES).read(is_text=False):
                if pc.any(pc.not_equal(block.table["symbol"], file.instrument.native_id)).as_py():
                    raise refused(path, "holds tickers of others, too")
                if block.table.num_rows:
                    tickers.add(block.table.combine_chunks())
                if len(tickers.rates) > _MOST_SETTLEMENTS:
                    raise refused(path, "has more settlements than any market had")
        except pa.ArrowInvalid as error:
            why = str(error).split("\n")[0]
            raise refused(path, f"has a line that is no ticker ({why})") from error
    known, unknown = tickers.settled()
    if not known:
        raise refused(path, "tells no settlement: its funding columns are empty, or it ends before")
    table = pa.table(
        {
            "settled_at": pa.array([due for due, _ in known]).cast(pa.timestamp("us")),
            "funding_rate": [rate for _, rate in known],
        }
    )
    raw = Converted(table, lambda row: f"{iso(from_us(known[row][0]))},{known[row][1]!r}")
    rows, rejected, remark = funding_rows(file, Mapping(columns={}), [raw], now=now)
    with Spool(file.series, scratch) as spool:
        spool.add(rows)
        spool.finish()
    if spool.first_us is None or spool.last_us is None:
        raise refused(path, f"holds no settlement that can be stored; {rejected[0].reason}")
    window = TimeRange(from_us(spool.first_us), from_us(spool.last_us + 1))
    claim = Claim(window, Basis.ROWS_ONLY)
    found = lots(file.series, window, spool, (claim,), list(rejected))
    said = f"{unknown} settlements are left out: their last rates are not in it" if unknown else ""
    remarks = "; ".join(each for each in (remark, said) if each)
    return Streamed(window, spool.rows, len(rejected), found, bool(evidence), remarks)
