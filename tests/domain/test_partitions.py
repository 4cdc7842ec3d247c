"""Partition paths: one grammar, both ways, and every moment in exactly one file."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest

BITCOIN = InstrumentId("BTCUSDT", Venue("BINANCE"))
NASTY = [
    "BTC/USDT",
    "a=b",
    "..",
    "../../etc",
    "100%",
    "ÄÖ币",
    "x y",
    "'",
    '"',
    "NULLS",
    "1000",
    "a.b",
]


def _series(symbol: str, data_type: DataType, timeframe: TimeFrame) -> Series:
    instrument = InstrumentId(symbol, Venue("BINANCE"))
    return Series(data_type, instrument, timeframe if data_type is DataType.OHLCV else None)


SERIES = st.builds(
    _series,
    st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=12)).filter(
        lambda text: text.upper() not in ("NULL", "__HIVE_DEFAULT_PARTITION__")
    ),
    st.sampled_from(list(DataType)),
    st.sampled_from(list(TimeFrame)),
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1))


@pytest.mark.parametrize(
    ("data_type", "timeframe", "path"),
    [
        (
            DataType.OHLCV,
            TimeFrame.HOUR_1,
            "ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1h/year=2024/month=03/data.parquet",
        ),
        (
            DataType.OHLCV,
            TimeFrame.DAY_1,
            "ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1d/year=2024/month=00/data.parquet",
        ),
        (
            DataType.TRADES,
            None,
            "trades/venue=BINANCE/instrument=BTCUSDT/year=2024/month=03/day=07/data.parquet",
        ),
        (
            DataType.FUNDING_RATES,
            None,
            "funding_rates/venue=BINANCE/instrument=BTCUSDT/year=2024/data.parquet",
        ),
    ],
)
def test_paths_are_those_of_the_design(
    data_type: DataType, timeframe: TimeFrame | None, path: str
) -> None:
    """DESIGN, section 3. Other tools rely on them."""
    series = Series(data_type, BITCOIN, timeframe)

    assert Partition.of(series, datetime(2024, 3, 7, 12)).path == path


@given(SERIES, MOMENTS)
def test_a_path_reads_back_and_stays_inside_the_lake(series: Series, moment: datetime) -> None:
    """Whatever the instrument is called, the path names it and cannot climb out."""
    partition = Partition.of(series, moment)

    assert Partition.from_path(partition.path) == partition
    assert ".." not in partition.path.split("/")
    assert moment in partition.range


@given(SERIES, MOMENTS, st.timedeltas(timedelta(seconds=1), timedelta(days=400)))
def test_splitting_covers_a_range_exactly_once(
    series: Series, start: datetime, length: timedelta
) -> None:
    """No moment is lost or asked for twice at a file border."""
    window = TimeRange(start, start + length)
    pieces = list(split(series, window))

    assert pieces[0][1].start == window.start
    assert pieces[-1][1].end == window.end
    assert all(a.end == b.start for (_, a), (_, b) in itertools.pairwise(pieces))
    assert all(
        partition.range.start <= piece.start and piece.end <= partition.range.end
        for partition, piece in pieces
    )


@pytest.mark.parametrize(
    "path",
    [
        "ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1h/year=2024/month=3/data.parquet",
        "ohlcv/venue=BINANCE/instrument=BTCUSDT/timeframe=1h/year=2024/month=03/other.parquet",
        "ohlcv/venue=BINANCE/instrument=BTCUSDT/year=2024/month=03/data.parquet",
        "candles/venue=BINANCE/data.parquet",
        "data.parquet",
    ],
)
def test_a_foreign_path_is_refused(path: str) -> None:
    """A file that the lake did not write is not read as if it had."""
    with pytest.raises(InvalidRequest, match="not the path of a partition"):
        Partition.from_path(path)
