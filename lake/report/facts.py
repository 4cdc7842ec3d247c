"""Gathers what the report shows: the answers of ``sql/report`` on one lake.

Like `lake gaps` it has the reasons of gaps looked for first; it writes nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from lake.domain.identifiers import DataType, Series
from lake.domain.times import EPOCH, MICROSECOND
from lake.quality import explain_gaps
from lake.report.reasons import Kind, named
from lake.sql_files import sql_file
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from lake.storage.snapshot import Snapshots
from lake.store.stats import parquet_stats
from lake.warehouse import Warehouse

MONTHS_MOST = 240
"""Twenty years: what is older than the newest of them is left out, and the page says so."""
GAPS_PER_MONTH = 25
GAPS_MOST = 20_000
"""Of all series together; some 20 bytes each once they are packed."""
CHARTS_SERIOUS, CHARTS_OTHERS, CHARTS_PER_SERIES = 24, 12, 3
CANDLES_EACH_SIDE = 60
RUNS_MOST = 30
VIOLATIONS_MOST = 100
"""Of each check."""
UNFINISHED_MOST, FAILED_MOST, OTHERS_MOST = 50, 50, 15

Row = dict[str, Any]

_CHOSEN: dict[str, pl.DataType] = {
    "number": pl.Int64(),
    "data_type": pl.String(),
    "venue": pl.String(),
    "instrument": pl.String(),
    "timeframe": pl.String(),
}
_FOUND: dict[str, pl.DataType] = {
    "number": pl.Int64(),
    "gap_start": pl.Datetime("us"),
    "gap_end": pl.Datetime("us"),
    "missing_count": pl.Int64(),
    "reason": pl.String(),
    "evidence": pl.String(),
}
_ATTENTION, _NOT_EXPECTED = named(Kind.ATTENTION), named(Kind.NOT_EXPECTED)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A gap's place among the listed ones, and the candles before and after it."""

    gap: int
    candles: list[tuple[int, float, float, float, float, float]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a page shows; rows are named as in the files of ``sql/report``.

    Attributes:
        name: Of the lake's folder; not its path, which is nobody's business who gets the page.
        narrowed: Whether the page is about some of the lake's series only.
        series: Those it is about; ``number`` of any row is a place in it.
        months_left_out: Whether there are months before those of ``months``.
        gaps: How many there are; ``listed`` may be fewer.
        csv_bytes_per_row: By data type, from a sample.
    """

    name: str
    lake_id: str
    origin: str
    made_at: datetime
    narrowed: bool
    series: Sequence[Series]
    held: list[Row]
    months: list[Row]
    months_left_out: bool
    reasons: list[Row]
    gaps: int
    listed: list[Row]
    charts: list[Surroundings]
    runs: list[Row]
    results: list[Row]
    jobs: list[Row]
    csv_bytes_per_row: Mapping[str, float]


def gather(
    storage: Storage, chosen: Sequence[Series], *, now: datetime, narrowed: bool = False
) -> Facts:
    """What the report shows of the series *chosen*, in their order.

    Args:
        storage: The lake.
        chosen: Series that it holds.
        now: What time it is, for the page's head (naive UTC).
        narrowed: Whether *chosen* are fewer than the lake holds.

    Raises:
        StorageError: A file that has to be read is damaged.
    """
    explain_gaps(storage)
    # The lake's own copy of the catalog may be a second old, and so from before.
    copies = Snapshots(storage.database)
    with closing(copies), Warehouse(storage.root, catalog=copies.newest) as warehouse:
        asking = _Asking(storage, warehouse, chosen)
        found = asking.found()
        held = asking.frame("series", found=found)
        since = _first_month(held)
        listed = asking.listed(found)
        runs = asking.rows("check_runs", {"runs": RUNS_MOST})
        return Facts(
            name=storage.root.name,
            lake_id=storage.lake_id,
            origin=storage.origin,
            made_at=now,
            narrowed=narrowed,
            series=chosen,
            held=held.to_dicts(),
            months=asking.months(found, held, since),
            months_left_out=since > EPOCH,
            reasons=asking.rows("reasons", found=found),
            gaps=found.height,
            listed=listed.to_dicts(),
            charts=asking.charts(listed),
            runs=runs,
            results=asking.rows(
                "check_results",
                {
                    "run_ids": [each["run_id"] for each in runs if each["is_last"]],
                    "most": VIOLATIONS_MOST,
                },
            ),
            jobs=asking.jobs(),
            csv_bytes_per_row={
                name: each.csv_bytes / each.rows
                for name, each in parquet_stats(storage).by_data_type.items()
                if each.rows
            },
        )


def _first_month(held: pl.DataFrame) -> datetime:
    """The first month shown, where there are too many; the epoch where all are."""
    first, last = held["range_start"].min(), held["range_end"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return EPOCH
    last -= MICROSECOND  # ranges are half-open
    newest = last.year * 12 + last.month - 1
    if newest - (first.year * 12 + first.month - 1) < MONTHS_MOST:
        return EPOCH
    year, month = divmod(newest - MONTHS_MOST + 1, 12)
    return datetime(year, month + 1, 1)


class _Asking:
    """The questions of ``sql/report`` about some series of one lake."""

    def __init__(self, storage: Storage, warehouse: Warehouse, chosen: Sequence[Series]) -> None:
        self._storage = storage
        self._warehouse = warehouse
        self._series = chosen
        lines = [
            (
                number,
                each.data_type.value,
                each.venue.name,
                each.instrument_id.symbol,
                None if each.timeframe is None else each.timeframe.value,
            )
            for number, each in enumerate(chosen)
        ]
        self._chosen = pl.DataFrame(lines, schema=_CHOSEN, orient="row")

    def frame(
        self, name: str, values: Mapping[str, Any] | None = None, **frames: pl.DataFrame
    ) -> pl.DataFrame:
        """The answer of ``sql/report/<name>.sql``."""
        text = sql_file("report", name).text
        return self._warehouse.query(text, values, chosen=self._chosen, **frames)

    def rows(
        self, name: str, values: Mapping[str, Any] | None = None, **frames: pl.DataFrame
    ) -> list[Row]:
        return self.frame(name, values, **frames).to_dicts()

    def found(self) -> pl.DataFrame:
        """All gaps, by series and time, numbered in ``gap``."""
        numbers = {each: number for number, each in enumerate(self._series)}
        others = [each for each in self._series if each.data_type is not DataType.OHLCV]
        lines = [
            (
                numbers[gap.series],
                gap.range.start,
                gap.range.end,
                gap.missing_count,
                gap.reason.value,
                gap.evidence,
            )
            for gap in (find_gaps(self._storage, others) if others else ())
        ]
        rest = pl.DataFrame(lines, schema=_FOUND, orient="row")
        of_candles = self.frame("gaps").cast(_FOUND)  # type: ignore[arg-type]
        return pl.concat([of_candles, rest]).sort("number", "gap_start").with_row_index("gap")

    def listed(self, found: pl.DataFrame) -> pl.DataFrame:
        values = {"attention": _ATTENTION, "per_month": GAPS_PER_MONTH, "most": GAPS_MOST}
        return self.frame("listed", values, found=found)

    def months(self, found: pl.DataFrame, held: pl.DataFrame, since: datetime) -> list[Row]:
        values = {"attention": _ATTENTION, "not_expected": _NOT_EXPECTED, "since": since}
        spans = held.select("number", "range_start", "range_end")
        return self.rows("months", values, found=found, spans=spans)

    def jobs(self) -> list[Row]:
        most = {"unfinished": UNFINISHED_MOST, "failed": FAILED_MOST, "others": OTHERS_MOST}
        return self.rows("jobs", most)

    def charts(self, listed: pl.DataFrame) -> list[Surroundings]:
        """The candles around the most serious of the gaps *listed*, where there are any."""
        most = {
            "attention": _ATTENTION,
            "not_expected": _NOT_EXPECTED,
            "per_series": CHARTS_PER_SERIES,
            "serious": CHARTS_SERIOUS,
            "others": CHARTS_OTHERS,
        }
        place = {gap: number for number, gap in enumerate(listed["gap"])}
        text = sql_file("report", "candles").text
        charts = []
        for row in self.rows("charted", most, listed=listed):
            series = self._series[row["number"]]
            assert series.grid is not None
            answer = self._warehouse.query(
                text,
                {
                    "instrument": str(series.instrument_id),
                    "timeframe": str(series.timeframe),
                    "since": series.grid.advance(row["gap_start"], -CANDLES_EACH_SIDE),
                    "until": series.grid.advance(row["gap_end"], CANDLES_EACH_SIDE),
                },
            )
            if answer.height:
                charts.append(Surroundings(place[row["gap"]], answer.rows()))
        return charts
