"""SQL over the lake: the macro, the views, what a wrong name says, and what cannot be done."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lake import open_files
from lake.domain.schemas import OHLCV
from lake.errors import InvalidRequest, MigrationError, NoLake, SeriesNotFound, StorageError
from lake.storage.lake import Storage
from lake.warehouse import Trust, Warehouse, query
from lake.warehouse import connection as opening
from tests.warehouse.lake_kit import hour, series, write

COLUMNS = ["venue", "instrument", *OHLCV.schema.names, "close_ts"]


@pytest.fixture
def warehouse(root: Path) -> Iterator[Warehouse]:
    with Warehouse(root) as opened:
        yield opened


def count(warehouse: Warehouse, sql: str, parameters: object = None) -> int:
    [(number,)] = warehouse.query(f"select count(*) from {sql}", parameters).rows()  # type: ignore[arg-type]
    return int(number)


class TestMacro:
    def test_a_range_is_half_open(self, warehouse: Warehouse) -> None:
        rows = warehouse.query(
            "from ohlcv('BTCUSDT.BINANCE', '1h', "
            "since := '2024-01-01', until := '2024-01-01T03:00')"
        )

        assert rows["ts"].to_list() == [hour(0), hour(1), hour(2)]
        assert rows.columns == COLUMNS
        assert rows["close_ts"].to_list() == [hour(1), hour(2), hour(3)]
        assert set(rows["venue"]) == {"BINANCE"}

    def test_it_opens_only_the_files_of_the_range(self, own_root: Path) -> None:
        """That is what keeps a question cheap in a lake of a hundred thousand files."""
        for path in own_root.glob("parquet/**/*.parquet"):
            if "/timeframe=1h/year=2024/month=01/" not in str(path):
                path.unlink()

        with Warehouse(own_root) as warehouse:
            rows = "ohlcv('BTCUSDT.BINANCE', '1h', since := '2024-01-05', until := '2024-02-01')"
            assert count(warehouse, rows) == 27 * 24

    @pytest.mark.parametrize(
        "spelling",
        [
            "'BTCUSDT.BINANCE', '1h'",
            "'btcusdt.binance', '1H'",
            "'BINANCE', 'BTCUSDT', '1h'",
            "'binance', 'btcusdt', '1h'",
            "['BTCUSDT.BINANCE'], '1h'",
        ],
    )
    def test_spellings(self, warehouse: Warehouse, spelling: str) -> None:
        assert count(warehouse, f"ohlcv({spelling})") == 960

    @pytest.mark.parametrize(
        ("spelling", "rows"),
        [
            ("'*', '1h'", 3 * 960),
            ("'*USDT.BINANCE', '1h'", 2 * 960),
            ("'*-PERP', '1h'", 960),
            ("['BTCUSDT.BINANCE', 'ETHUSDT.BINANCE'], '1h'", 2 * 960),
            ("'BINANCE', ['BTCUSDT', 'ETHUSDT'], '1h'", 2 * 960),
            ("'BTCUSDT', '1h'", 960),
        ],
    )
    def test_patterns_and_lists(self, warehouse: Warehouse, spelling: str, rows: int) -> None:
        assert count(warehouse, f"ohlcv({spelling})") == rows

    def test_months_are_not_minutes(self, warehouse: Warehouse) -> None:
        """ccxt's 1M is the month; the length of its candles is the calendar's."""
        rows = warehouse.query("from ohlcv('ETHUSDT.BINANCE', '1M')")

        assert rows["close_ts"].to_list() == [
            datetime(2023, 12, 1),
            datetime(2024, 1, 1),
            datetime(2024, 2, 1),
            datetime(2024, 3, 1),
        ]

    def test_a_years_file_is_found_from_the_middle_of_the_year(self, warehouse: Warehouse) -> None:
        assert count(warehouse, "ohlcv('BTCUSDT.BINANCE', '1d', since := '2024-01-20')") == 12

    @pytest.mark.parametrize(
        "moment",
        [
            "2024-01-01T02:00:00",
            "2024-01-01T04:00:00+02:00",
            datetime(2024, 1, 1, 2),
            datetime(2024, 1, 1, 2, tzinfo=UTC),
        ],
    )
    def test_moments_in_any_form_are_utc(self, warehouse: Warehouse, moment: object) -> None:
        """The tests run in New York; an offset in a text must not be dropped."""
        sql = "ohlcv($id, '1h', since := $since, until := '2024-01-01T03:00')"

        assert count(warehouse, sql, {"id": "BTCUSDT.BINANCE", "since": moment}) == 1

    def test_a_date_is_its_midnight(self, warehouse: Warehouse) -> None:
        sql = "ohlcv('BTCUSDT.BINANCE', '1h', since := $day)"

        assert count(warehouse, sql, {"day": date(2024, 2, 1)}) == 168

    def test_a_range_without_rows_is_typed_and_empty(self, warehouse: Warehouse) -> None:
        rows = warehouse.query("from ohlcv('BTCUSDT.BINANCE', '1h', since := '2030-01-01')")

        assert rows.columns == COLUMNS
        assert (rows.height, rows.schema["ts"]) == (0, pl.Datetime("us"))

    @pytest.mark.parametrize(
        ("arguments", "near"),
        [
            ("'BTCUSD.BINANCE', '1h'", "BTCUSDT.BINANCE 1h"),
            ("'BTCUSDT.BINANCE', '5m'", "BTCUSDT.BINANCE 1h"),
            ("['BTCUSDT.BINANCE', 'DOGEUSDT.BINANCE'], '1h'", "DOGEUSDT.BINANCE are held"),
            ("'KRAKEN', 'BTCUSDT', '1h'", "BTCUSDT.BINANCE 1h"),
            ("'', '1h'", "are held"),
        ],
    )
    def test_a_wrong_name_says_what_is_held(
        self, warehouse: Warehouse, arguments: str, near: str
    ) -> None:
        """A failure must not look like an empty answer, nor be an IO error."""
        with pytest.raises(SeriesNotFound, match=near):
            warehouse.query(f"from ohlcv({arguments})")


class TestViews:
    def test_one_for_each_timeframe_held(self, warehouse: Warehouse) -> None:
        assert count(warehouse, "ohlcv_1h") == 3 * 960
        assert count(warehouse, "ohlcv_1d") == 62
        with pytest.raises(SeriesNotFound, match=r"No 1m candles are held.*1h, 1d, 1mo"):
            warehouse.query("from ohlcv_1m")

    def test_columns_and_types_are_the_schemas(self, warehouse: Warehouse) -> None:
        """The schema in lake.domain.schemas is the only list of columns."""
        rows = warehouse.query("from ohlcv_1h limit 1")

        assert rows.columns == COLUMNS
        assert rows.schema["trade_count"] == pl.Int64
        assert rows.schema["taker_buy_volume"] == pl.Float64

    def test_all_timeframes_are_told_apart(self, warehouse: Warehouse) -> None:
        rows = warehouse.query("select timeframe, count(*) as n from ohlcv_all group by all")

        assert dict(rows.rows()) == {"1h": 2_880, "1d": 62, "1mo": 4}

    def test_there_is_no_view_without_a_timeframe(self, warehouse: Warehouse) -> None:
        with pytest.raises(InvalidRequest, match="ohlcv"):
            warehouse.query("select * from ohlcv")

    def test_the_catalog_in_words(self, warehouse: Warehouse) -> None:
        jobs = warehouse.query("from jobs")
        coverage = warehouse.query("from coverage where instrument = 'BTCUSDT-PERP'")
        partitions = warehouse.query("from partitions where timeframe = '1d'")
        instruments = warehouse.query("from instruments where venue = 'BINANCE'")

        assert set(jobs["status"]) == {"completed"}
        assert coverage["start_time"].to_list() == [datetime(2023, 12, 30)]
        assert partitions["rows"].to_list() == [31, 31]
        assert instruments["instrument"].to_list() == ["BTCUSDT", "ETHUSDT"]

    def test_an_empty_lake_has_typed_empty_views(self, empty_root: Path) -> None:
        with Warehouse(empty_root) as warehouse:
            for view in ("ohlcv_1m", "ohlcv_1h", "ohlcv_1mo"):
                assert warehouse.query(f"from {view}").columns == COLUMNS
            assert warehouse.query("from ohlcv_all").height == 0
            assert warehouse.query("from jobs").height == 0
            with pytest.raises(SeriesNotFound, match="holds no candles yet"):
                warehouse.query("from ohlcv('BTCUSDT.BINANCE', '1h')")

    def test_they_follow_the_lake_as_it_grows(self, empty_root: Path) -> None:
        """The writer is another process; here it is one that has closed again."""
        with Warehouse(empty_root) as warehouse:
            assert warehouse.query("from ohlcv_1h").height == 0
            code = (
                "import sys; from pathlib import Path; from datetime import datetime;"
                "from lake.storage.lake import Storage;"
                "from tests.warehouse.lake_kit import write, series\n"
                "with Storage.open(Path(sys.argv[1])) as s:"
                " write(s, series(), datetime(2024, 1, 1), 48)"
            )
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-c", code, str(empty_root)]
            subprocess.run(command, check=True, env=environment)

            assert warehouse.query("from ohlcv_1h").height == 48
            with pytest.raises(SeriesNotFound):
                warehouse.query("from ohlcv_1m")

    def test_many_files_give_a_warning_that_shows_the_macro(self, own_root: Path) -> None:
        catalog = sqlite3.connect(own_root / "catalog.sqlite")
        columns = [
            row[1] for row in catalog.execute("pragma table_info(partitions)") if row[1] != "path"
        ]
        with catalog:
            for number in range(6_000):
                catalog.execute(
                    f"insert into partitions (path, {', '.join(columns)}) "
                    f"select ?, {', '.join(columns)} from partitions "
                    "where path like '%=1d%' limit 1",
                    (f"ohlcv/venue=X/instrument=Y/timeframe=1d/year={number:04}/month=00/x",),
                )
        catalog.close()

        with Warehouse(own_root) as warehouse, pytest.warns(UserWarning, match=r"from ohlcv\("):
            warehouse.query("from ohlcv_1h limit 1")
        with Warehouse(own_root) as warehouse, warnings.catch_warnings():
            warnings.simplefilter("error")
            assert warehouse.query("from ohlcv('ETHUSDT.BINANCE', '1h') limit 1").height == 1

    def test_a_file_that_is_gone_does_not_keep_the_others_from_being_asked(
        self, own_root: Path
    ) -> None:
        for path in own_root.glob("parquet/ohlcv/venue=BINANCE/instrument=BTCUSDT/**/*.parquet"):
            path.unlink()

        with Warehouse(own_root) as warehouse:
            assert count(warehouse, "ohlcv('ETHUSDT.BINANCE', '1h')") == 960
            with pytest.raises(StorageError, match="lake doctor"):
                warehouse.query("from ohlcv_1d")


class TestSession:
    def test_the_zone_is_utc(self, warehouse: Warehouse) -> None:
        [(zone, moment)] = warehouse.query(
            "select current_setting('TimeZone'), '2024-01-01 00:00:00+00'::timestamptz::timestamp"
        ).rows()

        assert (zone, moment) == ("UTC", datetime(2024, 1, 1))

    def test_frames_of_the_caller_can_be_joined(self, warehouse: Warehouse) -> None:
        mine = pl.DataFrame({"ts": [hour(0), hour(5)]})

        rows = warehouse.query(
            "select ts, close from ohlcv('BTCUSDT.BINANCE', '1h') "
            "inner join mine using (ts) order by ts",
            mine=mine,
        )

        assert rows["ts"].to_list() == [hour(0), hour(5)]

    def test_no_home_and_no_network_is_needed(self, root: Path, tmp_path: Path) -> None:
        """The extension comes from its package; nothing is downloaded or looked up at home."""
        home = tmp_path / "home"
        home.mkdir()
        code = (
            "import sys; from pathlib import Path; from lake.warehouse import query;"
            "print(query(Path(sys.argv[1]), 'select count(*) as n from ohlcv_1h')['n'][0])"
        )
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }

        answer = subprocess.run(
            [sys.executable, "-c", code, str(root)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

        assert answer.stdout == "2880\n"
        assert list(home.iterdir()) == []
        assert [path.name for path in tmp_path.iterdir()] == ["home"]

    def test_a_folder_with_pattern_characters_is_itself(self, root: Path, tmp_path: Path) -> None:
        """DuckDB takes every path for a glob."""
        odd = tmp_path / "la[k]e *?'x"
        shutil.copytree(root, odd)

        with Warehouse(odd) as warehouse:
            assert count(warehouse, "ohlcv('BTCUSDT.BINANCE', '1h')") == 960
            assert count(warehouse, "ohlcv_1d") == 62

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    @pytest.mark.parametrize("trust", list(Trust))
    def test_a_lake_that_cannot_be_written_is_read(
        self, own_root: Path, tmp_path: Path, trust: Trust
    ) -> None:
        """SQLite would have to make a file beside a catalog in WAL mode."""
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_mode & 0o077 == 0:
                folder.chmod(0o755)
        code = (
            "import os, sys; from pathlib import Path\n"
            "from lake.warehouse import Trust, query; import polars, pyarrow.parquet\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "sql = 'select count(*) as n from ohlcv_1h'\n"
            "print(query(Path(sys.argv[1]), sql, trust=Trust(sys.argv[2]))['n'][0])"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code, str(own_root), trust.value]

        answer = subprocess.run(
            command, check=True, capture_output=True, text=True, env=environment
        )

        assert answer.stdout == "2880\n"
        assert not (own_root / "catalog.sqlite-shm").exists()

    def test_no_lake(self, tmp_path: Path) -> None:
        with pytest.raises(NoLake, match="no lake at"):
            query(tmp_path, "select 1")

    def test_a_newer_catalog_is_refused(self, own_root: Path) -> None:
        catalog = sqlite3.connect(own_root / "catalog.sqlite")
        with catalog:
            catalog.execute("insert into migrations values (999, 'x', 'x', '9.9.9', '9.9.9', 0)")
        catalog.close()

        with pytest.raises(MigrationError, match=r"install mdlake 9\.9\.9"):
            query(own_root, "select 1")


class TestCatalogRule:
    """Two SQLite libraries on one file in one process lose commits (DESIGN, section 4)."""

    def test_a_file_that_apsw_holds_is_not_attached(self, own_root: Path, tmp_path: Path) -> None:
        """Under whatever name: it is known by its inode."""
        link = tmp_path / "link.sqlite"
        link.symlink_to(own_root / "catalog.sqlite")
        with Storage.open(own_root):
            assert open_files.is_registered(own_root / "catalog.sqlite")
            with pytest.raises(StorageError, match="snapshot"):
                query(own_root, "select 1")
            with pytest.raises(StorageError, match="snapshot"):
                opening.open_on(own_root, link)

        assert query(own_root, "select 1 as n")["n"].to_list() == [1]

    def test_a_snapshot_is_attached_and_followed(self, own_root: Path) -> None:
        with (
            Storage.open(own_root) as storage,
            Warehouse(own_root, catalog=storage.snapshot) as warehouse,
        ):
            assert count(warehouse, "ohlcv('BTCUSDT.BINANCE', '1h')") == 960
            write(storage, series(timeframe="4h"), datetime(2024, 1, 1), 6)
            storage._snapshots._made_at -= 2

            assert count(warehouse, "ohlcv_4h") == 6

    @pytest.mark.parametrize(
        "sql",
        [
            "from sqlite_scan('data/catalog.sqlite', 'series')",
            "select * from read_blob('/x/data/catalog.sqlite')",
            "from read_blob('hot.sqlite')",
        ],
    )
    def test_sql_in_the_same_process_does_not_open_the_live_file(
        self, own_root: Path, sql: str
    ) -> None:
        """Closing any descriptor of it would drop apsw's locks."""
        with (
            Storage.open(own_root) as storage,
            Warehouse(own_root, catalog=storage.snapshot) as warehouse,
            pytest.raises(InvalidRequest, match="schema catalog"),
        ):
            warehouse.query(sql)


def contents(root: Path) -> dict[str, bytes]:
    """Every file of the lake. A reader may touch SQLite's shared memory, and nothing else."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


WRITES = [
    "copy (select 1) to '{root}/parquet/x.parquet'",
    "explain analyze copy (select 1) to '{root}/parquet/x.parquet'",
    "explain analyze insert into catalog.series select * from catalog.series",
    "export database '{root}/parquet'",
    "attach '{root}/catalog.sqlite' as other (type sqlite)",
    "attach '{root}/parquet/new.duckdb'",
    "call sqlite_attach('{root}/catalog.sqlite')",
    "insert into catalog.series select * from catalog.series",
    "delete from catalog.partitions",
    "drop table catalog.partitions",
    "prepare p as copy (select 1) to '{root}/x.csv'",
    "select 1; copy (select 1) to '{root}/x.csv'",
    "install httpfs",
]


@pytest.fixture(scope="module")
def asked(root: Path) -> Iterator[dict[Trust, Warehouse]]:
    """One connection of each kind, for many questions that leave nothing behind."""
    opened = {trust: Warehouse(root, trust=trust) for trust in Trust}
    yield opened
    for each in opened.values():
        each.close()


@pytest.mark.parametrize("trust", list(Trust))
@pytest.mark.parametrize("sql", WRITES)
def test_sql_cannot_write_the_lake(
    root: Path, asked: dict[Trust, Warehouse], sql: str, trust: Trust
) -> None:
    before = contents(root)

    with pytest.raises(InvalidRequest):
        asked[trust].query(sql.format(root=root))

    assert contents(root) == before


@pytest.mark.parametrize(
    "sql",
    [
        "with x as (from ohlcv_1h) select count(*) from x",
        "explain select 1",
        "create table mine as from ohlcv_1d; select count(*) from mine",
        "set variable day = '2024-01-01'; select getvariable('day')",
        "describe ohlcv_1h",
        "pivot (from ohlcv_1d) on instrument using sum(volume)",
    ],
)
def test_what_own_sql_may_do(asked: dict[Trust, Warehouse], sql: str) -> None:
    assert asked[Trust.OWN].query(sql).width > 0


class TestLocked:
    """`--locked`: the SQL of a stranger."""

    def test_it_answers_over_the_lake(self, asked: dict[Trust, Warehouse]) -> None:
        sql = "select count(*) as n from ohlcv('BTCUSDT.BINANCE', '1h', since := $day)"

        answer = asked[Trust.LOCKED].query(sql, {"day": "2024-02-01"})

        assert answer["n"].to_list() == [168]
        partitions = asked[Trust.LOCKED].query("select count(*) as n from partitions")
        assert partitions["n"].to_list() == [13]

    @pytest.mark.parametrize(
        "sql",
        [
            "from read_text('/etc/hostname')",
            "from read_blob('{root}/catalog.sqlite')",
            "from read_blob('{root}/parquet/../lake.json')",
            "from sqlite_scan('{root}/catalog.sqlite', 'series')",
            "from glob('/*')",
            "from read_csv('https://example.org/x.csv')",
            "select getenv('HOME')",
            "set memory_limit = '10GB'",
            "explain select 1",
            "select 1; select 2",
            "create table x (a int)",
            "load sqlite",
        ],
    )
    def test_it_can_do_nothing_else(
        self, root: Path, asked: dict[Trust, Warehouse], sql: str
    ) -> None:
        with pytest.raises((InvalidRequest, StorageError)):
            asked[Trust.LOCKED].query(sql.format(root=root))

    def test_names_of_the_caller_are_not_seen(self, asked: dict[Trust, Warehouse]) -> None:
        secret = pl.DataFrame({"key": [1]})  # noqa: F841

        with pytest.raises(InvalidRequest):
            asked[Trust.LOCKED].query("from secret")

    def test_a_link_out_of_the_lake_is_not_followed(self, own_root: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.csv"
        outside.write_text("a\n1\n")
        (own_root / "parquet" / "link.csv").symlink_to(outside)

        with pytest.raises((InvalidRequest, StorageError)):
            query(own_root, f"from read_csv('{own_root}/parquet/link.csv')", trust=Trust.LOCKED)

    def test_a_query_without_end_can_be_stopped(self, root: Path) -> None:
        endless = "select sum(a.range * b.range) from range(1000000) a, range(1000000) b"
        with Warehouse(root, trust=Trust.LOCKED, timeout_s=0.2) as warehouse:
            with pytest.raises(InvalidRequest, match=r"stopped after 0\.2 s"):
                warehouse.query(endless)

            assert warehouse.query("select 1 as n")["n"].to_list() == [1]


def test_a_schema_of_more_columns_leaves_old_files_readable(own_root: Path) -> None:
    """Files of another version are joined by name, which DuckDB does only when told to."""
    catalog = sqlite3.connect(own_root / "catalog.sqlite")
    with catalog:
        catalog.execute("update partitions set schema_version = 0 where path like '%month=12%'")
    catalog.close()
    path = next(own_root.glob("parquet/ohlcv/venue=BINANCE/instrument=BTCUSDT/**/month=12/*"))
    old = pl.read_parquet(path, hive_partitioning=False).drop("taker_buy_quote_volume")
    old.write_parquet(path)

    rows = query(own_root, "from ohlcv('BTCUSDT.BINANCE', '1h') order by ts")

    assert rows.height == 960
    assert rows.columns == COLUMNS


def test_half_an_hour_is_not_a_zone(root: Path) -> None:
    """Nothing of New York's zone reaches an answer."""
    rows = query(root, "select min(ts) as first, max(close_ts) as last from ohlcv_1h")

    assert rows.rows() == [(datetime(2023, 12, 30), datetime(2023, 12, 30) + timedelta(hours=960))]


def test_differences_of_times_are_durations(warehouse: Warehouse) -> None:
    """DuckDB's interval is a type that polars does not take from Arrow."""
    answer = warehouse.query(
        "select ts, ts - lag(ts) over (order by ts) as since from ohlcv('BTCUSDT.BINANCE', '1h', "
        "since := '2024-02-01', until := '2024-02-02T02:00') order by ts desc limit 3"
    )
    whole = warehouse.query("select interval '-1 day 2 hours 1 microsecond' as d, null as n")
    none = warehouse.query("select ts - ts as d from ohlcv_1h where false")

    assert answer["since"].to_list() == [timedelta(hours=1)] * 3
    assert whole["d"].to_list() == [timedelta(days=-1, hours=2, microseconds=1)]
    assert none.schema["d"] == pl.Duration("us")


def test_a_missing_difference_is_missing(warehouse: Warehouse) -> None:
    answer = warehouse.query(
        "select d from (values (null::interval, 1), (interval 1 day, 2)) t(d, n) order by n"
    )

    assert answer["d"].to_list() == [None, timedelta(days=1)]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select interval 1 month as d", "months"),
        ("select [interval 1 day] as d", "d is of a type .*list<"),
        ("select {'a': {'b': interval 1 day}} as d", "d is of a type"),
        ("select map {1: interval 1 day} as d", "d is of a type"),
        ("select union_value(k := 1) as u", "u is of a type .*Cast it"),
    ],
)
def test_a_type_that_polars_does_not_have_is_named(
    warehouse: Warehouse, sql: str, told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told):
        warehouse.query(sql)
