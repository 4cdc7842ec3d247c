"""The lake in a script or a notebook: names, shapes, times, SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest

from lake import InvalidRequest, Lake, SeriesNotFound, open_files
from lake.domain.schemas import OHLCV
from lake.errors import NoLake, StorageError
from tests.warehouse.lake_kit import hour, make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """1h candles of two spot instruments and a perpetual, from 2023-12-30 for 40 days."""
    root = make_lake(tmp_path_factory.mktemp("research") / "data")
    with Lake(root) as opened:
        yield opened


def test_one_id_gives_the_tables_own_columns(lake: Lake) -> None:
    frame = lake.ohlcv("BTCUSDT.BINANCE", "1h", start="2024-01-01", end="2024-01-02")

    assert frame.columns == OHLCV.schema.names
    assert frame.schema["ts"] == pl.Datetime("us")
    assert frame["ts"].to_list() == [hour(number) for number in range(24)]


def test_several_say_whose_each_row_is(lake: Lake) -> None:
    """A list of one too: what fits a list of any length must not change its shape."""
    ids = ["ETHUSDT.BINANCE", "BTCUSDT.BINANCE"]

    both = lake.ohlcv(ids, "1h", start=hour(0), end=hour(2), columns=["ts", "close"])
    one = lake.ohlcv(ids[:1], "1h", start=hour(0), end=hour(1), columns=["close"])

    assert both.rows() == [
        ("BINANCE", "ETHUSDT", hour(0), 1.0),
        ("BINANCE", "ETHUSDT", hour(1), 2.0),
        ("BINANCE", "BTCUSDT", hour(0), 1.0),
        ("BINANCE", "BTCUSDT", hour(1), 2.0),
    ]
    assert one.columns == ["venue", "instrument", "close"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", {"BTCUSDT", "ETHUSDT", "BTCUSDT-PERP"}),
        ("*USDT", {"BTCUSDT", "ETHUSDT"}),
        ("btc*.binance*", {"BTCUSDT", "BTCUSDT-PERP"}),
        ("*-PERP", {"BTCUSDT-PERP"}),
    ],
)
def test_patterns_are_of_codes_and_of_ids(lake: Lake, pattern: str, found: set[str]) -> None:
    frame = lake.ohlcv(pattern, "1h", start=hour(0), end=hour(1))

    assert set(frame["instrument"]) == found


@pytest.mark.parametrize(
    "name", ["BTCUSDT.BINANCE", "btcusdt.binance", "BTC/USDT.BINANCE", "BTCUSDT"]
)
def test_an_instrument_has_several_spellings(lake: Lake, name: str) -> None:
    """A code is meant before the base and quote of another venue's perpetual."""
    assert lake.ohlcv(name, "1h", start=hour(0), end=hour(3)).height == 3


def test_a_name_that_means_several_lists_them(lake: Lake) -> None:
    with pytest.raises(
        InvalidRequest, match=r"means 2 instruments: BTCUSDT\.BINANCE, BTCUSDT-PERP"
    ):
        lake.ohlcv("BTC/USDT", "1h")


def test_a_venue_beside_the_name(lake: Lake) -> None:
    frame = lake.ohlcv("BTCUSDT", "1h", start=hour(0), end=hour(1), venue="binance-futures")

    assert frame.height == 1
    with pytest.raises(InvalidRequest, match="Use one of the two"):
        lake.ohlcv("BTCUSDT.BINANCE", "1h", venue="KRAKEN")


def test_a_wide_frame_has_a_column_an_instrument(lake: Lake) -> None:
    panel = lake.ohlcv(
        ["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"],
        "1h",
        start="2024-01-01",
        end="2024-01-02",
        columns=["close"],
        wide=True,
    )

    assert panel.columns == ["ts", "BTCUSDT.BINANCE", "ETHUSDT.BINANCE"]
    assert panel["ETHUSDT.BINANCE"].to_list() == [float(number) for number in range(1, 25)]


def test_a_wide_frame_is_null_where_an_instrument_has_no_candle(tmp_path: Path) -> None:
    from lake.storage.lake import Storage
    from tests.warehouse.lake_kit import series, write

    with Storage.open(tmp_path / "data", create=True) as storage:
        write(storage, series("BTCUSDT.BINANCE"), hour(0), 3)
        write(storage, series("ETHUSDT.BINANCE"), hour(2), 3)

    with Lake(tmp_path / "data") as lake:
        panel = lake.ohlcv("*", "1h", columns=["close", "trade_count"], wide=True)

    assert panel.rows() == [
        (hour(0), 1.0, 3, None, None),
        (hour(1), 2.0, 3, None, None),
        (hour(2), 3.0, 3, 1.0, 3),
        (hour(3), None, None, 2.0, 3),
        (hour(4), None, None, 3.0, 3),
    ]
    assert panel.columns[1:3] == ["close_BTCUSDT.BINANCE", "trade_count_BTCUSDT.BINANCE"]


@pytest.mark.parametrize(
    "start",
    [
        "2024-01-01",
        "2024-01-01T02:00+02:00",
        "2023-12-31T19:00-05:00",
        date(2024, 1, 1),
        datetime(2024, 1, 1),
        datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))),
        datetime(2024, 1, 1, tzinfo=UTC),
        1_704_067_200_000,
    ],
    ids=str,
)
def test_moments_are_utc_however_they_are_written(lake: Lake, start: object) -> None:
    """Naive ones are UTC, not the machine's zone; an offset is never dropped."""
    asked = str(start) if isinstance(start, int) else start

    frame = lake.ohlcv("BTCUSDT.BINANCE", "1h", start=asked, end="2024-01-01T01:00:00Z")  # type: ignore[arg-type]

    assert frame["ts"].to_list() == [hour(0)]


def test_an_empty_range_is_refused(lake: Lake) -> None:
    with pytest.raises(InvalidRequest, match="end is not after"):
        lake.ohlcv("BTCUSDT.BINANCE", "1h", start="2024-01-02", end="2024-01-02")
    with pytest.raises(InvalidRequest, match="end is not after"):
        lake.scan_ohlcv("BTCUSDT.BINANCE", "1h", start="2024-01-02", end="2024-01-01")


@pytest.mark.parametrize(
    ("name", "timeframe", "near"),
    [
        ("BTCUSD.BINANCE", "1h", "BTCUSDT.BINANCE ohlcv 1h"),
        ("BTCUSDT.BINANCE", "1m", "BTCUSDT.BINANCE ohlcv 1d, BTCUSDT.BINANCE ohlcv 1h"),
        ("SOL*", "1h", "BTCUSDT.BINANCE, ETHUSDT.BINANCE"),
        ("XRPUSDT", "1d", "Held are: BTCUSDT.BINANCE"),
        ("BTCUSDT.BINANCE", "5m", "BTCUSDT.BINANCE ohlcv 1d"),
    ],
)
def test_what_was_never_stored_names_what_is_near(
    lake: Lake, name: str, timeframe: str, near: str
) -> None:
    with pytest.raises(SeriesNotFound) as told:
        lake.ohlcv(name, timeframe)

    assert near in str(told.value)


def test_other_types_that_are_not_held_say_so(lake: Lake) -> None:
    for ask in (lake.trades, lake.orderbook, lake.funding_rates):
        with pytest.raises(SeriesNotFound, match=r"Near: BTCUSDT\.BINANCE ohlcv"):
            ask("BTCUSDT.BINANCE")


def test_sql_takes_parameters_and_frames(lake: Lake) -> None:
    mine = pl.DataFrame({"instrument": ["ETHUSDT"], "weight": [2.0]})

    answer = lake.sql(
        "select instrument, sum(close * weight) as total from ohlcv_1h inner join mine "
        "using (instrument) where ts >= $since and ts < $since + interval 2 hours group by all",
        {"since": datetime(2024, 1, 1)},
        mine=mine,
    )

    assert answer.rows() == [("ETHUSDT", 6.0)]


def test_connect_gives_duckdb_with_the_views_in_place(lake: Lake) -> None:
    [(rows,)] = lake.connect().execute("select count(*) from ohlcv_1h").fetchall()

    assert rows == 3 * 960


def test_instruments_of_a_date_are_those_known_to_have_traded_then(lake: Lake) -> None:
    early = lake.instruments(active_at="2023-11-15")
    late = lake.instruments(active_at="2024-01-05")

    assert early["instrument"].to_list() == ["ETHUSDT"]
    assert late["instrument"].to_list() == ["BTCUSDT", "ETHUSDT", "BTCUSDT-PERP"]
    assert lake.instruments("BTC*", venue="BINANCE")["symbol"].to_list() == ["BTC/USDT"]


def test_it_works_inside_a_running_loop(lake: Lake) -> None:
    """As in a notebook: reads block, and what awaits runs in a thread of its own."""

    async def cell() -> int:
        with pytest.raises(InvalidRequest, match="needs a start"):
            lake.plan("BTCUSDT.BINANCE", "1h")
        return lake.ohlcv("BTCUSDT.BINANCE", "1h", end=hour(0)).height

    assert asyncio.run(cell()) == 48


def test_only_an_explicit_wish_makes_a_lake(tmp_path: Path) -> None:
    with pytest.raises(NoLake, match="no lake at"):
        Lake(tmp_path / "data")
    with Lake(tmp_path / "data", create=True) as made:
        assert made.path == tmp_path / "data"
        with pytest.raises(SeriesNotFound, match="No 1h candles are held at all"):
            made.ohlcv("*", "1h")


@pytest.mark.parametrize(
    "text",
    [
        "attach '{root}/catalog.sqlite' as live (type sqlite)",
        "attach '{root}/hot.sqlite' as live (type sqlite, read_only)",
        "select * from sqlite_scan('{root}/catalog.sqlite', 'series')",
        "load sqlite",
        "install sqlite",
        "select * from read_blob('{root}/catalog.sqlite')",
    ],
)
def test_nothing_typed_into_duckdb_opens_the_live_files_a_second_time(
    lake: Lake, text: str
) -> None:
    """Two SQLite libraries on one file, or a plain open and close, would lose commits."""
    import duckdb

    statement = text.format(root=lake.path)

    with pytest.raises(duckdb.Error):
        lake.connect().execute(statement)
    with pytest.raises(InvalidRequest):
        lake.sql(statement)


@pytest.mark.parametrize(
    "since",
    [
        "2024-02-07T20:00:00+02:00",
        "2024-02-07 20:00+0200",
        "2024-02-07T18:00:00Z",
        "2024-02-07 18:00:00",
        datetime(2024, 2, 7, 13, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2024, 2, 7, 18),
    ],
    ids=str,
)
def test_the_offset_of_a_parameter_is_not_dropped(lake: Lake, since: object) -> None:
    """DuckDB alone would read 20:00+02:00 as 20:00."""
    text = "select min(ts) as first from ohlcv_1h where ts >= {}"

    named = lake.sql(text.format("$since"), {"since": since})
    placed = lake.sql(text.format("?"), [since])
    macro = lake.sql(
        "select min(ts) as first from ohlcv('BTCUSDT.BINANCE', '1h', since := $since)",
        {"since": since},
    )

    assert [each["first"][0] for each in (named, placed, macro)] == [datetime(2024, 2, 7, 18)] * 3


def test_sql_after_the_end_opens_nothing_again(tmp_path: Path) -> None:
    """Nobody would close it, and the file would stay open."""
    root = make_lake(tmp_path / "data")
    lake = Lake(root)
    lake.close()

    with pytest.raises(StorageError, match="closed here"):
        lake.sql("select 1")

    assert not open_files.is_registered(root / "catalog.sqlite")


class TestFramesOfTheCaller:
    def test_they_are_tables_for_this_once(self, lake: Lake) -> None:
        mine = pl.DataFrame({"n": [7]})

        assert lake.sql("from mine", mine=mine)["n"].to_list() == [7]
        assert lake.sql("from mine", mine=mine.lazy())["n"].to_list() == [7]
        with pytest.raises(InvalidRequest, match="mine does not exist"):
            lake.sql("from mine")

    @pytest.mark.parametrize("name", ["gaps", "OHLCV_ALL"])
    def test_none_stands_in_front_of_a_view(self, lake: Lake, name: str) -> None:
        """It would have answered for the lake from then on, without a word."""
        before = lake.sql(f"select count(*) as n from {name}")["n"][0]

        with pytest.raises(InvalidRequest, match=f"of the name {name} already"):
            lake.sql("select 1", **{name: pl.DataFrame({"n": [7]})})

        assert lake.sql(f"select count(*) as n from {name}")["n"][0] == before

    def test_what_is_no_frame_is_refused_with_the_way_out(self, lake: Lake) -> None:
        with pytest.raises(InvalidRequest, match=r"mine is a list.*polars\.DataFrame"):
            lake.sql("from mine", mine=[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " ", ";", "-- nothing"])
def test_sql_that_says_nothing_is_refused(lake: Lake, text: str) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        lake.sql(text)
