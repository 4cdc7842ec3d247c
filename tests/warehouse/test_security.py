"""What SQL cannot do: write the lake, open its SQLite files, leave its folder, run for ever."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from lake.errors import InvalidRequest, LakeError
from lake.storage.lake import Storage
from lake.warehouse import Trust, Warehouse
from lake.warehouse.extension import extension_path
from tests.warehouse.lake_kit import make_lake

SHARED = "shared"
WRITES = [
    # COPY and its disguises
    "copy (select 1) to '{out}'",
    "copy (select 1) to '{root}/lake.json'",
    "copy ohlcv_1d to '{root}/parquet/x' (format parquet, partition_by (venue))",
    "explain analyze copy (select 1) to '{out}'",
    "explain /* x */ analyze copy (select 1) to '{out}'",
    "-- a comment\nexplain analyze\n--another\ncopy (select 1) to '{out}'",
    "explain (analyze, format json) copy (select 1) to '{out}'",
    "EXPLAIN ANALYZE VERBOSE copy (select 1) to '{out}'",
    "prepare p as copy (select 1) to '{out}'",
    "select 1; copy (select 1) to '{out}'",
    "export database '{folder}/export'",
    # other databases
    "attach '{root}/catalog.sqlite' as other (type sqlite)",
    "attach '{folder}/new.duckdb'",
    "attach ':memory:' as scratch",
    "from sqlite_attach('{root}/catalog.sqlite', overwrite = true)",
    "call sqlite_attach('{root}/catalog.sqlite')",
    "from sqlite_scan('{root}/catalog.sqlite', 'series')",
    "select * from (select 1), \"sqlite_scan\" /* ( */ ('{root}/catalog.sqlite', 'series')",
    "from sqlite_query('catalog', 'select 1')",
    "create macro m() as table from sqlite_query('catalog', 'pragma wal_checkpoint')",
    "from query('from sqlite_scan(''{root}/catalog.sqlite'', ''series'')')",
    "from read_duckdb('{folder}/new.duckdb', table_name = 'x')",
    "insert into catalog.series select * from catalog.series",
    "delete from catalog.partitions",
    "drop table catalog.partitions",
    "update catalog.partitions set rows = 0",
    "explain analyze insert into catalog.series select * from catalog.series",
    # logs and profiles are files
    "call enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "from enable_logging('QueryLog', storage = 'file', storage_path = '{folder}/log')",
    "from enable_profiling(save_location = '{folder}/profile')",
    "set profiling_output = '{out}'",
    "set log_query_path = '{out}'",
    "set enable_profiling = 'json'",
    "pragma profiling_output = '{out}'",
    "pragma enable_profiling",
    # settings and extensions
    "set temp_directory = '{folder}/spill'",
    "set TimeZone = 'America/New_York'",
    "set lock_configuration = false",
    "set allowed_directories = ['/']",
    "set enable_external_access = true",
    "set secret_directory = '{folder}/secrets'",
    "reset lock_configuration",
    "create persistent secret s (type http)",
    "install httpfs",
    "load sqlite",
    "update extensions",
    "checkpoint",
    "vacuum",
    "call force_checkpoint()",
    # raw memory
    "from arrow_scan(0, 0, 0)",
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose path holds what DuckDB takes for a pattern."""
    return make_lake(tmp_path_factory.mktemp("la[k]e") / "da*ta")


@pytest.fixture(scope="module")
def asked(lake: Path) -> Iterator[dict[str, Warehouse]]:
    """One connection of each kind, for many questions that leave nothing behind."""
    opened = {trust.value: Warehouse(lake, trust=trust) for trust in Trust}
    with Storage.open(lake) as storage:
        yield {**opened, SHARED: Warehouse(lake, catalog=storage.snapshot)}
    for each in opened.values():
        each.close()


def contents(root: Path) -> dict[str, bytes]:
    """Every file of the lake but SQLite's own, which a reader in WAL mode may touch."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


@pytest.mark.parametrize("kind", ["own", "locked", SHARED])
def test_no_statement_writes_a_file(
    lake: Path, asked: dict[str, Warehouse], kind: str, tmp_path: Path
) -> None:
    """Neither the lake nor anything beside it changes, whatever is tried."""
    before = contents(lake)
    passed = []
    for sql in WRITES:
        written = sql.format(root=lake, folder=tmp_path, out=tmp_path / "x.csv")
        try:
            asked[kind].query(written)
        except LakeError:
            continue
        passed.append(sql)

    assert passed == []
    assert contents(lake) == before
    assert list(tmp_path.iterdir()) == []
    assert asked[kind].query("select 1 as n")["n"].to_list() == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "from read_text('/etc/hostname')",
        "from read_blob('{root}/catalog.sqlite')",
        "from read_blob('{root}/parquet/../lake.json')",
        "from '{root}/lake.json'",
        "from glob('{root}/*')",
        "from glob('/*')",
        "from read_csv('https://example.org/x.csv')",
        "from sniff_csv('/etc/passwd')",
        "from duckdb_settings()",
        "from pg_settings",
        'select setting from pg_catalog."PG_Settings"',
        "summarize pg_settings",
        "from query_table('pg_' || 'settings')",
        "from duckdb_databases",
        "from pragma_database_list",
        "from duckdb_secrets()",
        "from duckdb_logs()",
        "select current_setting('temp_directory')",
        "select getenv('HOME')",
        "select write_log('x')",
        "select sleep_ms(10)",
        "with x as (from duckdb_variables()) from x",
        "select exists(from enable_logging())",
        "set threads = 8",
        "set variable x = 1",
        "explain select 1",
        "select 1; select 2",
        "create table x (a int)",
        "begin",
    ],
)
def test_a_stranger_sees_nothing_but_the_lake(
    lake: Path, asked: dict[str, Warehouse], sql: str
) -> None:
    with pytest.raises(InvalidRequest):
        asked["locked"].query(sql.format(root=lake))


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from ohlcv('BTCUSDT.BINANCE', '1h', since := '2024-02-01')",
        "select count(*) as n from ohlcv_1h where instrument = 'BTCUSDT' and ts >= '2024-02-01'",
        "with x as (select * from ohlcv_all where timeframe = '1h') "
        "select count(*) as n from x where venue = 'BINANCEUSDM' and ts >= '2024-02-01'",
        "select 168 as n from range(1) where exists (from partitions)",
    ],
)
def test_a_stranger_is_answered_over_the_lake(asked: dict[str, Warehouse], sql: str) -> None:
    """Also where the lake's path holds the characters of patterns."""
    assert asked["locked"].query(sql)["n"].to_list() == [168]


def test_a_link_out_of_the_lake_is_not_followed(tmp_path: Path) -> None:
    root = make_lake(tmp_path / "data")
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    (root / "parquet" / "link.csv").symlink_to(outside)

    with Warehouse(root, trust=Trust.LOCKED) as warehouse, pytest.raises(InvalidRequest):
        warehouse.query(f"from '{root}/parquet/link.csv'")


class TestOneSqlite:
    """In a process that holds apsw, closing a second descriptor of its file drops its locks."""

    @pytest.mark.parametrize(
        "sql",
        [
            "from read_blob('{root}/catalog.sqlite')",
            "from read_text('{root}/parquet/../catalog.sqlite')",
            "select * from read_csv('{root}/catalog.sqlite', sep = '|', header = false)",
            "from '{link}'",
            "from read_parquet('{link}')",
            "from glob('{root}/*.sqlite')",
            "attach '{root}/catalog.sqlite' as second (type sqlite)",
            "attach '{link}' as second",
            "from sqlite_scan('{link}', 'series')",
            "load '{extension}'",
            "install '{extension}'",
        ],
    )
    def test_duckdb_itself_refuses_to_open_it(
        self, lake: Path, asked: dict[str, Warehouse], sql: str, tmp_path: Path
    ) -> None:
        """Typed into DuckDB's own connection, past every check of ours."""
        link = tmp_path / "innocent.parquet"
        link.symlink_to(lake / "catalog.sqlite")
        extension = extension_path(duckdb.__version__)

        with pytest.raises(duckdb.Error):
            asked[SHARED].connection.execute(
                sql.format(root=lake, link=link, extension=extension)
            ).fetchall()

    def test_the_refusal_says_what_to_do(self, lake: Path, asked: dict[str, Warehouse]) -> None:
        with pytest.raises(InvalidRequest, match=r"polars.*frames"):
            asked[SHARED].query(f"from read_blob('{lake}/catalog.sqlite')")

    def test_the_locks_of_apsw_are_still_held_afterwards(self, tmp_path: Path) -> None:
        """Another process's last connection may not take the WAL away: nothing gets lost."""
        locks = Path("/proc/locks")
        if not locks.exists():
            pytest.skip("only Linux tells its locks")
        root = make_lake(tmp_path / "data")
        with Storage.open(root) as storage:
            held = _locks_on(root / "catalog.sqlite", locks)
            with Warehouse(root, catalog=storage.snapshot) as warehouse:
                for sql in WRITES:
                    with pytest.raises(LakeError):
                        warehouse.query(sql.format(root=root, folder=root, out=root / "x"))
                assert warehouse.query("select count(*) as n from catalog.series")["n"][0] == 5

            assert held
            assert _locks_on(root / "catalog.sqlite", locks) == held


def _locks_on(path: Path, locks: Path) -> int:
    inodes = {str(each.stat().st_ino) for each in path.parent.glob(f"{path.name}*")}
    return sum(
        line.split()[5].rpartition(":")[2] in inodes for line in locks.read_text().splitlines()
    )


def test_frames_of_the_caller_are_seen_only_where_handed_in(asked: dict[str, Warehouse]) -> None:
    """In a process that shares the lake, and by strangers, no variable is read by its name."""
    mine = pl.DataFrame({"key": [7]})

    for kind in ("locked", SHARED):
        with pytest.raises(InvalidRequest):
            asked[kind].query("from mine")
    assert asked[SHARED].query("from given", given=mine)["key"].to_list() == [7]


def test_a_strangers_answer_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    """DuckDB's own limit does not count what Python holds."""
    root = make_lake(tmp_path / "data")
    with (
        Warehouse(root, trust=Trust.LOCKED, max_answer_bytes=1 << 20) as warehouse,
        pytest.raises(InvalidRequest, match="larger than 1 MiB"),
    ):
        warehouse.query("from range(1000000)")


def test_memory_and_spill_of_strangers_are_bounded(asked: dict[str, Warehouse]) -> None:
    [row] = (
        asked["locked"]
        .connection.execute(
            "select current_setting('memory_limit'), current_setting('max_temp_directory_size')"
        )
        .fetchall()
    )

    assert row == ("1.0 GiB", "2.0 GiB")


def test_columns_of_one_name_are_told_apart(asked: dict[str, Warehouse]) -> None:
    answer = asked["own"].query("select 1 as a, 2 as a, 3 as a_1, 4 as a")

    assert answer.rows(named=True) == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]


def test_a_lake_may_be_moved_while_nobody_asks(tmp_path: Path) -> None:
    """Locked too: the folder that may be read is the one that was opened."""
    root = make_lake(tmp_path / "data")
    shutil.move(root, tmp_path / "[moved]")

    with Warehouse(tmp_path / "[moved]", trust=Trust.LOCKED) as warehouse:
        assert warehouse.query("select count(*) as n from ohlcv_1d")["n"].to_list() == [62]
