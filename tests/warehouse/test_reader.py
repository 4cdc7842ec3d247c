"""Reads of series straight from their files: ranges, columns, damage, several series at once."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.domain.held import HeldFile
from lake.domain.identifiers import Series
from lake.domain.partitions import Partition
from lake.domain.schemas import OHLCV
from lake.domain.times import to_us
from lake.errors import InvalidRequest, StorageError
from lake.storage.connection import Access, Database
from lake.storage.held import held_files
from lake.warehouse.reader import FileGone, SeriesFiles, read_series
from tests.warehouse.lake_kit import candles, hour, series

BTC, ETH = series("BTCUSDT.BINANCE"), series("ETHUSDT.BINANCE")


def files(root: Path, what: Series) -> SeriesFiles:
    """The three months that the lake of the tests holds."""
    database = Database(root / "catalog.sqlite", Access.READ)
    try:
        listed = held_files(database, what)
    finally:
        database.close()
    assert listed is not None
    assert len(listed) == 3
    return SeriesFiles(what, listed)


def listed(parquet: Path, partition: Partition, *, version: int = OHLCV.version) -> HeldFile:
    """A file as a catalog would list it."""
    content = (parquet / partition.path).read_bytes()
    table = pq.read_table(pa.BufferReader(content), columns=["ts"])
    moments = table["ts"].cast(pa.int64()).to_pylist()
    return HeldFile(
        path=partition.path,
        start_us=to_us(partition.range.start),
        end_us=to_us(partition.range.end),
        rows=table.num_rows,
        min_us=moments[0],
        max_us=moments[-1],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        schema_version=version,
        generation=1,
        gap_runs="[]",
    )


def test_one_series_has_its_own_columns(root: Path) -> None:
    frame = read_series(root / "parquet", [files(root, BTC)])

    assert frame.columns == OHLCV.schema.names
    assert frame.schema["ts"] == pl.Datetime("us")
    assert frame.height == 960
    assert frame["ts"].is_sorted()


def test_a_range_is_half_open(root: Path) -> None:
    frame = read_series(root / "parquet", [files(root, BTC)], start=hour(-1), end=hour(2))

    assert frame["ts"].to_list() == [hour(-1), hour(0), hour(1)]


def test_bounds_between_candles_cut_nothing_too_much(root: Path) -> None:
    half = timedelta(minutes=30)

    frame = read_series(
        root / "parquet", [files(root, BTC)], start=hour(0) + half, end=hour(2) + half
    )

    assert frame["ts"].to_list() == [hour(1), hour(2)]


def test_columns_come_in_the_order_asked(root: Path) -> None:
    """Also without ts, which the range needs to be cut."""
    frame = read_series(
        root / "parquet",
        [files(root, BTC)],
        start=hour(0),
        end=hour(3),
        columns=["volume", "close"],
    )

    assert frame.columns == ["volume", "close"]
    # Closes count the candles of each file.
    assert frame["close"].to_list() == [1.0, 2.0, 3.0]


def test_an_unknown_column_names_those_there_are(root: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no column vwap.*It has ts, open"):
        read_series(root / "parquet", [files(root, BTC)], columns=["close", "vwap"])


def test_several_series_say_whose_a_row_is(root: Path) -> None:
    frame = read_series(
        root / "parquet",
        [files(root, BTC), files(root, ETH)],
        start=hour(0),
        end=hour(2),
        named=True,
    )

    assert frame.columns == ["venue", "instrument", *OHLCV.schema.names]
    assert frame.select("instrument", "ts").rows() == [
        ("BTCUSDT", hour(0)),
        ("BTCUSDT", hour(1)),
        ("ETHUSDT", hour(0)),
        ("ETHUSDT", hour(1)),
    ]


def test_nothing_is_typed_nothing(root: Path) -> None:
    one = read_series(root / "parquet", [files(root, BTC)], start=datetime(2030, 1, 1))
    none = read_series(root / "parquet", [SeriesFiles(BTC, ())], columns=["close"])
    two = read_series(root / "parquet", [SeriesFiles(BTC, ()), SeriesFiles(ETH, ())], named=True)

    assert (one.height, one.schema["ts"]) == (0, pl.Datetime("us"))
    assert none.schema == {"close": pl.Float64}
    assert two.columns == ["venue", "instrument", *OHLCV.schema.names]
    assert two.schema["venue"] == pl.String


def test_files_outside_the_range_are_not_opened(own_root: Path) -> None:
    """A damaged file elsewhere does no harm."""
    for path in own_root.glob("parquet/ohlcv/venue=BINANCE/instrument=BTCUSDT/**/month=12/*"):
        path.write_bytes(b"broken")

    frame = read_series(own_root / "parquet", [files(own_root, BTC)], start=hour(0), end=hour(5))

    assert frame.height == 5


@pytest.mark.parametrize("rows", [700, 150_000])
def test_a_part_of_a_file_is_its_rows_and_no_others(tmp_path: Path, rows: int) -> None:
    """Large files are not decoded as a whole for a part of their range; it must not show."""
    day = series("BTCUSDT.BINANCE", "1s")
    partition = Partition(day, 2024, 1)
    path = tmp_path / partition.path
    path.parent.mkdir(parents=True)
    opens = [datetime(2024, 1, 1) + number * timedelta(seconds=1) for number in range(rows)]
    pq.write_table(candles(opens), path, row_group_size=rows // 7)
    wanted = [SeriesFiles(day, (listed(tmp_path, partition),))]

    frame = read_series(tmp_path, wanted, start=opens[150], end=opens[650])
    closes = read_series(tmp_path, wanted, start=opens[rows - 2], columns=["close"])

    assert frame["ts"].to_list() == opens[150:650]
    assert closes["close"].to_list() == [rows - 1.0, float(rows)]


def test_a_damaged_file_is_an_error_whichever_part_is_asked_for(own_root: Path) -> None:
    path = own_root / "parquet" / Partition(BTC, 2024, 1).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(StorageError, match="digest is not the one"):
        read_series(
            own_root / "parquet", [files(own_root, BTC)], start=hour(0), end=hour(1), columns=["ts"]
        )


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_an_error_and_never_a_price(own_root: Path, seed: int) -> None:
    """DuckDB and polars read most flipped bits as data; our pages have checksums."""
    path = own_root / "parquet" / Partition(BTC, 2024, 1).path
    before = read_series(own_root / "parquet", [files(own_root, BTC)])
    content = bytearray(path.read_bytes())
    draw = np.random.default_rng(seed)
    place = int(draw.integers(4, len(content) - 8))
    content[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(content)

    try:
        after = read_series(own_root / "parquet", [files(own_root, BTC)])
    except StorageError:
        return
    # Bits of the footer that no reader of rows needs, such as a writer's name.
    assert after.equals(before)


def test_a_file_that_is_gone_is_told_apart_from_a_damaged_one(own_root: Path) -> None:
    """Whoever listed it may look again."""
    (own_root / "parquet" / Partition(BTC, 2024, 1).path).unlink()

    with pytest.raises(FileGone, match="is listed and not there"):
        read_series(own_root / "parquet", [files(own_root, BTC)])


@pytest.mark.parametrize("years", [(2023,), (2023, 2024)], ids=["alone", "beside new ones"])
def test_columns_that_an_older_file_lacks_are_null(own_root: Path, years: tuple[int, ...]) -> None:
    """A file of an older schema stays readable, beside new ones too."""
    parquet = own_root / "parquet"
    partitions = [Partition(BTC, year, 12 if year == 2023 else 1) for year in years]
    path = parquet / partitions[0].path
    pq.write_table(pq.read_table(path, partitioning=None).drop(["trade_count"]), path)
    wanted = [listed(parquet, each, version=0 if each.year == 2023 else 1) for each in partitions]

    frame = read_series(parquet, [SeriesFiles(BTC, wanted)])

    assert frame.columns == OHLCV.schema.names
    assert frame["trade_count"].null_count() == 48
    assert frame.height == 48 + 744 * (len(years) - 1)
    assert frame.schema["trade_count"] == pl.Int64


def test_data_types_are_not_mixed(root: Path) -> None:
    with pytest.raises(InvalidRequest, match="one data type"):
        read_series(root / "parquet", [])
