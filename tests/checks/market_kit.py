"""Lakes of trades, books and settlements for the checks' tests, and what damages them.

A damage rewrites a Parquet file with its footer's metadata and changes the catalog as DuckDB has
copied it: the checks read no other, and a warehouse opened anew for each of a few hundred damages
would cost minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import to_us
from lake.simulator.market import generate
from lake.simulator.tables import TradeForm
from lake.sql_files import sql_file
from lake.storage.columns import sort_rows
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse.query import Warehouse

START = datetime(2024, 1, 1)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
SEEDS = range(20)
TAG = SourceTag("test", 50)
SPOT, PERPETUAL = "BTCUSDT.BINANCE", "ETHUSDT-PERP.BINANCEUSDM"
OURS = (
    "trade_gaps",
    "trade_order",
    "trade_twice",
    "trade_bounds",
    "trade_coverage",
    "funding_gaps",
    "funding_interval",
    "funding_extreme",
    "funding_off_hour",
    "book_crossed",
    "book_sequence",
    "book_thin",
    "book_gaps",
    "quarantine",
    "catalog_drift",
    "catalog_drift_rows",
    "uncovered_rows",
    "stuck_jobs",
    "mixed_variant",
)

Found = dict[str, Any]
Change = Callable[[pa.Table], pa.Table]


def series_of(data_type: DataType, name: str) -> Series:
    return Series(data_type, InstrumentId.from_str(name))


def generated(root: Path, *, seed: int, days: int = 3, **what: Any) -> Path:
    """A clean lake of a synthetic market: trades, books and settlements of *days* from 2024 on."""
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=seed,
            start=START,
            end=START + days * DAY,
            timeframes=(),
            **{
                "instruments": ("BTC/USDT", "ETH/USDT:USDT"),
                "rate": 0.01,
                "store_trades": True,
                "trade_form": TradeForm.AGGREGATE,
                "books": timedelta(minutes=10),
                "book_levels": 5,
                "funding": 1,
                **what,
            },
        )
    return root


def settlements(
    hours: Sequence[int], rates: Sequence[float] | None = None, *, first: datetime = START
) -> pa.Table:
    """Settlements at these hours after *first*; without *rates* those of a quiet market."""
    rng = random.Random(len(hours))
    told = rates or [round(rng.gauss(0.0001, 0.0001), 8) for _ in hours]
    rows = [
        {
            "ts": first + number * HOUR,
            "settled_at": first + number * HOUR,
            "funding_rate": rate,
            "interval_hours": None,
        }
        for number, rate in zip(hours, told, strict=True)
    ]
    return table_of(DataType.FUNDING_RATES, rows)


def table_of(data_type: DataType, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """*rows* in the lake's schema; columns that they do not have are null."""
    schema = ROW_SPECS[data_type].schema
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def store(
    storage: Storage,
    what: Series,
    rows: pa.Table,
    *,
    variant: str | None = None,
    claims: Sequence[Claim] | None = None,
) -> None:
    """Store *rows* of one series under one job; the claims default to an answer for all."""
    bounds = pc.min_max(rows["ts"]).as_py()
    hull = TimeRange(bounds["min"], bounds["max"] + TICK)
    if claims is None:
        claims = [Claim(hull, Basis.ANSWER, "test")]
    whole = TimeRange(
        min([hull.start, *(each.range.start for each in claims)]),
        max([hull.end, *(each.range.end for each in claims)]),
    )
    storage.catalog.ensure_series(what, "venue", variant=variant)
    job = storage.jobs.create(what, whole, kind="import")
    lease = storage.jobs.claim(job.job_id, "test", ttl_s=300)
    for partition, window in split(what, whole):
        inside = pc.and_(
            pc.greater_equal(rows["ts"], pa.scalar(window.start, pa.timestamp("us"))),
            pc.less(rows["ts"], pa.scalar(window.end, pa.timestamp("us"))),
        )
        mine = tuple(
            Claim(both, claim.basis, claim.evidence)
            for claim in claims
            if (both := claim.range.intersection(partition.range))
        )
        storage.commit(
            PartitionCommit(partition=partition, rows=rows.filter(inside), tag=TAG, claims=mine),
            lease,
        )
    storage.jobs.finish(lease, JobState.COMPLETED)


class Checked:
    """A lake that checks look at, and that may be damaged and made whole again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.warehouse = Warehouse(root, checks=True)
        # Attaching makes files beside the catalog; what the first query then takes over again
        # would undo a damage.
        self.warehouse.query("select 1")
        self._files: dict[Path, bytes] = {}
        self._tables: set[str] = set()

    def close(self) -> None:
        self.warehouse.close()

    def found(self, check: str, **variables: Any) -> list[Found]:
        """What *check* finds."""
        self.warehouse.look_at(**variables)
        rows = self.warehouse.query(sql_file("checks", check).text)
        return rows.to_dicts()

    def paths(self, data_type: DataType, name: str | None = None) -> list[str]:
        """The files of a type, of all instruments or one, as the catalog names them."""
        rows = self.warehouse.query(
            "select path from catalog.partitions inner join catalog.series using (series_id) "
            "where data_type = $kind and coalesce(instrument || '.' || venue = $name, true) "
            "and rows > 0 order by path",
            {"kind": data_type.value, "name": name},
        )
        return list(rows["path"])

    def rewrite(self, path: str, change: Change, *, told: bool = True) -> None:
        """Rewrite a file; *told*: the catalog follows, as if the storage had done it.

        Its rows keep the order that *change* gave them.
        """
        place = self.root / "parquet" / path
        self._files.setdefault(place, place.read_bytes())
        before = pq.read_table(place, partitioning=None)
        after = change(before).replace_schema_metadata(before.schema.metadata)
        with pq.ParquetWriter(place, after.schema) as writer:
            writer.write_table(after)
        if told:
            bounds = pc.min_max(after["ts"]).as_py()
            self.catalog(
                f"update lake_copies.partitions set rows = {after.num_rows}, "
                f"min_ts = {to_us(bounds['min'])}, max_ts = {to_us(bounds['max'])}, "
                f"bytes = {place.stat().st_size} where path = '{path}'"
            )

    def write(self, path: str, content: bytes) -> None:
        """Put something else, or something new, below ``parquet/``."""
        place = self.root / "parquet" / path
        self._files.setdefault(place, place.read_bytes() if place.exists() else b"")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def remove(self, path: str) -> None:
        place = self.root / "parquet" / path
        self._files.setdefault(place, place.read_bytes())
        place.unlink()

    def catalog(self, statement: str) -> None:
        """Change what checks know of the catalog: tables of the schema ``lake_copies``."""
        connection = self.warehouse.connection
        table = statement.split("lake_copies.")[1].split()[0]
        if table not in self._tables:
            self._tables.add(table)
            connection.execute(f"create or replace temp table saved_{table} as from lake.{table}")
        connection.execute(statement)

    def undo(self) -> None:
        """Make it the lake that it was."""
        for place, content in self._files.items():
            if content:
                place.write_bytes(content)
            else:
                place.unlink()
        self._files.clear()
        connection = self.warehouse.connection
        for table in self._tables:
            connection.execute(f"delete from lake_copies.{table}")
            connection.execute(f"insert into lake_copies.{table} from saved_{table}")
        self._tables.clear()


@contextmanager
def damaged(lake: Checked) -> Iterator[Checked]:
    """*lake*, whole again at the end."""
    try:
        yield lake
    finally:
        lake.undo()


def opened(root: Path) -> Iterator[Checked]:
    """For fixtures."""
    lake = Checked(root)
    yield lake
    lake.close()


def with_values(rows: pa.Table, name: str, values: Mapping[int, Any]) -> pa.Table:
    """*rows* with other values of column *name* at some places."""
    column = rows[name].to_pylist()
    for place, value in values.items():
        column[place] = value
    number = rows.schema.get_field_index(name)
    return rows.set_column(number, rows.schema.field(name), pa.array(column, rows[name].type))


def without(rows: pa.Table, first: int, count: int) -> pa.Table:
    """*rows* without *count* from place *first* on."""
    return pa.concat_tables([rows.slice(0, first), rows.slice(first + count)])


def ordered(data_type: DataType, rows: pa.Table) -> pa.Table:
    """*rows* in the order of their file."""
    return sort_rows(rows, ROW_SPECS[data_type])


def names(found: Sequence[Found]) -> list[str]:
    """Of which series each violation is."""
    return [f"{each['instrument']}.{each['venue']}" for each in found]
