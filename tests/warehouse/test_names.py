"""Table macros and views of all data types; a user's own queries; lakes of many series."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from lake.domain.schemas import ROW_SPECS
from lake.errors import InvalidRequest, SeriesNotFound
from lake.warehouse import Warehouse
from tests.warehouse.example_lake import make_example_lake

KINDS = {"trades": ("BTCUSDT.BINANCE", 4), "orderbook": ("BTCUSDT.BINANCE", 2)}
KINDS |= {"funding_rates": ("BTCUSDT-PERP.BINANCEUSDM", 3)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_example_lake(tmp_path_factory.mktemp("names") / "data")


@pytest.fixture(scope="module")
def warehouse(lake: Path) -> Iterator[Warehouse]:
    with Warehouse(lake) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_each_data_type_has_its_macro_and_its_view(warehouse: Warehouse, kind: str) -> None:
    """By id, by venue and instrument, by pattern and list: the same rows, columns as stored."""
    name, count = KINDS[kind]
    instrument, venue = name.split(".")
    answers = [
        warehouse.query(f"from {source}")
        for source in (
            f"{kind}('{name}')",
            f"{kind}('{venue.lower()}', '{instrument.lower()}')",
            f"{kind}(['{name}'])",
            f"{kind}('{instrument[:3]}*')",
            f"{kind}('*')",
            f"{kind}_all",
        )
    ]

    [spec] = [spec for spec in ROW_SPECS.values() if spec.data_type.value == kind]
    assert answers[0].columns == ["venue", "instrument", *spec.schema.names]
    assert answers[0].height == count
    assert all(answer.equals(answers[0]) for answer in answers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_bounds_ts_half_open(warehouse: Warehouse, kind: str) -> None:
    name, count = KINDS[kind]
    moments = warehouse.query(f"from {kind}('{name}')")["ts"].to_list()

    later = f"from {kind}('{name}', since := $since, until := $until)"

    found = warehouse.query(later, {"since": moments[1], "until": moments[-1]})["ts"].to_list()
    assert found == moments[1:-1]
    assert warehouse.query(f"from {kind}('{name}', since := '2030-01-01')").height == 0
    assert warehouse.query(f"from {kind}('{name}', until := '2020-01-01')").height == 0
    assert warehouse.query(f"from {kind}('{name}', until := 'infinity')").height == count


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("trades('ETHUSDT.BINANCE')", r"No trades of ETHUSDT\.BINANCE .* BTCUSDT\.BINANCE"),
        ("funding_rates('BTCUSDT.BINANCE')", r"No funding rates .* BTCUSDT-PERP\.BINANCEUSDM"),
        ("orderbook('OKX', 'BTCUSDT')", r"No orderbook of BTCUSDT\.OKX"),
        ("trades(['BTCUSDT.BINANCE', 'NOPE.BINANCE'])", r"NOPE\.BINANCE"),
        ("ohlcv('it''s.BINANCE', '1h')", r"are held"),
        ("ohlcv('a\\b|c(d.BINANCE', '1h')", r"are held"),
        ("ohlcv('BTCUSDT.BINANCE', '7x')", r"No 7x candles"),
        ("ohlcv('BTCUSDT.BINANCE', '1h''; drop')", r"are held"),
    ],
)
def test_a_wrong_name_says_what_is_held(warehouse: Warehouse, asked: str, message: str) -> None:
    with pytest.raises(SeriesNotFound, match=message):
        warehouse.query(f"from {asked}")


def test_an_empty_lake_is_typed_for_every_data_type(empty_root: Path) -> None:
    with Warehouse(empty_root) as warehouse:
        for spec in ROW_SPECS.values():
            kind = spec.data_type.value
            arguments = "'*', '1h'" if kind == "ohlcv" else "'*'"
            for source in (f"{kind}_all", f"{kind}({arguments})"):
                rows = warehouse.query(f"from {source}")
                assert rows.height == 0
                assert set(spec.schema.names) <= set(rows.columns)
                assert rows.schema["ts"] == pl.Datetime("us")
        for view in ("gaps", "quality", "partitions", "coverage", "instruments", "listings"):
            assert warehouse.query(f"from {view}").height == 0
        with pytest.raises(SeriesNotFound, match="holds no trades yet"):
            warehouse.query("from trades('BTCUSDT.BINANCE')")


def test_an_older_schema_of_any_type_reads_beside_the_new(tmp_path: Path) -> None:
    """Columns are added at the end; a file that lacks one has nulls there."""
    root = make_example_lake(tmp_path / "data")
    catalog = sqlite3.connect(root / "catalog.sqlite")
    with catalog:
        catalog.execute("update partitions set schema_version = 0")
    catalog.close()
    for kind, (name, count) in KINDS.items():
        path = next(root.glob(f"parquet/{kind}/**/*.parquet"))
        stored = pl.read_parquet(path, hive_partitioning=False)
        last = stored.columns[-1]
        stored.drop(last).write_parquet(path)

        with Warehouse(root) as warehouse:
            for source in (f"{kind}('{name}')", f"{kind}_all"):
                rows = warehouse.query(f"from {source}")
                assert rows.columns[-1] == last
                assert rows[last].null_count() == rows.height == count


def test_many_series_come_and_are_found(tmp_path: Path) -> None:
    """File lists are spread over variables; none is lost when a lake grows or shrinks."""
    root = make_example_lake(tmp_path / "data")
    with Warehouse(root) as warehouse:
        for count in (3, 200, 50):
            _name_series(root, count)
            names = warehouse.query("select key from lake.held where key like 'X%' order by key")[
                "key"
            ].to_list()

            assert len(names) == count
            for number in (0, count // 2, count - 1):
                sql = f"from ohlcv('X{number:04}.BINANCE', '1h')"
                assert warehouse.query(sql).height == 5
            with pytest.raises(SeriesNotFound):
                warehouse.query("from ohlcv('X9999.BINANCE', '1h')")
            assert warehouse.query("from ohlcv('X*', '1h')").height == 5 * count


def _name_series(root: Path, count: int) -> None:
    """Exactly *count* series X0000... whose files are links to the candles of BTCUSDT."""
    stored = next(root.glob("parquet/ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1h/**/*.pa*"))
    catalog = sqlite3.connect(root / "catalog.sqlite")
    columns = [row[1] for row in catalog.execute("pragma table_info(partitions)")]
    others = ", ".join(name for name in columns if name not in ("path", "series_id"))
    with catalog:
        catalog.execute("delete from partitions where series_id > 1000")
        catalog.execute("delete from series where series_id > 1000")
        for number in range(count):
            path = Path(
                str(stored.relative_to(root / "parquet")).replace("BTCUSDT", f"X{number:04}")
            )
            target = root / "parquet" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.hardlink_to(stored)
            catalog.execute(
                "insert into series (series_id, data_type, venue, instrument, timeframe, origin, "
                "created_at) values (?, 'ohlcv', 'BINANCE', ?, '1h', 'venue', 0)",
                (1001 + number, f"X{number:04}"),
            )
            catalog.execute(
                f"insert into partitions (path, series_id, {others}) select ?, ?, {others} "
                "from partitions where path like '%instrument=BTCUSDT/timeframe=1h%'",
                (str(path), 1001 + number),
            )
    catalog.close()


class TestQueries:
    """A user's own files in queries/."""

    def test_they_build_on_ours_and_on_one_another(self, tmp_path: Path) -> None:
        root = make_example_lake(tmp_path / "data")
        folder = root / "queries"
        folder.mkdir()
        (folder / "a.sql").write_text(
            "-- my hours\ncreate view hours as from ohlcv('BTCUSDT.BINANCE', '1h');\n"
            "create macro twice(x) as 2 * x;\n"
        )
        (folder / "b.sql").write_text("create view doubled as select twice(close) as c from hours")
        (folder / "notes.txt").write_text("not SQL")

        with Warehouse(root) as warehouse:
            assert warehouse.query("select min(c) as c from doubled")["c"].to_list() == [198.0]

    @pytest.mark.parametrize(
        ("text", "place", "why"),
        [
            ("select 1;\n\ncreate view x as\nselect 1 as;\n", 4, "Parser Error"),
            ("create view ok as select 1;\n\n-- c\ncreate view x as\nfrom nowhere;", 5, "nowhere"),
            ("\n\ncopy (select 1) to 'x.csv';", 3, "COPY is not possible"),
            ("create macro m() as table from sqlite_scan('x', 'y');", 1, "sqlite_scan"),
            ("create view jobs as select 1;", 1, "already exists"),
            ("set threads = 'many';", 1, "many"),
        ],
    )
    def test_a_broken_one_is_named_with_its_line_and_the_rest_works(
        self, tmp_path: Path, text: str, place: int, why: str
    ) -> None:
        root = make_example_lake(tmp_path / "data")
        folder = root / "queries"
        folder.mkdir()
        (folder / "a_broken.sql").write_text(text)
        (folder / "b_good.sql").write_text("create view good as select 7 as n;")

        with pytest.warns(UserWarning, match="line") as told, Warehouse(root) as warehouse:
            assert warehouse.query("from good")["n"].to_list() == [7]

        [warning] = told
        assert f"a_broken.sql, line {place}: " in str(warning.message)
        assert why in str(warning.message)
        assert not Path("x.csv").exists()

    def test_what_cannot_be_read_is_named_too(self, tmp_path: Path) -> None:
        root = make_example_lake(tmp_path / "data")
        (root / "queries").mkdir()
        (root / "queries" / "latin.sql").write_bytes(b"select '\xe9'")

        with pytest.warns(UserWarning, match=r"latin\.sql, line 1: .*utf-8"):
            Warehouse(root).close()

    def test_no_folder_is_no_trouble(self, lake: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Warehouse(lake).close()


def test_settings_that_name_no_file_may_be_changed(lake: Path) -> None:
    with Warehouse(lake) as warehouse:
        warehouse.query("set threads = 1; set memory_limit = '1GB'")
        with pytest.raises(InvalidRequest, match="locked"):
            warehouse.query("set TimeZone = 'America/New_York'")
        [(zone,)] = warehouse.query("select current_setting('TimeZone')").rows()

    assert zone == "UTC"
