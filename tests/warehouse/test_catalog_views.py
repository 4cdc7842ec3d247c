"""Views over the catalog: gaps and quality say what the lake's own code says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import Venue
from lake.domain.jobs import JobState
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import DERIVED, SourceTag
from lake.domain.timeframe import TimeFrame, grid_of
from lake.domain.times import to_us
from lake.quality import explained_gaps
from lake.storage.lake import PartitionCommit, Storage
from lake.warehouse import Warehouse
from tests.warehouse.lake_kit import candles, hour, series, write

TAG = SourceTag("ccxt", 50)
Span = tuple[int, int]


def store(
    storage: Storage,
    name: str,
    held: list[Span],
    covered: list[Span],
    *,
    timeframe: str = "1h",
    basis: Basis = Basis.ANSWER,
    tag: SourceTag = TAG,
) -> None:
    """Candles of *held* hours, answered for in the hours of *covered*, by one completed job."""
    what = series(name, timeframe)
    storage.catalog.ensure_series(what, "venue")
    spans = [*held, *covered]
    window = TimeRange(hour(min(a for a, _ in spans)), hour(max(b for _, b in spans)))
    job = storage.jobs.create(what, window)
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, piece in split(what, window):
        opens = [hour(number) for first, end in held for number in range(first, end)]
        claims = [
            TimeRange(max(hour(first), piece.start), min(hour(end), piece.end))
            for first, end in covered
            if max(hour(first), piece.start) < min(hour(end), piece.end)
        ]
        change = PartitionCommit(
            partition=partition,
            rows=candles([each for each in opens if each in piece]),
            tag=tag,
            claims=tuple(Claim(each, basis, "test") for each in claims),
        )
        storage.commit(change, lease)
    storage.jobs.finish(lease, JobState.COMPLETED)


def told_by_both(root: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The gaps of candles as the lake's code and as SQL have them."""
    with Storage.open(root) as storage:
        ours = sorted(
            (
                gap.series.venue.name,
                gap.series.instrument_id.symbol,
                str(gap.series.timeframe),
                gap.range.start,
                gap.range.end,
                gap.missing_count,
                str(gap.reason),
            )
            for gap in explained_gaps(storage)
            if gap.series.timeframe is not None
        )
    with Warehouse(root) as warehouse:
        rows = warehouse.query("select * exclude evidence from gaps").rows()
        assert warehouse.query("from gaps where evidence is null or evidence = ''").height == 0
    return ours, sorted(rows)


def test_gaps_of_every_reason_are_those_of_the_command(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Storage.open(root, create=True) as storage:
        # An outage that both lack, a hole of one alone, one nobody asked for, a young end.
        store(storage, "BTCUSDT.BINANCE", [(0, 5), (8, 20), (25, 30)], [(0, 20), (25, 29)])
        store(storage, "ETHUSDT.BINANCE", [(0, 5), (8, 11), (12, 30)], [(0, 30)])
        # Archives and imports: the one promises, the other does not.
        store(storage, "SOLUSDT.BINANCE", [(0, 4), (6, 9)], [(0, 9)], basis=Basis.ARCHIVE)
        store(storage, "XRPUSDT.BINANCE", [(0, 4), (6, 9)], [(0, 9)], basis=Basis.ROWS_ONLY)
        # Derived from trades: nobody traded.
        store(storage, "DOGEUSDT.BINANCE", [(0, 4), (6, 9)], [(0, 9)], tag=DERIVED)
        # Listed late, expired early, and retained from.
        store(storage, "BTCUSDT-240102.BINANCEUSDM", [(0, 40)], [(0, 60)])
        store(storage, "ADAUSDT.BINANCE", [(700, 760)], [(0, 760)])
        storage.catalog.set_first_available(series("ADAUSDT.BINANCE"), hour(700), "the venue's")
        failing = series("LTCUSDT.BINANCE")
        store(storage, "LTCUSDT.BINANCE", [(0, 3), (9, 12)], [(0, 3), (9, 12)])
        job = storage.jobs.create(failing, TimeRange(hour(3), hour(9)))
        storage.catalog.add_failed(failing, TimeRange(hour(3), hour(6)), job.job_id, "HTTP 500")
        storage.catalog.set_beyond_source(failing, TimeRange(hour(5), hour(9)), "keeps 720")
        storage.catalog.note_wanted(failing, TimeRange(hour(0), hour(24)))
        # What another job wanted and never asked for touches it.
        job = storage.jobs.create(failing, TimeRange(hour(12), hour(15)))
        storage.jobs.finish(storage.jobs.claim(job.job_id, "test"), JobState.CANCELLED, "Ctrl-C")
        # Candles over years: weeks on Mondays, months.
        store(storage, "BTCUSDT.KRAKEN", [(0, 1)], [(0, 504)], timeframe="1w")

    ours, told = told_by_both(root)

    assert {row[-1] for row in ours} >= {
        "venue_has_none",
        "no_trades",
        "not_fetched",
        "provisional",
        "before_listing",
        "after_delisting",
        "failed",
        "beyond_source",
    }
    assert told == ours


def test_an_outage_is_what_all_instruments_of_the_venue_lack(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Storage.open(root, create=True) as storage:
        for name in ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE", "SOLUSDT.BINANCE"):
            held = [(0, 5), (8, 20)] if name != "SOLUSDT.BINANCE" else [(0, 5), (8, 12), (13, 20)]
            store(storage, name, held, [(0, 20)])
        # It says nothing of that range, so it is no witness.
        store(storage, "XRPUSDT.BINANCE", [(10, 20)], [(10, 20)])

    ours, told = told_by_both(root)

    assert told == ours
    assert ("BINANCE", "BTCUSDT", "1h", hour(5), hour(8), 3, "venue_outage") in told
    assert ("BINANCE", "SOLUSDT", "1h", hour(12), hour(13), 1, "venue_has_none") in told


def test_quality_counts_what_could_be_held(tmp_path: Path) -> None:
    """By hand: 17 of 20 hours; what lies before the listing is not expected."""
    root = tmp_path / "data"
    with Storage.open(root, create=True) as storage:
        store(storage, "BTCUSDT.BINANCE", [(10, 15), (18, 30)], [(0, 30)])
        storage.catalog.set_first_available(series(), hour(10), "the venue's")

    with Warehouse(root) as warehouse:
        [row] = warehouse.query("from quality").rows(named=True)

    assert (row["rows"], row["missing_count"], row["gap_count"]) == (17, 3, 1)
    assert row["completeness_ratio"] == 0.85
    assert (row["first_ts"], row["last_ts"]) == (hour(10), hour(29))


@pytest.fixture(scope="module")
def warehouse(root: Path) -> Iterator[Warehouse]:
    with Warehouse(root) as opened:
        yield opened


@pytest.mark.parametrize("venue", ["BINANCE", "BINANCEUSDM", "BINANCECOINM", "KRAKEN", "OKX"])
@pytest.mark.parametrize("timeframe", list(TimeFrame), ids=str)
def test_the_grid_of_sql_is_the_grid_of_the_lake(
    warehouse: Warehouse, venue: str, timeframe: TimeFrame
) -> None:
    """One definition in lake.domain.timeframe, one in SQL: they must not drift apart."""
    grid = grid_of(Venue(venue), timeframe)
    moments = [
        datetime(2024, 1, 1),
        datetime(2023, 12, 31, 23, 59, 59, 999_999),
        datetime(2024, 2, 29, 12, 34, 56),
        datetime(2021, 11, 7, 1, 30) + timedelta(microseconds=1),
    ]
    sql = (
        "select lake_open($m::timestamp, $t, $v), "
        "lake_slot_open(lake_slot(epoch_us($m::timestamp), step, anchor), step, anchor), "
        "lake_slot($e, step, anchor) - lake_slot(epoch_us($m::timestamp), step, anchor) "
        "from (select lake_step($t) as step, lake_anchor($t, $v) as anchor)"
    )
    later = datetime(2024, 6, 1, 7)

    for moment in moments:
        [(opened, ceiled, count)] = warehouse.connection.execute(
            sql, {"m": moment, "t": timeframe.value, "v": venue, "e": to_us(later)}
        ).fetchall()

        assert opened == grid.floor(moment)
        assert ceiled == grid.ceil(moment)
        assert count == grid.count(TimeRange(moment, later))


VIEWS = ("gaps", "quality", "coverage", "jobs", "partitions", "instruments", "listings", "mine")


@pytest.mark.parametrize("name", [*VIEWS, "universe('BINANCE', '2024-01-02', 'USDT')"])
def test_a_view_never_scans_sqlite_on_two_threads(own_root: Path, name: str) -> None:
    """DuckDB 1.5.5 hands one SQLite connection to both: it crashes, or reads nonsense."""
    (own_root / "queries").mkdir()
    mine = "create view mine as from coverage inner join jobs using (job_id)"
    (own_root / "queries" / "mine.sql").write_text(mine)

    with Warehouse(own_root) as warehouse:
        [(_, plan)] = warehouse.query(f"explain from {name}").rows()
        [(_, live)] = warehouse.query("explain from catalog.series").rows()

    assert "SQLITE" not in plan.upper()
    assert "SQLITE" in live.upper()


def test_views_and_files_are_of_one_state_that_follows(own_root: Path) -> None:
    """What the views read was taken over together with the list of files, and again later."""
    with Warehouse(own_root) as warehouse:
        before = warehouse.query("select count(*) as n from partitions")["n"][0]
        with Storage.open(own_root) as storage:
            write(storage, series("NEWUSDT.BINANCE"), hour(0), 2)
        after = warehouse.query("select count(*) as n from partitions")["n"][0]
        rows = warehouse.query("select count(*) as n from ohlcv('NEWUSDT.BINANCE', '1h')")["n"][0]

    assert (after - before, rows) == (1, 2)


def test_every_view_column_and_macro_has_a_comment(warehouse: Warehouse) -> None:
    """An analyst's tool shows them; a column without one is a column nobody explained."""
    columns = warehouse.query(
        "select table_name, column_name, comment from duckdb_columns() "
        "where database_name = 'memory' and schema_name = 'main' and not internal "
        "and not starts_with(table_name, 'lake_')"
    )
    others = warehouse.query(
        "select view_name as name, comment from duckdb_views() "
        "where database_name = 'memory' and schema_name = 'main' and not internal "
        "and not starts_with(view_name, 'lake_') "
        "union all select function_name, comment from duckdb_functions() "
        "where function_type = 'table_macro' and not internal "
        "and not starts_with(function_name, 'lake_')"
    )

    assert {"ohlcv_1h", "gaps", "quality", "trades_all", "jobs"} <= set(columns["table_name"])
    assert {"ohlcv", "returns", "market_order"} <= set(others["name"])
    assert columns.filter(columns["comment"].is_null()).rows() == []
    assert others.filter(others["comment"].is_null()).rows() == []
