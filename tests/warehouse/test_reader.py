"""Reads of series straight from their files: ranges, columns, damage, several series at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lake.domain.identifiers import Series
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV
from lake.errors import InvalidRequest, StorageError
from lake.warehouse.reader import FileGone, SeriesFiles, read_series
from tests.warehouse.lake_kit import candles, hour, series

BTC, ETH = series("BTCUSDT.BINANCE"), series("ETHUSDT.BINANCE")
HELD = TimeRange(datetime(2023, 12, 30), datetime(2023, 12, 30) + timedelta(hours=960))


def files(what: Series) -> SeriesFiles:
    """The three months that the lake of the tests holds."""
    return SeriesFiles(what, tuple(partition for partition, _ in split(what, HELD)))


def test_one_series_has_its_own_columns(root: Path) -> None:
    frame = read_series(root / "parquet", [files(BTC)])

    assert frame.columns == OHLCV.schema.names
    assert frame.schema["ts"] == pl.Datetime("us")
    assert frame.height == 960
    assert frame["ts"].is_sorted()


def test_a_range_is_half_open(root: Path) -> None:
    frame = read_series(root / "parquet", [files(BTC)], start=hour(-1), end=hour(2))

    assert frame["ts"].to_list() == [hour(-1), hour(0), hour(1)]


def test_bounds_between_candles_cut_nothing_too_much(root: Path) -> None:
    half = timedelta(minutes=30)

    frame = read_series(root / "parquet", [files(BTC)], start=hour(0) + half, end=hour(2) + half)

    assert frame["ts"].to_list() == [hour(1), hour(2)]


def test_columns_come_in_the_order_asked(root: Path) -> None:
    """Also without ts, which the range needs to be cut."""
    frame = read_series(
        root / "parquet", [files(BTC)], start=hour(0), end=hour(3), columns=["volume", "close"]
    )

    assert frame.columns == ["volume", "close"]
    # Closes count the candles of each file.
    assert frame["close"].to_list() == [1.0, 2.0, 3.0]


def test_an_unknown_column_names_those_there_are(root: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no column vwap.*It has ts, open"):
        read_series(root / "parquet", [files(BTC)], columns=["close", "vwap"])


def test_several_series_say_whose_a_row_is(root: Path) -> None:
    frame = read_series(root / "parquet", [files(BTC), files(ETH)], start=hour(0), end=hour(2))

    assert frame.columns == ["venue", "instrument", *OHLCV.schema.names]
    assert frame.select("instrument", "ts").rows() == [
        ("BTCUSDT", hour(0)),
        ("BTCUSDT", hour(1)),
        ("ETHUSDT", hour(0)),
        ("ETHUSDT", hour(1)),
    ]


def test_nothing_is_typed_nothing(root: Path) -> None:
    one = read_series(root / "parquet", [files(BTC)], start=datetime(2030, 1, 1))
    none = read_series(root / "parquet", [SeriesFiles(BTC, ())], columns=["close"])
    two = read_series(root / "parquet", [SeriesFiles(BTC, ()), SeriesFiles(ETH, ())])

    assert (one.height, one.schema["ts"]) == (0, pl.Datetime("us"))
    assert none.schema == {"close": pl.Float64}
    assert two.columns == ["venue", "instrument", *OHLCV.schema.names]
    assert two.schema["venue"] == pl.String


def test_files_outside_the_range_are_not_opened(own_root: Path) -> None:
    """A damaged file elsewhere does no harm."""
    for path in own_root.glob("parquet/ohlcv/venue=BINANCE/instrument=BTCUSDT/**/month=12/*"):
        path.write_bytes(b"broken")

    frame = read_series(own_root / "parquet", [files(BTC)], start=hour(0), end=hour(5))

    assert frame.height == 5


def test_only_the_row_groups_of_the_range_are_read(tmp_path: Path) -> None:
    """A month of seconds is many groups; a broken one elsewhere shows what was read."""
    partition = Partition(BTC, 2024, 1)
    path = tmp_path / partition.path
    path.parent.mkdir(parents=True)
    rows = candles([hour(number) for number in range(700)])
    pq.write_table(rows, path, row_group_size=100, write_page_checksum=True, use_dictionary=False)
    last = pq.ParquetFile(path).metadata.row_group(6).column(1)
    content = bytearray(path.read_bytes())
    content[last.data_page_offset + last.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(content)
    wanted = [SeriesFiles(BTC, (partition,))]

    frame = read_series(tmp_path, wanted, start=hour(150), end=hour(250))

    assert frame["ts"].to_list() == [hour(number) for number in range(150, 250)]
    with pytest.raises(StorageError, match="lake doctor"):
        read_series(tmp_path, wanted)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_an_error_and_never_a_price(own_root: Path, seed: int) -> None:
    """DuckDB and polars read most flipped bits as data; our pages have checksums."""
    path = own_root / "parquet" / Partition(BTC, 2024, 1).path
    before = read_series(own_root / "parquet", [files(BTC)])
    content = bytearray(path.read_bytes())
    draw = np.random.default_rng(seed)
    place = int(draw.integers(4, len(content) - 8))
    content[place] ^= 1 << int(draw.integers(8))
    path.write_bytes(content)

    try:
        after = read_series(own_root / "parquet", [files(BTC)])
    except StorageError:
        return
    # Bits of the footer that no reader of rows needs, such as a writer's name.
    assert after.equals(before)


def test_a_file_that_is_gone_is_told_apart_from_a_damaged_one(own_root: Path) -> None:
    """Whoever listed it may look again."""
    (own_root / "parquet" / Partition(BTC, 2024, 1).path).unlink()

    with pytest.raises(FileGone, match="is listed and not there"):
        read_series(own_root / "parquet", [files(BTC)])


def test_columns_that_an_older_file_lacks_are_null(own_root: Path) -> None:
    path = own_root / "parquet" / Partition(BTC, 2023, 12).path
    pl.read_parquet(path, hive_partitioning=False).drop("trade_count").write_parquet(path)

    frame = read_series(own_root / "parquet", [files(BTC)], columns=["ts", "trade_count"])

    assert frame["trade_count"].null_count() == 48
    assert frame.schema["trade_count"] == pl.Int64


def test_data_types_are_not_mixed(root: Path) -> None:
    with pytest.raises(InvalidRequest, match="one data type"):
        read_series(root / "parquet", [])
